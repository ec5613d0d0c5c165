//! P1, P2, P3, P8, P14 when a system call fails: every call that the state's files are made of fails in turn, once or from then
//! on, or the program is killed as it makes it; then a run without faults goes to the end and the oracle judges.
//!
//! The ordinary set draws 150 faults (at most 45 s) and is skipped where nothing can be traced. The long campaign:
//!
//! ```text
//! cargo build --release
//! CHATAPI_FAULTS=5000 CHATAPI_KILL_BINARY=$PWD/target/release/chatapi cargo test --test it syscalls -- --nocapture
//! ```
//!
//! `CHATAPI_KILL_SEED` draws another set (default 1); a failure names its seed and number, and `CHATAPI_FAULT=NUMBER` repeats it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::{self, Truth};
use super::kill_loop::project::{Ended, Project};

mod strace;

use strace::{Fault, What, Which};

/// What a run finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Prior {
    Nothing,
    Created,
    InDoubt,
    /// An answer that a kill left in the journal before it was synced.
    Received,
    /// A half line at the end.
    Torn,
}

const PRIORS: [Prior; 5] = [Prior::Nothing, Prior::Created, Prior::InDoubt, Prior::Received, Prior::Torn];
const WHATS: [What; 5] = [What::Kill, What::Error("EIO"), What::Error("ENOSPC"), What::Error("EDQUOT"), What::Error("EINTR")];

/// A project in its prior state, with two more names to create.
struct Site {
    _place: tempfile::TempDir,
    gateway: Gateway,
    project: Project,
    printed: Vec<(String, String)>,
    /// Creates that came before the fault.
    seen: usize,
}

/// The fdatasync with which a run of its own makes the first answer durable, with one request at a time: the thread of the
/// store has synced its beginning, an intent and a `sent` before.
const FIRST_ANSWER: usize = 4;

impl Site {
    fn new(prior: Prior) -> Self {
        let place = tempfile::tempdir().unwrap();
        let faults = if prior == Prior::InDoubt { vec!["create:nth=2=drop-after".to_owned()] } else { Vec::new() };
        let gateway = Gateway::start(&place.path().join("gateway"), Manner { faults, ..Manner::inside("0ms") });
        let home = place.path().join("home");
        fs::create_dir(&home).unwrap();
        let project = Project::new(&home, Some(gateway.url()));
        let mut site = Self { _place: place, gateway, project, printed: Vec::new(), seen: 0 };
        site.prepare(prior);
        site.seen = site.gateway.seen().len();
        site.project.declare(2);
        site
    }

    fn prepare(&mut self, prior: Prior) {
        if prior == Prior::Nothing {
            return;
        }
        self.project.declare(2);
        if prior == Prior::Received {
            let fault = Fault { call: "fdatasync", what: What::Kill, which: Which::Once(FIRST_ANSWER) };
            let (ended, is_hit) = strace::run(&self.project, fault, &strace::journal(&self.project), &WORDS[0]);
            assert!(is_hit, "{}{}", ended.stdout, ended.stderr);
            let trails = oracle::trails(&self.project);
            assert!(trails.values().any(|trail| trail.is_received && trail.created.is_none()), "{trails:?}");
            return;
        }
        let ended = self.project.run(&WORDS[0]);
        assert_eq!(ended.code(), Some(if prior == Prior::InDoubt { 3 } else { 0 }), "{}", ended.stderr);
        self.printed.extend(ended.printed());
        if prior == Prior::Torn {
            let mut journal = fs::File::options().append(true).open(self.project.path("state/journal.jsonl")).unwrap();
            journal.write_all(br#"{"serial":99,"at":"2026-01-01T00:0"#).unwrap();
        }
    }

    /// Creates that came since.
    fn came(&self) -> usize {
        self.gateway.seen().len() - self.seen
    }

    /// V7 and V8 of the run that met the fault.
    fn judge(&mut self, ended: &Ended, what: What) -> Result<(), String> {
        self.printed.extend(ended.printed());
        let told = || format!("{:?}, {} came\n{}{}", ended.status, self.came(), ended.stdout, ended.stderr);
        if ended.stderr.contains("panicked at") || ended.stderr.contains("BUG:") {
            return Err(told());
        }
        let trails = oracle::trails(&self.project);
        // An answer whose sync failed is in doubt to its run, and the next one may find it.
        let is_open = |trail: &oracle::Trail| trail.is_sent && trail.created.is_none() && trail.closed.is_none();
        let is_done = |name: &String| trails.values().any(|trail| trail.name == *name && trail.created.is_some());
        let holds = match ended.code() {
            None | Some(137) => what == What::Kill,
            Some(0) => self.project.names().iter().all(is_done),
            // Nothing was created by this run. It may have finished what an earlier one was answered.
            Some(1 | 8) => self.came() == 0,
            Some(3) => trails.values().any(is_open),
            Some(4) => self.came() > 0 || trails.values().any(|trail| trail.created.is_some()),
            Some(_) => false,
        };
        if holds { Ok(()) } else { Err(told()) }
    }

    /// A run without faults, and the oracle's word.
    fn mend(&mut self) -> Result<(), String> {
        let plan = self.project.run(&["plan"]);
        if !matches!(plan.code(), Some(0 | 3)) {
            return Err(format!("a plan after it ends with {:?}\n{}", plan.status, plan.stderr));
        }
        let last = self.project.run(&["apply"]);
        self.printed.extend(last.printed());
        self.gateway.stop();
        let truth = Truth { ledger: self.gateway.creates(), seen: self.gateway.seen(), printed: self.printed.clone() };
        let checked = oracle::check(&self.project, &truth, &last);
        checked.map(drop).map_err(|broken| format!("{broken}\n{}{}", last.stdout, last.stderr))
    }
}

const WORDS: [[&str; 3]; 2] = [["apply", "--parallelism", "1"], ["apply", "--parallelism", "3"]];

/// A fault and where it strikes.
#[derive(Debug, Clone, Copy)]
struct Strike {
    prior: Prior,
    words: &'static [&'static str; 3],
    fault: Fault,
}

