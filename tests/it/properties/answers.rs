//! F2 and F3: what an answer proves, and what a listing shows, each held against the same bytes read as a JSON value.

use std::sync::LazyLock;
use std::time::Duration;

use chatapi::provider::certainty::{CreatedInstance, LATER, UNCERTAIN, Verdict, judge};
use chatapi::provider::{ApiKey, BaseUrl, HttpProvider, Limits, Provider as _, read_listing};
use chatapi::secret::{Redactor, Secret};
use chatapi::state::{Answer, Outline};
use serde_json::{Value, json};

use super::KEY;
use super::text::assert_inert;

/// A server that is never asked: it knows the key, and judges.
static JUDGE: LazyLock<HttpProvider> = LazyLock::new(|| {
    let limits = Limits { connect: Duration::from_secs(1), answer: Duration::from_secs(1) };
    HttpProvider::new(BaseUrl::parse("http://127.0.0.1:1/").unwrap(), ApiKey::new(&key()).unwrap(), limits).unwrap()
});

pub(super) fn key() -> Secret {
    Secret::new(KEY.to_owned())
}

/// The first line is `STATUS`, `STATUS cut`, or either with a number of seconds behind it; the rest is the body. Bytes without such
/// a line are the body of a complete answer with status 200.
fn answer(data: &[u8]) -> Answer {
    let split = data.iter().position(|byte| *byte == b'\n').and_then(|end| data.split_at_checked(end));
    let read = split.and_then(|(head, body)| Some((head_of(std::str::from_utf8(head).ok()?)?, body.get(1..)?)));
    let ((status, complete, retry_after), body) = read.unwrap_or(((200, true, None), data));
    Answer { status, complete, retry_after, body: body.to_vec() }
}

fn head_of(head: &str) -> Option<(u16, bool, Option<u64>)> {
    let mut words = head.split(' ');
    let status = words.next()?.parse().ok()?;
    let mut rest = words.peekable();
    let complete = rest.next_if_eq(&"cut").is_none();
    Some((status, complete, rest.next().and_then(|word| word.parse().ok())))
}

/// Created only by a complete 2xx that says so and has an id; refused by a 2xx only if it is a plain error object; what is kept of
/// a verdict has neither token nor key; twice the same.
pub(super) fn f2_verdict(data: &[u8]) {
    let answer = answer(data);
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let verdict = judge(&answer);
    check(&answer, body.as_ref(), &verdict);
    let kept = verdict.outline();
    assert_eq!(kept, judge(&answer).outline(), "judged twice");
    let concealed = JUDGE.judge(&answer).outline();
    let text = serde_json::to_string(&concealed).unwrap();
    assert!(!text.contains(KEY), "the key is kept: {text}");
    if !Redactor::of(&key()).finds(&serde_json::to_string(&kept).unwrap()) && !holds_key(&answer.body, body.as_ref()) {
        assert_eq!(kept, concealed, "judged by who knows a key that is not there");
    }
}

fn holds_key(bytes: &[u8], body: Option<&Value>) -> bool {
    let redactor = Redactor::of(&key());
    redactor.clean_bytes(bytes).is_some() || body.is_some_and(|body| redactor.finds(&body.to_string()))
}

fn check(answer: &Answer, body: Option<&Value>, verdict: &Verdict) {
    let status = answer.status;
    let is_success = (200..300).contains(&status);
    let result =
        body.and_then(|body| ["result", "instance"].iter().find_map(|key| body.get(key).filter(|value| !value.is_null())));
    let error = body.and_then(|body| body.get("error"));
    let has_words = error.is_some_and(|error| match error {
        Value::String(words) => !words.trim().is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    });
    let shown = |reason: &str| {
        assert_inert(reason);
        assert!(reason.len() < 8_000 && !reason.contains('\n'), "{reason:?}");
    };
    match verdict {
        Verdict::Created(instance) => {
            let instance_value = result.and_then(|result| result.get("instance")).expect("an instance");
            assert!(is_success && answer.complete && !has_words, "created by status {status}");
            let said = result.and_then(|result| result.get("status")?.as_str()).unwrap();
            assert!(said.eq_ignore_ascii_case("created"), "created by `{said}`");
            check_created(instance, instance_value);
        }
        Verdict::Refused { reason, .. } => {
            shown(reason);
            assert!(answer.complete && result.is_none(), "refused by a part, or beside a result");
            assert!(!is_success || has_words, "refused by a {status} without an error");
            assert!(!UNCERTAIN.contains(&status) && status < 500, "refused by status {status}");
        }
        Verdict::Later { after, reason } => {
            shown(reason);
            assert!(answer.complete && result.is_none() && LATER.contains(&status) && *after == answer.retry_after);
        }
        Verdict::Doubt { reason } => shown(reason),
    }
}

/// Id, address and token are the ones in the answer, and the outline has no more than the first two.
fn check_created(created: &CreatedInstance, value: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    assert_eq!(created.id.as_str(), text(&value["id"]));
    assert!(created.api_url.as_ref().is_none_or(|url| value["apiUrl"].as_str() == Some(url.as_str())));
    match &created.token {
        Some(token) => assert_eq!(token.expose(), text(&value["token"])),
        None => assert!(value.get("token").is_none_or(|token| token.is_null() || token == ""), "a token is dropped"),
    }
    let outline: Outline = Verdict::Created(created.clone()).outline();
    let mut expected = json!({"created": {"id": created.id, "has_token": created.token.is_some()}});
    if let Some(url) = &created.api_url {
        expected["created"]["api_url"] = json!(url);
    }
    assert_eq!(serde_json::to_value(outline).unwrap(), expected, "the outline has something else");
}

/// Ids are sorted and unique; every item of an array is an instance or counted as odd; nothing holds the key.
pub(super) fn f3_listing(data: &[u8]) {
    let answer = answer(data);
    let listing = match read_listing(&answer, &Redactor::of(&key())) {
        Err(error) => {
            let words = error.to_string();
            assert!(words.len() < 8_000 && !words.contains(KEY), "{words}");
            return assert_inert(&words);
        }
        Ok(listing) => listing,
    };
    assert!(answer.complete && answer.status == 200);
    assert!(listing.instances.windows(2).all(|pair| pair[0].id < pair[1].id), "ids are doubled or out of order");
    assert!(listing.instances.len() + listing.odd_items <= answer.body.len());
    for item in &listing.instances {
        assert!(![item.id.as_str(), &item.name, &item.type_text].iter().any(|text| text.contains(KEY)), "the key: {item:?}");
        assert!(item.api_url.as_ref().is_none_or(|url| !url.as_str().contains(KEY)), "the key: {item:?}");
    }
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let member = |body: &Value, key| body.get(key).filter(|value| !value.is_null()).cloned();
    let result = body.as_ref().and_then(|body| member(body, "result").or_else(|| member(body, "instance")));
    if let Some(Value::Array(items)) = result {
        assert_eq!(listing.instances.len() + listing.odd_items, items.len(), "an item is lost");
        let ids: Vec<String> =
            items.iter().map(|item| item["id"].as_str().map_or(item["id"].to_string(), str::to_owned)).collect();
        assert!(listing.instances.iter().all(|item| ids.iter().any(|id| id == item.id.as_str())), "an id from nowhere");
    }
}
