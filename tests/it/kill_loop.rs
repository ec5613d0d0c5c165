//! The driver of the kill campaigns: projects in rounds, each with kills and then a run to the end, each judged by the oracle.
//!
//! A *project* is the unit that can be replayed: its dice come from the campaign's seed and its own number. In each of its
//! rounds the manifest grows, `apply` is killed up to three times, the state is looked at and sometimes scratched in ways that
//! must not matter, and a last run goes to the end. Then server, journal, state and printed lines are held against each other.
//!
//! `CHATAPI_KILL_ROUNDS`, `CHATAPI_KILL_SEED` and `CHATAPI_KILL_BINARY` make a long campaign of the ordinary one; see `kills`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;

pub(crate) mod aim;
mod figures;
pub(crate) mod gateway;
pub(crate) mod oracle;
pub(crate) mod project;

use aim::{Aim, Look, Moment};
pub(crate) use figures::Figures;
use gateway::{Gateway, Kind, Manner};
use oracle::{Found, Phase, Truth};
use project::{Project, Run};

/// Whose server dies with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// None: the server lives on.
    Apart,
    /// The embedded emulator.
    Embedded,
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Campaign {
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    pub(crate) server: Server,
}

/// Two loops side by side, with different seeds.
pub(crate) fn run(campaign: Campaign) -> Figures {
    let part = |seed| Campaign { rounds: campaign.rounds.div_ceil(2), seed, ..campaign };
    let (mut figures, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_one(part(campaign.seed.wrapping_add(1 << 32))));
        (run_one(part(campaign.seed)), other.join().unwrap())
    });
    figures.add(&other);
    figures
}

fn run_one(campaign: Campaign) -> Figures {
    let usual = [usual_time(0), usual_time(1)];
    let mut figures = Figures::default();
    let first = number("CHATAPI_KILL_PROJECT", 0);
    for project in first.. {
        if figures.rounds >= campaign.rounds {
            break;
        }
        figures.add(&Tour::new(campaign, project, usual[usize::from(project % 2 == 1)]).go());
    }
    figures
}

/// A number from the environment.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// A directory for project `number`: on a disk, whose syncs take their time, and for every other one in memory, where nothing does. A
/// SIGKILL leaves the page cache alone, so that both lose the same.
fn place_of(number: u64) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if number % 2 == 1 && memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// How long an undisturbed run that creates four names takes where project `number` is.
fn usual_time(number: u64) -> Duration {
    let place = place_of(number);
    let gateway = Gateway::start(&place.path().join("gateway"), Manner::inside("0..6ms"));
    let mut project = Project::new(place.path(), Some(gateway.url()));
    project.declare(4);
    let start = Instant::now();
    assert_eq!(project.run(&["apply"]).code(), Some(0));
    start.elapsed()
}

/// One project on its way through its rounds.
struct Tour {
    campaign: Campaign,
    number: u64,
    usual: Duration,
    dice: Rng,
    place: PathBuf,
    gateway: Option<Gateway>,
    project: Project,
    printed: Vec<(String, String)>,
    figures: Figures,
}

impl Tour {
    fn new(campaign: Campaign, number: u64, usual: Duration) -> Self {
        let mut dice = Rng::with_seed(campaign.seed.wrapping_mul(1_000_003).wrapping_add(number));
        let place = place_of(number).keep();
        let gateway = (campaign.server == Server::Apart).then(|| {
            let kind = if dice.u8(0..4) == 0 { Kind::Outside } else { Kind::Inside };
            let latency = ["0ms", "0..3ms", "0..8ms", "0..20ms"][dice.usize(0..4)].to_owned();
            Gateway::start(&place.join("gateway"), Manner { kind, latency, seed: dice.u64(..), faults: stall(&mut dice) })
        });
        let project = Project::new(&place, gateway.as_ref().map(Gateway::url));
        let figures = Figures { projects: 1, ..Figures::default() };
        Self { campaign, number, usual, dice, place, gateway, project, printed: Vec::new(), figures }
    }

