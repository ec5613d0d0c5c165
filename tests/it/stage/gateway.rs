//! The emulator in this process, so that what it really did can be held against what the binary says.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use chatapi::emulator::{Emulator, EmulatorConfig, FaultPlan, LedgerOp, Operation};
use tokio::runtime::Runtime;

/// An emulator on a port of the kernel's choice, and the runtime that it lives in.
pub(crate) struct Gateway {
    emulator: Emulator,
    runtime: Runtime,
}

impl Gateway {
    pub(crate) fn start(rules: &[&str]) -> Self {
        let faults = FaultPlan::new(rules.iter().map(|rule| rule.parse().unwrap()).collect());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let emulator = runtime.block_on(Emulator::start(EmulatorConfig { faults, ..EmulatorConfig::default() })).unwrap();
        Self { emulator, runtime }
    }

    /// One whose phones find themselves linked at that question for the status, and whose codes are pictures or texts.
    pub(crate) fn with_phones(link_after: Option<u64>, is_qr_pictured: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = EmulatorConfig { link_after, is_qr_pictured, ..EmulatorConfig::default() };
        let emulator = runtime.block_on(Emulator::start(config)).unwrap();
        Self { emulator, runtime }
    }

    /// Calls `method` of the instance `id` by its token, as its phone or the emulator's operator does.
    pub(crate) fn instance(&self, id: &str, method: &str) -> String {
        let url = self.url();
        let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        let target = format!("/instance{id}/{method}?token={}", self.tokens()[id]);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Goes on from the ledger in `data`.
    pub(crate) fn start_in(data: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = EmulatorConfig { data: Some(data.to_owned()), ..EmulatorConfig::default() };
        let emulator = runtime.block_on(Emulator::start(config)).unwrap();
        Self { emulator, runtime }
    }

    pub(crate) fn url(&self) -> String {
        self.emulator.base_url()
    }

    /// How many complete requests to create it saw.
    pub(crate) fn creates(&self) -> usize {
        self.emulator.requests().iter().filter(|seen| seen.operation == Operation::Create).count()
    }

    /// How many complete requests it saw.
    pub(crate) fn requests(&self) -> usize {
        self.emulator.requests().len()
    }

    /// The attempts that complete requests to create came with.
    pub(crate) fn attempts(&self) -> Vec<String> {
        let creates = self.emulator.requests().into_iter().filter(|seen| seen.operation == Operation::Create);
        creates.map(|seen| seen.request_id.expect("every create names its attempt")).collect()
    }

    /// The token of each instance that it made, by id, in the order of their making.
    pub(crate) fn tokens(&self) -> BTreeMap<String, String> {
        let made = self.emulator.ledger().into_iter().filter(|entry| entry.op == LedgerOp::Created);
        made.map(|entry| (entry.id.to_string(), entry.token.unwrap().expose().to_owned())).collect()
    }

    /// The ids of what it has deleted, sorted.
    pub(crate) fn deleted(&self) -> Vec<String> {
        let gone = self.emulator.ledger().into_iter().filter(|entry| entry.op == LedgerOp::Deleted);
        let mut gone: Vec<String> = gone.map(|entry| entry.id.to_string()).collect();
        gone.sort();
        gone
    }

    /// Stops it, so that nothing listens there any more; gives its address.
    pub(crate) fn stop(self) -> String {
        let url = self.url();
        self.runtime.block_on(self.emulator.shutdown());
        url
    }
}
