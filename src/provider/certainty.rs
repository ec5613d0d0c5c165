//! What an answer to a create proves. The most expensive decision of the program, so it is pure, small and data where it can be.
//!
//! An answer is a refusal only if it is complete and on a list; it is a creation only if it says so and names an id. All
//! else is doubt: guessing "refused" pays twice, guessing "created" loses a name.

use super::wire::{CreateResult, Envelope};
use crate::instance::{ApiUrl, InstanceId};
use crate::secret::{Redactor, Secret};
use crate::state::{Answer, Outline};
use crate::text::escape;

/// Statuses that say "not here, not like this": nothing was created.
pub const REFUSED: &[u16] = &[307, 308, 400, 401, 402, 403, 404, 405, 410, 413, 415, 422];
/// Those of them that every other name would meet too: the run stops.
pub const REFUSED_FOR_ALL: &[u16] = &[307, 308, 401, 402, 403, 404, 405, 410];
/// Statuses that say "later": nothing was created, and another try is allowed.
pub const LATER: &[u16] = &[421, 429];
/// 4xx statuses that prove nothing even with an error in the body: a proxy may say 408 after it forwarded the request, and 409
/// may mean that another request did the work.
pub const UNCERTAIN: &[u16] = &[408, 409, 423, 424, 425, 499];

/// Longest quotation of a server, in characters.
const QUOTE_MAX: usize = 200;

/// What an answer proves.
#[derive(Debug)]
pub enum Verdict {
    /// The instance exists.
    Created(CreatedInstance),
    /// Nothing was created.
    Refused {
        /// Why, in the server's words, escaped.
        reason: String,
        /// Whether every other create would be refused too.
        for_all: bool,
    },
    /// Nothing was created, and the server asks to come again.
    Later {
        /// Seconds, where the server said.
        after: Option<u64>,
        /// The status, for people.
        reason: String,
    },
    /// Nothing is proven.
    Doubt {
        /// What is odd about it.
        reason: String,
    },
}

impl Verdict {
    /// The verdict without its token.
    pub fn outline(self) -> Outline {
        match self {
            Self::Created(CreatedInstance { id, api_url, token }) => Outline::Created { id, api_url, has_token: token.is_some() },
            Self::Refused { reason, for_all } => Outline::Refused { reason, for_all },
            Self::Later { after, reason } => Outline::Later { after, reason },
            Self::Doubt { reason } => Outline::Doubt { reason },
        }
    }
}

/// An instance as the answer to its create shows it.
#[derive(Debug, Clone)]
pub struct CreatedInstance {
    /// The server's id.
    pub id: InstanceId,
    /// Its address, where the answer had a usable one.
    pub api_url: Option<ApiUrl>,
    /// Its token, where the answer had one.
    pub token: Option<Secret>,
}

/// Judges the answer to a create: the body before the status, completeness before both.
pub fn judge(answer: &Answer) -> Verdict {
    judge_without(&Redactor::none(), answer)
}

/// [`judge`] for a server that knows a secret and may repeat it: nothing of the verdict but the token holds it.
pub(super) fn judge_without(secret: &Redactor, answer: &Answer) -> Verdict {
    let status = answer.status;
    if !answer.complete {
        return doubt(format!("the answer (status {status}) broke off"));
    }
    let envelope = Envelope::read(&answer.body);
    let has_result = envelope.as_ref().is_some_and(|envelope| envelope.result().is_some());
    if LATER.contains(&status) && !has_result {
        return Verdict::Later { after: answer.retry_after, reason: format!("status {status}") };
    }
    let is_success = (200..300).contains(&status);
    let is_client_error = (400..500).contains(&status) && !UNCERTAIN.contains(&status);
    match envelope {
        Some(envelope) if is_success || is_client_error => judge_body(secret, status, &envelope),
        // A redirect that would be a refusal, and yet says what was done.
        Some(_) if has_result => doubt(format!("the answer holds a result with status {status}")),
        _ => by_status(status),
    }
}

fn judge_body(secret: &Redactor, status: u16, envelope: &Envelope<'_>) -> Verdict {
    let is_success = (200..300).contains(&status);
    let quote = |words: &str| quote_without(secret, words);
    match (envelope.error(), envelope.result()) {
        (Some(error), None) => {
            let for_all = REFUSED_FOR_ALL.contains(&status);
            Verdict::Refused { reason: format!("{} (status {status})", quote(error)), for_all }
        }
        (Some(error), Some(_)) => doubt(format!("the answer holds an error ({}) and a result", quote(error))),
        (None, Some(result)) if is_success => match CreateResult::read(result) {
            Some(result) => judge_result(secret, &result),
            None => doubt("the result of the answer cannot be read".to_owned()),
        },
        (None, None) if is_success => doubt(format!("the answer (status {status}) holds neither a result nor an error")),
        (None, Some(_)) => doubt(format!("the answer holds a result with status {status}")),
        (None, None) => by_status(status),
    }
}

