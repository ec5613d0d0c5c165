//! The emulator on the wire, seen by a client that knows nothing but TCP.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::stage::BOUND;
use chatapi::emulator::{
    Clock, Emulator, EmulatorConfig, EmulatorError, FaultPlan, LEDGER_FILE, LedgerError, LedgerOp, read_ledger,
};
use tokio::runtime::Runtime;

mod faults;

const NOW: i64 = 1_700_000_000_000;

/// An emulator and the runtime that it lives in.
struct Gateway {
    emulator: Option<Emulator>,
    runtime: Runtime,
}

/// How a connection ended, seen from the client.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

impl Gateway {
    fn start(rules: &[&str]) -> Self {
        Self::with(EmulatorConfig { faults: plan(rules), ..config() })
    }

    fn with(config: EmulatorConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let emulator = Some(runtime.block_on(Emulator::start(config)).unwrap());
        Self { emulator, runtime }
    }

    fn emulator(&self) -> &Emulator {
        self.emulator.as_ref().unwrap()
    }

    fn addr(&self) -> SocketAddr {
        self.emulator().addr()
    }

    fn shutdown(mut self) -> Duration {
        let begun = Instant::now();
        self.runtime.block_on(self.emulator.take().unwrap().shutdown());
        begun.elapsed()
    }

    /// The whole answer to `request` on a connection of its own, and how the connection ended.
    fn send(&self, request: &str) -> (String, End) {
        exchange(self.addr(), request.as_bytes())
    }

    /// The body of an answer that must be whole.
    fn body(&self, request: &str) -> String {
        let (answer, end) = self.send(request);
        assert_eq!(end, End::Closed, "{answer}");
        body_of(&answer).to_owned()
    }

    fn created(&self) -> usize {
        self.emulator().ledger().iter().filter(|entry| entry.op == LedgerOp::Created).count()
    }
}

fn config() -> EmulatorConfig {
    EmulatorConfig { clock: Clock::Fixed(NOW), ..EmulatorConfig::default() }
}

fn plan(rules: &[&str]) -> FaultPlan {
    FaultPlan::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
}

fn exchange(addr: SocketAddr, request: &[u8]) -> (String, End) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break End::Closed,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Err(error) => panic!("{error}"),
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), end)
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer with a head").1
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn post(target: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: attempt-7\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn create() -> String {
    post("/newInstance", "application/json", r#"{"uid":"k","type":"whatsapp"}"#)
}

fn list() -> String {
    get("/listInstances?uid=k")
}

fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold");
        std::thread::yield_now();
    }
}

