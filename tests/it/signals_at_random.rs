//! P8, P10 under signals at random moments and standard outputs that take nothing: the exit code is what the journal says, no
//! panic is shown, and nothing is lost.
//!
//! The ordinary set has 70 rounds (at most 40 s); `CHATAPI_SIGNALS=3500` is the long campaign, `CHATAPI_KILL_SEED` draws another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::pipe;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::{self, Truth};
use super::kill_loop::project::{Ended, Project, Run, pause};

/// A signal, what it does to a run that is at work, and its exit code where it ends one in order.
const SIGNALS: [(Signal, Effect); 8] = [
    (Signal::INT, Effect::Stops(130)),
    (Signal::TERM, Effect::Stops(143)),
    (Signal::HUP, Effect::Stops(129)),
    (Signal::QUIT, Effect::Kills),
    (Signal::PIPE, Effect::Nothing),
    (Signal::XFSZ, Effect::Nothing),
    (Signal::TSTP, Effect::Pauses),
    (Signal::STOP, Effect::Pauses),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Stops(i32),
    Kills,
    Nothing,
    /// Until SIGCONT.
    Pauses,
}

/// Where standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    Kept,
    Closed,
    Full,
    /// A pipe that nobody reads any more.
    Gone,
    /// `head -n 1`.
    Head,
    /// Standard error takes nothing.
    NoErr,
}

/// One round's dice.
#[derive(Debug, Clone, Copy)]
struct Plan {
    signal: (Signal, Effect),
    second: Option<(Signal, Effect)>,
    /// Until the first signal, and from it to the second or to SIGCONT.
    after: [Duration; 2],
    out: Out,
    parallelism: &'static str,
}

impl Plan {
    fn draw(dice: &mut Rng, usual: Duration) -> Self {
        // Half of them are those that ask to stop.
        let signal = SIGNALS[if dice.bool() { dice.usize(0..3) } else { dice.usize(3..SIGNALS.len()) }];
        let parallelism = ["1", "3"][dice.usize(0..2)];
        let usual = if parallelism == "3" { usual / 2 } else { usual };
        let stops = matches!(signal.1, Effect::Stops(_));
        let second = (stops && dice.bool()).then(|| SIGNALS[dice.usize(0..3)]);
        let between = if stops && dice.u8(0..4) == 0 { 1_000 } else { 30 };
        let outs = [Out::Kept, Out::Kept, Out::Kept, Out::Closed, Out::Full, Out::Gone, Out::Head, Out::NoErr];
        Self {
            signal,
            second,
            after: [usual.mul_f64(dice.f64() * 1.1), Duration::from_micros(dice.u64(0..between * 1_000))],
            out: outs[dice.usize(0..outs.len())],
            parallelism,
        }
    }

    fn command(&self, project: &Project) -> (Command, Option<Child>) {
        let words = ["apply", "--parallelism", self.parallelism];
        let mut reader = None;
        let command = match self.out {
            Out::Kept => project.command(&words),
            Out::Closed => project.under("sh", &["-c", "exec \"$@\" >&-", "sh"], &words),
            Out::Full | Out::NoErr => {
                let mut command = project.command(&words);
                let full = File::options().write(true).open("/dev/full").unwrap();
                if self.out == Out::Full {
                    command.stdout(full)
                } else {
                    command.stderr(full)
                };
                command
            }
            Out::Gone | Out::Head => {
                let mut command = project.command(&words);
                let (from, to) = pipe().unwrap();
                if self.out == Out::Head {
                    let mut head = Command::new("head");
                    head.args(["-n", "1"]).stdin(from).stdout(Stdio::null());
                    reader = Some(head.spawn().unwrap());
                }
                command.stdout(to);
                command
            }
        };
        (command, reader)
    }

