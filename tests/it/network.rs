//! The transport against a network that breaks wherever it can. The server's own count of complete requests is the truth; what
//! the client says is held against it.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chatapi::instance::InstanceType;
use chatapi::provider::certainty::{Verdict, judge};
use chatapi::provider::{Advice, ApiKey, BaseUrl, CreateRequest, Exchange, HttpProvider, Limits, Provider as _, Unsent};
use chatapi::secret::Secret;
use chatapi::state::{Answer, AttemptId};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::raw_server::{RawServer, Script, Seen};
use crate::stage::BOUND;

mod answers;
mod blocking;
mod child;
mod examples;
mod held;
mod listing;
mod once;
mod proxy;
mod requests;
mod table;
mod tls;
mod unsent;

/// The account's key in these tests: no text of an error may hold it.
const KEY: &str = "CanaryKeyCanaryKeyCanaryKey1";
/// The token in the good answer: no text of an error may hold it either.
const TOKEN: &str = "canarytoken01234";
/// The good answer's body.
const GOOD: &str = r#"{"result":{"status":"created","instance":{"id":"123456","apiUrl":"https://eu1.example/instance123456/","token":"canarytoken01234"}}}"#;
/// A refusal's body.
const ERROR: &str = r#"{"error":"the limit of instances is reached"}"#;
/// What a create is when it is complete.
const BODY: &str = r#"{"uid":"CanaryKeyCanaryKeyCanaryKey1","type":"whatsapp_dev"}"#;

/// Limits that no healthy case comes near, however busy the machine is.
const PATIENT: Limits = Limits { connect: BOUND, answer: BOUND };
/// For silences: patient while connecting, quick to give up an answer. On a busy machine it may be given up before anything
/// was sent or read, so no test expects more of it than the truth.
const HASTY: Limits = Limits { connect: BOUND, answer: Duration::from_millis(400) };
/// For silences where something must have come through before.
const STEADY: Limits = Limits { connect: BOUND, answer: Duration::from_secs(3) };

/// What a create came to, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Unsent,
    Refused,
    Later,
    Doubt,
    Created,
}

/// What a create came to.
#[derive(Debug)]
struct Tried {
    word: Word,
    /// Whether another try can help; for unsent ones.
    advice: Option<Advice>,
    /// Whether the refusal is for every other name too.
    is_for_all: bool,
    /// The answer, where there was one.
    answer: Option<Answer>,
    /// All words that a person could see of it.
    text: String,
}

impl Tried {
    fn unsent(unsent: &Unsent) -> Self {
        let text = shown(unsent);
        Self { word: Word::Unsent, advice: Some(unsent.advice), is_for_all: false, answer: None, text }
    }

    fn of(exchange: Exchange) -> Self {
        let mut text = shown(&exchange);
        match exchange {
            Exchange::Unsent(unsent) => Self::unsent(&unsent),
            Exchange::Cut { .. } => Self { word: Word::Doubt, advice: None, is_for_all: false, answer: None, text },
            Exchange::Answered(answer) => {
                let verdict = judge(&answer);
                text.push_str(&shown(&verdict));
                let word = match verdict {
                    Verdict::Created(_) => Word::Created,
                    Verdict::Refused { .. } => Word::Refused,
                    Verdict::Later { .. } => Word::Later,
                    Verdict::Doubt { .. } => Word::Doubt,
                };
                let is_for_all = matches!(verdict, Verdict::Refused { for_all: true, .. });
                Self { word, advice: None, is_for_all, answer: Some(answer), text }
            }
        }
    }

    /// The bytes of the answer's body that were kept.
    fn kept(&self) -> &[u8] {
        self.answer.as_ref().map_or(&[], |answer| answer.body.as_slice())
    }
}

/// The words of a value, which must hold no secret.
fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    assert_silent(&text);
    text
}

/// No secret stands in `text`, as it is or as part of an address.
fn assert_silent(text: &str) {
    for secret in [KEY, TOKEN, "uid="] {
        assert!(!text.contains(secret), "`{secret}` is shown: {text}");
    }
}

fn provider(url: &str, limits: Limits) -> HttpProvider {
    let key = ApiKey::new(&Secret::new(KEY.to_owned())).unwrap();
    HttpProvider::new(BaseUrl::parse(url).unwrap(), key, limits).unwrap()
}

fn request() -> CreateRequest {
    CreateRequest { kind: InstanceType::WhatsAppDev, attempt: Some(AttemptId::from_bytes(*b"network!")) }
}

/// One create, from the connection to the judgement.
async fn create(provider: &HttpProvider) -> Tried {
    match provider.connect(request()).await {
        Err(unsent) => Tried::unsent(&unsent),
        Ok(ready) => Tried::of(ready.send().await),
    }
}

/// One create against a server of its own. Whatever happens: the server sees at most one complete request, and none if the
/// client says that it was not sent.
async fn against(script: Script, limits: Limits) -> (Tried, Seen) {
    let server = RawServer::start(script).await;
    let provider = provider(&server.url(), limits);
    let tried = create(&provider).await;
    let seen = server.finish().await;
    assert_honest(&tried, &seen);
    (tried, seen)
}

/// What must hold in every case.
fn assert_honest(tried: &Tried, seen: &Seen) {
    let most = usize::from(tried.word != Word::Unsent);
    assert!(seen.complete() <= most, "{} complete requests: {tried:?}", seen.complete());
    assert!(seen.connections.len() <= 1, "{} connections: {tried:?}", seen.connections.len());
}

/// A runtime of two threads, as the product's.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs `case` for each of `cases`, many at a time, and gives how many there were. The first failure fails the test.
fn each<C, F>(cases: impl IntoIterator<Item = C>, case: impl Fn(C) -> F) -> usize
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime().block_on(async {
        let places = Arc::new(Semaphore::new(96));
        let mut running = JoinSet::new();
        let mut count = 0;
        for one in cases {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let work = case(one);
            running.spawn(async move {
                work.await;
                drop(place);
            });
            count += 1;
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        println!("{count} cases");
        count
    })
}

/// A whole answer with this status, these further header lines and this body.
fn answer(status: u16, lines: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// The same in chunks of a few bytes.
fn chunked(status: u16, body: &str) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.as_bytes().chunks(50) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
