//! The wish to stop, from a signal to whoever works.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite end.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Signal {
    /// The signal's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        }
    }
}

/// How often it was asked, and by what first.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    first: Option<(Signal, Instant)>,
    is_hurried: bool,
}

/// Two of the same within this time are one: some launchers pass on what the terminal has sent already.
const ONCE: Duration = Duration::from_millis(300);

/// The asking side.
#[derive(Debug, Clone)]
pub struct StopHandle(watch::Sender<Asked>);

impl StopHandle {
    /// Asks: start nothing new. A second Ctrl-C, and nothing else, asks not to wait for what is in flight either: a CI system
    /// sends one signal after the other while it still waits itself.
    pub fn ask(&self, signal: Signal) {
        self.0.send_modify(|asked| match asked.first {
            None => asked.first = Some((signal, Instant::now())),
            Some((Signal::Interrupt, at)) if signal == Signal::Interrupt && at.elapsed() > ONCE => asked.is_hurried = true,
            Some(_) => {}
        });
    }
}

/// The asked side.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<Asked>);

impl StopSignal {
    /// A signal that nobody has given yet.
    pub fn new() -> (StopHandle, Self) {
        let (ask, asked) = watch::channel(Asked::default());
        (StopHandle(ask), Self(asked))
    }

    /// What asked to stop, if anything did.
    pub fn asked(&self) -> Option<Signal> {
        self.0.borrow().first.map(|(signal, _)| signal)
    }

    /// Waits until it is asked.
    pub async fn wait(&mut self) -> Signal {
        match self.0.wait_for(|asked| asked.first.is_some()).await.ok().and_then(|asked| asked.first) {
            Some((signal, _)) => signal,
            // Nobody is left who could ask.
            None => std::future::pending().await,
        }
    }

    /// Waits until it is asked not to wait.
    pub async fn hurry(&mut self) {
        if self.0.wait_for(|asked| asked.is_hurried).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
