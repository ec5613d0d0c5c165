//! Every status with every kind of body, against a table that was written from the promises and not from the code.

use super::{ERROR, GOOD, PATIENT, Word, against, answer, chunked, each};
use crate::raw_server::{End, Script};

/// 64 statuses: the registered ones, and some that content delivery networks have made up.
const STATUSES: [u16; 64] = [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308, 400, 401, 402, 403, 404, 405,
    406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500,
    501, 502, 503, 504, 505, 506, 507, 508, 511, 520, 522, 525, 530, 599,
];

/// The kinds of body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Good,
    Error,
    Both,
    Empty,
    Page,
    Torn,
    Misshapen,
    Null,
}

const BODIES: [Body; 8] = [Body::Good, Body::Error, Body::Both, Body::Empty, Body::Page, Body::Torn, Body::Misshapen, Body::Null];

impl Body {
    fn text(self) -> String {
        match self {
            Self::Good => GOOD.to_owned(),
            Self::Error => ERROR.to_owned(),
            Self::Both => format!("{},{}", &ERROR[..ERROR.len() - 1], &GOOD[1..]),
            Self::Empty => String::new(),
            Self::Page => "<html><body>please wait</body></html>".to_owned(),
            Self::Torn => GOOD[..GOOD.len() - 9].to_owned(),
            Self::Misshapen => r#"{"result":[{"status":"created"}]}"#.to_owned(),
            Self::Null => r#"{"result":null}"#.to_owned(),
        }
    }
}

/// What the documents say of a complete answer.
fn expected(status: u16, body: Body) -> Word {
    // These two never carry a body: what follows their head is not part of the answer.
    let body = if matches!(status, 204 | 304) { Body::Empty } else { body };
    match (status, body) {
        // "Later" is said in the head, unless the body says that something was done.
        (421 | 429, Body::Error | Body::Empty | Body::Page | Body::Torn | Body::Null) => Word::Later,
        // A proxy may say these after the request was passed on.
        (408 | 409 | 423 | 424 | 425 | 499, _) => Word::Doubt,
        // The body before the status; two answers in one are none.
        (200..=299, Body::Good) => Word::Created,
        (200..=299 | 400..=499, Body::Error) => Word::Refused,
        // So are a success without a readable result, and a refusing status above a result.
        (200..=299, _) | (_, Body::Good | Body::Both | Body::Misshapen) => Word::Doubt,
        // The listed refusals.
        (307 | 308 | 400..=405 | 410 | 413 | 415 | 422, _) => Word::Refused,
        _ => Word::Doubt,
    }
}

/// The same answer in other frames: a client must see no difference.
fn frames(status: u16, text: &str) -> [Vec<u8>; 3] {
    [
        answer(status, "Connection: close\r\nRetry-After: 1\r\nLocation: http://127.0.0.1:9/\r\n", text),
        answer(status, "Connection: keep-alive\r\nSet-Cookie: a=b\r\nServer: x\r\nRetry-After: soon\r\n", text),
        chunked(status, text),
    ]
}

#[test]
fn p1_every_status_with_every_body_is_judged_as_the_documents_say() {
    let cases = STATUSES.iter().flat_map(|status| BODIES.map(|body| (*status, body)));
    let cases = cases.flat_map(|(status, body)| frames(status, &body.text()).map(|frame| (status, body, frame)));
    let count = each(cases, |(status, body, frame)| async move {
        let (tried, seen) = against(Script::new(frame, End::Fin), PATIENT).await;
        assert_eq!((tried.word, seen.complete()), (expected(status, body), 1), "{status} {body:?}: {tried:?}");
        let stops = tried.word == Word::Refused && matches!(status, 401..=403);
        assert!(!stops || tried.is_for_all, "{status} {body:?}: every other name would fail too");
        assert_eq!(tried.answer.as_ref().map(|answer| answer.status), Some(status));
    });
    assert_eq!(count, 64 * 8 * 3);
}
