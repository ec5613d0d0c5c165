//! P1, P3, P9 under SIGKILL of a whole life: one apply that settles, renames, takes in, replaces, creates and prunes, and a destroy of
//! several at once, killed at a named point, killed again on the way back, and then run plainly. Judged by what the server itself has
//! at the end: no id is lost, nothing is created twice, nothing is deleted that was not named.
//!
//! The ordinary set takes every so-many-th cell; `CHATAPI_CRASH_EVERY=1` takes all. A failure names its cell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use chatapi::emulator::{LEDGER_FILE, LedgerOp, read_ledger};
use chatapi::failpoint::{DELETES, REPLACEMENT, SETTLEMENTS};
use chatapi::instance::InstanceType;
use chatapi::secret::Secret;

use super::crash_points::scene::scratch;
use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::listed;
use super::kill_loop::project::{Ended, Project, Run};

/// The points of the creates and of the frame that all runs share.
const FRAME: [&str; 9] = [
    "guards-passed",
    "journal-written-run",
    "journal-after-intent",
    "journal-written-sent",
    "answer-begun",
    "journal-written-received",
    "journal-after-created",
    "lockfile-written",
    "closed",
];
/// Where the run after a kill is killed in its turn.
const SECOND: [&str; 8] = [
    "tail-renewed",
    "guards-passed",
    "journal-written-run",
    "set-aside",
    "delete-sent",
    "delete-answered",
    "journal-written-retired",
    "lockfile-written",
];

const FIRST_MANIFEST: &str = "instances:
  - {name: keep, type: whatsapp}
  - {name: guarded, type: whatsapp, protect: true}
  - {name: gone, type: whatsapp}
  - {name: old, type: whatsapp}
  - {name: a, type: whatsapp}
  - {name: x, type: whatsapp}
";
const APPLY: [&str; 9] = ["apply", "--prune", "--replace", "a", "--yes", "--max-deletes", "2", "--settle-after", "0s"];
const DESTROY: [&str; 8] = ["destroy", "-y", "--max-deletes", "3", "gone", "old", "a", "--settle-after=0s"];

/// A project on a server, with a copy of both as they are before the first kill.
struct Stage {
    _place: tempfile::TempDir,
    live: PathBuf,
    saved: PathBuf,
    gateway: Gateway,
    project: Project,
    /// By name; `desk` is somebody else's, and `x` was created by a run that got no answer.
    ids: BTreeMap<&'static str, String>,
}

impl Stage {
    fn new() -> Self {
        let place = scratch();
        let (live, saved) = (place.path().join("live"), place.path().join("saved"));
        fs::create_dir_all(live.join("project")).unwrap();
        // The stray one is the first.
        let manner = Manner { faults: vec!["create:nth=7=drop-after".to_owned()], ..Manner::inside("0ms") };
        let mut gateway = Gateway::start(&live.join("gateway"), manner);
        let settings = chatapi::Client::builder(gateway.url(), Secret::new("key-of-the-tests".to_owned()));
        let stray = chatapi::blocking::Client::new(settings).unwrap().create_instance(InstanceType::WhatsApp).unwrap();
        let project = Project::new(&live.join("project"), Some(gateway.url()));
        fs::write(project.path("instances.yaml"), FIRST_MANIFEST).unwrap();
        // One after the other in the manifest's order of names: `x` is the last.
        let begun = project.run(&["apply", "--parallelism", "1", "--allow-unknown", "1"]);
        assert_eq!(begun.code(), Some(3), "{}{}", begun.stdout, begun.stderr);
        let known = listed(&project).unwrap();
        let mut ids: BTreeMap<&str, String> =
            ["keep", "guarded", "gone", "old", "a"].into_iter().map(|name| (name, known[name].1.clone())).collect();
        ids.insert("desk", stray.instance_parameters.id.to_string());
        let made = deeds(&live.join("gateway"), LedgerOp::Created);
        ids.insert("x", made.into_iter().find(|id| ids.values().all(|known| known != id)).unwrap());
        gateway.stop();
        copy(&live, &saved);
        Self { _place: place, live, saved, gateway, project, ids }
    }

    /// Everything is as it was before the first kill.
    fn begin(&mut self) {
        self.gateway.stop();
        fs::remove_dir_all(&self.live).unwrap();
        copy(&self.saved, &self.live);
        assert!(self.gateway.restart(), "somebody else has the port");
    }

