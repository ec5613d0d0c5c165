//! Listings, whose address carries the key: what is none, what is odd, and what no error shows.

use std::fmt::Write as _;
use std::time::Duration;

use chatapi::listing::Listing;
use chatapi::provider::{Limits, ListError, Provider as _};

use super::child::list_in_child;
use super::{HASTY, KEY, PATIENT, TOKEN, answer, assert_silent, chunked, each, provider, runtime};
use crate::raw_server::{End, RawServer, Script, Take};

/// The listing that `script` gives. Its error, if there is one, shows no secret; one request is sent, or none.
async fn list(script: Script, limits: Limits) -> Result<Listing, ListError> {
    let server = RawServer::start(script).await;
    let listing = provider(&server.url(), limits).list().await;
    if let Err(error) = &listing {
        assert_silent(&format!("{error} {error:?} {error:#?}"));
    }
    let seen = server.finish().await;
    assert!(seen.complete() <= 1 && seen.connections.len() <= 1);
    listing
}

/// How many instances and odd items a listing has; none: it is no listing.
type Counts = Option<(usize, usize)>;

/// `count` items with all their members.
fn items(count: usize) -> String {
    let mut text = String::new();
    for id in 0..count {
        let comma = if id == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"id":"{id}","name":"","type":"whatsapp","apiUrl":"https://h.example/instance{id}/","stopped":false,"paidTill":1700000000000,"paymentsCount":1}}"#
        )
        .unwrap();
    }
    text
}

