//! The server and the way to it: late commits, lagging and partial lists, lost and torn answers, odd ones, strangers.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Defect;
use super::chance::LATE_MAX;
use super::world::{Hit, Inner, World};
use crate::instance::{InstanceId, InstanceType};
use crate::listing::Listing;
use crate::provider::{Advice, CreateRequest, DeleteError, Exchange, ListError, Pending, Provider, Ready, Unsent, read_listing};
use crate::secret::Redactor;
use crate::state::{Answer, AttemptId, Origin};

/// What exists, or will.
#[derive(Debug, Clone)]
pub(super) struct Real {
    /// Of ours; none: a stranger's.
    pub(super) attempt: Option<AttemptId>,
    pub(super) id: InstanceId,
    pub(super) kind: InstanceType,
    pub(super) token: String,
    /// From when on it exists and is listed.
    listed_at: Instant,
    /// From when on it exists no longer.
    pub(super) gone_at: Option<Instant>,
    /// From when on it is listed no longer.
    pub(super) unlisted_at: Option<Instant>,
}

impl Real {
    /// Whether it is deleted, or will be by a request that is under way.
    pub(super) const fn is_deleted(&self) -> bool {
        self.gone_at.is_some()
    }

    fn is_listed(&self, now: Instant) -> bool {
        self.listed_at <= now && self.unlisted_at.is_none_or(|at| at > now)
    }
}

/// A list as it was given.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) process: usize,
    pub(super) at: Instant,
    pub(super) ids: BTreeSet<InstanceId>,
    /// Nothing in it was unreadable.
    pub(super) is_whole: bool,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) reals: Vec<Real>,
    pub(super) shown: Vec<Shown>,
    next: u32,
    /// Troubles last for a while.
    list_trouble: Option<(u32, Instant)>,
}

impl Server {
    fn add(&mut self, attempt: Option<AttemptId>, kind: InstanceType, late: Duration) -> &Real {
        self.next += 1;
        let id = InstanceId::parse(&format!("{}", 1_000 + self.next)).unwrap();
        let token = format!("token{:010}", self.next);
        let listed_at = Instant::now() + late;
        self.reals.push(Real { attempt, id, kind, token, listed_at, gone_at: None, unlisted_at: None });
        self.reals.last().unwrap()
    }

    pub(super) fn of(&self, attempt: &AttemptId) -> Option<&Real> {
        self.reals.iter().find(|real| real.attempt.as_ref() == Some(attempt))
    }
}

impl Inner {
    pub(super) fn lateness(&mut self) -> Duration {
        if !self.chance.lags || self.dice.bool() {
            return Duration::ZERO;
        }
        let most = if self.chance.lags_too_long { LATE_MAX * 100 } else { LATE_MAX };
        most.mul_f64(self.dice.f64())
    }

    pub(super) fn stranger(&mut self) {
        let kind = self.dice.choice(InstanceType::ALL).unwrap();
        let id = self.server.add(None, kind, Duration::ZERO).id.clone();
        self.note(|| format!("a stranger creates {id}"));
    }

    /// The server acts on a complete request. Money is spent here.
    fn create(&mut self, attempt: &AttemptId, kind: InstanceType) -> Answer {
        self.check_create(attempt);
        let late = self.lateness();
        let Real { id, token, .. } = self.server.add(Some(attempt.clone()), kind, late).clone();
        self.note(|| format!("the server creates {id}, listed after {late:?}"));
        let body = format!(
            r#"{{"result":{{"status":"created","instance":{{"id":"{id}","apiUrl":"https://h/{id}/","token":"{token}"}}}}}}"#
        );
        answer(200, &body)
    }

    /// What becomes of a request that leaves, and what is seen of it.
    fn exchange(&mut self, attempt: &AttemptId, kind: InstanceType) -> Exchange {
        if !self.happens(self.chance.send) {
            return Exchange::Answered(self.create(attempt, kind));
        }
        let is_created = self.dice.bool();
        match self.dice.u32(0..8) {
            0 => Exchange::Unsent(Unsent { reason: "reset before its end".into(), advice: Advice::TryAgain }),
            1 => Exchange::Answered(self.refusal()),
            2 => Exchange::Answered(Answer { retry_after: self.dice.bool().then_some(7), ..answer(429, "") }),
            // Cut at a byte.
            3 => {
                let mut whole = self.create(attempt, kind);
                whole.body.truncate(self.dice.usize(0..whole.body.len()));
                Exchange::Answered(Answer { complete: false, ..whole })
            }
            trouble => {
                if is_created {
                    self.create(attempt, kind);
                }
                match trouble {
                    4 => Exchange::Answered(self.odd()),
                    5 => Exchange::Answered(self.failure()),
                    _ => Exchange::Cut { reason: "there was no answer".into() },
                }
            }
        }
    }