    /// Asks for everything at once.
    fn declare_all(&self) {
        let shown = self.project.run(&["doubts", "--format", "json"]).stdout;
        let attempt = shown.split('"').find(|word| word.starts_with("a-")).unwrap();
        let text = format!(
            "instances:
  - {{name: keep, type: whatsapp}}
  - {{name: guarded, type: whatsapp, protect: true}}
  - {{name: new, type: whatsapp}}
  - {{name: a, type: whatsapp}}
  - {{name: x, type: whatsapp}}
  - {{name: desk, type: whatsapp}}
  - {{name: fresh, type: whatsapp_dev}}
import: [{{name: desk, id: \"{}\", type: whatsapp}}]
moved: [{{from: old, to: new}}]
resolutions: [{{name: x, attempt: {attempt}, created: \"{}\"}}]
",
            self.ids["desk"], self.ids["x"]
        );
        fs::write(self.project.path("instances.yaml"), text).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.live.join("gateway")
    }

    /// The program with `words` and the failpoint `rule`; and whether it was reached.
    fn meet(&self, words: &[&str], rule: &str) -> (Ended, bool) {
        let mut command = self.project.command(words);
        command.env("CHATAPI_FAILPOINT", rule);
        let ended = Run::start(command).end();
        let is_hit = ended.stderr.contains("failpoint: ");
        (ended, is_hit)
    }

    /// What must be so after anything: what is deleted was named, and no more was created than `may`.
    fn check(&self, named: &[&str], may: usize) -> Result<BTreeSet<String>, String> {
        let named: BTreeSet<_> = named.iter().map(|name| self.ids[name].clone()).collect();
        let (made, gone) = (deeds(&self.data(), LedgerOp::Created), deeds(&self.data(), LedgerOp::Deleted));
        let wrong: Vec<_> = gone.iter().filter(|id| !named.contains(*id)).collect();
        ensure(wrong.is_empty(), || format!("P9: {wrong:?} were deleted, and {named:?} were named"))?;
        ensure(made.len() <= 7 + may, || format!("P1: {made:?} were created"))?;
        Ok(made.into_iter().filter(|id| !gone.contains(id)).collect())
    }

    /// `name` is on record as `was` was, with the token that the server gave.
    fn is_whole(&self, name: &str, was: &str) -> Result<(), String> {
        let ledger = read_ledger(&self.data().join(LEDGER_FILE)).unwrap();
        let made = ledger.into_iter().find(|entry| entry.id.as_str() == self.ids[was]).unwrap();
        let (known, token) = (listed(&self.project)?, self.project.run(&["token", "get", name]).stdout);
        ensure(known.get(name).is_some_and(|(_, id)| *id == self.ids[was]), || format!("P3: {name} is not {was}: {known:?}"))?;
        let is_kept = made.token.is_some_and(|it| it.expose() == token.trim_end());
        ensure(is_kept, || format!("P3: the token of {name} is lost"))
    }

    /// One apply that does everything, killed at `first`, and again at `second`; how often it was.
    fn live(&mut self, first: &str, second: &str) -> Result<[bool; 2], String> {
        const NAMED: [&str; 2] = ["gone", "a"];
        self.begin();
        self.declare_all();
        let (_, is_first) = self.meet(&APPLY, first);
        self.check(&NAMED, 2)?;
        let (_, is_second) = self.meet(&APPLY, &format!("{second}=kill"));
        self.check(&NAMED, 2)?;
        let last = self.project.run(&APPLY);
        // Two have no token, which is no success; a killed create may be in doubt.
        let told = || format!("{:?} {}{}", last.status, last.stdout, last.stderr);
        ensure(last.code() == Some(3), || format!("the plain run ends otherwise: {}", told()))?;
        let exist = self.check(&NAMED, 2)?;
        let known = listed(&self.project)?;
        for (name, was) in [("keep", "keep"), ("guarded", "guarded"), ("new", "old")] {
            self.is_whole(name, was)?;
        }
        for name in ["desk", "x"] {
            ensure(known[name] == ("token_missing".to_owned(), self.ids[name].clone()), || format!("{name}: {known:?}"))?;
        }
        let doubts = known.values().filter(|(status, _)| status == "in_doubt").count();
        let recorded: BTreeSet<_> = known.values().filter(|(status, _)| status != "retired").map(|(_, id)| id).collect();
        let unknown: Vec<_> = exist.iter().filter(|id| !recorded.contains(id)).collect();
        ensure(unknown.len() <= doubts, || format!("P3: nobody knows of {unknown:?}: {known:?} {}", told()))?;
        let is_replaced = known["a"].0 == "created" && known["a"].1 != self.ids["a"];
        ensure(is_replaced || known["a"].0 == "in_doubt", || format!("`a` ends otherwise: {known:?}"))?;
        // What is replaced goes when its new one can be used, and stays as long as nobody knows of one.
        ensure(exist.contains(&self.ids["a"]) != is_replaced, || format!("the old one: {known:?} {exist:?} {}", told()))?;
        ensure(matches!(known["fresh"].0.as_str(), "created" | "in_doubt"), || format!("`fresh` ends otherwise: {known:?}"))?;
        ensure(!exist.contains(&self.ids["gone"]), || format!("`gone` exists: {}", told()))?;
        self.verify()?;
        Ok([is_first, is_second])
    }

    /// A destroy of three at once, killed twice.
    fn leave(&mut self, first: &str, second: &str) -> Result<[bool; 2], String> {
        const NAMED: [&str; 3] = ["gone", "old", "a"];
        self.begin();
        let (_, is_first) = self.meet(&DESTROY, first);
        self.check(&NAMED, 0)?;
        let (_, is_second) = self.meet(&DESTROY, &format!("{second}=kill"));
        self.check(&NAMED, 0)?;
        let last = self.project.run(&DESTROY);
        ensure(last.code() == Some(0), || format!("the plain run ends otherwise: {}{}", last.stdout, last.stderr))?;
        let exist = self.check(&NAMED, 0)?;
        let stay: BTreeSet<_> = ["keep", "guarded", "x", "desk"].map(|name| self.ids[name].clone()).into();
        ensure(exist == stay, || format!("there are {exist:?}"))?;
        let known = listed(&self.project)?;
        for name in NAMED {
            ensure(known[name] == ("retired".to_owned(), self.ids[name].clone()), || format!("{name}: {known:?}"))?;
        }
        self.is_whole("keep", "keep")?;
        self.is_whole("guarded", "guarded")?;
        self.verify()?;
        Ok([is_first, is_second])
    }

    fn verify(&self) -> Result<(), String> {
        let verified = self.project.run(&["state", "verify"]);
        ensure(verified.code() == Some(0), || format!("state verify: {}{}", verified.stdout, verified.stderr))
    }
}

fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what()) }
}

/// The ids that the server has created, or deleted, in that order.
fn deeds(data: &Path, op: LedgerOp) -> Vec<String> {
    let ledger = read_ledger(&data.join(LEDGER_FILE)).unwrap();
    ledger.into_iter().filter(|entry| entry.op == op).map(|entry| entry.id.to_string()).collect()
}

fn copy(from: &Path, to: &Path) {
    // As it was, whatever this process's umask is: a state that a group may write to is refused.
    DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Lives through every so-many-th of `cells`, on two stages; demands that each first kill was one.
fn campaign(what: &str, cells: &[(String, &str)], every: u64, live: fn(&mut Stage, &str, &str) -> Result<[bool; 2], String>) {
    let every = usize::try_from(number("CHATAPI_CRASH_EVERY", every)).unwrap().max(1);
    let chosen: Vec<_> = cells.iter().step_by(every).collect();
    let begun = std::time::Instant::now();
    let part = |offset: usize| {
        let mut stage = Stage::new();
        let mut kills = [0, 0];
        for (first, second) in chosen.iter().skip(offset).step_by(2) {
            let [is_first, is_second] =
                live(&mut stage, first, second).unwrap_or_else(|why| panic!("{what}, {first}, then {second}=kill: {why}"));
            assert!(is_first, "{what}: {first} is never reached");
            kills[0] += 1;
            kills[1] += usize::from(is_second);
        }
        kills
    };
    let kills = std::thread::scope(|scope| {
        let other = scope.spawn(|| part(1));
        let mine = part(0);
        other.join().map(|other| [mine[0] + other[0], mine[1] + other[1]]).unwrap()
    });
    println!("{what}: {} of {} cells in {:.0?}: {kills:?} kills", chosen.len(), cells.len(), begun.elapsed());
    assert!(kills[1] * 4 >= kills[0], "{what}: the second kill comes too seldom: {kills:?}");
}

/// Each of `rules` with a second point, another one for each.
fn with_second(rules: impl Iterator<Item = String>) -> Vec<(String, &'static str)> {
    rules.enumerate().map(|(index, rule)| (rule, SECOND[index * 3 % SECOND.len()])).collect()
}

#[test]
fn p1_p3_p9_an_apply_of_everything_that_is_killed_twice_loses_and_doubles_nothing() {
    let points = SETTLEMENTS.iter().chain(REPLACEMENT).filter(|point| **point != "moving-back").chain(&FRAME);
    let deletes = [1, 2].into_iter().flat_map(|nth| DELETES.iter().map(move |point| format!("{point}=kill@{nth}")));
    let cells = with_second(points.map(|point| format!("{point}=kill")).chain(deletes));
    campaign("an apply of everything", &cells, 3, Stage::live);
}

#[test]
fn p9_a_destroy_of_several_that_is_killed_twice_deletes_these_and_no_other() {
    let points = [1, 2, 3].into_iter().flat_map(|nth| DELETES.iter().map(move |point| format!("{point}=kill@{nth}")));
    campaign("a destroy of three", &with_second(points), 2, Stage::leave);
}

/// What is typed, what is declared then, and how many creates there are in all.
type Story<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], usize);

/// Seen at the server only: it has read the second delete, or has carried it out, and does not answer.
#[test]
fn p9_a_program_that_dies_while_the_server_deletes_goes_on_with_that_one() {
    let declared = |names: &[(&str, &str)]| {
        let entries = names.iter().map(|(name, kind)| format!("{{name: {name}, type: {kind}}}"));
        format!("instances: [{}]\n", entries.collect::<Vec<_>>().join(", "))
    };
    let all = [("a", "whatsapp"), ("b", "whatsapp"), ("keep", "whatsapp")];
    let some = ["--parallelism", "1", "--yes", "--max-deletes", "2", "--settle-after", "0s"];
    let verbs: [Story<'_>; 3] = [
        (&["destroy", "a", "b"], &all, 3),
        (&["apply", "--prune"], &[("keep", "whatsapp"), ("new", "whatsapp_dev")], 4),
        (&["apply", "--replace", "a", "--replace", "b"], &all, 5),
    ];
    for ((words, after, creates), (fault, has_acted)) in
        verbs.into_iter().flat_map(|verb| [("stall-before", false), ("stall", true)].map(|fault| (verb, fault)))
    {
        let told = format!("{words:?}, {fault}");
        let place = scratch();
        let data = place.path().join("gateway");
        let gateway = Gateway::start(&data, Manner { faults: vec![format!("delete:nth=2={fault}")], ..Manner::inside("0ms") });
        fs::create_dir(place.path().join("project")).unwrap();
        let project = Project::new(&place.path().join("project"), Some(gateway.url()));
        fs::write(project.path("instances.yaml"), declared(&all)).unwrap();
        assert_eq!(project.run(&["apply"]).code(), Some(0), "{told}");
        let ids: BTreeMap<_, _> = listed(&project).unwrap().into_iter().map(|(name, (_, id))| (name, id)).collect();
        fs::write(project.path("instances.yaml"), declared(after)).unwrap();
        let words: Vec<&str> = words.iter().chain(&some).copied().collect();
        let mut run = Run::start(project.command(&words));
        let has_come = || gateway.deletes_seen() == 2 && deeds(&data, LedgerOp::Deleted).len() == 1 + usize::from(has_acted);
        assert!(run.wait_until(has_come), "{told}");
        run.kill();
        drop(run.end());
        let between = project.run(&["plan"]);
        assert!(matches!(between.code(), Some(0 | 3)), "{told}: {}", between.stderr);
        let last = project.run(&words);
        assert_eq!(last.code(), Some(0), "{told}: {}{}", last.stdout, last.stderr);
        let gone: BTreeSet<_> = deeds(&data, LedgerOp::Deleted).into_iter().collect();
        assert_eq!(gone, ["a", "b"].map(|name| ids[name].clone()).into(), "{told}");
        assert_eq!(deeds(&data, LedgerOp::Created).len(), creates, "{told}");
        let known = listed(&project).unwrap();
        assert_eq!(known["keep"], ("created".to_owned(), ids["keep"].clone()), "{told}");
        assert!(project.run(&["token", "get", "keep"]).code() == Some(0), "{told}");
        assert_eq!(project.run(&["state", "verify"]).code(), Some(0), "{told}");
    }
}
