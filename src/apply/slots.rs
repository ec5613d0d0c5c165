//! How many requests are on their way at once, and how fast one follows the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::knee::Knee;
use super::{Parallelism, Rate, StopSignal};

/// A request that comes late because a timer did is made up for by the next ones, if it is not later than this.
const LATE: Duration = Duration::from_millis(50);

/// The places of a run.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    room: Arc<Room>,
    knee: Option<Mutex<Knee>>,
    turns: Option<Turns>,
}

/// What the places know of each other.
#[derive(Debug)]
struct Room {
    taken: AtomicUsize,
    limit: AtomicUsize,
    /// Places that are to go as soon as they are free.
    owed: Mutex<usize>,
}

/// One request's place, until its answer is in memory or is known not to come.
#[derive(Debug)]
pub(super) struct Slot {
    place: Option<OwnedSemaphorePermit>,
    room: Arc<Room>,
}

impl Slots {
    pub(super) fn new(parallelism: Parallelism, rate: Option<Rate>) -> Self {
        let knee = (parallelism == Parallelism::Auto).then(Knee::default);
        let limit = knee.as_ref().map_or(parallelism.or(1), Knee::limit).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(limit)),
            room: Arc::new(Room { taken: AtomicUsize::new(0), limit: AtomicUsize::new(limit), owed: Mutex::new(0) }),
            knee: knee.map(Mutex::new),
            turns: rate.map(Turns::new),
        }
    }

    /// Waits for a place, and for its time; whoever came first has the first. None: asked to stop.
    pub(super) async fn enter(&self, stop: &mut StopSignal) -> Option<Slot> {
        let place = tokio::select! {
            biased;
            _ = stop.wait() => return None,
            place = Arc::clone(&self.free).acquire_owned() => place.ok()?,
        };
        if !self.turn(stop).await {
            return None;
        }
        self.room.taken.fetch_add(1, Ordering::Relaxed);
        Some(Slot { place: Some(place), room: Arc::clone(&self.room) })
    }

    /// Waits until the next request may begin. False: asked to stop.
    pub(super) async fn turn(&self, stop: &mut StopSignal) -> bool {
        let Some(turns) = &self.turns else { return true };
        tokio::select! {
            biased;
            _ = stop.wait() => false,
            () = tokio::time::sleep_until(turns.next(Instant::now())) => true,
        }
    }

    /// Requests on their way.
    pub(super) fn taken(&self) -> usize {
        self.room.taken.load(Ordering::Relaxed)
    }

    /// How many may be on their way now.
    pub(super) fn limit(&self) -> usize {
        self.room.limit.load(Ordering::Relaxed)
    }

    /// One at a time: each is done before the next one begins.
    pub(super) fn is_single(&self) -> bool {
        self.limit() == 1
    }

    /// A request that was sent at `sent` was answered.
    pub(super) fn answered(&self, sent: Instant) {
        self.learn(|knee, now| knee.answered(sent, now, self.taken()));
    }

    /// The server said "later" to a request that was sent at `sent`.
    pub(super) fn turned_away(&self, sent: Instant) {
        self.learn(|knee, now| knee.turned_away(sent, now));
    }

    fn learn(&self, lesson: impl FnOnce(&mut Knee, Instant)) {
        if let Some(knee) = &self.knee {
            let mut knee = knee.lock().unwrap_or_else(PoisonError::into_inner);
            lesson(&mut knee, Instant::now());
            self.set(knee.limit());
        }
    }

    /// Makes it `limit` places; what is taken beyond them goes when it is free.
    fn set(&self, limit: usize) {
        let mut owed = self.room.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.room.limit.swap(limit, Ordering::Relaxed);
        match limit.checked_sub(before) {
            Some(more) => {
                let kept = more.min(*owed);
                *owed -= kept;
                self.free.add_permits(more - kept);
            }
            None => *owed += before - limit - self.free.forget_permits(before - limit),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
        let mut owed = self.room.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(less), Some(place)) = (owed.checked_sub(1), self.place.take()) {
            *owed = less;
            place.forget();
        }
    }
}

/// When the next request may begin.
#[derive(Debug)]
struct Turns {
    period: Duration,
    next: Mutex<Option<Instant>>,
}

impl Turns {
    fn new(rate: Rate) -> Self {
        Self { period: rate.period(), next: Mutex::default() }
    }

