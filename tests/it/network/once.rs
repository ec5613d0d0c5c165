//! Nothing is sent a second time, and nowhere else.

use super::{ERROR, GOOD, PATIENT, Word, against, answer, create, each, provider, runtime};
use crate::raw_server::{End, RawServer, Script};

#[test]
fn p1_t5_no_redirect_is_followed() {
    let cases = [301, 302, 303, 307, 308].into_iter().flat_map(|status| [End::Fin, End::Again].map(|end| (status, end)));
    each(cases, |(status, end)| async move {
        let other = RawServer::start(Script::new(answer(200, "", GOOD), End::Fin)).await;
        for target in [format!("Location: {}newInstance\r\n", other.url()), "Location: /newInstance\r\n".to_owned()] {
            let (tried, seen) = against(Script::new(answer(status, &target, ""), end), PATIENT).await;
            let expected = if status >= 307 { Word::Refused } else { Word::Doubt };
            assert_eq!((tried.word, seen.complete()), (expected, 1), "{status}: {tried:?}");
        }
        assert_eq!(other.finish().await.connections.len(), 0, "{status}: the other server heard something");
    });
}

#[test]
fn p1_answers_that_invite_another_try_get_none() {
    let lines = ["", "Connection: close\r\n", "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n", "Retry-After: 0\r\n"];
    let statuses = [200, 401, 407, 408, 409, 421, 425, 429, 500, 502, 503, 504];
    let cases = statuses.into_iter().flat_map(|status| lines.map(|line| (status, line)));
    let cases = cases.flat_map(|case| [End::Fin, End::Reset, End::Again].map(|end| (case, end)));
    each(cases, |((status, line), end)| async move {
        let (tried, seen) = against(Script::new(answer(status, line, ERROR), end), PATIENT).await;
        assert_eq!((seen.complete(), seen.connections.len()), (1, 1), "{status} {line} {end:?}: {tried:?}");
    });
}

/// A kept connection is where libraries send a second time: the server closes it while the next request is on its way.
#[test]
fn p1_each_create_has_a_connection_of_its_own() {
    let seen = runtime().block_on(async {
        let server = RawServer::start(Script::new(answer(200, "Connection: keep-alive\r\n", GOOD), End::Again)).await;
        let provider = provider(&server.url(), PATIENT);
        for _ in 0..200 {
            assert_eq!(create(&provider).await.word, Word::Created);
        }
        server.finish().await
    });
    assert_eq!((seen.connections.len(), seen.complete()), (200, 200));
}

/// Many at a time, through one client, against a server that resets every connection after its answer.
#[test]
fn p1_parallel_creates_are_as_many_as_were_asked_for() {
    for end in [End::Fin, End::Reset, End::Again] {
        let seen = runtime().block_on(async {
            let server = RawServer::start(Script::new(answer(200, "", GOOD), end)).await;
            let provider = provider(&server.url(), PATIENT);
            let mut creates = tokio::task::JoinSet::new();
            let provider = std::sync::Arc::new(provider);
            for _ in 0..64 {
                let provider = std::sync::Arc::clone(&provider);
                creates.spawn(async move { create(&provider).await });
            }
            while let Some(tried) = creates.join_next().await {
                assert!(matches!(tried.unwrap().word, Word::Created | Word::Doubt));
            }
            server.finish().await
        });
        assert_eq!((seen.connections.len(), seen.complete()), (64, 64), "{end:?}");
    }
}