/// The text of `field` in a body.
fn field<'a>(body: &'a str, field: &str) -> &'a str {
    let (_, rest) = body.split_once(&format!(r#""{field}":""#)).unwrap_or_else(|| panic!("no {field} in {body}"));
    rest.split_once('"').unwrap().0
}

#[test]
fn each_encoding_creates_and_the_answer_is_strict() {
    let gateway = Gateway::start(&[]);
    let form = "application/x-www-form-urlencoded";
    let requests = [
        create(),
        post("/newInstance", "application/json; charset=utf-8", r#"{"uid":"k","type":"WhatsApp"}"#),
        post("/newInstance", form, "uid=k&type=whatsapp"),
        post("//newInstance?uid=k&type=whatsapp", "application/json", ""),
        get("/newInstance?uid=k&type=WHATSAPP"),
    ];
    for (index, request) in requests.iter().enumerate() {
        let (answer, _) = gateway.send(request);
        let body = body_of(&answer);
        let id = (100_001 + index).to_string();
        let base = gateway.emulator().base_url();
        let token = field(body, "token");
        let golden = format!(
            r#"{{"result":{{"status":"created","instance":{{"id":"{id}","apiUrl":"{base}instance{id}/","token":"{token}"}}}}}}"#
        );
        assert_eq!(body, golden);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/json; charset=utf-8\r\n"), "{answer}");
        assert!(answer.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    }
    assert_eq!(gateway.created(), requests.len());
}

#[test]
fn the_list_shows_no_token_and_a_delete_removes() {
    let gateway = Gateway::start(&[]);
    let token = field(&gateway.body(&create()), "token").to_owned();
    gateway.body(&create());
    let listed = gateway.body(&list());
    assert!(listed.contains("100001") && listed.contains("100002") && !listed.contains(&token), "{listed}");
    let delete = post("/deleteInstance", "application/json", r#"{"uid":"k","instanceId":"100001"}"#);
    assert_eq!(gateway.body(&delete), r#"{"result":"deleted"}"#);
    let listed = gateway.body(&list());
    assert!(!listed.contains("100001") && listed.contains("100002"), "{listed}");
    let entries = gateway.emulator().ledger();
    assert_eq!(
        entries.iter().map(|entry| entry.op).collect::<Vec<_>>(),
        [LedgerOp::Created, LedgerOp::Created, LedgerOp::Deleted]
    );
    assert!(entries.iter().all(|entry| entry.request_id.as_deref() == Some("attempt-7")));
}

#[test]
fn an_instance_answers_under_its_address_to_its_token_only() {
    let gateway = Gateway::start(&[]);
    let created = gateway.body(&create());
    let address = field(&created, "apiUrl").strip_prefix(&gateway.emulator().base_url()).unwrap().to_owned();
    let token = field(&created, "token");
    let status = gateway.body(&get(&format!("/{address}status?token={token}")));
    assert!(status.starts_with(r#"{"accountStatus":"got qr code","qrCode":"#), "{status}");
    let (answer, _) = gateway.send(&get(&format!("/{address}status?token=wrong")));
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with(r#"{"error":"wrong token"}"#), "{answer}");
}

#[test]
fn what_is_unknown_is_404_and_what_is_too_long_413() {
    let gateway = Gateway::start(&[]);
    for request in [get("/"), get("/instances"), "PUT /newInstance HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()] {
        let (answer, _) = gateway.send(&request);
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with(r#"{"error":"no such function"}"#), "{answer}");
    }
    let long = "POST /newInstance HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n";
    let mut stream = TcpStream::connect(gateway.addr()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(long.as_bytes()).unwrap();
    stream.write_all(&vec![b' '; 1_048_577]).unwrap();
    let mut head = [0; 40];
    stream.read_exact(&mut head).unwrap();
    assert!(head.windows(12).any(|window| window == b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&head));
}

#[test]
fn the_same_seed_and_requests_give_the_same_bytes_and_faults() {
    let run = |seed| {
        let rules = ["create:p=0.3=drop-after", "create:p=0.2=status-after:502", "list:p=0.5=empty-list"];
        let gateway = Gateway::with(EmulatorConfig { seed, faults: plan(&rules), ..config() });
        let port = format!(":{}/", gateway.addr().port());
        let mut said = Vec::new();
        for _ in 0..20 {
            said.extend([gateway.send(&create()), gateway.send(&list())].map(|(answer, _)| body_free_of(&port, &answer)));
        }
        let rules: Vec<_> = gateway.emulator().requests().into_iter().map(|seen| seen.rule).collect();
        (said, rules)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// The answer with the port, which the system chose, and the length, which counts its digits, taken out.
fn body_free_of(port: &str, answer: &str) -> String {
    answer.replace(port, ":PORT/").lines().filter(|line| !line.starts_with("content-length")).collect()
}

#[test]
fn instances_outlive_the_emulator_and_keep_their_address() {
    let place = tempfile::tempdir().unwrap();
    let data = Some(place.path().join("gateway"));
    let first = Gateway::with(EmulatorConfig { data: data.clone(), ..config() });
    let created = first.body(&create());
    first.body(&create());
    first.body(&get("/deleteInstance?uid=k&instanceId=100002"));
    first.shutdown();
    tear(&place.path().join("gateway").join(LEDGER_FILE));

    let second = Gateway::with(EmulatorConfig { data, ..config() });
    let listed = second.body(&list());
    assert!(listed.contains(field(&created, "apiUrl")) && !listed.contains("100002"), "{listed}");
    let status = get(&format!("/instance100001/status?token={}", field(&created, "token")));
    assert!(second.body(&status).contains("got qr code"));
    assert_eq!(field(&second.body(&create()), "id"), "100003");
    let written = read_ledger(&place.path().join("gateway").join(LEDGER_FILE)).unwrap();
    assert_eq!((written.len(), written), (4, second.emulator().ledger()));
}

/// What a kill in the middle of a write leaves.
fn tear(ledger: &Path) {
    let mut file = std::fs::File::options().append(true).open(ledger).unwrap();
    file.write_all(br#"{"seq":4,"at":"#).unwrap();
}

#[test]
fn concurrent_creates_get_ids_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let gateway = Gateway::with(EmulatorConfig { data: Some(place.path().to_owned()), ..config() });
    let addr = gateway.addr();
    let worker = || (0..25).map(|_| field(&exchange(addr, create().as_bytes()).0, "id").to_owned()).collect::<Vec<_>>();
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), gateway.created()), (200, 200));
    assert_eq!(read_ledger(&place.path().join(LEDGER_FILE)).unwrap().len(), 200);
}

#[test]
fn a_half_request_does_nothing() {
    let gateway = Gateway::start(&[]);
    let request = create();
    for cut in [1, 20, request.len() - 1] {
        let mut stream = TcpStream::connect(gateway.addr()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!((gateway.created(), gateway.emulator().requests().len()), (0, 0));
}

#[test]
fn only_loopback_is_listened_on() {
    let runtime = Runtime::new().unwrap();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = runtime.block_on(Emulator::start(EmulatorConfig { listen, ..config() })).unwrap_err();
    assert!(matches!(error, EmulatorError::NotLoopback { .. }));
    assert_eq!(error.to_string(), "the emulator listens on loopback only, not on `0.0.0.0:0`");
}

#[test]
fn a_dropped_emulator_no_longer_listens() {
    let mut gateway = Gateway::start(&[]);
    let addr = gateway.addr();
    drop(gateway.emulator.take());
    eventually(|| TcpStream::connect(addr).is_err());
}

#[test]
fn dropped_data_is_free_at_once_and_used_data_is_not() {
    let place = tempfile::tempdir().unwrap();
    let config = || EmulatorConfig { data: Some(place.path().to_owned()), ..config() };
    let mut gateway = Gateway::with(config());
    gateway.body(&create());
    let second = gateway.runtime.block_on(Emulator::start(config()));
    assert!(matches!(second, Err(EmulatorError::Ledger(LedgerError::InUse { .. }))));
    drop(gateway.emulator.take());
    gateway.emulator = Some(gateway.runtime.block_on(Emulator::start(config())).unwrap());
    assert_eq!(gateway.created(), 1);
}
