//! The server of a project, always outside the process that is killed: in the test, or a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chatapi::emulator::{
    Emulator, EmulatorConfig, FaultPlan, LEDGER_FILE, LedgerEntry, LedgerOp, Operation, SeenRequest, parse_latency, read_ledger,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::project::{binary, pause};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Where the emulator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In this process: what it has seen can be asked.
    Inside,
    /// `chatapi emulator`: only its ledger can be read.
    Outside,
}

/// How it behaves.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) kind: Kind,
    pub(crate) latency: String,
    pub(crate) seed: u64,
    /// Fault rules of its first run; after a restart it is healthy.
    pub(crate) faults: Vec<String>,
}

impl Manner {
    /// In this process and healthy.
    pub(crate) fn inside(latency: &str) -> Self {
        Self { kind: Kind::Inside, latency: latency.to_owned(), seed: 1, faults: Vec::new() }
    }
}

/// A running emulator with its data.
#[derive(Debug)]
pub(crate) struct Gateway {
    manner: Manner,
    data: PathBuf,
    addr: SocketAddr,
    running: Option<Running>,
    is_first: bool,
    /// The creates that earlier runs on the same data have seen.
    seen: Vec<SeenRequest>,
}

#[derive(Debug)]
enum Running {
    Inside(Emulator),
    Outside(Server),
}

/// `chatapi emulator`, killed when dropped.
#[derive(Debug)]
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gateway {
    pub(crate) fn start(data: &Path, manner: Manner) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (running, addr) = launch(&manner, data, any, &manner.faults).expect("a free port");
        Self { manner, data: data.to_owned(), addr, running: Some(running), is_first: true, seen: Vec::new() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Whether [`Gateway::seen`] tells more than the ledger.
    pub(crate) fn is_inside(&self) -> bool {
        self.manner.kind == Kind::Inside
    }

    /// Whether its first run, with the fault rules, is not over yet.
    pub(crate) fn is_faulty(&self) -> bool {
        self.is_first && !self.manner.faults.is_empty()
    }

    /// The creates in the ledger.
    pub(crate) fn creates(&self) -> Vec<LedgerEntry> {
        creates(&self.data.join(LEDGER_FILE))
    }

    /// The ids of what it has deleted.
    pub(crate) fn deleted(&self) -> Vec<String> {
        let ledger = read_ledger(&self.data.join(LEDGER_FILE)).unwrap();
        ledger.iter().filter(|entry| entry.op == LedgerOp::Deleted).map(|entry| entry.id.to_string()).collect()
    }

    /// The complete creates that it has seen, acted on or not; empty for one in a process of its own.
    pub(crate) fn seen(&self) -> Vec<SeenRequest> {
        let now = match &self.running {
            Some(Running::Inside(emulator)) => emulator.requests(),
            _ => Vec::new(),
        };
        let creates = now.into_iter().filter(|seen| seen.operation == Operation::Create);
        self.seen.iter().cloned().chain(creates).collect()
    }

    /// The complete deletes that one in this process has seen since it was started, acted on or not.
    #[cfg(feature = "failpoints")]
    pub(crate) fn deletes_seen(&self) -> usize {
        match &self.running {
            Some(Running::Inside(emulator)) => {
                emulator.requests().iter().filter(|seen| seen.operation == Operation::Delete).count()
            }
            _ => 0,
        }
    }

    /// Ends it in order, so that the ledger is final. What it has seen and not done yet, it never does.
    pub(crate) fn stop(&mut self) {
        self.seen = self.seen();
        match self.running.take() {
            Some(Running::Inside(emulator)) => RUNTIME.block_on(emulator.shutdown()),
            Some(Running::Outside(mut server)) => {
                let _ = kill_process(Pid::from_child(&server.0), Signal::TERM);
                server.0.wait().unwrap();
            }
            None => {}
        }
    }

    /// Starts it again on the same data and address. `false`: somebody else has the port meanwhile.
    pub(crate) fn restart(&mut self) -> bool {
        self.stop();
        self.is_first = false;
        let give_up = Instant::now() + Duration::from_secs(3);
        while Instant::now() < give_up {
            if let Some((running, _)) = launch(&self.manner, &self.data, self.addr, &[]) {
                self.running = Some(running);
                return true;
            }
            pause(Duration::from_millis(20));
        }
        false
    }
}

/// The creates in the ledger at `path`; none where there is no ledger yet.
pub(crate) fn creates(path: &Path) -> Vec<LedgerEntry> {
    if !path.exists() {
        return Vec::new();
    }
    read_ledger(path).unwrap().into_iter().filter(|entry| entry.op == LedgerOp::Created).collect()
}

fn launch(manner: &Manner, data: &Path, listen: SocketAddr, faults: &[String]) -> Option<(Running, SocketAddr)> {
    match manner.kind {
        Kind::Inside => {
            let config = EmulatorConfig {
                listen,
                data: Some(data.to_owned()),
                seed: manner.seed,
                latency: parse_latency(&manner.latency).unwrap(),
                faults: FaultPlan::new(faults.iter().map(|rule| rule.parse().unwrap()).collect()),
                ..EmulatorConfig::default()
            };
            let emulator = RUNTIME.block_on(Emulator::start(config)).ok()?;
            let addr = emulator.addr();
            Some((Running::Inside(emulator), addr))
        }
        Kind::Outside => launch_outside(manner, data, listen, faults),
    }
}

fn launch_outside(manner: &Manner, data: &Path, listen: SocketAddr, faults: &[String]) -> Option<(Running, SocketAddr)> {
    let mut command = Command::new(binary());
    command.args(["emulator", "--latency", &manner.latency, "--seed", &manner.seed.to_string()]);
    command.args(["--listen", &listen.to_string(), "--data"]).arg(data);
    command.args(faults.iter().flat_map(|rule| ["--fault", rule]));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Server(command.spawn().unwrap());
    let mut first = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let addr = first.trim().strip_prefix("listening on http://")?.strip_suffix('/')?.parse().ok()?;
    Some((Running::Outside(server), addr))
}
