//! F10: however a server asks to wait, a run waits at most so long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatapi::apply::{Applier, NoRescue, Options, Outcome, Parallelism, Progress, Report, RunInfo, StopSignal, Tries};
use chatapi::instance::{InstanceId, InstanceName, InstanceType};
use chatapi::listing::Listing;
use chatapi::plan::{Settling, plan};
use chatapi::provider::{CreateRequest, DeleteError, Exchange, ListError, Pending, Provider, Ready, Unsent};
use chatapi::state::{Answer, Binding, Lineage, Origin, Who};
use chatapi::store::{MemoryStore, StateStore as _};
use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::time::Instant;

/// One wait at the most, and all of them.
const LONGEST: Duration = Duration::from_mins(5);
const ALL: Duration = Duration::from_mins(15);

/// A server that says "later" so often, and how long; then it creates.
struct Server {
    origin: Origin,
    later: Mutex<Vec<Option<u64>>>,
}

struct Call(Answer);

impl Ready for Call {
    fn send(self: Box<Self>) -> Pending<'static, Exchange> {
        Box::pin(std::future::ready(Exchange::Answered(self.0)))
    }
}

impl Provider for Server {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn connect(&self, _: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>> {
        let (status, retry_after, body) = match self.later.lock().unwrap().pop() {
            Some(after) => (429, after, ""),
            None => (200, None, r#"{"result":{"status":"created","instance":{"id":"1","token":"t"}}}"#),
        };
        let answer = Answer { status, complete: true, retry_after, body: body.into() };
        Box::pin(std::future::ready(Ok(Box::new(Call(answer)) as Box<dyn Ready>)))
    }

    fn delete(&self, _: &InstanceId) -> Pending<'_, Result<(), DeleteError>> {
        Box::pin(std::future::ready(Err(DeleteError::NotSent("nothing is deleted here".to_owned()))))
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        Box::pin(std::future::ready(Err(ListError::Unsupported(404))))
    }
}

/// Lines, each a number of seconds or anything else for none: no wait is longer than five minutes, all together no longer than
/// fifteen, and in the end the name is created or nothing was.
pub(super) fn f10_waits(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut later: Vec<Option<u64>> = text.lines().take(64).map(|line| line.trim().parse().ok()).collect();
    later.reverse();
    let server = Arc::new(Server { origin: Origin("https://a.example".to_owned()), later: Mutex::new(later) });
    let waits = Arc::new(Mutex::new(Vec::new()));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (report, took) = runtime.block_on(async {
        let begun = Instant::now();
        (run(&server, Arc::clone(&waits)).await, begun.elapsed())
    });
    let waits = waits.lock().unwrap();
    assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
    assert!(waits.iter().sum::<Duration>() <= ALL && took <= ALL + Duration::from_secs(1), "{took:?}: {waits:?}");
    let outcome = report.outcomes.values().next().unwrap();
    let is_created = matches!(outcome, Outcome::Created { has_token: true, .. });
    let is_left = matches!(outcome, Outcome::Refused { .. } | Outcome::NotSent { .. } | Outcome::NotTried);
    assert!(is_created || is_left, "{outcome:?}");
    assert_eq!(is_created, report.halt.is_none(), "{report:?}");
    assert!(!is_created || server.later.lock().unwrap().is_empty());
}

async fn run(server: &Arc<Server>, waits: Arc<Mutex<Vec<Duration>>>) -> Report {
    let store = MemoryStore::begin(Lineage::from_bytes([7; 16]), Timestamp::UNIX_EPOCH).unwrap();
    let wanted = BTreeMap::from([(InstanceName::parse("one").unwrap(), InstanceType::WhatsApp)]);
    let plan = plan(&wanted, store.state());
    let tell = move |progress| {
        if let Progress::Waiting { wait, .. } = progress {
            waits.lock().unwrap().push(wait);
        }
    };
    let (_handle, stop) = StopSignal::new();
    let provider: Arc<dyn Provider> = Arc::clone(server) as Arc<dyn Provider>;
    let applier = Applier::new(Box::new(store), provider, Arc::new(tell), options(), stop);
    let report = applier.create(&plan, Binding { origin: server.origin.clone(), key: None, environment: None }).await;
    applier.close().await.unwrap();
    report
}

fn options() -> Options {
    Options {
        parallelism: Parallelism::Fixed(1),
        rate: None,
        is_exclusive: false,
        settling: Settling::default(),
        tries: Tries { most: 3, wait: Duration::from_millis(1) },
        drain: Duration::from_secs(9),
        run: RunInfo { verb: "apply", who: Who::default(), boot: None, up: || None, keeps_what_is_synced: true, plan: None },
        rescue: Arc::new(NoRescue),
        clock: || Timestamp::UNIX_EPOCH,
    }
}