    fn go(mut self) -> Figures {
        let rounds = self.dice.usize(1..=3);
        for round in 0..rounds {
            let added = if round == 0 { self.dice.usize(2..=6) } else { self.dice.usize(1..=3) };
            self.project.declare(added);
            let is_on = round == 0 || self.restart().is_ok();
            if !is_on {
                break;
            }
            match self.round() {
                Ok(found) => {
                    self.figures.found = found;
                    self.figures.rounds += 1;
                }
                Err(broken) => {
                    let (seed, number, place) = (self.campaign.seed, self.number, self.place.display());
                    panic!(
                        "round {round} of project {number}: {broken}\n  it is kept in {place}\n  replay: \
                         CHATAPI_KILL_SEED={seed} CHATAPI_KILL_PROJECT={number} CHATAPI_KILL_ROUNDS=1"
                    );
                }
            }
        }
        drop(self.gateway.take());
        // Left behind only after a failure.
        let _ = fs::remove_dir_all(&self.place);
        self.figures.printed = self.printed.len();
        self.figures
    }

    fn round(&mut self) -> Result<Found, String> {
        for _ in 0..self.dice.usize(1..=3) {
            self.killed_run()?;
            self.look()?;
            if self.dice.u8(0..4) == 0 {
                self.scratch();
            }
            // After its first kill a stall has done its work, or could only make a run wait.
            if self.is_stalling() || self.dice.u8(0..6) == 0 {
                self.restart()?;
            }
            if self.missing() == 0 {
                break;
            }
        }
        // A stalled request that nobody waits for any more is over with its server.
        if self.gateway.as_ref().is_some_and(|gateway| !gateway.is_inside() || self.dice.bool()) {
            self.restart()?;
        }
        let parallelism = self.parallelism();
        let last = self.project.run(&["apply", "--parallelism", parallelism]);
        self.figures.runs += 1;
        self.printed.extend(last.printed());
        self.judge(&last)
    }

    fn judge(&mut self, last: &project::Ended) -> Result<Found, String> {
        let truth = match &mut self.gateway {
            Some(gateway) => {
                gateway.stop();
                Truth { ledger: gateway.creates(), seen: gateway.seen(), printed: self.printed.clone() }
            }
            None => Truth {
                ledger: gateway::creates(&self.place.join("state/emulator/ledger.jsonl")),
                seen: Vec::new(),
                printed: self.printed.clone(),
            },
        };
        let found = oracle::check(&self.project, &truth, last);
        let found = found.map_err(|broken| format!("{broken}\n{}{}", last.stdout, last.stderr))?;
        self.token()?;
        Ok(found)
    }

