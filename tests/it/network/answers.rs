//! Answers that end too early, or are no answers.

use std::time::Duration;

use chatapi::provider::Limits;

use super::{ERROR, GOOD, HASTY, PATIENT, STEADY, Tried, Word, against, answer, chunked, each};
use crate::raw_server::{End, Script, Seen, Take};

/// The three ways in which an answer can stop.
const ENDS: [End; 3] = [End::Fin, End::Reset, End::Stall];

/// Limits for an answer that ends like `end`: short only where silence is the point.
fn limits(end: End) -> Limits {
    if end == End::Stall { HASTY } else { PATIENT }
}

/// What must hold for the answer `whole`, with a body that begins at `head`, cut after `cut` bytes; `meaning` is what it
/// says when it is whole.
fn check(tried: &Tried, seen: &Seen, (whole, head, cut): (&[u8], usize, usize), end: End, meaning: Word) {
    let what = format!("{cut} of {} bytes, {end:?}: {tried:?}", whole.len());
    if end == End::Stall && tried.word == Word::Unsent {
        // The limit passed before anything was sent, as the server confirms.
        assert_eq!(seen.complete(), 0, "{what}");
        return;
    }
    assert!(tried.word == Word::Doubt || tried.word == meaning, "{what}");
    let came = &whole[head..][..cut.saturating_sub(head)];
    assert!(came.starts_with(tried.kept()), "{what}");
    if cut < whole.len() {
        assert_eq!(tried.word, Word::Doubt, "{what}");
        assert!(tried.answer.as_ref().is_none_or(|answer| !answer.complete), "{what}");
    }
    if cut < head {
        assert!(tried.answer.is_none(), "{what}");
    }
    // A reset may overtake what was said before it, and a limit what is still on its way.
    if end == End::Fin {
        assert_eq!((tried.kept(), seen.complete()), (came, 1), "{what}");
        assert!(cut < whole.len() || tried.word == meaning, "{what}");
    }
}

/// Cuts `whole` everywhere.
fn cut_everywhere(whole: &[u8], meaning: Word) -> usize {
    let head = whole.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let cuts = (0..=whole.len()).flat_map(|cut| ENDS.map(|end| (cut, end)));
    each(cuts, |(cut, end)| {
        let whole = whole.to_vec();
        async move {
            let (tried, seen) = against(Script::new(&whole[..cut], end), limits(end)).await;
            check(&tried, &seen, (&whole, head, cut), end, meaning);
        }
    })
}

#[test]
fn p1_p3_the_good_answer_cut_after_every_byte_is_doubt_and_its_part_is_kept() {
    let whole = answer(200, "", GOOD);
    assert_eq!(cut_everywhere(&whole, Word::Created), 3 * (whole.len() + 1));
}

#[test]
fn p3_what_came_before_a_silence_is_kept() {
    let whole = answer(200, "", GOOD);
    let head = whole.len() - GOOD.len();
    each((head..=whole.len()).step_by(11), |cut| {
        let said = whole[..cut].to_vec();
        async move {
            let (tried, seen) = against(Script::new(said, End::Stall), STEADY).await;
            assert_eq!((tried.kept(), seen.complete()), (&GOOD.as_bytes()[..cut - head], 1), "{cut}: {tried:?}");
        }
    });
}

#[test]
fn p1_a_refusal_cut_after_every_byte_is_doubt() {
    for status in [200, 402] {
        let whole = answer(status, "Connection: close\r\n", ERROR);
        assert_eq!(cut_everywhere(&whole, Word::Refused), 3 * (whole.len() + 1));
    }
}

