//! P6: one writer per state. Several applies at once, a holder that is killed or stopped, a reader all the while.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::{self, Truth};
use super::kill_loop::project::{Ended, Project, Run, pause};
use crate::stage::BOUND;

/// A project, its server, and what was printed.
struct Site {
    place: tempfile::TempDir,
    gateway: Gateway,
    project: Project,
    printed: Vec<(String, String)>,
}

impl Site {
    fn new(names: usize, latency: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&place.path().join("gateway"), Manner::inside(latency));
        let mut project = Project::new(place.path(), Some(gateway.url()));
        project.declare(names);
        Self { place, gateway, project, printed: Vec::new() }
    }

    fn start(&self, lock_timeout: &str, parallelism: &str) -> Run {
        Run::start(self.project.command(&["apply", "--lock-timeout", lock_timeout, "--parallelism", parallelism]))
    }

    fn journal(&self) -> Vec<u8> {
        fs::read(self.place.path().join("state/journal.jsonl")).unwrap_or_default()
    }

    /// A last run alone, and the oracle's word on everything. Gives the number of names in doubt.
    fn judge(&mut self, what: &str) -> usize {
        let last = self.project.run(&["apply"]);
        self.printed.extend(last.printed());
        self.gateway.stop();
        let truth = Truth { ledger: self.gateway.creates(), seen: self.gateway.seen(), printed: self.printed.clone() };
        let found = oracle::check(&self.project, &truth, &last).unwrap_or_else(|broken| panic!("{what}: {broken}"));
        assert_eq!(found.creates + found.doubts_empty, self.project.names().len(), "{what}");
        found.doubts_created + found.doubts_empty
    }

    /// A run that was refused has printed and sent nothing, and says what to do.
    fn assert_locked_out(ended: &Ended) {
        assert_eq!((ended.code(), ended.stdout.as_str()), (Some(5), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(" is locked by "), "{}", ended.stderr);
        assert!(ended.stderr.contains("--lock-timeout"), "{}", ended.stderr);
    }
}

#[test]
fn p6_a_stopped_holder_keeps_the_others_out_and_goes_on() {
    let mut site = Site::new(5, "5ms");
    let mut holder = site.start("0s", "1");
    assert!(holder.wait_until(|| !site.gateway.creates().is_empty()), "it has begun");
    holder.signal(Signal::STOP);
    assert!(holder.wait_until(|| holder_is_stopped(&site)), "it is stopped");
    let (journal, seen) = (site.journal(), site.gateway.seen().len());
    let start = Instant::now();
    let others = [site.start("0s", "4"), site.start("400ms", "4")];
    for ended in others.map(Run::end) {
        Site::assert_locked_out(&ended);
        assert!(ended.stderr.contains("is locked by `chatapi apply` (process "), "{}", ended.stderr);
    }
    assert!(start.elapsed() >= Duration::from_millis(400), "who may wait does");
    assert_eq!(site.project.run(&["plan"]).stderr.matches("error").count(), 0, "looking needs no lock");
    assert!(site.journal() == journal && site.gateway.seen().len() == seen, "nobody else has written or sent");
    let patient = site.start("20s", "4");
    holder.signal(Signal::CONT);
    for run in [holder, patient] {
        let ended = run.end();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        site.printed.extend(ended.printed());
    }
    assert_eq!(site.printed.len(), 5, "each was created by one of them");
    assert_eq!(site.judge("stopped"), 0);
}

/// Whether nothing of it moves any more: its main thread is in state T.
fn holder_is_stopped(site: &Site) -> bool {
    let lock = fs::read_to_string(site.place.path().join("state/lock")).unwrap_or_default();
    let holder: serde_json::Value = serde_json::from_str(&lock).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{}/status", holder["pid"])).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tT"))
}

#[test]
fn p6_a_killed_holder_needs_no_unlocking() {
    for kill_at in ["intent", "sent", "received", "created"] {
        let mut site = Site::new(3, "3ms");
        let mut holder = site.start("0s", "1");
        let event = format!("\"event\":{{\"{kill_at}\":");
        let has_come = |site: &Site| String::from_utf8_lossy(&site.journal()).contains(&event);
        assert!(holder.wait_until(|| has_come(&site)), "{kill_at}");
        let waiting = site.start("20s", "3");
        holder.kill();
        site.printed.extend(holder.end().printed());
        let ended = waiting.end();
        assert!(matches!(ended.code(), Some(0 | 3)), "{kill_at}: {}", ended.stderr);
        site.printed.extend(ended.printed());
        assert!(site.judge(kill_at) <= 1, "{kill_at}: only what was in flight can be in doubt");
    }
}

/// What happens to one of a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Nothing,
    Killed,
    /// Stopped for some milliseconds.
    Paused,
}

