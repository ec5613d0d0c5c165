//! From one HTTP request to one answer: read it whole, draw its fault, act, and answer or fail to.
//!
//! World, ledger and dice stand behind one lock, which is held for no longer than one deed and never across a wait. The
//! ledger is written before the world changes, and both before the answer is sent. A complete request is acted on even if
//! its client has gone meanwhile: a client that gives up must not learn from us that giving up prevents anything.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::watch;

use super::answer::ApiResponse;
use super::connection::Reins;
use super::dice::{Dice, Turn};
use super::faults::{Ending, Fault, Moment};
use super::ledger::{Ledger, LedgerEntry};
use super::request::{ApiRequest, Method, Operation};
use super::world::{Twist, World};

/// Largest accepted body.
const BODY_MAX: usize = 1024 * 1024;
/// A body that takes longer is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest `X-Request-Id` that is kept; a longer one is taken for none.
const REQUEST_ID_MAX: usize = 256;
/// How many of the newest requests are remembered.
const SEEN_MAX: usize = 100_000;

/// The runtime's timer may be late by so much.
const COARSE: Duration = Duration::from_millis(2);

/// Where the emulator takes the time from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The system's.
    #[default]
    System,
    /// Always this Unix time in milliseconds: two runs then answer alike, byte for byte.
    Fixed(i64),
}

impl Clock {
    fn now_ms(self) -> i64 {
        match self {
            Self::System => Timestamp::now().as_millisecond(),
            Self::Fixed(now_ms) => now_ms,
        }
    }
}

/// A complete request to one of the three functions, whether anything came of it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// The function.
    pub operation: Operation,
    /// Its `X-Request-Id`.
    pub request_id: Option<String>,
    /// The rule that applied to it.
    pub rule: Option<String>,
}

/// What every connection shares.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    core: Mutex<Core>,
}

#[derive(Debug)]
struct Core {
    world: World,
    ledger: Ledger,
    dice: Dice,
    seen: VecDeque<SeenRequest>,
}

type Answer = Response<Full<Bytes>>;

impl Shared {
    pub(super) fn new(mut world: World, ledger: Ledger, dice: Dice, clock: Clock) -> Self {
        ledger.entries().iter().for_each(|entry| world.absorb(entry));
        Self { clock, core: Mutex::new(Core { world, ledger, dice, seen: VecDeque::new() }) }
    }

    pub(super) fn entries(&self) -> Vec<LedgerEntry> {
        self.core().ledger.entries().to_vec()
    }

    pub(super) fn seen(&self) -> Vec<SeenRequest> {
        self.core().seen.iter().cloned().collect()
    }

    /// Nothing is done any more, whoever still holds on; the ledger's file is free.
    pub(super) fn close(&self) {
        self.core().ledger.close();
    }

