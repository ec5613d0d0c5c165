//! The permit: before it comes, the server has no byte of the body.

use chatapi::provider::Provider as _;

use super::{BODY, GOOD, KEY, PATIENT, Tried, Word, answer, each, provider, request, runtime};
use crate::raw_server::{End, RawServer, Script, Seen, Take};

/// The head of the one request that came, without its last line feeds, and its body.
fn parts(seen: &Seen) -> (String, String) {
    let text = seen.text();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    (head.to_owned(), body.to_owned())
}

#[test]
fn p2_the_body_waits_for_the_permit() {
    each(0..20, |_| async {
        let server = RawServer::start(Script::new(answer(200, "", GOOD), End::Fin)).await;
        let provider = provider(&server.url(), PATIENT);
        let ready = provider.connect(request()).await.unwrap();
        let seen = server.until(Seen::has_head).await;
        assert_eq!((parts(&seen).1.as_str(), seen.complete()), ("", 0), "the body did not wait");
        assert!(!seen.text().contains(KEY));
        let tried = Tried::of(ready.send().await);
        assert_eq!(tried.word, Word::Created);
        let seen = server.finish().await;
        assert_eq!((parts(&seen).1.as_str(), seen.complete()), (BODY, 1));
    });
}

#[test]
fn p14_the_head_is_what_the_protocol_asks_for() {
    let seen = runtime().block_on(async {
        let server = RawServer::start(Script::new(answer(200, "Set-Cookie: a=b\r\n", GOOD), End::Fin)).await;
        let provider = provider(&format!("{}base//", server.url()), PATIENT);
        let ready = provider.connect(request()).await.unwrap();
        assert_eq!(Tried::of(ready.send().await).word, Word::Created);
        server.finish().await
    });
    let head = parts(&seen).0;
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /base/newInstance HTTP/1.1"));
    let mut lines: Vec<String> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| format!("{}:{value}", name.to_ascii_lowercase()))
        .collect();
    lines.sort();
    let id = request().attempt.unwrap();
    let host = lines.iter().find(|line| line.starts_with("host: 127.0.0.1:")).unwrap().clone();
    assert_eq!(
        lines,
        [
            "accept-encoding: identity".to_owned(),
            "accept: application/json".to_owned(),
            format!("content-length: {}", BODY.len()),
            "content-type: application/json".to_owned(),
            host,
            format!("user-agent: chatapi/{}", env!("CARGO_PKG_VERSION")),
            format!("x-request-id: {id}"),
        ]
    );
}

/// No cookie comes back to a server that set one.
#[test]
fn p11_a_client_remembers_nothing_between_requests() {
    let seen = runtime().block_on(async {
        let server = RawServer::start(Script::new(answer(200, "Set-Cookie: session=1; Path=/\r\n", GOOD), End::Fin)).await;
        let provider = provider(&server.url(), PATIENT);
        for _ in 0..2 {
            assert_eq!(super::create(&provider).await.word, Word::Created);
        }
        server.finish().await
    });
    assert_eq!(seen.connections[0], seen.connections[1]);
}

#[test]
fn p2_what_is_dropped_before_its_permit_is_never_sent() {
    each((0..60).map(|round| round % 3), |moment| async move {
        let server = RawServer::start(Script::silent(Take::Whole, End::Stall)).await;
        let provider = provider(&server.url(), PATIENT);
        let ready = provider.connect(request()).await.unwrap();
        match moment {
            0 => drop(ready),
            1 => {
                server.until(Seen::has_head).await;
                drop(ready);
            }
            // A sending that was never polled is none.
            _ => drop(ready.send()),
        }
        let seen = server.finish().await;
        assert_eq!((seen.complete(), seen.text().contains(KEY)), (0, false));
    });
}
