//! The store in a thread of its own, for many tasks at once: whoever waits for durability shares one fsync with the others.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::Clock;
use crate::state::{Event, Serial};
use crate::store::{StateStore, StoreError};

/// Entries that share one fsync at the most.
const BATCH: usize = 256;

type Reply = oneshot::Sender<Result<Serial, RecordError>>;
type Look = Box<dyn FnOnce(&mut dyn StateStore) + Send>;

enum Command {
    Append { event: Box<Event>, is_durable: bool, reply: Reply },
    Look(Look),
}

/// An entry was not recorded, or not durably. Shared, since one failed fsync fails all who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// The store's error.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The store's thread is gone.
    #[error("the store is closed")]
    Closed,
}

impl RecordError {
    /// The store's error; a closed store counts as a broken one.
    pub fn into_store_error(self) -> Arc<StoreError> {
        match self {
            Self::Store(error) => error,
            Self::Closed => Arc::new(StoreError::Broken),
        }
    }
}

/// A store that tasks can share.
#[derive(Debug)]
pub struct Recorder {
    to: UnboundedSender<Command>,
    /// None: a simulation serves it, and keeps the store.
    thread: Option<JoinHandle<Box<dyn StateStore>>>,
}

/// Records into a [`Recorder`]'s store.
#[derive(Debug, Clone)]
pub struct Pen(UnboundedSender<Command>);

/// An entry on its way into the journal.
#[derive(Debug)]
pub struct Recording(oneshot::Receiver<Result<Serial, RecordError>>);

impl Recording {
    /// Waits until it is where it was asked to be.
    pub async fn durable(self) -> Result<Serial, RecordError> {
        self.0.await.map_err(|_| RecordError::Closed)?
    }
}

impl Recorder {
    /// Takes over `store`.
    pub fn new(store: Box<dyn StateStore>, clock: Clock) -> Self {
        let (to, from) = unbounded_channel();
        let thread = std::thread::spawn(move || serve(store, from, clock));
        Self { to, thread: Some(thread) }
    }

    /// The same without a thread, for the simulation: what serves it runs where the caller lets it, after `pause` each time, and
    /// gives the store back once every pen is gone.
    #[cfg(test)]
    pub(super) fn simulated<P: Future<Output = ()>>(
        mut store: Box<dyn StateStore>,
        clock: Clock,
        pause: impl Fn() -> P,
    ) -> (Self, impl Future<Output = Box<dyn StateStore>>) {
        let (to, mut from) = unbounded_channel();
        let served = async move {
            while let Some(first) = from.recv().await {
                pause().await;
                serve_batch(&mut *store, first, &mut from, clock);
            }
            store
        };
        (Self { to, thread: None }, served)
    }

    /// A way to record.
    pub fn pen(&self) -> Pen {
        Pen(self.to.clone())
    }

    /// Gives the store back once every pen is gone. [`RecordError::Closed`] if its thread panicked.
    pub fn into_store(self) -> Result<Box<dyn StateStore>, RecordError> {
        drop(self.to);
        self.thread.and_then(|thread| thread.join().ok()).ok_or(RecordError::Closed)
    }
}

impl Pen {
    /// Appends `event` and waits until it is durable.
    pub async fn record(&self, event: Event) -> Result<Serial, RecordError> {
        self.begin(event).durable().await
    }

    /// Has `event` appended behind what was asked for before; it can be waited for later.
    pub fn begin(&self, event: Event) -> Recording {
        self.append(event, true)
    }

    /// Appends `event` without waiting for its durability: it can be concluded again from what is durable.
    pub async fn note(&self, event: Event) -> Result<Serial, RecordError> {
        self.append(event, false).durable().await
    }

    fn append(&self, event: Event, is_durable: bool) -> Recording {
        let (reply, answer) = oneshot::channel();
        // Where nobody serves any more, the reply is dropped with the command, and whoever waits is told.
        let _ = self.0.send(Command::Append { event: Box::new(event), is_durable, reply });
        Recording(answer)
    }

    /// Looks at the store, between two entries.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut dyn StateStore) -> T + Send + 'static,
    ) -> Result<T, RecordError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Look(Box::new(move |store| {
            // Whoever asked may have been cancelled.
            let _ = reply.send(look(store));
        }));
        self.0.send(command).map_err(|_| RecordError::Closed)?;
        answer.await.map_err(|_| RecordError::Closed)
    }
}

fn serve(mut store: Box<dyn StateStore>, mut from: UnboundedReceiver<Command>, clock: Clock) -> Box<dyn StateStore> {
    while let Some(first) = from.blocking_recv() {
        serve_batch(&mut *store, first, &mut from, clock);
    }
    store
}

/// Carries out `first` and what has come since, with one sync for all of it.
fn serve_batch(store: &mut dyn StateStore, first: Command, from: &mut UnboundedReceiver<Command>, clock: Clock) {
    let more = std::iter::from_fn(|| from.try_recv().ok()).take(BATCH);
    let mut waiting = Vec::new();
    for command in std::iter::once(first).chain(more) {
        match command {
            Command::Look(look) => look(store),
            Command::Append { event, is_durable, reply } => match store.append(*event, clock()) {
                Ok(serial) if is_durable => waiting.push((reply, serial)),
                done => answer(reply, done.map_err(|error| RecordError::Store(Arc::new(error)))),
            },
        }
    }
    if !waiting.is_empty() {
        let synced = store.sync().map_err(|error| RecordError::Store(Arc::new(error)));
        for (reply, serial) in waiting {
            answer(reply, synced.clone().map(|()| serial));
        }
    }
}

fn answer(reply: Reply, result: Result<Serial, RecordError>) {
    // A cancelled task does not wait any more; what it appended stands.
    let _ = reply.send(result);
}
