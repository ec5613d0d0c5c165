//! What the lists after a delete prove, with the real applier and a server that lists what it is told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Departure, Departures, Terms};
use crate::apply::{Applier, NoRescue, Options, Parallelism, Progress, RunInfo, StopSignal, Tries};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::plan::Settling;
use crate::provider::{CreateRequest, DeleteError, ListError, Pending, Provider, Ready, Unsent};
use crate::state::{Event, Lineage, Origin, Who};
use crate::store::{MemoryStore, StateStore};

/// What it answers to a delete.
type Word = Result<(), DeleteError>;

/// Answers as it is told, and notes when it was asked for a list.
struct Scripted {
    answers: BTreeMap<InstanceId, Word>,
    lists: Mutex<VecDeque<&'static [&'static str]>>,
    listed: Mutex<Vec<Instant>>,
}

impl Provider for Scripted {
    fn origin(&self) -> &Origin {
        static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin("scripted".into()));
        &ORIGIN
    }

    fn connect(&self, _: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>> {
        unreachable!("nothing is created here")
    }

    fn delete(&self, id: &InstanceId) -> Pending<'_, Word> {
        Box::pin(std::future::ready(self.answers[id].clone()))
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        self.listed.lock().unwrap().push(Instant::now());
        let ids = self.lists.lock().unwrap().pop_front();
        let item = |text: &&str| ListedInstance::bare(id(text), InstanceType::WhatsApp);
        let listing = ids.map(|ids| Listing { instances: ids.iter().map(item).collect(), odd_items: 0 });
        Box::pin(std::future::ready(listing.ok_or_else(|| ListError::Failed("no more".into()))))
    }
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn named(number: &str) -> InstanceName {
    InstanceName::parse(&format!("n{number}")).unwrap()
}

fn unknown() -> Word {
    Err(DeleteError::InDoubt("no answer".into()))
}

fn options() -> Options {
    Options {
        parallelism: Parallelism::Fixed(1),
        rate: None,
        is_exclusive: false,
        settling: Settling { after: Duration::ZERO, between: Duration::from_secs(5) },
        tries: Tries { most: 1, wait: Duration::ZERO },
        drain: Duration::ZERO,
        run: RunInfo { verb: "destroy", who: Who::default(), boot: None, up: || None, keeps_what_is_synced: true, plan: None },
        rescue: Arc::new(NoRescue),
        clock: || Timestamp::UNIX_EPOCH,
    }
}

/// Deletes what is answered for, of 1, 2 and 3, with `lists` afterwards; what became of it, and when was listed.
async fn retire(answers: &[(&str, Word)], lists: &[&'static [&'static str]]) -> (Departures, Vec<Instant>) {
    let mut store = MemoryStore::begin(Lineage::from_bytes([1; 16]), Timestamp::UNIX_EPOCH).unwrap();
    for number in ["1", "2", "3"] {
        let (name, kind, source) = (named(number), InstanceType::WhatsApp, "test".to_owned());
        let adopted = Event::Adopted { name, kind, id: id(number), api_url: None, source, is_foreign: false };
        store.append(adopted, Timestamp::UNIX_EPOCH).unwrap();
    }
    let provider = Arc::new(Scripted {
        answers: answers.iter().map(|(number, word)| (id(number), word.clone())).collect(),
        lists: Mutex::new(lists.iter().copied().collect()),
        listed: Mutex::default(),
    });
    let (_handle, stop) = StopSignal::new();
    let asked = Arc::clone(&provider);
    let applier = Applier::new(Box::new(store), asked, Arc::new(|_: Progress| {}), options(), stop);
    let names: BTreeSet<_> = answers.iter().map(|(number, _)| named(number)).collect();
    let departures = applier.retire(&names, Terms::default()).await;
    applier.close().await.unwrap();
    let listed = provider.listed.lock().unwrap().clone();
    (departures, listed)
}

fn is_deleted(departures: &Departures, number: &str) -> bool {
    matches!(departures.outcomes[&named(number)], Departure::Deleted { .. })
}

#[tokio::test(start_paused = true)]
async fn absence_takes_two_lists_some_time_apart() {
    let (departures, listed) = retire(&[("1", unknown())], &[&["2", "3"], &["2", "3"]]).await;
    assert!(is_deleted(&departures, "1"), "{departures:?}");
    assert!(listed[1] - listed[0] >= Duration::from_secs(5) && listed.len() == 2);
}

#[tokio::test(start_paused = true)]
async fn what_one_of_two_lists_shows_or_cannot_show_is_not_deleted() {
    let second: [&[&str]; 4] = [&["1", "2", "3"], &["2"], &[], &["1"]];
    for second in second {
        // The second try meets a list of everything.
        let (departures, _) = retire(&[("1", unknown())], &[&["2", "3"], second, &["1", "2", "3"]]).await;
        assert!(!is_deleted(&departures, "1"), "{second:?}: {departures:?}");
    }
    let (departures, listed) = retire(&[("1", unknown())], &[&["2", "3"]]).await;
    assert!(!is_deleted(&departures, "1") && listed.len() >= 2, "{departures:?}");
}

#[tokio::test(start_paused = true)]
async fn the_server_s_word_and_what_is_listed_need_no_second_list() {
    let (departures, listed) = retire(&[("1", Ok(()))], &[]).await;
    assert!(is_deleted(&departures, "1") && listed.is_empty());
    let refused = Err(DeleteError::Refused("no".into()));
    let (departures, listed) = retire(&[("1", refused)], &[&["1", "2", "3"]]).await;
    assert!(matches!(departures.outcomes[&named("1")], Departure::Kept { .. }) && listed.len() == 1);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_leave_has_to_be_in_the_list_that_shows_an_end() {
    let unsent = || Err(DeleteError::NotSent("refused".into()));
    let lacks_it: &[&str] = &["3"];
    let (departures, _) = retire(&[("1", unknown()), ("2", unsent())], &[lacks_it; 4]).await;
    assert!(!is_deleted(&departures, "1"), "{departures:?}");
    let shows_it: &[&str] = &["2", "3"];
    let (departures, _) = retire(&[("1", unknown()), ("2", unsent())], &[shows_it; 2]).await;
    assert!(is_deleted(&departures, "1"), "{departures:?}");
}