    /// Takes the next turn there is.
    fn next(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now.checked_sub(LATE).unwrap_or(now)));
        *next = Some(turn + self.period);
        turn
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    /// A server that answers `at_once` requests after `latency` each, and lets the others wait.
    struct Server {
        places: Semaphore,
        latency: Duration,
    }

    /// Sends `requests` to it; how many were on their way when each of them was sent.
    async fn send(slots: &Arc<Slots>, server: &Arc<Server>, requests: usize) -> Vec<usize> {
        let (_handle, mut stop) = StopSignal::new();
        let mut running = JoinSet::new();
        let mut taken = Vec::new();
        for _ in 0..requests {
            let slot = slots.enter(&mut stop).await.unwrap();
            taken.push(slots.taken());
            let (slots, server) = (Arc::clone(slots), Arc::clone(server));
            running.spawn(async move {
                let sent = Instant::now();
                let place = server.places.acquire().await.unwrap();
                tokio::time::sleep(server.latency).await;
                drop(place);
                slots.answered(sent);
                drop(slot);
            });
        }
        while running.join_next().await.is_some() {}
        taken
    }

    fn server(at_once: usize, millis: u64) -> Arc<Server> {
        Arc::new(Server { places: Semaphore::new(at_once), latency: Duration::from_millis(millis) })
    }

    #[tokio::test(start_paused = true)]
    async fn auto_finds_how_many_a_server_answers_at_once() {
        for (at_once, latency) in [(1, 50), (3, 200), (10, 50), (24, 10), (64, 200), (200, 50)] {
            let slots = Arc::new(Slots::new(Parallelism::Auto, None));
            let start = Instant::now();
            let taken = send(&slots, &server(at_once, latency), 3_000).await;
            let found = slots.limit();
            assert!((at_once..=at_once + 5).contains(&found), "{at_once}: {found}");
            assert!(taken.iter().all(|taken| *taken <= at_once * 2 + 4), "{at_once}: {:?}", taken.iter().max());
            // No slower than one that knows the number: 3 % and the beginning.
            let ideal = Duration::from_millis(latency) * u32::try_from(3_000_usize.div_ceil(at_once)).unwrap();
            assert!(
                start.elapsed() < ideal.mul_f64(1.03) + Duration::from_millis(latency * 8),
                "{at_once}: {:?}",
                start.elapsed()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn auto_follows_a_server_that_changes() {
        let slots = Arc::new(Slots::new(Parallelism::Auto, None));
        for (at_once, requests) in [(40, 2_000), (5, 2_000), (30, 4_000)] {
            send(&slots, &server(at_once, 50), requests).await;
            assert!((at_once..=at_once + 5).contains(&slots.limit()), "{at_once}: {}", slots.limit());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn auto_goes_no_higher_than_its_most() {
        let slots = Arc::new(Slots::new(Parallelism::Auto, None));
        let taken = send(&slots, &server(1_000, 200), 4_000).await;
        assert_eq!((slots.limit(), taken.into_iter().max()), (256, Some(256)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_later_halves_it_once_for_those_that_went_together() {
        let slots = Arc::new(Slots::new(Parallelism::Auto, None));
        send(&slots, &server(1_000, 200), 500).await;
        let (before, sent) = (slots.limit(), Instant::now());
        tokio::time::advance(Duration::from_millis(200)).await;
        for _ in 0..before {
            slots.turned_away(sent);
        }
        assert_eq!(slots.limit(), before / 2);
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(1)).await;
            slots.turned_away(Instant::now());
        }
        assert_eq!(slots.limit(), 1, "one goes through always");
        assert_eq!(send(&slots, &server(1_000, 200), 2).await, [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_is_kept_whatever_the_server_does() {
        let slots = Arc::new(Slots::new(Parallelism::Fixed(7), None));
        let taken = send(&slots, &server(2, 50), 100).await;
        slots.turned_away(Instant::now());
        assert_eq!((slots.limit(), taken.into_iter().max()), (7, Some(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_and_no_idle_time_is_made_up_for() {
        for (text, requests, seconds) in [("10/s", 101, 10.0), ("600/m", 11, 1.0), ("4000/s", 8_001, 2.0), ("1000/h", 2, 3.6)] {
            let slots = Arc::new(Slots::new(Parallelism::Fixed(512), Some(text.parse().unwrap())));
            for _ in 0..2 {
                let start = Instant::now();
                send(&slots, &server(1_000, 0), requests).await;
                let took = start.elapsed().as_secs_f64();
                let late = LATE.as_secs_f64() * 1.01;
                assert!((seconds - late..seconds * 1.01 + late).contains(&took), "{text}: {took}");
                tokio::time::advance(Duration::from_hours(1)).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_turn_is_told_to_stop() {
        let slots = Slots::new(Parallelism::Fixed(1), Some("1/h".parse().unwrap()));
        let (handle, mut stop) = StopSignal::new();
        drop(slots.enter(&mut stop).await.unwrap());
        let ask = async { handle.ask(super::super::Signal::Interrupt) };
        let (slot, ()) = tokio::join!(slots.enter(&mut stop), ask);
        assert!(slot.is_none());
        assert_eq!(slots.taken(), 0);
    }
}
