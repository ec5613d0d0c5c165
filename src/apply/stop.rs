//! The wish to stop, from a signal to whoever works.

use tokio::sync::watch;

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
    first: Option<Signal>,
    times: u32,
}

/// The asking side.
#[derive(Debug, Clone)]
pub struct StopHandle(watch::Sender<Asked>);

impl StopHandle {
    /// Asks. The first time: start nothing new. The second time: do not wait for what is in flight either.
    pub fn ask(&self, signal: Signal) {
        self.0.send_modify(|asked| {
            asked.first = asked.first.or(Some(signal));
            asked.times += 1;
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
        self.0.borrow().first
    }

    /// Waits until it was asked `times` times.
    pub async fn wait(&mut self, times: u32) -> Signal {
        match self.0.wait_for(|asked| asked.times >= times).await.ok().and_then(|asked| asked.first) {
            Some(signal) => signal,
            // Nobody is left who could ask.
            None => std::future::pending().await,
        }
    }
}
