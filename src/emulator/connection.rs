//! One accepted connection, whose answers can be cut, replaced or held back while HTTP above it notices nothing.
//!
//! The request handler gives an order through its [`Reins`]; the [`Line`] obeys when HTTP next writes. It knows bytes
//! only, neither requests nor rules.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::faults::Ending;

/// What `garbage` sends in place of an answer.
pub(super) const GARBAGE: &[u8] = b"\x00\xff\x16\x03this is no HTTP\r\n\r\n\xfe\x01";

/// What becomes of the bytes that HTTP writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Pass,
    /// Let so many more pass, then end.
    Cut(usize, Ending),
    /// Send these in their place, then close.
    Garbage(&'static [u8]),
}

/// The handler's side of a connection.
#[derive(Debug, Clone)]
pub(super) struct Reins(Arc<Mutex<Order>>);

impl Reins {
    /// Answers pass again: a new request begins.
    pub(super) fn release(&self) {
        self.set(Order::Pass);
    }

    /// The connection ends after `bytes` more; a shorter answer passes whole.
    pub(super) fn cut(&self, bytes: usize, ending: Ending) {
        self.set(Order::Cut(bytes, ending));
    }

    /// The next answer is replaced by bytes that are no HTTP.
    pub(super) fn garble(&self) {
        self.set(Order::Garbage(GARBAGE));
    }

    /// Ends a connection that is held back in the middle of an answer, when HTTP next writes.
    pub(super) fn end_stall(&self) {
        if let Order::Cut(_, Ending::Stall) = self.get() {
            self.cut(0, Ending::Fin);
        }
    }

    fn set(&self, order: Order) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = order;
    }

    fn get(&self) -> Order {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket's side of a connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    reins: Reins,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> (Self, Reins) {
        let reins = Reins(Arc::new(Mutex::new(Order::Pass)));
        (Self { stream, reins: reins.clone() }, reins)
    }

    /// An error makes HTTP drop the line, and dropping it closes the socket: with a reset if no lingering is asked for.
    fn end<T>(&self, ending: Ending) -> Poll<io::Result<T>> {
        match ending {
            Ending::Stall => return Poll::Pending,
            Ending::Reset => self.stream.set_zero_linger()?,
            Ending::Fin => {}
        }
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>, buf: &[u8], left: usize, ending: Ending) -> Poll<io::Result<usize>> {
        let allowed = buf.get(..left).unwrap_or(buf);
        if allowed.is_empty() && !buf.is_empty() {
            return self.end(ending);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, allowed))?;
        self.reins.cut(left.saturating_sub(written), ending);
        Poll::Ready(Ok(written))
    }

    fn poll_garbage(&mut self, cx: &mut Context<'_>, mut rest: &'static [u8]) -> Poll<io::Result<usize>> {
        while !rest.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            rest = rest.get(written..).unwrap_or_default();
            self.reins.set(Order::Garbage(rest));
        }
        self.end(Ending::Fin)
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

/// Vectored writes are not offered, so that every byte passes [`AsyncWrite::poll_write`].
impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.reins.get() {
            Order::Pass => Pin::new(&mut self.stream).poll_write(cx, buf),
            Order::Cut(left, ending) => self.poll_cut(cx, buf, left, ending),
            Order::Garbage(rest) => self.poll_garbage(cx, rest),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
