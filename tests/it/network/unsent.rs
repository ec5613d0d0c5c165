//! What never left this machine, and is known not to have.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use chatapi::provider::{Advice, Limits};

use super::{GOOD, HASTY, PATIENT, Tried, Word, answer, create, each, provider, runtime};
use crate::raw_server::{End, RawServer, Script, Take};

/// For connections that never stand.
const BRIEF: Limits = Limits { connect: Duration::from_millis(300), answer: PATIENT.answer };

/// One create against `url`, which must be unsent and worth another try.
fn unsent(url: &str, limits: Limits) -> Tried {
    let begun = Instant::now();
    let tried = runtime().block_on(create(&provider(url, limits)));
    assert_eq!((tried.word, tried.advice), (Word::Unsent, Some(Advice::TryAgain)), "{url}: {tried:?}");
    assert!(begun.elapsed() < PATIENT.connect / 2, "{url}: it took {:?}", begun.elapsed());
    tried
}

/// An address that nobody listens on.
fn closed_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

#[test]
fn p1_a_refused_connection_is_unsent() {
    for scheme in ["http", "https"] {
        let tried = unsent(&format!("{scheme}://{}/", closed_port()), PATIENT);
        assert!(tried.text.contains("cannot connect"), "{tried:?}");
    }
}

/// The name is reserved for having no address, and the resolver may be missing altogether: both are before any byte.
#[test]
fn p1_a_name_without_an_address_is_unsent() {
    let tried = runtime().block_on(create(&provider("https://name.invalid/", BRIEF)));
    assert_eq!(tried.word, Word::Unsent, "{tried:?}");
}

/// A listener that never accepts and whose queue is full: the kernel drops what else wants to connect.
#[test]
fn p1_p13_a_connection_that_never_stands_is_unsent_after_the_connect_limit() {
    let socket = runtime().block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        socket.listen(1).unwrap()
    });
    let addr = socket.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 1_000, "the queue is never full");
    }
    for scheme in ["http", "https"] {
        unsent(&format!("{scheme}://{addr}/"), BRIEF);
    }
}

#[test]
fn p1_p13_a_handshake_that_never_ends_is_unsent_after_the_connect_limit() {
    runtime().block_on(async {
        let server = RawServer::start(Script::silent(Take::Whole, End::Stall)).await;
        let tried = create(&provider(&format!("https://{}/", server.addr), BRIEF)).await;
        assert_eq!(tried.word, Word::Unsent, "{tried:?}");
        assert_eq!(server.finish().await.complete(), 0);
    });
}

#[test]
fn p1_a_handshake_that_breaks_is_unsent() {
    let answers = [Vec::new(), answer(200, "", GOOD), b"\x15\x03\x01\0\x02\x02\x28".to_vec(), b"SSH-2.0-x\r\n".to_vec()];
    let takes = [Take::Nothing, Take::Bytes(1), Take::Bytes(5), Take::Bytes(100)];
    let cases = answers.into_iter().flat_map(|bytes| takes.map(|take| (bytes.clone(), take)));
    let cases = cases.flat_map(|(bytes, take)| [End::Fin, End::Reset].map(|end| (bytes.clone(), take, end)));
    each(cases, |(bytes, take, end)| async move {
        let what = format!("{take:?} {end:?} {} bytes", bytes.len());
        let server = RawServer::start(Script { take, ..Script::new(bytes, end) }).await;
        let tried = create(&provider(&format!("https://{}/", server.addr), PATIENT)).await;
        assert_eq!(tried.word, Word::Unsent, "{what}: {tried:?}");
        let seen = server.finish().await;
        assert_eq!((seen.complete(), seen.text().contains(super::KEY)), (0, false), "{what}");
    });
}

#[test]
fn p1_a_limit_that_passes_before_the_connection_stands_is_unsent() {
    each(0..50, |round| async move {
        let limits = Limits { connect: Duration::from_micros(round * 4), ..HASTY };
        let server = RawServer::start(Script::silent(Take::Whole, End::Stall)).await;
        let tried = create(&provider(&server.url(), limits)).await;
        let seen = server.finish().await;
        assert!(matches!(tried.word, Word::Unsent | Word::Doubt), "{tried:?}");
        super::assert_honest(&tried, &seen);
    });
}
