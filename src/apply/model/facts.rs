//! A journal entry in two bytes, and as the real one.

use jiff::Timestamp;

use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::{Answer, AttemptId, Entry, Event, FORMAT, Grounds, Lineage, Phase, Serial, State, Verdict, Who};

/// What the server's answer proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Said {
    Created,
    Refused,
    Unclear,
}

/// An attempt: `2 * run + name`. An instance has the number of its attempt; the stranger's and the old one follow.
pub(super) type Tried = u8;
pub(super) const TRIED: u8 = 4;
pub(super) const STRANGER: u8 = 4;
pub(super) const OLD: u8 = 5;
/// Between two ticks of the model's clock, in seconds: longer than the settling time.
const TICK: i64 = 1_000;

/// A journal entry. `at`: the tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fact {
    Run {
        boot: u8,
    },
    /// The ids, one bit each.
    Listed(u8),
    Intent {
        tried: Tried,
        is_fenced: bool,
    },
    Unsent(Tried),
    Sent(Tried, u8),
    Received(Tried, Said),
    Created(Tried),
    Refused(Tried),
    Doubted(Tried, u8),
    Resolved(Tried, Option<u8>),
}

pub(super) fn name(index: u8) -> InstanceName {
    InstanceName::parse(&format!("n{index}")).unwrap()
}

pub(super) fn id(index: u8) -> InstanceId {
    InstanceId::parse(&format!("10{index}")).unwrap()
}

pub(super) fn attempt(tried: Tried) -> AttemptId {
    AttemptId::typed(&format!("a-{tried}"))
}

pub(super) fn boot(number: u8) -> String {
    format!("boot-{number}")
}

pub(super) fn ids(bits: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| bits & (1 << bit) != 0)
}

pub(super) fn at(tick: u8) -> Timestamp {
    Timestamp::from_second(i64::from(tick) * TICK).unwrap()
}

pub(super) fn empty_state() -> State {
    State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT)
}

/// The state of a journal; the illegal step in it.
pub(super) fn fold(journal: &[Fact]) -> Result<State, String> {
    let mut state = empty_state();
    for fact in journal {
        fact.apply_to(&mut state)?;
    }
    Ok(state)
}

impl Fact {
    /// Whom it is about: 0 and 1 are the names, 2 is the run.
    pub(super) fn group(self) -> u8 {
        match self {
            Self::Run { .. } | Self::Listed(_) => 2,
            Self::Intent { tried, .. }
            | Self::Unsent(tried)
            | Self::Sent(tried, _)
            | Self::Received(tried, _)
            | Self::Created(tried)
            | Self::Refused(tried)
            | Self::Doubted(tried, _)
            | Self::Resolved(tried, _) => tried % 2,
        }
    }

    pub(super) fn apply_to(self, state: &mut State) -> Result<(), String> {
        let tick = match self {
            Self::Sent(_, tick) | Self::Doubted(_, tick) => tick,
            _ => 0,
        };
        let entry = Entry { serial: state.serial.next(), at: at(tick), event: self.event(state) };
        state.apply(&entry).map_err(|illegal| format!("illegal: {illegal}"))
    }

    fn event(self, state: &State) -> Event {
        let reason = || "why".to_owned();
        match self {
            Self::Run { boot: number } => Event::Run {
                verb: "apply".into(),
                version: "0".into(),
                who: Who::default(),
                boot: Some(boot(number)),
                up: None,
                plan: None,
                aim: None,
            },
            Self::Listed(bits) => Event::Listed { ids: ids(bits).map(id).collect() },
            Self::Intent { tried, is_fenced } => {
                let fence = state.fences().keys().next_back().filter(|_| is_fenced).copied();
                Event::Intent { attempt: attempt(tried), name: name(tried % 2), kind: InstanceType::WhatsApp, fence }
            }
            Self::Unsent(tried) => Event::Unsent { attempt: attempt(tried), reason: reason() },
            Self::Sent(tried, _) => Event::Sent { attempt: attempt(tried) },
            Self::Received(tried, _) => {
                let answer = Answer { status: 200, complete: true, retry_after: None, body: vec![] };
                Event::Received { attempt: attempt(tried), answer: answer.into() }
            }
            Self::Created(tried) => {
                let token_in = state.record(&name(tried % 2)).and_then(|record| match &record.phase {
                    Phase::Received(_, answer) => Some(*answer),
                    _ => None,
                });
                Event::Created { attempt: attempt(tried), id: id(tried), api_url: None, token_in, token: None }
            }
            Self::Refused(tried) => Event::Refused { attempt: attempt(tried), reason: reason() },
            Self::Doubted(tried, _) => Event::Doubted { attempt: attempt(tried), reason: reason() },
            Self::Resolved(tried, found) => {
                let created = |found| Verdict::Created { id: id(found), api_url: None };
                let grounds = Grounds { by: "rule".into(), reason: None, candidates: None };
                Event::Resolved { attempt: attempt(tried), verdict: found.map_or(Verdict::NotCreated, created), grounds }
            }
        }
    }
}