#[test]
fn p1_answers_in_chunks_cut_after_every_byte_are_doubt() {
    for (body, meaning) in [(GOOD, Word::Created), (ERROR, Word::Refused)] {
        let whole = chunked(200, body);
        let cuts = (0..=whole.len()).flat_map(|cut| [End::Fin, End::Reset].map(|end| (cut, end)));
        each(cuts, |(cut, end)| {
            let whole = whole.clone();
            async move {
                let (tried, seen) = against(Script::new(&whole[..cut], end), PATIENT).await;
                let expected = if cut < whole.len() { Word::Doubt } else { meaning };
                assert!(tried.word == expected || end == End::Reset && tried.word == Word::Doubt, "{cut} {end:?}: {tried:?}");
                assert_eq!(seen.complete(), 1);
                assert!(body.as_bytes().starts_with(tried.kept()), "{cut} {end:?}");
            }
        });
    }
}

/// Answers without a length, which end with their connection: a cut body cannot be told from a whole one by its length.
#[test]
fn p1_an_answer_without_a_length_is_never_a_refusal_unless_it_can_be_read() {
    for (body, meaning) in [(GOOD, Word::Created), (ERROR, Word::Refused)] {
        each(0..=body.len(), |cut| async move {
            let whole = format!("HTTP/1.1 200 OK\r\n\r\n{}", &body[..cut]);
            let (tried, _) = against(Script::new(whole, End::Fin), PATIENT).await;
            let expected = if cut < body.len() { Word::Doubt } else { meaning };
            assert_eq!((tried.word, tried.kept()), (expected, &body.as_bytes()[..cut]), "{cut}");
        });
    }
}