    /// Answers one request; an unanswered one ends its connection through `reins`, or waits until `stop`.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        reins: Reins,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Answer, Infallible> {
        reins.release();
        let request = match read(request).await {
            Ok(request) => request,
            Err(refusal) => return Ok(http(refusal)),
        };
        let turn = request.operation().map(|operation| self.draw(operation, &request)).unwrap_or_default();
        let fault = turn.rule.map(|rule| rule.fault);
        let (begun, half) = (tokio::time::Instant::now(), turn.delay / 2);
        let response = if half.is_zero() {
            self.answer(&request, fault.as_ref())
        } else {
            // A task of its own, so that it does not end with the connection.
            let late = tokio::spawn(self.answer_late(request, fault.clone(), half, stop.clone()));
            let response = late.await.unwrap_or_else(|_| ApiResponse::page(500));
            // Until a point in time, so that what a timer is late by does not add up.
            exactly(begun + half * 2).await;
            response
        };
        if let Some(Fault::NoAnswer(_, Ending::Stall)) = fault {
            until_true(&mut stop).await;
        }
        Ok(http(bend(fault.as_ref(), response, &reins)))
    }

    async fn answer_late(
        self: Arc<Self>,
        request: ApiRequest,
        fault: Option<Fault>,
        delay: Duration,
        mut stop: watch::Receiver<bool>,
    ) -> ApiResponse {
        tokio::select! {
            () = tokio::time::sleep(delay) => self.answer(&request, fault.as_ref()),
            () = until_true(&mut stop) => ApiResponse::page(503),
        }
    }

    fn answer(&self, request: &ApiRequest, fault: Option<&Fault>) -> ApiResponse {
        fault.and_then(answer_before).unwrap_or_else(|| self.act(request, twist(fault)))
    }

    fn draw(&self, operation: Operation, request: &ApiRequest) -> Turn {
        let mut core = self.core();
        let turn = core.dice.draw(operation);
        if core.seen.len() == SEEN_MAX {
            core.seen.pop_front();
        }
        let rule = turn.rule.as_ref().map(ToString::to_string);
        core.seen.push_back(SeenRequest { operation, request_id: request.request_id.clone(), rule });
        turn
    }

    fn act(&self, request: &ApiRequest, twist: Twist) -> ApiResponse {
        let now_ms = self.clock.now_ms();
        let mut core = self.core();
        let decision = core.world.decide(request, twist, now_ms);
        if let Some(entry) = decision.entry {
            if let Err(error) = core.ledger.append(entry.clone()) {
                tracing::warn!(error = &error as &dyn std::error::Error, "the emulator did nothing");
                return ApiResponse::error(500, "the emulator cannot write its ledger, nothing was done");
            }
            core.world.absorb(&entry);
        }
        decision.response
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the word to stop; its sender gone means the same.
pub(super) async fn until_true(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// The answer of a fault that keeps the gateway from acting. One that gives no answer at all has an empty one.
fn answer_before(fault: &Fault) -> Option<ApiResponse> {
    match fault {
        Fault::NoAnswer(Moment::Before, _) => Some(ApiResponse::page(503)),
        Fault::Status(Moment::Before, code) => Some(ApiResponse::page(*code)),
        Fault::Refuse(text) => Some(ApiResponse::error(200, text)),
        Fault::TooMany(retry_after) => Some(ApiResponse { retry_after: *retry_after, ..ApiResponse::page(429) }),
        _ => None,
    }
}

/// What a fault makes of an answer, or of the connection that carries it.
fn bend(fault: Option<&Fault>, response: ApiResponse, reins: &Reins) -> ApiResponse {
    match fault {
        Some(Fault::NoAnswer(_, Ending::Reset)) => reins.cut(0, Ending::Reset),
        Some(Fault::NoAnswer(_, Ending::Fin | Ending::Stall)) => reins.cut(0, Ending::Fin),
        Some(Fault::Truncate(bytes, ending)) => reins.cut(*bytes, *ending),
        Some(Fault::Garbage) => reins.garble(),
        Some(Fault::Status(_, code)) => return ApiResponse::page(*code),
        _ => {}
    }
    response
}

fn twist(fault: Option<&Fault>) -> Twist {
    match fault {
        Some(Fault::NoToken) => Twist::NoToken,
        Some(Fault::Exists) => Twist::Exists,
        Some(Fault::EmptyList) => Twist::EmptyList,
        Some(Fault::Lag(lag)) => Twist::Lag(i64::try_from(lag.as_millis()).unwrap_or(i64::MAX)),
        _ => Twist::None,
    }
}

async fn read(request: Request<Incoming>) -> Result<ApiRequest, ApiResponse> {
    let (head, body) = request.into_parts();
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
    let Ok(collected) = whole else { return Err(ApiResponse::error(408, "the body did not come in time")) };
    let body = collected.map_err(|_| ApiResponse::error(413, "the body is over 1 MiB or was cut"))?;
    let header = |name: &str| text_of(&head.headers, name);
    Ok(ApiRequest {
        method: match head.method {
            hyper::Method::GET => Method::Get,
            hyper::Method::POST => Method::Post,
            _ => Method::Other,
        },
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        content_type: header("content-type"),
        body: body.to_bytes().to_vec(),
        request_id: header("x-request-id").filter(|id| id.len() <= REQUEST_ID_MAX),
    })
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn http(response: ApiResponse) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(response.body)));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    if let Some(seconds) = response.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// Waits until `point`, to about a tenth of a millisecond: the runtime's timer knows whole ones only and rounds them up, by which a
/// server of 50 ms would be one of 51.6.
async fn exactly(point: tokio::time::Instant) {
    if let Some(early) = point.checked_sub(COARSE) {
        tokio::time::sleep_until(early).await;
    }
    let point = point.into_std();
    #[expect(clippy::disallowed_methods, reason = "the time that it plays to take is what is wanted, in a thread of its own")]
    let rest = move || std::thread::sleep(point.saturating_duration_since(std::time::Instant::now()));
    // A runtime that ends waits for nobody.
    let _ = tokio::task::spawn_blocking(rest).await;
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::faults::FaultPlan;
    use super::super::latency::Latency;
    use super::*;

    #[test]
    fn a_create_that_cannot_be_written_down_is_not_done() {
        let dice = Dice::new(&FaultPlan::default(), Latency::default(), 0);
        let shared = Shared::new(World::new(0), Ledger::on_a_full_disk(), dice, Clock::Fixed(0));
        let request = |path: &str| ApiRequest {
            method: Method::Post,
            path: path.to_owned(),
            query: "uid=k&type=whatsapp".to_owned(),
            content_type: None,
            body: Vec::new(),
            request_id: None,
        };
        let response = shared.act(&request("/newInstance"), Twist::None);
        assert_eq!(response.status, 500);
        assert!(String::from_utf8(response.body).unwrap().starts_with(r#"{"error":""#));
        assert_eq!(shared.act(&request("/listInstances"), Twist::None).body, br#"{"result":[]}"#);
        assert!(shared.entries().is_empty());
    }
}