/// What a campaign saw.
#[derive(Debug, Default)]
struct Figures {
    runs: usize,
    /// Two applies that were started one after the other without waiting: of eight there are 28.
    pairs: usize,
    locked: usize,
    kills: usize,
    pauses: usize,
    looks: usize,
}

/// Mostly two applies at random offsets, now and then up to eight; one of them killed or stopped for a while; and plans, lists
/// and tokens read all the while. 40 crowds in the ordinary set (at most 30 s); `CHATAPI_PAIRS=1300`, more than 5,000 pairs, is the long campaign.
#[test]
fn p6_p1_p12_many_applies_at_once_create_what_is_declared() {
    let rounds = number("CHATAPI_PAIRS", 40);
    let seed = number("CHATAPI_KILL_SEED", 1);
    let begun = Instant::now();
    let (mut all, other) = std::thread::scope(|scope| {
        let other = scope.spawn(move || crowds((0..rounds).skip(1).step_by(2), seed));
        (crowds((0..rounds).step_by(2), seed), other.join().unwrap())
    });
    all.runs += other.runs;
    all.pairs += other.pairs;
    all.locked += other.locked;
    all.kills += other.kills;
    all.pauses += other.pauses;
    all.looks += other.looks;
    println!("{rounds} crowds, {all:?}, in {:?}; duplicates 0, lost 0", begun.elapsed());
    assert!(rounds < 10 || [all.locked, all.kills, all.pauses, all.looks].iter().all(|count| *count > 0), "{all:?}");
}

fn crowds(rounds: impl Iterator<Item = u64>, seed: u64) -> Figures {
    let mut figures = Figures::default();
    for round in rounds {
        let mut dice = Rng::with_seed(seed.wrapping_mul(7_919).wrapping_add(round));
        let what = format!("CHATAPI_KILL_SEED={seed}, round {round}");
        let mut site = Site::new(dice.usize(2..=6), "0..4ms");
        let is_over = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            let reader = scope.spawn(|| look_until(&is_over, &site.project));
            let ended = crowd(&site, &mut dice, &mut figures);
            is_over.store(true, Ordering::Relaxed);
            figures.looks += reader.join().unwrap_or_else(|_| panic!("{what}"));
            ended
        });
        for ended in &ended {
            match ended.code() {
                Some(5) => Site::assert_locked_out(ended),
                Some(0 | 3) | None => {}
                _ => panic!("{what}: {:?} {}", ended.status, ended.stderr),
            }
            figures.locked += usize::from(ended.code() == Some(5));
            site.printed.extend(ended.printed());
        }
        figures.runs += ended.len();
        figures.pairs += ended.len() * (ended.len() - 1) / 2;
        let doubts = site.judge(&what);
        assert!(doubts == 0 || ended.iter().any(|ended| ended.code().is_none()), "{what}: a doubt without a kill");
    }
    figures
}

fn crowd(site: &Site, dice: &mut Rng, figures: &mut Figures) -> Vec<Ended> {
    let mut runs = Vec::new();
    let count = if dice.u8(0..4) == 0 { dice.usize(3..=8) } else { 2 };
    for _ in 0..count {
        runs.push(site.start(["0s", "20s"][dice.usize(0..2)], ["1", "3"][dice.usize(0..2)]));
        pause(Duration::from_micros(dice.u64(0..30_000)));
    }
    let victim = dice.usize(0..count);
    let is_running = usize::from(!runs[victim].is_over());
    match [Fate::Nothing, Fate::Killed, Fate::Paused][dice.usize(0..3)] {
        Fate::Nothing => {}
        Fate::Killed => {
            figures.kills += is_running;
            runs[victim].kill();
        }
        Fate::Paused => {
            figures.pauses += is_running;
            runs[victim].signal(Signal::STOP);
            pause(Duration::from_micros(dice.u64(0..60_000)));
            runs[victim].signal(Signal::CONT);
        }
    }
    runs.into_iter().map(Run::end).collect()
}

/// Looks again and again; every look succeeds, whatever the writers do. Gives their number.
fn look_until(is_over: &AtomicBool, project: &Project) -> usize {
    let deadline = Instant::now() + BOUND;
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) && Instant::now() < deadline {
        let words: &[&str] = [&["plan"][..], &["state", "list"], &["token", "get", "name-0"]][count % 3];
        let ended = project.run(words);
        let is_fine = match ended.code() {
            Some(0) => true,
            Some(3) => words == ["plan"],
            // Before the first apply has begun one.
            Some(8) => ended.stderr.contains("there is no state in"),
            Some(1) => ended.stderr.contains("`name-0`"),
            _ => false,
        };
        assert!(is_fine, "{words:?} beside applies ends with {:?}: {}", ended.status, ended.stderr);
        count += 1;
        pause(Duration::from_millis(10));
    }
    count
}