    fn parallelism(&mut self) -> &'static str {
        ["1", "3", "4"][self.dice.usize(0..3)]
    }

    fn killed_run(&mut self) -> Result<(), String> {
        let known: Vec<String> = oracle::trails(&self.project).into_keys().collect();
        let missing = self.missing();
        let aim = Aim::draw(&mut self.dice, missing, self.usual, self.gateway.as_ref());
        // A stalled create is waited for by nothing but a kill.
        let aim = if self.figures.runs == 0 && self.is_stalling() { Aim { moment: Moment::Done(1), ..aim } } else { aim };
        let parallelism = self.parallelism();
        let look = Look { project: &self.project, gateway: self.gateway.as_ref() };
        let before = look.before();
        let start = Instant::now();
        let mut run = Run::start(self.project.command(&["apply", "--parallelism", parallelism]));
        let was_running = aim.kill(&mut run, start, &before, &look);
        let ended = run.end();
        self.figures.runs += 1;
        if was_running {
            self.count(&known);
        } else {
            self.figures.too_late += 1;
        }
        self.printed.extend(ended.printed());
        let is_fine = was_running || matches!(ended.code(), Some(0 | 3));
        if is_fine { Ok(()) } else { Err(format!("a run ends with {:?}: {}", ended.status, ended.stderr)) }
    }

    /// How many names a run would still try.
    fn missing(&self) -> usize {
        let trails = oracle::trails(&self.project);
        let done = trails.values().filter(|trail| trail.created.is_some() || trail.is_ambiguous()).count();
        self.project.names().len().saturating_sub(done)
    }

    fn is_stalling(&self) -> bool {
        self.gateway.as_ref().is_some_and(Gateway::is_faulty)
    }

    /// Which phases the kill left.
    fn count(&mut self, known: &[String]) {
        self.figures.kills += 1;
        let trails = oracle::trails(&self.project);
        let mut is_open = false;
        for (_, trail) in trails.iter().filter(|(attempt, _)| !known.contains(attempt)) {
            match trail.phase() {
                Some(Phase::Intent) => self.figures.intent += 1,
                Some(Phase::Sent) => self.figures.sent += 1,
                Some(Phase::Received) => self.figures.received += 1,
                Some(Phase::Created) | None => continue,
            }
            is_open = true;
        }
        if trails.len() == known.len() {
            self.figures.before_intent += 1;
        } else if !is_open {
            self.figures.between += 1;
        }
    }

    /// P12: a plan opens whatever a kill left, and changes nothing.
    fn look(&self) -> Result<(), String> {
        let before = self.project.snapshot();
        let plan = self.project.run(&["plan"]);
        if !matches!(plan.code(), Some(0 | 3)) {
            return Err(format!("a plan ends with {:?}: {}", plan.status, plan.stderr));
        }
        let after = self.project.snapshot();
        if before == after { Ok(()) } else { Err("a plan has written".to_owned()) }
    }

    /// Does what must not matter: what a cut-short write leaves, and an index or lock file that is gone or broken.
    fn scratch(&mut self) {
        let state = self.project.path("state");
        if !state.join("journal.jsonl").exists() {
            return;
        }
        self.figures.scratched += 1;
        match self.dice.u8(0..5) {
            0 => drop(fs::remove_dir_all(state.join("index"))),
            1 => {
                let mut journal = fs::File::options().append(true).open(state.join("journal.jsonl")).unwrap();
                journal.write_all(br#"{"serial":99,"at":"2026-01-01T00:0"#).unwrap();
            }
            2 => {
                let _ = fs::write(state.join("index/snap.0000000000000000.generating"), b"half");
            }
            3 => drop(fs::remove_file(self.project.path("chatapi.lock"))),
            _ => self.flip(),
        }
    }

    /// Flips one bit of the index.
    fn flip(&mut self) {
        let path = self.project.path("state/index/db");
        let Ok(mut bytes) = fs::read(&path) else { return };
        if !bytes.is_empty() {
            let at = self.dice.usize(0..bytes.len().min(16 * 1_024));
            bytes[at] ^= 1 << self.dice.u8(0..8);
            fs::write(&path, bytes).unwrap();
        }
    }

    fn restart(&mut self) -> Result<(), String> {
        let Some(gateway) = &mut self.gateway else { return Ok(()) };
        self.figures.restarts += 1;
        if gateway.restart() {
            Ok(())
        } else {
            Err("the emulator's port is taken, so this says nothing of the program".to_owned())
        }
    }

    /// V3 through the front door, for one name.
    fn token(&mut self) -> Result<(), String> {
        let name = self.project.names()[self.dice.usize(0..self.project.names().len())].clone();
        let trails = oracle::trails(&self.project);
        let kept = trails.values().find(|trail| trail.name == name && trail.created.is_some());
        let kept = kept.and_then(|trail| trail.created.clone()?.1);
        let got = self.project.run(&["token", "get", &name]);
        let is_right = match &kept {
            Some(token) => got.code() == Some(0) && got.stdout.trim_end() == token,
            None => got.code() == Some(1) && got.stdout.is_empty(),
        };
        if is_right { Ok(()) } else { Err(format!("token get {name} ends with {:?}: {}", got.status, got.stderr)) }
    }
}

/// In one project of six a create is done and never answered: its window stays open until the kill.
fn stall(dice: &mut Rng) -> Vec<String> {
    if dice.u8(0..6) == 0 { vec![format!("create:nth={}=stall", dice.u8(1..=2))] } else { Vec::new() }
}
