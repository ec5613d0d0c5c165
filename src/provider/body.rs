//! The body of a create: it can be sent once, it waits to be let go, and it tells whether it was handed over.
//!
//! It is what makes "not sent" provable. The HTTP library asks for the body after the connection stands; it gets nothing until
//! the permit comes, and it can never get it after the gate was closed. A body that cannot be cloned is also one that no
//! library can send a second time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::failpoint;

type Bytes = <reqwest::Body as Body>::Data;

const WAITING: u8 = 0;
const HANDED: u8 = 1;
const CLOSED: u8 = 2;

/// Shared by a body and by whoever decides what became of it.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU8);

impl Gate {
    /// From now on the body is never handed over. `false`: it already was.
    pub(super) fn close(&self) -> bool {
        match self.0.compare_exchange(WAITING, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(CLOSED) => true,
            Err(_) => false,
        }
    }

    fn pass(&self) -> bool {
        self.0.compare_exchange(WAITING, HANDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Why a body gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up before its body was sent")]
pub(super) struct GivenUp;

/// The body.
pub(super) struct HeldBody {
    content: Option<Zeroizing<Vec<u8>>>,
    gate: Arc<Gate>,
    reached: Option<oneshot::Sender<()>>,
    permit: oneshot::Receiver<()>,
}

/// The other ends of a body: its gate, the news that the connection stands, and the permit to go on.
pub(super) struct Handle {
    pub(super) gate: Arc<Gate>,
    pub(super) reached: oneshot::Receiver<()>,
    pub(super) permit: oneshot::Sender<()>,
}

impl HeldBody {
    pub(super) fn new(content: Zeroizing<Vec<u8>>) -> (Self, Handle) {
        let gate = Arc::new(Gate::default());
        let (tell, reached) = oneshot::channel();
        let (permit, let_go) = oneshot::channel();
        let body = Self { content: Some(content), gate: Arc::clone(&gate), reached: Some(tell), permit: let_go };
        (body, Handle { gate, reached, permit })
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        if self.content.is_none() {
            return Poll::Ready(None);
        }
        if let Some(reached) = self.reached.take() {
            // Nobody listens any more when the deadline has passed; the permit then never comes.
            let _ = reached.send(());
        }
        match Pin::new(&mut self.permit).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Some(Err(GivenUp))),
            Poll::Ready(Ok(())) if !self.gate.pass() => Poll::Ready(Some(Err(GivenUp))),
            Poll::Ready(Ok(())) => {
                let bytes = self.content.take().unwrap_or_default();
                if failpoint::at("body-handed").is_err() {
                    return Poll::Ready(Some(Err(GivenUp)));
                }
                Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, |content| content.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the body gives when it is asked: bytes, an error, or nothing yet.
    fn ask(body: &mut HeldBody) -> Option<Result<Vec<u8>, GivenUp>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Pending => None,
            Poll::Ready(frame) => Some(frame?.map(|frame| frame.into_data().unwrap().to_vec())),
        }
    }

    fn held() -> (HeldBody, Handle) {
        HeldBody::new(Zeroizing::new(b"body".to_vec()))
    }

    #[test]
    fn p2_the_body_is_given_after_the_permit_and_known_to_be() {
        let (mut body, Handle { gate, mut reached, permit }) = held();
        assert!(reached.try_recv().is_err() && ask(&mut body).is_none() && reached.try_recv().is_ok());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
        permit.send(()).unwrap();
        assert_eq!(ask(&mut body).unwrap().unwrap(), b"body");
        assert!(!gate.close(), "it was handed over");
        assert!(body.is_end_stream() && ask(&mut body).is_none());
    }

    #[test]
    fn p1_a_closed_gate_lets_nothing_out_whatever_the_permit_says() {
        let (mut body, Handle { gate, permit, .. }) = held();
        permit.send(()).unwrap();
        assert!(gate.close() && gate.close());
        assert!(ask(&mut body).unwrap().is_err());
    }

    #[test]
    fn p1_without_its_permit_a_body_is_given_up() {
        let (mut body, Handle { gate, permit, .. }) = held();
        assert!(ask(&mut body).is_none());
        drop(permit);
        assert!(ask(&mut body).unwrap().is_err());
        assert!(gate.close());
    }
}
