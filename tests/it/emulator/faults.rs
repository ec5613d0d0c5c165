//! Each fault, observed on the wire.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chatapi::emulator::{EmulatorConfig, parse_latency};

use super::{End, Gateway, body_of, config, create, eventually, list, plan};
use crate::stage::BOUND;

/// Sends one create to an emulator with one rule: the answer, the end, and how many instances there are then.
fn create_under(fault: &str) -> (String, End, usize) {
    let gateway = Gateway::start(&[&format!("create={fault}")]);
    let (answer, end) = gateway.send(&create());
    (answer, end, gateway.created())
}

#[test]
fn faults_without_an_answer() {
    for (fault, end, created) in [
        ("drop-before", End::Closed, 0),
        ("drop-after", End::Closed, 1),
        ("reset-before", End::Reset, 0),
        ("reset-after", End::Reset, 1),
        ("truncate:0", End::Closed, 1),
        ("truncate-reset:0", End::Reset, 1),
    ] {
        assert_eq!(create_under(fault), (String::new(), end, created), "{fault}");
    }
}

#[test]
fn stalls_are_silent_until_the_emulator_stops() {
    for (fault, created, expected) in [("stall", 1, ""), ("stall-before", 0, ""), ("truncate-stall:15", 1, "HTTP/1.1 200 OK")] {
        let gateway = Gateway::start(&[&format!("create={fault}")]);
        let mut stream = TcpStream::connect(gateway.addr()).unwrap();
        stream.write_all(create().as_bytes()).unwrap();
        eventually(|| gateway.emulator().requests().len() == 1 && gateway.created() == created);
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), expected, "{fault}");
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let silence = stream.read(&mut [0; 16]).unwrap_err();
        assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{fault}: {silence}");
        assert!(gateway.shutdown() < Duration::from_secs(1), "{fault}: a stall is told to stop");
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "{fault}");
    }
}

#[test]
fn faults_with_another_answer() {
    for (fault, start, body, created) in [
        ("refuse:no money", "HTTP/1.1 200 OK", r#"{"error":"no money"}"#, 0),
        ("status-before:503", "HTTP/1.1 503 ", "<html><body><h1>503</h1></body></html>\n", 0),
        ("status-after:502", "HTTP/1.1 502 ", "<html><body><h1>502</h1></body></html>\n", 1),
        ("too-many:7", "HTTP/1.1 429 ", "<html><body><h1>429</h1></body></html>\n", 0),
        ("exists", "HTTP/1.1 200 OK", r#"{"result":{"status":"exists"}}"#, 0),
    ] {
        let (answer, end, made) = create_under(fault);
        assert!(answer.starts_with(start), "{fault}: {answer}");
        assert_eq!((body_of(&answer), end, made), (body, End::Closed, created), "{fault}");
        assert_eq!(answer.contains("retry-after: 7\r\n"), fault == "too-many:7", "{answer}");
    }
    let (answer, _, made) = create_under("no-token");
    assert!(answer.contains(r#""status":"created""#) && !answer.contains("token") && made == 1, "{answer}");
    let (answer, end, made) = create_under("garbage");
    assert!(answer.contains("this is no HTTP") && !answer.contains("HTTP/1.1"), "{answer}");
    assert_eq!((end, made), (End::Closed, 1));
}

/// One emulator whose n-th create is cut after n - 1 bytes, for every length up to one more than the answer has.
fn cut_everywhere(fault: &str) -> Vec<(String, End)> {
    let whole = Gateway::start(&[]).send(&create()).0;
    let rules: Vec<String> = (0..=whole.len() + 1).map(|bytes| format!("create:nth={}={fault}:{bytes}", bytes + 1)).collect();
    let gateway = Gateway::start(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let answers: Vec<_> = rules.iter().map(|_| gateway.send(&create())).collect();
    assert_eq!(gateway.created(), rules.len());
    answers
}

#[test]
fn an_answer_is_cut_after_every_byte() {
    let answers = cut_everywhere("truncate");
    let whole = answers.len() - 2;
    for (bytes, (answer, end)) in answers.iter().enumerate() {
        assert_eq!((answer.len(), end), (bytes.min(whole), &End::Closed), "{bytes}");
    }
}

#[test]
fn an_answer_is_reset_after_every_byte() {
    let answers = cut_everywhere("truncate-reset");
    let whole = answers.len() - 2;
    for (bytes, (answer, end)) in answers.iter().enumerate() {
        let expected = if bytes < whole { End::Reset } else { End::Closed };
        // A reset may overtake bytes that were sent before it.
        assert!(answer.len() <= bytes && *end == expected, "{bytes}: {} {end:?}", answer.len());
    }
}

#[test]
fn listings_lag_and_can_be_empty() {
    let gateway = Gateway::start(&["list:nth=2=empty-list", "list:nth=3=lag:1ms"]);
    gateway.body(&create());
    let answers: Vec<bool> = (0..4).map(|_| gateway.body(&list()).contains("100001")).collect();
    assert_eq!(answers, [true, false, false, true]);
}

#[test]
fn delays_and_latency_take_their_time() {
    let gateway =
        Gateway::with(EmulatorConfig { faults: plan(&["any=delay:60ms"]), latency: parse_latency("60ms").unwrap(), ..config() });
    let timed = |request: &str| {
        let begun = Instant::now();
        gateway.body(request);
        begun.elapsed()
    };
    assert!(timed(&create()) >= Duration::from_millis(120));
    assert!(timed(&list()) >= Duration::from_millis(60));
}

#[test]
fn a_fault_ends_with_its_request_on_a_kept_connection() {
    let gateway = Gateway::start(&["create:nth=1=truncate:100000"]);
    let mut stream = TcpStream::connect(gateway.addr()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let kept = create().replace("Connection: close\r\n", "");
    stream.write_all(kept.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    assert!(stream.read(&mut buffer).unwrap() > 0);
    stream.write_all(create().as_bytes()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK") && rest.contains("100002"), "{rest}");
}

#[test]
fn a_client_that_gives_up_prevents_nothing() {
    let gateway = Gateway::start(&["create=delay:100ms"]);
    let mut stream = TcpStream::connect(gateway.addr()).unwrap();
    stream.write_all(create().as_bytes()).unwrap();
    eventually(|| gateway.emulator().requests().len() == 1);
    drop(stream);
    eventually(|| gateway.created() == 1);
}
