//! Requests that are read in part.

use std::time::Duration;

use chatapi::provider::{Limits, Provider as _};

use super::{
    BODY, GOOD, KEY, PATIENT, STEADY, Tried, Word, against, answer, assert_honest, create, each, provider, request, runtime,
};
use crate::raw_server::{End, RawServer, Script, Take};

/// The bytes of one create, with another port.
async fn whole_request() -> Vec<u8> {
    let (tried, seen) = against(Script::new(answer(200, "", GOOD), End::Fin), PATIENT).await;
    assert_eq!(tried.word, Word::Created);
    seen.connections.into_iter().next().unwrap()
}

#[test]
fn p1_a_request_read_in_part_is_doubt_or_provably_unsent() {
    let whole = runtime().block_on(whole_request());
    let head = whole.len() - BODY.len();
    let near = (head - 24..head + 24).chain(whole.len() - 24..=whole.len());
    let points: std::collections::BTreeSet<usize> = (0..=whole.len()).step_by(16).chain(near).collect();
    let cases = points.into_iter().flat_map(|count| [End::Fin, End::Reset].map(|end| (count, end)));
    let length = whole.len();
    each(cases, |(count, end)| async move {
        let (tried, seen) = against(Script::silent(Take::Bytes(count), end), PATIENT).await;
        assert!(matches!(tried.word, Word::Doubt | Word::Unsent), "{count} {end:?}: {tried:?}");
        if count == length {
            assert_eq!((tried.word, seen.complete()), (Word::Doubt, 1), "{end:?}");
        }
    });
}

/// The body is let go in the very moment in which the server ends the connection: whoever wins, the client knows the truth.
#[test]
fn p1_a_close_that_races_with_the_body_is_told_apart_from_one_that_does_not() {
    let ends = [End::Fin, End::Reset];
    let cases = (0..400).map(|round| (ends[round % 2], [Take::Nothing, Take::Head][round / 2 % 2]));
    each(cases, |(end, take)| async move {
        let (tried, _) = against(Script::silent(take, end), PATIENT).await;
        assert!(matches!(tried.word, Word::Doubt | Word::Unsent), "{take:?} {end:?}: {tried:?}");
    });
}

/// The client gives up in the very moment in which it lets the body go. A task that still sends would be seen: the server
/// reads until the client has left.
#[test]
fn p1_a_limit_that_races_with_the_body_never_calls_a_sent_request_unsent() {
    let cases = (0..400).map(|round| Duration::from_micros(round * 5));
    each(cases, |limit| async move {
        let limits = Limits { answer: limit, ..PATIENT };
        let (tried, _) = against(Script::silent(Take::Whole, End::Stall), limits).await;
        assert!(matches!(tried.word, Word::Doubt | Word::Unsent), "{limit:?}: {tried:?}");
    });
}

/// The same on a single thread, where the connection makes progress only while the client waits: nothing is sent by what runs
/// afterwards.
#[test]
fn p1_on_one_thread_nothing_is_sent_after_unsent_was_said() {
    let servers = runtime();
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..100 {
        let limits = Limits { answer: Duration::from_micros(round % 20), ..PATIENT };
        let server = servers.block_on(RawServer::start(Script::silent(Take::Whole, End::Stall)));
        let provider = provider(&server.url(), limits);
        let tried = client.block_on(create(&provider));
        client.block_on(async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
        drop(provider);
        // The client's connection is closed only by its own runtime.
        let seen = client.block_on(server.finish());
        assert_honest(&tried, &seen);
    }
}

#[test]
fn p1_a_future_that_is_dropped_half_way_sends_at_most_one_request() {
    each(0..200, |round| async move {
        let server = RawServer::start(Script::silent(Take::Whole, End::Stall)).await;
        let provider = provider(&server.url(), PATIENT);
        let patience = Duration::from_micros(round * 10);
        let gave_up = tokio::time::timeout(patience, create(&provider)).await;
        assert!(gave_up.is_err(), "there is no answer");
        assert!(server.finish().await.complete() <= 1);
    });
}

#[test]
fn p1_silence_is_doubt_once_the_request_is_out() {
    let (tried, seen) = runtime().block_on(against(Script::silent(Take::Whole, End::Stall), STEADY));
    assert_eq!((tried.word, seen.complete()), (Word::Doubt, 1), "{tried:?}");
    assert!(seen.text().contains(KEY), "the key is in the body");
}

/// A connection that the server closed while the permit was awaited is known to be closed: nothing is sent into it.
#[test]
fn p1_a_server_that_leaves_before_the_permit_gets_nothing() {
    each((0..20).flat_map(|_| [End::Fin, End::Reset]), |end| async move {
        let server = RawServer::start(Script::silent(Take::Head, end)).await;
        let provider = provider(&server.url(), PATIENT);
        let Ok(ready) = provider.connect(request()).await else {
            assert_eq!(server.finish().await.complete(), 0);
            return;
        };
        server.until(crate::raw_server::Seen::has_head).await;
        let tried = Tried::of(ready.send().await);
        assert!(matches!(tried.word, Word::Doubt | Word::Unsent), "{end:?}: {tried:?}");
        assert_honest(&tried, &server.finish().await);
    });
}

/// The limit passes after the permit was given and before the connection had its turn: it is unsent, and stays so although the
/// permit is there when the turn comes. The one thread is kept busy in between, and looks at its clock after each task.
#[test]
fn p1_a_permit_that_comes_too_late_lets_nothing_out() {
    let servers = runtime();
    let client = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build().unwrap();
    for _ in 0..20 {
        let server = servers.block_on(RawServer::start(Script::silent(Take::Whole, End::Stall)));
        let provider = provider(&server.url(), Limits { answer: Duration::from_micros(1), ..PATIENT });
        let tried = client.block_on(async {
            let ready = provider.connect(request()).await.unwrap();
            for _ in 0..10 {
                tokio::spawn(async { busy(Duration::from_millis(3)) });
            }
            Tried::of(ready.send().await)
        });
        assert_eq!(tried.word, Word::Unsent, "{tried:?}");
        let seen = client.block_on(server.finish());
        assert_eq!((seen.complete(), seen.text().contains(KEY)), (0, false));
    }
}

/// Lets no other task of its thread run for so long.
fn busy(time: Duration) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}
