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
        store: Box<dyn StateStore>,
        clock: Clock,
        pause: impl Fn() -> P,
    ) -> (Self, impl Future<Output = Box<dyn StateStore>>) {
        let (to, mut from) = unbounded_channel();
        let served = async move {
            let mut server = Server::new(store, clock);
            while let Some(first) = from.recv().await {
                pause().await;
                server.batch(first, &mut from);
            }
            server.store
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

fn serve(store: Box<dyn StateStore>, mut from: UnboundedReceiver<Command>, clock: Clock) -> Box<dyn StateStore> {
    let mut server = Server::new(store, clock);
    while let Some(first) = from.blocking_recv() {
        server.batch(first, &mut from);
    }
    server.store
}

/// Writes what is sent to it.
struct Server {
    store: Box<dyn StateStore>,
    clock: Clock,
    /// The first write that failed: nothing is begun behind it, also by a task that has not heard of it yet.
    failed: Option<RecordError>,
}

impl Server {
    const fn new(store: Box<dyn StateStore>, clock: Clock) -> Self {
        Self { store, clock, failed: None }
    }

    /// Carries out `first` and what has come since, with one sync for all of it.
    fn batch(&mut self, first: Command, from: &mut UnboundedReceiver<Command>) {
        let more = std::iter::from_fn(|| from.try_recv().ok()).take(BATCH);
        let mut waiting = Vec::new();
        for command in std::iter::once(first).chain(more) {
            match command {
                Command::Look(look) => look(&mut *self.store),
                Command::Append { event, is_durable, reply } => match self.append(*event) {
                    Ok(serial) if is_durable => waiting.push((reply, serial)),
                    done => answer(reply, done),
                },
            }
        }
        if !waiting.is_empty() {
            let synced = self.store.sync().map_err(|error| self.fail(error));
            for (reply, serial) in waiting {
                answer(reply, synced.clone().map(|()| serial));
            }
        }
    }

    fn append(&mut self, event: Event) -> Result<Serial, RecordError> {
        match &self.failed {
            Some(failed) if event.begins() => Err(failed.clone()),
            _ => self.store.append(event, (self.clock)()).map_err(|error| self.fail(error)),
        }
    }

    fn fail(&mut self, error: StoreError) -> RecordError {
        let is_refusal = matches!(error, StoreError::Refused(_));
        let error = RecordError::Store(Arc::new(error));
        if !is_refusal {
            self.failed.get_or_insert_with(|| error.clone());
        }
        error
    }
}

fn answer(reply: Reply, result: Result<Serial, RecordError>) {
    // A cancelled task does not wait any more; what it appended stands.
    let _ = reply.send(result);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;

    use super::*;
    use crate::instance::{InstanceName, InstanceType};
    use crate::state::{AttemptId, Entry, Head, Lineage, State};
    use crate::store::MemoryStore;

    /// Takes no doubts.
    struct Full(MemoryStore);

    impl StateStore for Full {
        fn state(&self) -> &State {
            self.0.state()
        }

        fn head(&self) -> Head {
            self.0.head()
        }

        fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError> {
            if matches!(event, Event::Doubted { .. }) {
                let source = std::io::ErrorKind::StorageFull.into();
                return Err(StoreError::Io { action: "write", path: "journal".into(), source });
            }
            self.0.append(event, at)
        }

        fn sync(&mut self) -> Result<(), StoreError> {
            self.0.sync()
        }

        fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
            self.0.entries(serials)
        }

        fn close(self: Box<Self>) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn attempt(number: u8) -> AttemptId {
        AttemptId::from_bytes([number; 8])
    }

    fn intent(number: u8) -> Event {
        let name = InstanceName::parse(&format!("n{number}")).unwrap();
        Event::Intent { attempt: attempt(number), name, kind: InstanceType::WhatsApp, fence: None }
    }

    #[tokio::test]
    async fn p3_nothing_is_begun_behind_a_write_that_failed() {
        let store = MemoryStore::begin(Lineage::from_bytes([1; 16]), Timestamp::UNIX_EPOCH).unwrap();
        let recorder = Recorder::new(Box::new(Full(store)), || Timestamp::UNIX_EPOCH);
        let pen = recorder.pen();
        for number in [1, 2] {
            pen.record(intent(number)).await.unwrap();
        }
        pen.record(Event::Sent { attempt: attempt(1) }).await.unwrap();
        // What the machine refuses is no fault of the disk's.
        assert!(
            matches!(pen.record(Event::Sent { attempt: attempt(1) }).await, Err(RecordError::Store(error)) if matches!(*error, StoreError::Refused(_)))
        );
        let failing = pen.begin(Event::Doubted { attempt: attempt(1), reason: "cut".to_owned() });
        let behind = [pen.begin(Event::Sent { attempt: attempt(2) }), pen.begin(intent(3))];
        assert!(failing.durable().await.is_err());
        for begun in behind {
            assert_eq!(begun.durable().await.unwrap_err().to_string(), "cannot write journal");
        }
        // What only concludes is taken.
        pen.record(Event::Unsent { attempt: attempt(2), reason: "halted".to_owned() }).await.unwrap();
        drop(pen);
        let store = recorder.into_store().unwrap();
        assert_eq!(store.state().records().len(), 2);
    }
}