/// Every strike there is, in the order of the dice.
fn strikes(seed: u64) -> Vec<Strike> {
    let mut all = Vec::new();
    for (prior, words) in PRIORS.into_iter().flat_map(|prior| WORDS.iter().map(move |words| (prior, words))) {
        let site = Site::new(prior);
        for (call, most) in strace::count(&site.project, words) {
            for (what, first) in WHATS.into_iter().flat_map(|what| (1..=most).map(move |first| (what, first))) {
                let more = match what {
                    What::Kill => None,
                    What::Error("EINTR") => Some(Which::Eight(first)),
                    What::Error(_) => Some(Which::From(first)),
                };
                let which = [Some(Which::Once(first)), more].into_iter().flatten();
                all.extend(which.map(|which| Strike { prior, words, fault: Fault { call, what, which } }));
            }
        }
    }
    Rng::with_seed(seed).shuffle(&mut all);
    all
}

fn strike(strike: Strike) -> Result<Option<i32>, String> {
    let mut site = Site::new(strike.prior);
    let (ended, is_hit) = strace::run(&site.project, strike.fault, &[], strike.words);
    site.judge(&ended, strike.fault.what)?;
    site.mend()?;
    Ok(is_hit.then(|| ended.code().unwrap_or(137)))
}

/// Says which strike it was, also of one that does not end.
struct ToldIfItPanics<'a>(&'a str);

impl Drop for ToldIfItPanics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// Faults that hit, by the exit code of their run, and those that met no call.
type Figures = (BTreeMap<i32, usize>, usize);

fn work_off(strikes: &[Strike], first: usize, seed: u64) -> Figures {
    let (mut codes, mut missed) = (BTreeMap::new(), 0);
    for (number, what) in strikes.iter().enumerate().skip(first).step_by(2) {
        let words = what.words.join(" ");
        let replay = format!("{:?}, {words}, {}: CHATAPI_KILL_SEED={seed} CHATAPI_FAULT={number}", what.prior, what.fault);
        let _told = ToldIfItPanics(&replay);
        match strike(*what) {
            Ok(Some(code)) => *codes.entry(code).or_default() += 1,
            Ok(None) => missed += 1,
            Err(broken) => panic!("{broken}"),
        }
    }
    (codes, missed)
}

#[test]
fn p1_p2_p3_p8_p14_any_system_call_may_fail() {
    if let Err(why) = strace::is_there() {
        println!("skipped: {why}");
        return;
    }
    let seed = number("CHATAPI_KILL_SEED", 1);
    let mut strikes = strikes(seed);
    let all = strikes.len();
    if let Ok(only) = std::env::var("CHATAPI_FAULT") {
        let only = strikes[only.parse::<usize>().unwrap()];
        println!("{only:?}: {:?}", strike(only));
        return;
    }
    strikes.truncate(usize::try_from(number("CHATAPI_FAULTS", 150)).unwrap());
    let begun = std::time::Instant::now();
    let ((mut codes, mut missed), other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| work_off(&strikes, 1, seed));
        (work_off(&strikes, 0, seed), other.join().unwrap())
    });
    missed += other.1;
    for (code, count) in other.0 {
        *codes.entry(code).or_default() += count;
    }
    let hit: usize = codes.values().sum();
    println!("{hit} faults of {all} hit, {missed} met no call, in {:?}; exit codes {codes:?}; broken 0", begun.elapsed());
    assert!(hit * 10 >= strikes.len() * 7, "most faults must hit: {hit} of {}", strikes.len());
}

