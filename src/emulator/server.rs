//! The emulator as a running server: it listens on loopback and nowhere else, and stops when it is told to or dropped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::ErrorStatus;
use super::connection::Line;
use super::dice::Dice;
use super::faults::FaultPlan;
use super::handler::{Clock, SeenRequest, Shared, until_true};
use super::latency::Latency;
use super::ledger::{Ledger, LedgerEntry, LedgerError};
use super::world::World;

/// A client that sends no whole request head for so long is dropped, idle or not.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stopping emulator waits for answers on their way.
const GRACE: Duration = Duration::from_secs(2);
/// The wait after a failed accept: most likely no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How to run an emulator.
#[derive(Debug, Clone)]
pub struct EmulatorConfig {
    /// A loopback address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where the ledger is kept; none keeps it in memory.
    pub data: Option<PathBuf>,
    /// The seed of tokens and chance.
    pub seed: u64,
    /// What goes wrong.
    pub faults: FaultPlan,
    /// How long a create takes, besides its faults.
    pub latency: Latency,
    /// Which HTTP status errors carry.
    pub error_status: ErrorStatus,
    /// Where the time comes from.
    pub clock: Clock,
    /// The question for its status at which an instance finds itself linked; none: only by its method `emulatorLink`.
    pub link_after: Option<u64>,
    /// Linking codes come as pictures, and not as texts.
    pub is_qr_pictured: bool,
}

impl Default for EmulatorConfig {
    /// Healthy and quick, on a port that the system chooses, in memory, with seed 0.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: None,
            seed: 0,
            faults: FaultPlan::default(),
            latency: Latency::default(),
            error_status: ErrorStatus::default(),
            clock: Clock::default(),
            link_after: None,
            is_qr_pictured: false,
        }
    }
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The address can be reached from other machines.
    #[error("the emulator listens on loopback only, not on `{listen}`")]
    NotLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be had.
    #[error("the emulator cannot listen on `{listen}`")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The ledger cannot be used.
    #[error("the emulator cannot use its data")]
    Ledger(#[from] LedgerError),
}

/// A running emulator. Dropping it stops it at once; [`Emulator::shutdown`] lets answers finish.
#[derive(Debug)]
#[must_use = "dropping an emulator stops it"]
pub struct Emulator {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Emulator {
    /// Opens the ledger, listens, and serves on the current tokio runtime.
    pub async fn start(config: EmulatorConfig) -> Result<Self, EmulatorError> {
        let listen = config.listen;
        if !listen.ip().is_loopback() {
            return Err(EmulatorError::NotLoopback { listen });
        }
        let ledger = config.data.as_deref().map_or_else(|| Ok(Ledger::in_memory()), Ledger::open)?;
        let listener = TcpListener::bind(listen).await.map_err(|source| EmulatorError::Listen { listen, source })?;
        let addr = listener.local_addr().map_err(|source| EmulatorError::Listen { listen, source })?;
        let world = World::new(config.seed).with_base_url(&base_url(addr)).with_error_status(config.error_status);
        let world = world.with_phones(config.link_after, config.is_qr_pictured);
        let dice = Dice::new(&config.faults, config.latency, config.seed);
        let shared = Arc::new(Shared::new(world, ledger, dice, config.clock));
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        Ok(Self { addr, shared, stop, accepting })
    }

    /// The address with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT/`.
    pub fn base_url(&self) -> String {
        base_url(self.addr)
    }

    /// What it has done so far, earlier runs on the same data included.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.shared.entries()
    }

    /// The complete requests of this run to the three functions, in the order of their arrival; the newest 100,000.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.seen()
    }

    /// Takes no more connections, lets answers on their way finish for up to 2 s, and releases the ledger.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // An error would be a panic of the accept loop, which tokio has reported; there is nothing left to stop.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.accepting.abort();
        self.shared.close();
    }
}

fn base_url(addr: SocketAddr) -> String {
    format!("http://{addr}/")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, Arc::clone(&shared), stopped.clone()))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            () = until_true(&mut stopped) => break,
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

/// One connection, until either side ends it. Its errors are the client's or a fault's: there is no one to tell.
async fn converse(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (line, reins) = Line::new(stream);
    let held = reins.clone();
    let stop = stopped.clone();
    let service = service_fn(move |request| {
        let (shared, reins, stop) = (Arc::clone(&shared), reins.clone(), stop.clone());
        shared.serve(request, reins, stop)
    });
    let mut http = http1::Builder::new();
    // Without a date, the same answer is the same bytes.
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).auto_date_header(false);
    let mut connection = pin!(http.serve_connection(TokioIo::new(line), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = until_true(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    held.end_stall();
    let _ = connection.await;
}
