//! The store in a thread of its own, for many tasks at once: whoever waits for durability shares one fsync with the others.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

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
    to: Sender<Command>,
    thread: JoinHandle<Box<dyn StateStore>>,
}

/// Records into a [`Recorder`]'s store.
#[derive(Debug, Clone)]
pub struct Pen(Sender<Command>);

impl Recorder {
    /// Takes over `store`.
    pub fn new(store: Box<dyn StateStore>, clock: Clock) -> Self {
        let (to, from) = channel();
        let thread = std::thread::spawn(move || serve(store, &from, clock));
        Self { to, thread }
    }

    /// A way to record.
    pub fn pen(&self) -> Pen {
        Pen(self.to.clone())
    }

    /// Gives the store back once every pen is gone. [`RecordError::Closed`] if its thread panicked.
    pub fn into_store(self) -> Result<Box<dyn StateStore>, RecordError> {
        drop(self.to);
        self.thread.join().map_err(|_| RecordError::Closed)
    }
}

impl Pen {
    /// Appends `event` and waits until it is durable.
    pub async fn record(&self, event: Event) -> Result<Serial, RecordError> {
        self.append(event, true).await
    }

    /// Appends `event` without waiting for its durability: it can be concluded again from what is durable.
    pub async fn note(&self, event: Event) -> Result<Serial, RecordError> {
        self.append(event, false).await
    }

    async fn append(&self, event: Event, is_durable: bool) -> Result<Serial, RecordError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Append { event: Box::new(event), is_durable, reply };
        self.0.send(command).map_err(|_| RecordError::Closed)?;
        answer.await.map_err(|_| RecordError::Closed)?
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

fn serve(mut store: Box<dyn StateStore>, from: &Receiver<Command>, clock: Clock) -> Box<dyn StateStore> {
    while let Ok(first) = from.recv() {
        let mut waiting = Vec::new();
        for command in std::iter::once(first).chain(from.try_iter().take(BATCH)) {
            match command {
                Command::Look(look) => look(&mut *store),
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
    store
}

fn answer(reply: Reply, result: Result<Serial, RecordError>) {
    // A cancelled task does not wait any more; what it appended stands.
    let _ = reply.send(result);
}