#[test]
fn p5_a_listing_that_is_cut_is_none() {
    for whole in [answer(200, "", &format!(r#"{{"result":[{}]}}"#, items(12))), chunked(200, r#"{"result":[{"id":"1"}]}"#)] {
        let ends = [End::Fin, End::Reset, End::Stall];
        let cuts = (0..whole.len()).step_by(32).chain([whole.len() - 1]).flat_map(|cut| ends.map(|end| (cut, end)));
        each(cuts, |(cut, end)| {
            let script = Script::new(&whole[..cut], end);
            async move {
                let limits = if end == End::Stall { Limits { connect: HASTY.answer, ..HASTY } } else { PATIENT };
                assert!(list(script, limits).await.is_err(), "{cut} {end:?}");
            }
        });
    }
}

#[test]
fn p5_a_listing_is_read_tolerantly_and_only_if_it_is_one() {
    let rows: Vec<(u16, &str, Counts)> = vec![
        (200, r#"{"result":[]}"#, Some((0, 0))),
        (200, r#"{"result":null}"#, Some((0, 0))),
        (200, "{}", None),
        (200, r#"{"result":[{"id":"1"}],"next":"p2","total":9,"page":{"of":3},"hasMore":true}"#, Some((1, 0))),
        (200, r#"{"result":[{"id":"1","more":{"a":[1]}},{"id":2},{"id":"2"},{"id":-1},7,null,[],"x",{}]}"#, Some((2, 7))),
        (200, r#"{"result":{"1":{},"2":{"type":"Telegram"}}}"#, Some((2, 0))),
        (200, r#"{"error":null,"result":[{"id":"1"}]}"#, Some((1, 0))),
        (200, r#"{"error":"no","result":[{"id":"1"}]}"#, None),
        (200, r#"{"result":"none"}"#, None),
        (200, r#"{"result":[{"id":"1"}]"#, None),
        (200, r#"{"result":[],"result":[{"id":"1"}]}"#, None),
        (200, r#"[{"id":"1"}]"#, None),
        (200, "", None),
        (200, "<html>", None),
        (201, r#"{"result":[]}"#, None),
        (206, r#"{"result":[]}"#, None),
        (302, r#"{"result":[]}"#, None),
        (404, r#"{"result":[]}"#, None),
        (429, r#"{"result":[]}"#, None),
        (500, r#"{"result":[]}"#, None),
    ];
    each(rows, |(status, body, expected)| async move {
        let script = Script::new(answer(status, "", body), End::Fin);
        let found = list(script, PATIENT).await.ok().map(|listing| (listing.instances.len(), listing.odd_items));
        assert_eq!(found, expected, "{status} {body}");
    });
}

#[test]
fn p11_no_error_of_a_listing_shows_the_key() {
    let echo = |status: u16| answer(status, "", &format!(r#"{{"error":"no such account: {KEY}"}}"#));
    let location = format!("Location: /elsewhere?uid={KEY}\r\n");
    let scripts = vec![
        Script::silent(Take::Nothing, End::Fin),
        Script::silent(Take::Nothing, End::Reset),
        Script::silent(Take::Bytes(40), End::Reset),
        Script::silent(Take::Whole, End::Reset),
        Script::new("garbage\r\n\r\n", End::Fin),
        Script::new(format!("HTTP/1.1 200 X\r\nContent-Length: {KEY}\r\n\r\n"), End::Fin),
        Script::new(answer(307, &location, ""), End::Fin),
        Script::new(answer(200, "Content-Encoding: br\r\n", r#"{"result":[]}"#), End::Fin),
        Script::new(echo(200), End::Fin),
        Script::new(echo(401), End::Fin),
        Script::new(answer(500, "", TOKEN), End::Fin),
    ];
    each(scripts, |script| async move {
        assert!(list(script.clone(), PATIENT).await.is_err(), "{script:?}");
    });
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    for url in [format!("http://{nobody}/"), format!("https://{nobody}/"), "https://name.invalid/".to_owned()] {
        let limits = Limits { connect: Duration::from_millis(500), ..PATIENT };
        let error = runtime().block_on(provider(&url, limits).list()).unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
    }
}

#[test]
fn p11_no_error_of_a_create_or_delete_shows_a_key_that_the_server_repeats() {
    let said = answer(200, "", &format!(r#"{{"error":"no such account: {KEY}"}}"#));
    runtime().block_on(async {
        let server = RawServer::start(Script::new(said, End::Fin)).await;
        let secret = chatapi::secret::Secret::new(KEY.to_owned());
        let client = chatapi::Client::builder(server.url(), secret).build().unwrap();
        let error = client.create_instance(chatapi::instance::InstanceType::WhatsApp).await.unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
        let id = chatapi::instance::InstanceId::parse("7").unwrap();
        let error = client.delete_instance(&id).await.unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
        assert_eq!(server.finish().await.complete(), 2);
    });
}

/// `count` instances in as few bytes as possible, each followed by a comma.
fn tiny(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, id| {
        write!(text, r#"{{"id":{id}}},"#).unwrap();
        text
    })
}

/// What a listing with this body comes to in a process of its own: instances, odd items and the peak of memory in MiB.
fn measured(body: &str) -> (usize, usize, usize) {
    let runtime = runtime();
    let server = runtime.block_on(RawServer::start(Script::new(answer(200, "", body), End::Fin)));
    let result = list_in_child(&server.url());
    let numbers: Vec<usize> = result.split(' ').map(|number| number.parse().unwrap()).collect();
    runtime.block_on(server.finish());
    (numbers[0], numbers[1], numbers[2] / 1_024)
}

#[test]
fn p13_a_listing_of_any_size_needs_bounded_memory() {
    const MIB: usize = 1_024 * 1_024;
    let long = format!(r#"{{"result":[{}"#, " ".repeat(33 * MIB));
    let rows = [
        ("100,000 instances", format!(r#"{{"result":[{}]}}"#, items(100_000)), (100_000, 0)),
        ("very many numbers", format!(r#"{{"result":[1{}]}}"#, ",1".repeat(15 * MIB)), (0, 15 * MIB + 1)),
        ("very many arrays", format!(r#"{{"result":[{}[]]}}"#, "[],".repeat(10 * MIB)), (0, 10 * MIB + 1)),
        ("one very long item", format!(r#"{{"result":[[1{}]]}}"#, ",1".repeat(15 * MIB)), (0, 1)),
        ("a very long error", format!(r#"{{"error":[1{}]}}"#, ",1".repeat(15 * MIB)), (0, 0)),
        ("too many instances", format!(r#"{{"result":[{}0]}}"#, tiny(2_000_000)), (0, 0)),
        ("too long", long, (0, 0)),
    ];
    for (what, body, expected) in rows {
        let (instances, odd, peak) = measured(&body);
        assert_eq!((instances, odd), expected, "{what}");
        assert!(peak <= 256, "{what}: {peak} MiB");
    }
}