fn judge_result(secret: &Redactor, result: &CreateResult<'_>) -> Verdict {
    let status = result.status.as_deref().unwrap_or_default();
    if !status.eq_ignore_ascii_case("created") {
        return doubt(format!("the answer says `{}`, not `created`", quote_without(secret, status)));
    }
    let Some(fields) = result.instance() else { return doubt("the answer says `created` and names no instance".to_owned()) };
    match (fields.id(), fields.token()) {
        // Ids and addresses are shown, and written into a file that is committed.
        (Some(id), _) if secret.finds(id.as_str()) => doubt("the id in the answer holds the API key".to_owned()),
        (Some(id), Ok(token)) => {
            let api_url = fields.api_url().filter(|api_url| !secret.finds(api_url.as_str()));
            Verdict::Created(CreatedInstance { id, api_url, token })
        }
        (Some(_), Err(())) => doubt("the token in the answer cannot be read".to_owned()),
        (None, _) => doubt("the answer says `created` without a readable id".to_owned()),
    }
}

fn by_status(status: u16) -> Verdict {
    if REFUSED.contains(&status) {
        let reason = match status {
            307 | 308 => {
                format!("status {status}: the server asks to repeat the request elsewhere; set CHATAPI_URL to its new address")
            }
            _ => format!("status {status}"),
        };
        return Verdict::Refused { reason, for_all: REFUSED_FOR_ALL.contains(&status) };
    }
    match status {
        200..=299 => doubt(format!("the answer (status {status}) cannot be read")),
        _ => doubt(format!("status {status} does not say whether the instance was created")),
    }
}

fn doubt(reason: String) -> Verdict {
    Verdict::Doubt { reason }
}

/// The server's words, escaped and cut.
pub(crate) fn quote(words: &str) -> String {
    let cut: String = words.chars().take(QUOTE_MAX).collect();
    let more = if cut.len() < words.len() { "…" } else { "" };
    format!("{}{more}", escape(&cut))
}