/// G: after a sync of the journal that failed nothing is sent, and nothing is called created that was not durable before.
#[test]
fn p2_p3_a_failed_sync_ends_all_creating() {
    if let Err(why) = strace::is_there() {
        println!("skipped: {why}");
        return;
    }
    for (number, error) in (1..=8).flat_map(|number| [(number, "EIO"), (number, "ENOSPC")]) {
        for which in [Which::Once(number), Which::From(number)] {
            let mut site = Site::new(Prior::Created);
            let fault = Fault { call: "fdatasync", what: What::Error(error), which };
            let (ended, is_hit) = strace::run(&site.project, fault, &strace::journal(&site.project), &WORDS[0]);
            let told = format!("{fault}: {:?}, {} came\n{}{}", ended.status, site.came(), ended.stdout, ended.stderr);
            // The thread's first sync is of its beginning; then intent, `sent` and answer of each.
            let (may_come, may_be_created) = ((number - 1) / 3, (number.max(2) - 2) / 3);
            // The eighth is the lock file's: what it names is durable, and by then everything else is.
            assert!(is_hit && (ended.code() == Some(0)) == (number == 8), "{told}");
            assert!(site.came() <= may_come && ended.printed().len() <= may_be_created, "{told}");
            site.judge(&ended, fault.what).unwrap_or_else(|broken| panic!("{fault}: {broken}"));
            site.mend().unwrap_or_else(|broken| panic!("{fault}: {broken}"));
        }
    }
}

/// G: an answer that an earlier run did not live to sync is not called created before it is durable.
#[test]
fn p3_p8_what_a_killed_run_has_not_synced_is_synced_before_it_is_built_on() {
    if let Err(why) = strace::is_there() {
        println!("skipped: {why}");
        return;
    }
    let mut site = Site::new(Prior::Received);
    let fault = Fault { call: "fdatasync", what: What::Error("EIO"), which: Which::From(1) };
    let (ended, is_hit) = strace::run(&site.project, fault, &strace::journal(&site.project), &WORDS[0]);
    let told = format!("{:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
    assert!(is_hit && ended.code() == Some(1) && ended.printed().is_empty(), "{told}");
    site.judge(&ended, fault.what).unwrap();
    site.mend().unwrap();
}

/// A call that a signal interrupts is made again.
#[test]
fn p8_an_interrupted_call_is_no_error() {
    if let Err(why) = strace::is_there() {
        println!("skipped: {why}");
        return;
    }
    for call in ["openat", "read", "write", "ftruncate", "fallocate", "fdatasync", "fsync"] {
        let mut site = Site::new(Prior::Created);
        let fault = Fault { call, what: What::Error("EINTR"), which: Which::Eight(1) };
        let (ended, is_hit) = strace::run(&site.project, fault, &[], &WORDS[0]);
        let told = format!("{fault}: {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
        assert!(is_hit && ended.code() == Some(0) && ended.printed().len() == 2, "{told}");
        site.judge(&ended, fault.what).unwrap_or_else(|broken| panic!("{fault}: {broken}"));
        site.mend().unwrap_or_else(|broken| panic!("{fault}: {broken}"));
    }
}

/// P2, P5: a new or renamed file of the state, and the lock file, is durable in its directory before anything is sent, and in the
/// end. A file system may forget a name otherwise, however often its file was synced.
#[test]
fn p2_p5_every_new_name_is_durable_before_anything_is_sent() {
    if let Err(why) = strace::is_there() {
        println!("skipped: {why}");
        return;
    }
    let site = Site::new(Prior::Nothing);
    let (ended, log) = strace::names(&site.project, &WORDS[0]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let mut waiting = BTreeMap::new();
    let (mut names, mut requests) = (0, 0);
    for line in log.lines().filter(|line| !line.contains(" = -1 ") || line.contains("EINPROGRESS")) {
        let call = line.split_once(' ').unwrap_or_default().1.trim_start();
        if call.starts_with("connect(") && call.contains("AF_INET") {
            requests += 1;
            assert!(waiting.is_empty(), "{waiting:?} at {line}\n{log}");
        } else if let Some(path) = synced(call) {
            waiting.remove(&path);
        } else if let Some(path) = named(call).filter(|path| is_kept(path)) {
            names += 1;
            waiting.insert(path.parent().unwrap().to_owned(), path);
        }
    }
    assert!(waiting.is_empty(), "{waiting:?}\n{log}");
    assert!(names >= 3 && requests >= 2, "{names} names, {requests} requests: {log}");
}

/// The directory or file that a call makes durable.
fn synced(call: &str) -> Option<PathBuf> {
    let inner = call.strip_prefix("fsync(")?;
    Some(PathBuf::from(inner.split_once('<')?.1.split_once('>')?.0))
}

/// The name that a call makes.
fn named(call: &str) -> Option<PathBuf> {
    let makes = call.starts_with("rename") || (call.starts_with("openat(") && call.contains("O_CREAT"));
    makes.then(|| call.rsplit('"').nth(1).map(PathBuf::from)).flatten()
}

/// Whether something would be lost with it: not a file that is renamed later, not the lock, which holds nothing, not the index.
fn is_kept(path: &Path) -> bool {
    let is_renamed_later = path.extension().is_some_and(|extension| extension == "new");
    let is_lock = path.file_name().is_some_and(|name| name == "lock");
    path.is_absolute() && !is_renamed_later && !is_lock && !path.components().any(|part| part.as_os_str() == "index")
}
