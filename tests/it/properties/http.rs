//! F5 and F10: any bytes as what a server says to a create, over a connection of this machine.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use chatapi::instance::InstanceType;
use chatapi::provider::certainty::{Verdict, judge};
use chatapi::provider::{ApiKey, BaseUrl, CreateRequest, Exchange, HttpProvider, Limits, Provider as _};
use chatapi::secret::Redactor;
use chatapi::state::{Answer, Outline};
use tokio::runtime::{Builder, Runtime};

use super::answers::key;
use crate::stage::BOUND;

thread_local! {
    static GATEWAY: Gateway = Gateway::start();
}

/// A server that answers one connection after another with the bytes that it is given, and a client of it.
struct Gateway {
    provider: HttpProvider,
    runtime: Runtime,
    answers: Sender<Vec<u8>>,
}

impl Gateway {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let base = BaseUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let (answers, given) = channel();
        std::thread::spawn(move || serve(&listener, &given));
        let limits = Limits { connect: BOUND, answer: BOUND };
        let provider = HttpProvider::new(base, ApiKey::new(&key()).unwrap(), limits).unwrap();
        Self { provider, runtime: Builder::new_current_thread().enable_all().build().unwrap(), answers }
    }

    fn exchange(&self, answer: &[u8]) -> Exchange {
        self.answers.send(answer.to_vec()).unwrap();
        self.runtime.block_on(async {
            let request = CreateRequest { kind: InstanceType::WhatsApp, attempt: None };
            self.provider.connect(request).await.expect("it connects").send().await
        })
    }
}

/// Ends with the sender of its answers.
fn serve(listener: &TcpListener, answers: &Receiver<Vec<u8>>) {
    while let Ok(answer) = answers.recv() {
        let (stream, _) = listener.accept().unwrap();
        // The client may go as soon as it has seen enough.
        let _ = converse(stream, &answer);
    }
}

fn converse(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(BOUND))?;
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    while !request.ends_with(b"\"whatsapp\"}") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    stream.write_all(answer)?;
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// A complete request was sent, so an answer that is none is a doubt and never "unsent". One that a few plain rules of HTTP explain
/// is read just so, and its verdict is the verdict of its parts; what does not begin like HTTP is no answer.
pub(super) fn f5_http(data: &[u8]) {
    GATEWAY.with(|gateway| check(gateway, data));
}

/// The bytes are header fields, and the value of `Retry-After`: what is read of them was said, and is a number.
pub(super) fn f10_headers(data: &[u8]) {
    let value: Vec<u8> = data.iter().copied().take_while(|byte| !b"\r\n".contains(byte)).collect();
    let among = [b"HTTP/1.1 429 later\r\n", data, b"\r\nContent-Length: 2\r\n\r\n{}"].concat();
    let alone = [b"HTTP/1.1 429 later\r\nContent-Length: 2\r\nRetry-After: ", value.as_slice(), b"\r\n\r\n{}"].concat();
    for answer in [among, alone] {
        if let Exchange::Answered(read) = GATEWAY.with(|gateway| check(gateway, &answer)) {
            let said = String::from_utf8_lossy(&answer).into_owned();
            assert!(read.retry_after.is_none_or(|seconds| said.contains(&seconds.to_string())), "{read:?}: {said:?}");
        }
    }
}

fn check(gateway: &Gateway, bytes: &[u8]) -> Exchange {
    let exchange = gateway.exchange(bytes);
    let trimmed = bytes.trim_ascii_start();
    match (&exchange, expected(bytes)) {
        (Exchange::Unsent(unsent), _) => panic!("called unsent: {unsent:?}"),
        (Exchange::Cut { reason }, expected) => {
            assert!(expected.is_none(), "read as nothing ({reason}), expected {expected:?}");
            assert!(!reason.contains("no answer within"), "it waits for what cannot come");
        }
        (Exchange::Answered(answer), None) => assert!(trimmed.starts_with(b"HTTP/1."), "{answer:?} of no answer"),
        (Exchange::Answered(answer), Some(expected)) => {
            let is_same = if expected.complete { answer.body == expected.body } else { expected.body.starts_with(&answer.body) };
            let is_echo = Redactor::of(&key()).clean_bytes(&expected.body).is_some();
            assert!(is_same || is_echo, "{:?} of {:?}", answer.body.escape_ascii().to_string(), expected.body);
            let parts = |answer: &Answer| (answer.status, answer.complete, answer.retry_after);
            assert_eq!(parts(answer), parts(&expected));
            let verdict = judge(answer).outline();
            assert!(is_echo || verdict == judge(&expected).outline(), "another verdict: {verdict:?}");
            assert!(answer.complete || matches!(verdict, Outline::Doubt { .. }), "a part proves {verdict:?}");
        }
    }
    if let Exchange::Answered(answer) = &exchange {
        assert!(!matches!(judge(answer), Verdict::Created(_)) || answer.complete, "created by a part");
    }
    exchange
}

/// What `bytes` are as an answer, read by the plainest rules alone; none: they need others.
fn expected(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok().filter(|head| head.len() < 8_000)?;
    let rest = bytes.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status = status_of(lines.next()?)?;
    let fields: Vec<(String, &str)> = lines.map(field).collect::<Option<_>>()?;
    let all = |name: &str| -> Vec<&str> { fields.iter().filter(|(found, _)| found == name).map(|(_, value)| *value).collect() };
    if fields.len() > 90 || !all("transfer-encoding").is_empty() || !all("connection").is_empty() || !all("upgrade").is_empty() {
        return None;
    }
    let length = match all("content-length").as_slice() {
        _ if matches!(status, 204 | 304) => Some(0),
        [] => None,
        [digits] if digits.len() < 7 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse::<usize>().ok()?)
        }
        _ => return None,
    };
    let body = rest.get(..length.unwrap_or(rest.len()));
    let is_plain = all("content-encoding").first().is_none_or(|encoding| *encoding == "identity");
    Some(Answer {
        status,
        complete: body.is_some() && is_plain,
        retry_after: all("retry-after").first().and_then(|value| value.parse().ok()),
        body: body.unwrap_or(rest).to_vec(),
    })
}

fn status_of(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ")?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let is_plain = reason.is_empty() || (reason.starts_with(' ') && reason.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let status = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    status.filter(|status| is_plain && (200..600).contains(status))
}

/// A field's name, in lower case, and its value.
fn field(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_name && is_value).then(|| (name.to_ascii_lowercase(), value.trim_matches(' ')))
}
