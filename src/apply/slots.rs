//! How many requests are on their way at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StopSignal;

/// The places of a run.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    all: usize,
}

/// One request's place, until its answer is in memory or is known not to come.
#[derive(Debug)]
pub(super) struct Slot {
    _place: OwnedSemaphorePermit,
}

impl Slots {
    /// `all`: at least 1.
    pub(super) fn new(all: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(all)), all }
    }

    /// Waits for a place; whoever came first has the first. None: asked to stop.
    pub(super) async fn enter(&self, stop: &mut StopSignal) -> Option<Slot> {
        tokio::select! {
            biased;
            _ = stop.wait() => None,
            place = Arc::clone(&self.free).acquire_owned() => place.ok().map(|place| Slot { _place: place }),
        }
    }

    /// Requests on their way.
    pub(super) fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }
}