    /// The codes that may end the run; none: the signal itself may.
    fn expected(&self, project: &Project, came: usize) -> Vec<Option<i32>> {
        let trails = oracle::trails(project);
        let is_in_doubt = trails.values().any(oracle::Trail::is_ambiguous);
        let is_done = |name: &String| trails.values().any(|trail| trail.name == *name && trail.created.is_some());
        let is_all_done = project.names().iter().all(is_done);
        let mut codes = Vec::new();
        let sent = [Some(self.signal.1), self.second.map(|(_, effect)| effect)];
        for effect in sent.into_iter().flatten() {
            match effect {
                Effect::Stops(_) if is_in_doubt => codes.push(Some(3)),
                Effect::Stops(code) => codes.push(Some(code)),
                Effect::Kills => codes.push(None),
                Effect::Nothing | Effect::Pauses => {}
            }
        }
        if is_all_done {
            // What was created cannot be shown: that is no success.
            codes.push(Some(if self.out == Out::Full { 4 } else { 0 }));
        }
        if came == 0 {
            // Before the program listens, a signal ends it as it ends any other.
            codes.push(None);
        }
        codes
    }
}

struct Site {
    _place: tempfile::TempDir,
    gateway: Gateway,
    project: Project,
    printed: Vec<(String, String)>,
}

impl Site {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&place.path().join("gateway"), Manner::inside("10..30ms"));
        let mut project = Project::new(place.path(), Some(gateway.url()));
        project.declare(5);
        Self { _place: place, gateway, project, printed: Vec::new() }
    }

    fn round(&mut self, plan: Plan) -> Result<Ended, String> {
        let (command, reader) = plan.command(&self.project);
        let mut run = Run::start(command);
        pause(plan.after[0]);
        run.signal(plan.signal.0);
        if plan.signal.1 == Effect::Pauses || plan.second.is_some() {
            let until = Instant::now() + plan.after[1];
            run.wait_until(|| Instant::now() >= until);
            run.signal(plan.second.map_or(Signal::CONT, |(signal, _)| signal));
        }
        let ended = run.end();
        if let Some(mut reader) = reader {
            reader.wait().unwrap();
        }
        self.printed.extend(ended.printed());
        let expected = plan.expected(&self.project, self.gateway.seen().len());
        let told = || format!("{:?}, not one of {expected:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
        let is_fine = expected.contains(&ended.code()) && !ended.stderr.contains("panicked at");
        if !is_fine {
            return Err(told());
        }
        let last = self.project.run(&["apply"]);
        self.printed.extend(last.printed());
        self.gateway.stop();
        let truth = Truth { ledger: self.gateway.creates(), seen: self.gateway.seen(), printed: self.printed.clone() };
        let checked = oracle::check(&self.project, &truth, &last);
        checked.map_err(|broken| format!("{broken}\n{}{}\n{}", ended.stdout, ended.stderr, last.stderr))?;
        Ok(ended)
    }
}

fn usual_time() -> Duration {
    let site = Site::new();
    let begun = Instant::now();
    assert_eq!(site.project.run(&["apply", "--parallelism", "1"]).code(), Some(0));
    begun.elapsed()
}

type Codes = BTreeMap<String, usize>;

fn rounds(numbers: impl Iterator<Item = u64>, seed: u64, usual: Duration) -> Codes {
    let mut codes = Codes::new();
    for number in numbers {
        let mut dice = Rng::with_seed(seed.wrapping_mul(104_729).wrapping_add(number));
        let plan = Plan::draw(&mut dice, usual);
        let ended = Site::new().round(plan);
        let ended = ended.unwrap_or_else(|broken| panic!("round {number} of CHATAPI_KILL_SEED={seed}, {plan:?}: {broken}"));
        *codes.entry(ended.code().map_or("by signal".to_owned(), |code| code.to_string())).or_default() += 1;
    }
    codes
}

#[test]
fn p8_p10_signals_at_random_moments_lose_nothing_and_end_with_the_right_code() {
    let (count, seed) = (number("CHATAPI_SIGNALS", 70), number("CHATAPI_KILL_SEED", 1));
    let (begun, usual) = (Instant::now(), usual_time());
    let (mut codes, other) = std::thread::scope(|scope| {
        let other = scope.spawn(move || rounds((0..count).skip(1).step_by(2), seed, usual));
        (rounds((0..count).step_by(2), seed, usual), other.join().unwrap())
    });
    for (code, rounds) in other {
        *codes.entry(code).or_default() += rounds;
    }
    println!("{count} rounds in {:?}: exit codes {codes:?}; broken 0", begun.elapsed());
    let stopped: usize = ["129", "130", "143"].iter().filter_map(|code| codes.get(*code)).sum();
    assert!(stopped as u64 >= count / 20 && codes.contains_key("by signal"), "too few were stopped: {codes:?}");
}