/// Answers whose bytes are no plain answer, and what each is worth.
fn oddities() -> Vec<(&'static str, Vec<u8>, Word)> {
    let good = answer(200, "", GOOD);
    let after = |prefix: &str, rest: &[u8]| [prefix.as_bytes(), rest].concat();
    let lines = |count: usize| (0..count).fold(String::new(), |all, at| all + &format!("X-Line-{at}: x\r\n"));
    let padded = |length: usize| format!("{GOOD}{}", " ".repeat(length - GOOD.len()));
    vec![
        ("garbage", b"\x16\x03\x01 this is no HTTP\r\n\r\n".to_vec(), Word::Doubt),
        ("an empty line", after("\r\n", &good), Word::Created),
        ("a body without a head", GOOD.into(), Word::Doubt),
        ("HTTP/1.0", after("HTTP/1.0 200 OK\r\n\r\n", GOOD.as_bytes()), Word::Created),
        ("HTTP/9.9", after("HTTP/9.9 200 OK\r\n\r\n", GOOD.as_bytes()), Word::Doubt),
        ("an HTTP/2 GOAWAY", b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), Word::Doubt),
        ("no status", b"HTTP/1.1 \r\nContent-Length: 0\r\n\r\n".to_vec(), Word::Doubt),
        ("status 99", b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n".to_vec(), Word::Doubt),
        ("status 999", answer(999, "", ERROR), Word::Doubt),
        ("a switch of protocols", answer(101, "Upgrade: x\r\nConnection: upgrade\r\n", ERROR), Word::Doubt),
        ("100, then the answer", after("HTTP/1.1 100 Continue\r\n\r\n", &good), Word::Created),
        ("103, then the answer", after("HTTP/1.1 103 X\r\nLink: x\r\n\r\n", &good), Word::Created),
        ("100 and the end", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Word::Doubt),
        ("two lengths", answer(200, "Content-Length: 5\r\n", GOOD), Word::Doubt),
        ("two lengths in a line", b"HTTP/1.1 200 X\r\nContent-Length: 5, 6\r\n\r\nhello".to_vec(), Word::Doubt),
        ("a negative length", b"HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n".to_vec(), Word::Doubt),
        ("a length beyond all numbers", b"HTTP/1.1 400 X\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(), Word::Doubt),
        ("a length too long", after("HTTP/1.1 400 X\r\nContent-Length: 999\r\n\r\n", ERROR.as_bytes()), Word::Doubt),
        ("a length too short", after("HTTP/1.1 200 X\r\nContent-Length: 30\r\n\r\n", GOOD.as_bytes()), Word::Doubt),
        ("a broken chunk", b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(), Word::Doubt),
        ("an unknown coding", after("HTTP/1.1 200 X\r\nTransfer-Encoding: x\r\n\r\n", b"abc"), Word::Doubt),
        ("compressed, it says", answer(200, "Content-Encoding: gzip\r\n", GOOD), Word::Doubt),
        ("a compressed refusal", answer(400, "Content-Encoding: gzip\r\n", ERROR), Word::Doubt),
        ("not compressed, it says", answer(200, "Content-Encoding: identity\r\n", GOOD), Word::Created),
        ("too many lines", answer(400, &lines(200), ERROR), Word::Doubt),
        ("a line of 1 MiB", answer(400, &format!("X: {}\r\n", "x".repeat(1_048_576)), ERROR), Word::Doubt),
        ("1 MiB", answer(200, "", &padded(1_048_576)), Word::Created),
        ("1 MiB and a byte", answer(200, "", &padded(1_048_577)), Word::Doubt),
        ("a refusal of 1 MiB and a byte", answer(400, "", &"x".repeat(1_048_577)), Word::Doubt),
        ("a byte order mark", answer(200, "", &format!("\u{feff}{GOOD}")), Word::Doubt),
    ]
}

#[test]
fn p1_p13_what_is_no_plain_answer_is_doubt_and_bounded() {
    each(oddities(), |(what, bytes, expected)| async move {
        let (tried, seen) = against(Script::new(bytes, End::Fin), PATIENT).await;
        assert_eq!((tried.word, seen.complete()), (expected, 1), "{what}: {tried:?}");
        assert!(tried.kept().len() <= 1_048_576, "{what}");
    });
}

#[test]
fn p1_silence_after_an_interim_answer_is_doubt() {
    let interim = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"];
    each(interim, |line| async move {
        let (tried, _) = against(Script::new(line.repeat(3), End::Stall), STEADY).await;
        assert_eq!(tried.word, Word::Doubt, "{line}: {tried:?}");
    });
}

/// The limit is for the whole answer, so a byte now and then does not extend it.
#[test]
fn p13_a_slow_drip_is_cut_at_the_limit_and_what_dripped_is_kept() {
    each([(30, STEADY, Word::Doubt), (1, PATIENT, Word::Created)], |(pause, limits, expected)| {
        let script = Script { pace: Some(Duration::from_millis(pause)), ..Script::new(answer(200, "", GOOD), End::Fin) };
        async move {
            let (tried, _) = against(script, limits).await;
            assert_eq!(tried.word, expected, "{tried:?}");
            assert!(GOOD.as_bytes().starts_with(tried.kept()));
        }
    });
}

/// A server that answers without reading the body, and reads on: what it says still counts, and nothing is sent twice.
#[test]
fn p1_an_answer_before_the_body_is_never_worse_than_the_truth() {
    let early = [
        (answer(200, "", GOOD), [Word::Created, Word::Unsent]),
        (answer(401, "", ERROR), [Word::Refused, Word::Unsent]),
        (answer(413, "Connection: close\r\n", ERROR), [Word::Refused, Word::Unsent]),
        (answer(408, "Connection: close\r\n", ""), [Word::Doubt, Word::Unsent]),
        (answer(503, "", ""), [Word::Doubt, Word::Unsent]),
    ];
    let cases = early.into_iter().flat_map(|case| [(case.clone(), End::Fin), (case, End::Reset)]);
    each(cases, |((bytes, words), end)| async move {
        for take in [Take::Nothing, Take::Head] {
            let (tried, _) = against(Script { take, ..Script::new(bytes.clone(), end) }, PATIENT).await;
            let may = words.contains(&tried.word) || tried.word == Word::Doubt;
            assert!(may, "{take:?} {end:?}: {tried:?}");
        }
    });
}
