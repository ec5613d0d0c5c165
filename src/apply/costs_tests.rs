//! What an apply costs, in syncs and in the server's time, on a clock that the test moves: figures that no busy machine changes.
//!
//! They are a baseline: a change that makes one worse fails here, and one that makes it better writes the new figure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::recorder::Recorder;
use super::{Applier, NoRescue, Options, Parallelism, Progress, RunInfo, StopSignal, Tries};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::Listing;
use crate::plan::{Settling, plan};
use crate::provider::{CreateRequest, DeleteError, Exchange, ListError, Pending, Provider, Ready, Unsent};
use crate::state::{Answer, Binding, Entry, Event, Head, Lineage, Origin, Serial, State, Who};
use crate::store::{MemoryStore, StateStore, StoreError};

/// What the disk takes for a sync.
const SYNC: Duration = Duration::from_micros(500);

/// Counts how often it has to wait for its disk.
struct Counting(MemoryStore, Arc<AtomicU32>);

impl StateStore for Counting {
    fn state(&self) -> &State {
        self.0.state()
    }

    fn head(&self) -> Head {
        self.0.head()
    }

    fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError> {
        self.0.append(event, at)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }

    fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
        self.0.entries(serials)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).close()
    }
}

/// Creates after `latency` more or less, as many at once as are asked for.
struct Server {
    origin: Origin,
    latency: Duration,
    spread: Spread,
    asked: AtomicU32,
    creates: Arc<AtomicU32>,
}

/// How the server's times differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// All answers take the same time: those that are sent together come together.
    None,
    /// Up to a fifth less or more, evenly: each comes by itself.
    Fifth,
}

impl Server {
    fn time(&self) -> Duration {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        match self.spread {
            Spread::None => self.latency,
            // 17 and 41 have no common divisor: all of the 41 times come.
            Spread::Fifth => self.latency * (80 + number * 17 % 41) / 100,
        }
    }
}

struct Request(Duration, Arc<AtomicU32>);

impl Ready for Request {
    fn send(self: Box<Self>) -> Pending<'static, Exchange> {
        Box::pin(async move {
            sleep(self.0).await;
            let id = 100_000 + self.1.fetch_add(1, Ordering::Relaxed);
            let instance = format!(r#"{{"id":"{id}","apiUrl":"https://h/{id}/","token":"token{id}"}}"#);
            let body = format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#).into_bytes();
            Exchange::Answered(Answer { status: 200, complete: true, retry_after: None, body })
        })
    }
}

impl Provider for Server {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn connect(&self, _: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>> {
        let request = Request(self.time(), Arc::clone(&self.creates));
        Box::pin(std::future::ready(Ok(Box::new(request) as Box<dyn Ready>)))
    }

    fn delete(&self, _: &InstanceId) -> Pending<'_, Result<(), DeleteError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        Box::pin(std::future::ready(Ok(Listing { instances: Vec::new(), odd_items: 0 })))
    }
}

/// What an apply cost.
struct Cost {
    /// Syncs for a hundred creates.
    syncs: u32,
    /// How much longer it took than ⌈N/P⌉·L, in thousandths.
    longer: u128,
}

/// Creates `count` instances, `at_once`, on a server that takes `latency` milliseconds with this spread.
async fn apply(count: u32, at_once: usize, latency: u64, spread: Spread) -> Cost {
    let latency = Duration::from_millis(latency);
    let syncs = Arc::new(AtomicU32::new(0));
    let creates = Arc::new(AtomicU32::new(0));
    let store = MemoryStore::begin(Lineage::from_bytes([1; 16]), Timestamp::UNIX_EPOCH).unwrap();
    let named = |number| InstanceName::parse(&format!("shop-{number:05}")).unwrap();
    let declared: BTreeMap<_, _> = (0..count).map(|number| (named(number), InstanceType::WhatsApp)).collect();
    let plan = plan(&declared, store.state());
    let (recorder, serving) =
        Recorder::simulated(Box::new(Counting(store, Arc::clone(&syncs))), || Timestamp::UNIX_EPOCH, || sleep(SYNC));
    let serving = tokio::spawn(serving);
    let origin = Origin("https://h".into());
    let server = Server { origin: origin.clone(), latency, spread, asked: AtomicU32::new(0), creates: Arc::clone(&creates) };
    let options = Options {
        parallelism: Parallelism::Fixed(at_once),
        rate: None,
        is_exclusive: false,
        settling: Settling::default(),
        tries: Tries { most: 1, wait: Duration::ZERO },
        drain: Duration::ZERO,
        run: RunInfo { verb: "apply", who: Who::default(), boot: None, up: || None, keeps_what_is_synced: true, plan: None },
        rescue: Arc::new(NoRescue),
        clock: || Timestamp::UNIX_EPOCH,
    };
    let (_handle, stop) = StopSignal::new();
    let applier = Applier::with(recorder, Arc::new(server), Arc::new(|_: Progress| {}), options, stop);
    let start = Instant::now();
    let report = applier.create(&plan, Binding { origin, key: None, environment: None }).await;
    let took = start.elapsed();
    assert_eq!((report.outcomes.len(), creates.load(Ordering::Relaxed)), (plan.changes.len(), count));
    drop(applier);
    assert_eq!(serving.await.unwrap().state().records().len(), plan.changes.len());
    let ideal = latency * count.div_ceil(u32::try_from(at_once).unwrap());
    let longer = if ideal.is_zero() { 0 } else { took.saturating_sub(ideal).as_micros() * 1_000 / ideal.as_micros() };
    Cost { syncs: syncs.load(Ordering::Relaxed) * 100 / count, longer }
}

/// Creates at once, the server's milliseconds and their spread; syncs for a hundred creates, and thousandths over ⌈N/P⌉·L.
const BASELINE: [(usize, u64, Spread, u32, u128); 10] = [
    (1, 0, Spread::None, 300, 0),
    (1, 50, Spread::None, 300, 80),
    (10, 0, Spread::None, 10, 0),
    (10, 50, Spread::None, 10, 21),
    (10, 50, Spread::Fifth, 99, 31),
    (64, 0, Spread::None, 2, 0),
    (64, 50, Spread::None, 6, 32),
    (64, 200, Spread::None, 6, 8),
    (64, 200, Spread::Fifth, 100, 22),
    (256, 200, Spread::None, 2, 23),
];

#[tokio::test(start_paused = true)]
async fn an_apply_of_a_thousand_costs_what_it_did() {
    let mut other = Vec::new();
    for (at_once, latency, spread, syncs, longer) in BASELINE {
        let cost = apply(1_000, at_once, latency, spread).await;
        if (cost.syncs, cost.longer) != (syncs, longer) {
            other.push(format!("({at_once}, {latency}, Spread::{spread:?}, {}, {}),", cost.syncs, cost.longer));
        }
    }
    assert!(other.is_empty(), "other than in the baseline:\n{}", other.join("\n"));
}
