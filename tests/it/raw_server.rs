//! A TCP server that does what its script says and remembers every byte it got. It knows nothing of the emulator, of the
//! client or of an HTTP library, so that it shares no mistake with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::stage::BOUND;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// How much of a request is read before the answer is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    Nothing,
    Head,
    Bytes(usize),
    Whole,
}

/// What happens after the answer's last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// An orderly end of what the server says; it reads on, so that nothing sent late goes unseen.
    Fin,
    /// A reset, without reading on.
    Reset,
    /// Silence, and reading on, until the client goes.
    Stall,
    /// The connection is kept and the next request is answered in the same way.
    Again,
}

/// One connection's course.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) take: Take,
    pub(crate) answer: Vec<u8>,
    /// A pause after each single byte of the answer.
    pub(crate) pace: Option<Duration>,
    pub(crate) end: End,
}

impl Script {
    /// Reads a whole request, says `answer` and ends like `end`.
    pub(crate) fn new(answer: impl Into<Vec<u8>>, end: End) -> Self {
        Self { take: Take::Whole, answer: answer.into(), pace: None, end }
    }

    /// Says nothing: reads so much and ends.
    pub(crate) fn silent(take: Take, end: End) -> Self {
        Self { take, ..Self::new("", end) }
    }
}

/// What the server has seen, connection by connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The bytes of each, in the order in which they were accepted.
    pub(crate) connections: Vec<Vec<u8>>,
    /// How many of them are over.
    ended: usize,
}

impl Seen {
    /// Complete requests, each with head and whole body.
    pub(crate) fn complete(&self) -> usize {
        self.connections.iter().map(|bytes| complete_requests(bytes)).sum()
    }

    /// Whether a head is complete on some connection.
    pub(crate) fn has_head(&self) -> bool {
        self.connections.iter().any(|bytes| head_end(bytes).is_some())
    }

    /// Everything that came, as text.
    pub(crate) fn text(&self) -> String {
        self.connections.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect()
    }
}

/// Where the body begins.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// How many requests `bytes` holds from their first to their last byte.
pub(crate) fn complete_requests(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut count = 0;
    while let Some(head) = head_end(rest) {
        let end = head + content_length(&rest[..head]);
        let Some(next) = rest.get(end..) else { break };
        (rest, count) = (next, count + 1);
    }
    count
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.map_or(0, |value| value.trim().parse().expect("a content length of ours"))
}

/// A server that listens. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct RawServer {
    pub(crate) addr: SocketAddr,
    seen: watch::Receiver<Seen>,
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

impl RawServer {
    /// Serves every connection by the same script.
    pub(crate) async fn start(script: Script) -> Self {
        Self::with(script, None).await
    }

    /// The same behind TLS. A handshake that fails counts as a connection without bytes.
    pub(crate) async fn tls(script: Script, config: ServerConfig) -> Self {
        Self::with(script, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn with(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, seen) = watch::channel(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, script, tls, tell, stopped));
        Self { addr, seen, stop, accepting }
    }

    /// `http://127.0.0.1:PORT/`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Waits until it has seen what `condition` asks for.
    pub(crate) async fn until(&self, condition: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let found = timeout(BOUND, seen.wait_for(condition)).await.expect("it is seen in time");
        found.expect("the server runs").clone()
    }

    /// Takes the connections that wait to be accepted, waits until the client has left all of them, and tells what came.
    pub(crate) async fn finish(self) -> Seen {
        let _ = self.stop.send(());
        timeout(BOUND, self.accepting).await.expect("the client leaves its connections").unwrap();
        let seen = self.seen.borrow().clone();
        assert_eq!(seen.ended, seen.connections.len(), "each connection is over");
        seen
    }
}

async fn accept(
    listener: TcpListener,
    script: Script,
    tls: Option<TlsAcceptor>,
    tell: watch::Sender<Seen>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                let mut number = 0;
                tell.send_modify(|seen| {
                    number = seen.connections.len();
                    seen.connections.push(Vec::new());
                });
                let line = Line { number, script: script.clone(), tell: tell.clone() };
                connections.spawn(line.serve(stream, tls.clone()));
            }
            _ = &mut stopped => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

/// One connection, from the server's side.
struct Line {
    number: usize,
    script: Script,
    tell: watch::Sender<Seen>,
}

impl Line {
    async fn serve(self, mut stream: TcpStream, tls: Option<TlsAcceptor>) {
        stream.set_nodelay(true).unwrap();
        match tls {
            None => self.converse(&mut stream).await,
            Some(tls) => {
                if let Ok(mut stream) = tls.accept(&mut stream).await {
                    self.converse(&mut stream).await;
                }
            }
        }
        if self.script.end == End::Reset {
            // An error says that the client reset first.
            let _ = stream.set_zero_linger();
        }
        drop(stream);
        self.tell.send_modify(|seen| seen.ended += 1);
    }

    async fn converse(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        let mut answered = 0;
        while self.take(stream, answered).await {
            if !self.say(stream).await {
                break;
            }
            answered += 1;
            if self.script.end != End::Again {
                break;
            }
        }
        if self.script.end == End::Fin {
            let _ = stream.shutdown().await;
        }
        if self.script.end != End::Reset {
            while self.read(stream, usize::MAX).await {}
        }
    }

    /// Reads as much as the script says; `false`: the client has gone.
    async fn take(&self, stream: &mut (impl AsyncRead + Unpin), answered: usize) -> bool {
        loop {
            let missing = {
                let seen = self.tell.borrow();
                let bytes = seen.connections[self.number].as_slice();
                match self.script.take {
                    Take::Nothing => 0,
                    Take::Bytes(count) => count.saturating_sub(bytes.len()),
                    // One byte at a time: nothing after the head is taken.
                    Take::Head => usize::from(head_end(bytes).is_none()),
                    Take::Whole if complete_requests(bytes) > answered => 0,
                    Take::Whole => usize::MAX,
                }
            };
            if missing == 0 {
                return true;
            }
            if !self.read(stream, missing).await {
                return false;
            }
        }
    }

    /// Reads once, at most `limit` bytes, and remembers them; `false`: there is no more.
    async fn read(&self, stream: &mut (impl AsyncRead + Unpin), limit: usize) -> bool {
        let mut buffer = [0; 4_096];
        let room = limit.min(buffer.len());
        match stream.read(&mut buffer[..room]).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.tell.send_modify(|seen| seen.connections[self.number].extend_from_slice(&buffer[..count]));
                true
            }
        }
    }

    /// Says the answer; `false`: the client did not wait for all of it.
    async fn say(&self, stream: &mut (impl AsyncWrite + Unpin)) -> bool {
        let Some(pace) = self.script.pace else {
            return stream.write_all(&self.script.answer).await.is_ok() && stream.flush().await.is_ok();
        };
        for byte in &self.script.answer {
            if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                return false;
            }
            tokio::time::sleep(pace).await;
        }
        true
    }
}

#[test]
fn requests_are_counted_from_their_first_byte_to_their_last() {
    let one = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 0..one.len() {
        assert_eq!(complete_requests(&one[..cut]), 0, "{cut}");
    }
    assert_eq!(complete_requests(one), 1);
    assert_eq!(complete_requests(&[one.as_slice(), one, b"GET / HTTP/1.1\r\n"].concat()), 2);
    assert_eq!(complete_requests(b"GET / HTTP/1.1\r\n\r\n"), 1);
}
