//! The blocking client, against the emulator: the same operations, the same three errors.

use std::time::Duration;

use chatapi::Client;
use chatapi::client::{CreateError, DeleteError, ListError, blocking};
use chatapi::emulator::{Emulator, EmulatorConfig, FaultPlan, LedgerOp};
use chatapi::instance::{InstanceId, InstanceType};
use chatapi::secret::Secret;
use tokio::runtime::Runtime;

use super::{KEY, assert_silent, runtime};
use crate::stage::BOUND;

/// A client of an emulator with these faults; the emulator stops when it is dropped.
fn client_with(rules: &[&str]) -> (blocking::Client, Emulator, Runtime) {
    let runtime = runtime();
    let faults = FaultPlan::new(rules.iter().map(|rule| rule.parse().unwrap()).collect());
    let config = EmulatorConfig { faults, ..EmulatorConfig::default() };
    let emulator = runtime.block_on(Emulator::start(config)).unwrap();
    // Short only where silence is the point.
    let limit = if rules.iter().any(|rule| rule.contains("stall")) { Duration::from_secs(1) } else { BOUND };
    (client(&emulator.base_url(), limit), emulator, runtime)
}

fn client(url: &str, limit: Duration) -> blocking::Client {
    let settings = Client::builder(url, Secret::new(KEY.to_owned())).answer_timeout(limit);
    blocking::Client::new(settings).unwrap()
}

fn created(emulator: &Emulator) -> usize {
    emulator.ledger().iter().filter(|entry| entry.op == LedgerOp::Created).count()
}

#[test]
fn p1_the_blocking_client_creates_lists_and_deletes() {
    let (client, emulator, _runtime) = client_with(&[]);
    let result = client.create_instance(InstanceType::WhatsAppDev).unwrap();
    let parameters = &result.instance_parameters;
    let token = parameters.token.as_ref().unwrap();
    assert!(!format!("{result} {result:?}").contains(token.expose()));
    let listing = client.list_instances().unwrap();
    assert_eq!((listing.instances.len(), listing.odd_items), (1, 0));
    let listed = &listing.instances[0];
    assert_eq!(
        (&listed.id, listed.kind, &listed.api_url),
        (&parameters.id, Some(InstanceType::WhatsAppDev), &parameters.api_url)
    );
    client.delete_instance(&parameters.id).unwrap();
    assert!(client.list_instances().unwrap().instances.is_empty());
    assert!(matches!(client.delete_instance(&parameters.id), Err(DeleteError::Refused(_))));
    assert_eq!((created(&emulator), emulator.requests().len()), (1, 5));
}

#[test]
fn p1_the_blocking_client_tells_the_three_errors_apart() {
    for (fault, instances) in [
        ("drop-before", 0),
        ("drop-after", 1),
        ("reset-after", 1),
        ("stall", 1),
        ("stall-before", 0),
        ("status-after:502", 1),
        ("status-before:503", 0),
        ("garbage", 1),
        ("truncate:100", 1),
        ("truncate-stall:200", 1),
        ("exists", 0),
    ] {
        let (client, emulator, _runtime) = client_with(&[&format!("create={fault}")]);
        let error = client.create_instance(InstanceType::WhatsApp).unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
        assert!(matches!(error, CreateError::InDoubt(_)), "{fault}: {error}");
        // The next call drives what the first one has left behind: nothing more may come of it.
        assert_eq!(client.list_instances().unwrap().instances.len(), instances, "{fault}");
        assert_eq!((created(&emulator), emulator.requests().len()), (instances, 2), "{fault}");
    }
    for fault in ["refuse:no money", "too-many:7"] {
        let (client, emulator, _runtime) = client_with(&[&format!("create={fault}")]);
        assert!(matches!(client.create_instance(InstanceType::WhatsApp), Err(CreateError::Refused(_))), "{fault}");
        assert_eq!(created(&emulator), 0, "{fault}");
    }
}

#[test]
fn p1_the_blocking_client_without_a_server_has_sent_nothing() {
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let client = client(&format!("http://{nobody}/"), BOUND);
    assert!(matches!(client.create_instance(InstanceType::WhatsApp), Err(CreateError::NotSent(_))));
    assert!(matches!(client.list_instances(), Err(ListError::Failed(_))));
    assert!(matches!(client.delete_instance(&InstanceId::parse("1").unwrap()), Err(DeleteError::NotSent(_))));
}