    fn refusal(&mut self) -> Answer {
        let status = self.dice.choice([400, 401, 402, 403, 404, 413, 422, 307]).unwrap();
        let body = self.dice.choice([r#"{"error":"no"}"#, "", "<html>"]).unwrap();
        answer(status, body)
    }

    /// An answer that does not say whether something was created.
    fn odd(&mut self) -> Answer {
        let body = self.dice.choice([
            "",
            "{}",
            "null",
            "<html>",
            r#"{"result":{"status":"exists"}}"#,
            r#"{"result":{"status":"created"}}"#,
            r#"{"result":{"status":"created","instance":{"id":"","token":"x"}}}"#,
            r#"{"error":"no","result":{"status":"created"}}"#,
        ]);
        let status = self.dice.choice([200, 200, 201, 202, 204]).unwrap();
        answer(status, body.unwrap())
    }

    fn failure(&mut self) -> Answer {
        let status = self.dice.choice([500, 502, 503, 504, 520, 408, 409, 423, 301, 302]).unwrap();
        let body = self.dice.choice(["", "<html>", r#"{"error":"internal"}"#]).unwrap();
        // A 4xx or 2xx with an error is a refusal; of these statuses none is.
        answer(status, body)
    }

    /// What the server lists, as bytes, read by the real reader.
    fn list(&mut self, process: usize) -> Result<Listing, ListError> {
        let now = Instant::now();
        let lasting = self.server.list_trouble.filter(|(_, until)| *until > now).map(|(trouble, _)| trouble);
        let is_faulty = self.happens(self.chance.list);
        let trouble = lasting.or(is_faulty.then(|| self.dice.u32(0..8))).unwrap_or(8);
        if lasting.is_none() && self.dice.bool() {
            self.server.list_trouble = Some((trouble, now + Duration::from_secs(30)));
        }
        let mut shown: Vec<Real> = self.server.reals.iter().filter(|real| real.is_listed(now)).cloned().collect();
        match trouble {
            0 => return Err(ListError::Failed("no answer in time".into())),
            1 => shown.clear(),
            2 => shown.retain(|_| self.dice.bool()),
            3 => shown.truncate(self.dice.usize(0..=shown.len())),
            _ => {}
        }
        let items = shown.iter().map(|real| format!(r#"{{"id":{:?},"type":"{}","name":""}}"#, real.id.as_str(), real.kind));
        let mut items: Vec<String> = items.collect();
        match trouble {
            4 => items.push(r#"{"id":null}"#.into()),
            5 => items.extend(items.first().cloned()),
            _ => {}
        }
        let mut answer = answer(200, &format!(r#"{{"result":[{}]}}"#, items.join(",")));
        match trouble {
            6 => answer.status = self.dice.choice([500, 404, 403, 429]).unwrap(),
            7 => {
                answer.body.truncate(self.dice.usize(0..answer.body.len()));
                answer.complete = self.dice.bool();
            }
            _ => {}
        }
        let given = read_listing(&answer, &Redactor::none());
        self.note(|| format!("{process} is listed {:?}", given.as_ref().map(|listing| &listing.instances)));
        if let Ok(listing) = &given {
            let ids = listing.instances.iter().map(|instance| instance.id.clone()).collect();
            self.server.shown.push(Shown { process, at: now, ids, is_whole: listing.odd_items == 0 });
        }
        given
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, complete: true, retry_after: None, body: body.as_bytes().to_vec() }
}

/// The way from one process to the server.
pub(super) struct SimProvider {
    pub(super) world: Arc<World>,
    pub(super) process: usize,
}

impl SimProvider {
    /// Goes on only while the process lives.
    pub(super) async fn lives(&self) {
        if self.world.with(|inner| inner.step(self.process, "network")) != Hit::Goes {
            std::future::pending::<()>().await;
        }
    }
}

impl Provider for SimProvider {
    fn origin(&self) -> &Origin {
        static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin("https://simulated".into()));
        &ORIGIN
    }

    fn connect(&self, request: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>> {
        Box::pin(async move {
            self.lives().await;
            sleep(self.world.moment(Duration::from_secs(3))).await;
            let advice = self.world.with(|inner| {
                inner.happens(inner.chance.connect).then(|| if inner.happens(10) { Advice::Stop } else { Advice::TryAgain })
            });
            self.lives().await;
            if let Some(advice) = advice {
                return Err(Unsent { reason: "connection refused".into(), advice });
            }
            let way = Self { world: Arc::clone(&self.world), process: self.process };
            Ok(Box::new(SimReady { way, attempt: request.attempt.unwrap(), kind: request.kind }) as Box<dyn Ready>)
        })
    }

    fn delete(&self, id: &InstanceId) -> Pending<'_, Result<(), DeleteError>> {
        let id = id.clone();
        Box::pin(async move { self.remove(&id).await })
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        Box::pin(async move {
            self.lives().await;
            sleep(self.world.moment(Duration::from_secs(2))).await;
            let listed = self.world.with(|inner| inner.list(self.process));
            self.lives().await;
            match self.world.with(|inner| inner.chance.defect) {
                Some(Defect::EmptyListIsEvidence) => listed.map(|listing| self.world.with(|inner| inner.filled_up(listing))),
                Some(Defect::EmptyListShowsGone) => {
                    listed.map(|listing| self.world.with(|inner| inner.filled_but_for_leaving(listing)))
                }
                _ => listed,
            }
        })
    }
}

struct SimReady {
    way: SimProvider,
    attempt: AttemptId,
    kind: InstanceType,
}

impl Ready for SimReady {
    fn send(self: Box<Self>) -> Pending<'static, Exchange> {
        Box::pin(async move {
            let world = &self.way.world;
            self.way.lives().await;
            sleep(world.moment(Duration::from_secs(2))).await;
            let exchange = world.with(|inner| {
                inner.check_sent(&self.attempt);
                inner.exchange(&self.attempt, self.kind)
            });
            self.way.lives().await;
            sleep(world.moment(Duration::from_secs(60))).await;
            self.way.lives().await;
            world.with(|inner| {
                inner.note(|| format!("{} gets {exchange:?}", self.way.process));
                mistaken(inner.chance.defect, exchange)
            })
        })
    }
}

/// What a wrong classifier would make of an exchange.
fn mistaken(defect: Option<Defect>, exchange: Exchange) -> Exchange {
    match (defect, exchange) {
        (Some(Defect::TimeoutIsRefusal), Exchange::Cut { .. })
        | (Some(Defect::FailureIsRefusal), Exchange::Answered(Answer { status: 500.., .. })) => {
            Exchange::Answered(answer(400, ""))
        }
        (_, exchange) => exchange,
    }
}