/// [`quote`] without the secret. It is taken out before the words are cut: a part of it is one, too.
pub(super) fn quote_without(secret: &Redactor, words: &str) -> String {
    quote(&secret.clean(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, complete: true, retry_after: None, body: body.as_bytes().to_vec() }
    }

    /// A word for a verdict: what a table can hold.
    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Created(CreatedInstance { token: Some(_), .. }) => "created",
            Verdict::Created(_) => "created without token",
            Verdict::Refused { for_all: true, .. } => "refused for all",
            Verdict::Refused { .. } => "refused",
            Verdict::Later { .. } => "later",
            Verdict::Doubt { .. } => "doubt",
        }
    }

    const GOOD: &str = r#"{"result":{"status":"created","instance":{"id":"123456","apiUrl":"https://eu1.example/instance123456/","token":"abcdefgh01234567"}}}"#;

    #[test]
    fn the_golden_answer_is_read_whole() {
        let Verdict::Created(instance) = judge(&answer(200, GOOD)) else { panic!("not created") };
        assert_eq!(instance.id.as_str(), "123456");
        assert_eq!(instance.api_url.unwrap().as_str(), "https://eu1.example/instance123456/");
        assert_eq!(instance.token.unwrap().expose(), "abcdefgh01234567");
    }

    #[test]
    fn p1_bodies_are_judged_before_statuses() {
        let with = |inner: &str| format!(r#"{{"result":{{"status":"created","instance":{inner}}}}}"#);
        let rows: Vec<(u16, String, &str, &str)> = vec![
            (200, GOOD.into(), "created", "the plain case"),
            (201, GOOD.into(), "created", "any 2xx with the right body"),
            (200, GOOD.replace("created", "CREATED"), "created", "letter case of the status"),
            (200, with(r#"{"id":7,"apiUrl":"https://h/","token":"t"}"#), "created", "an integer id"),
            (200, with(r#"{"id":"7","token":"t","extra":[1]}"#), "created", "no address, unknown members"),
            (200, with(r#"{"id":"7","apiUrl":"javascript:alert(1)","token":"t"}"#), "created", "a harmful address is dropped"),
            (200, with(r#"{"id":"7","apiUrl":"https://h/"}"#), "created without token", "no token"),
            (200, with(r#"{"id":"7","token":""}"#), "created without token", "an empty token"),
            (200, with(r#"{"id":"7","token":["t"]}"#), "doubt", "a token that is no text"),
            (200, with(r#"{"id":"7","token":"a\nb"}"#), "doubt", "a token with a line feed"),
            (200, with(r#"{"id":"7","id":"8","token":"t"}"#), "doubt", "a doubled member inside"),
            (200, with(r#"{"id":"","token":"t"}"#), "doubt", "an empty id"),
            (200, with(r#"{"id":"1/2","token":"t"}"#), "doubt", "an id with a slash"),
            (200, with(r#"{"id":1.5,"token":"t"}"#), "doubt", "a fractional id"),
            (200, with("null"), "doubt", "no instance"),
            (200, with(r#"["7","https://h/","t"]"#), "doubt", "an array in place of the instance"),
            (200, r#"["refused"]"#.into(), "doubt", "an array in place of the answer"),
            (200, GOOD.replace(r#""created""#, r#""exists""#), "doubt", "exists is not made by this call"),
            (200, r#"{"result":{"status":"error"}}"#.into(), "doubt", "an error status"),
            (200, r#"{"result":"created"}"#.into(), "doubt", "a result of another shape"),
            (200, r#"{"result":null}"#.into(), "doubt", "nothing at all"),
            (200, r#"{"error":"x","result":null,"instance":{"id":"7"}}"#.into(), "doubt", "an instance beside an empty result"),
            (200, "{}".into(), "doubt", "an empty object"),
            (200, String::new(), "doubt", "an empty body"),
            (200, "<html>ok</html>".into(), "doubt", "a gateway page"),
            (200, GOOD[..GOOD.len() - 1].into(), "doubt", "cut JSON"),
            (200, format!("{GOOD}x"), "doubt", "trailing bytes"),
            (200, r#"{"error":"limit reached"}"#.into(), "refused", "an error with 200"),
            (200, r#"{"error":"a","error":"b"}"#.into(), "doubt", "a doubled member"),
            (200, r#"{"error":"x","result":{"status":"created"}}"#.into(), "doubt", "an error and a result"),
            (200, format!(r#"{{"error":null,{}"#, &GOOD[1..]), "created", "error: null beside a result"),
            (200, format!(r#"{{"error":"",{}"#, &GOOD[1..]), "created", "an empty error beside a result"),
            (200, "[".repeat(2_000), "doubt", "deep nesting"),
            (200, r#"{"result":1e400}"#.into(), "doubt", "a number out of range"),
            (204, String::new(), "doubt", "no content"),
            (202, GOOD.into(), "created", "accepted, and yet says created with id and token"),
            (202, String::new(), "doubt", "accepted is not created"),
            (400, r#"{"error":"bad type"}"#.into(), "refused", "the server says why"),
            (418, r#"{"error":"no"}"#.into(), "refused", "a 4xx off the list, with an error"),
            (418, "tea".into(), "doubt", "a 4xx off the list, without one"),
            (400, GOOD.into(), "doubt", "a result with a refusal's status"),
            (401, "no".into(), "refused for all", "every other name would fail too"),
            (402, r#"{"error":"pay"}"#.into(), "refused for all", "no money"),
            (404, "<html>".into(), "refused for all", "the wrong address"),
            (408, r#"{"error":"timeout"}"#.into(), "doubt", "a proxy says 408 after forwarding"),
            (409, r#"{"error":"conflict"}"#.into(), "doubt", "another may have created it"),
            (421, String::new(), "later", "misdirected"),
            (429, r#"{"error":"slow down"}"#.into(), "later", "limiters sit before the work"),
            (429, GOOD.into(), "doubt", "says later and created"),
            (421, r#"{"result":{"status":"x"}}"#.into(), "doubt", "says later and something"),
            (200, r#"{"error":false}"#.into(), "doubt", "no words, no result"),
            (200, r#"{"error":false,"status":"created","instance":{"id":"7","token":"t"}}"#.into(), "doubt", "a flat answer"),
            (200, r#"{"error":"odd","instance":{"id":"7","token":"t"}}"#.into(), "doubt", "an error beside an instance"),
            (200, r#"{"error":true}"#.into(), "doubt", "an error without words"),
            (200, r#"{"error":[1]}"#.into(), "doubt", "an error of another shape"),
            (200, r#"{"error":{}}"#.into(), "doubt", "an empty error"),
            (200, r#"{"error":{"code":7}}"#.into(), "refused", "an error as an object"),
            (200, format!(r#"{{"error":false,{}"#, &GOOD[1..]), "created", "error: false beside a result"),
            (401, r#"{"error":true}"#.into(), "refused for all", "the status says it"),
            (500, r#"{"error":"oops"}"#.into(), "doubt", "the code may have run"),
            (502, "<html>".into(), "doubt", "the gateway does not know"),
            (503, String::new(), "doubt", "nothing guarantees that it came before the work"),
            (302, String::new(), "doubt", "redirect after the work"),
            (307, String::new(), "refused for all", "asks to repeat elsewhere"),
            (307, r#"{"error":"moved"}"#.into(), "refused for all", "asks to repeat elsewhere, in words"),
            (308, GOOD.into(), "doubt", "asks to repeat elsewhere what it says it has done"),
            (999, String::new(), "doubt", "no such status"),
        ];
        for (status, body, expected, why) in rows {
            assert_eq!(word(&judge(&answer(status, &body))), expected, "{status} {body}: {why}");
        }
    }

    #[test]
    fn p1_an_incomplete_answer_proves_nothing() {
        for status in [200, 400, 401, 429, 503] {
            let cut = Answer { complete: false, ..answer(status, r#"{"error":"no"}"#) };
            assert_eq!(word(&judge(&cut)), "doubt", "{status}");
        }
    }

    #[test]
    fn p1_only_listed_statuses_are_refusals() {
        for status in 100..600 {
            let found = word(&judge(&answer(status, "no json")));
            let expected = match status {
                307 | 308 | 401..=405 | 410 if REFUSED_FOR_ALL.contains(&status) => "refused for all",
                400 | 413 | 415 | 422 => "refused",
                421 | 429 => "later",
                _ => "doubt",
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn what_was_seen_is_told() {
        for (status, body, words) in [
            (200, "{}", "(status 200) holds neither a result nor an error"),
            (200, "<html>", "(status 200) cannot be read"),
            (299, "", "(status 299) cannot be read"),
            (300, "", "status 300 does not say whether"),
            (500, "{}", "status 500 does not say whether"),
            (307, "", "status 307: the server asks to repeat the request elsewhere; set CHATAPI_URL"),
            (308, "{}", "status 308: the server asks to repeat the request elsewhere; set CHATAPI_URL"),
            (400, "", "status 400"),
            (400, r#"{"error":"no more"}"#, "no more (status 400)"),
        ] {
            let (Verdict::Refused { reason, .. } | Verdict::Doubt { reason }) = judge(&answer(status, body)) else {
                panic!("{status} {body}")
            };
            assert!(reason.contains(words), "{reason}");
        }
        let Verdict::Refused { reason, for_all: false } = judge(&answer(400, "{}")) else { panic!("not refused") };
        assert_eq!(reason, "status 400");
        assert_eq!((quote("a"), quote(&"b".repeat(QUOTE_MAX))), ("a".to_owned(), "b".repeat(QUOTE_MAX)));
        assert_eq!(quote(&"b".repeat(QUOTE_MAX + 1)), "b".repeat(QUOTE_MAX) + "…");
    }

    #[test]
    fn t10_a_servers_words_are_escaped_and_cut() {
        let Verdict::Refused { reason, .. } = judge(&answer(400, "{\"error\":\"a\\u001b[31m\\n::set-output::\\u202e\"}")) else {
            panic!("not refused")
        };
        assert!(!reason.contains(['\u{1b}', '\n', '\u{202e}']), "{reason}");
        assert!(quote(&"x".repeat(10_000)).chars().count() <= QUOTE_MAX + 1);
    }

    #[test]
    fn p11_a_key_that_the_server_repeats_is_not_shown() {
        let key = Secret::new("CanaryKey123".to_owned());
        let secret = Redactor::of(&key);
        for filler in 0..QUOTE_MAX {
            let words = format!("{}{} is unknown", "x".repeat(filler), key.expose());
            for body in [format!(r#"{{"error":"{words}"}}"#), format!(r#"{{"result":{{"status":"{words}"}}}}"#)] {
                let shown = format!("{:?}", judge_without(&secret, &answer(200, &body)));
                assert!(!shown.contains("Canary"), "{shown}");
            }
        }
        // Ids and addresses are shown, and committed with the lock file.
        let created = |id: &str, url: &str| {
            let body = format!(r#"{{"result":{{"status":"created","instance":{{"id":"{id}","apiUrl":"{url}","token":"t"}}}}}}"#);
            judge_without(&secret, &answer(200, &body))
        };
        let Verdict::Doubt { reason } = created("xCanaryKey123", "https://eu.example/") else { panic!("not in doubt") };
        assert_eq!(reason, "the id in the answer holds the API key");
        let Verdict::Created(instance) = created("7", "https://eu.example/?uid=CanaryKey123") else { panic!("not created") };
        assert_eq!((instance.id.as_str(), instance.api_url), ("7", None));
    }
}
