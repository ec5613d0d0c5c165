//! P1, P13, P16 with a clock that jumps: no create is held to be absent because somebody set a clock, and no time of a journal
//! stops the program.
//!
//! The jumps themselves need `libfaketime` around the program (Debian: `apt-get install faketime`) and are skipped where it is
//! missing; what an ordinary machine can do is done with journals whose times are chosen.

use std::fs;
use std::path::Path;

use chatapi::instance::{InstanceId, InstanceName, InstanceType};
use chatapi::seal::Recipients;
use chatapi::state::{AttemptId, Event, Serial, Who};
use chatapi::store::StateStore as _;
use jiff::{SignedDuration, Timestamp};

use super::damage::intact::open;
use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::project::{Ended, Project, Run, identities};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const DECADE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// A server with one instance that belongs to nobody here, so that its list is never empty.
fn server(place: &Path, faults: &[&str]) -> (Gateway, InstanceId) {
    let manner = Manner { faults: faults.iter().map(|rule| (*rule).to_owned()).collect(), ..Manner::inside("0ms") };
    let gateway = Gateway::start(&place.join("gateway"), manner);
    let home = place.join("before");
    fs::create_dir(&home).unwrap();
    let mut project = Project::new(&home, Some(gateway.url()));
    project.declare(1);
    assert_eq!(project.run(&["apply"]).code(), Some(0));
    let id = gateway.creates()[0].id.clone();
    (gateway, id)
}

/// A project of `gateway` whose operator says that nobody else creates.
fn exclusive(home: &Path, gateway: &Gateway) -> Project {
    fs::create_dir(home).unwrap();
    let mut project = Project::new(home, Some(gateway.url()));
    project.declare(1);
    let manifest = fs::read_to_string(project.path("instances.yaml")).unwrap();
    fs::write(project.path("instances.yaml"), manifest.replace("  kind: chatapi\n", "  kind: chatapi\n  exclusive: true\n"))
        .unwrap();
    project
}

fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// Milliseconds since the machine started.
fn up() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    std::time::Duration::from_secs_f64(seconds).as_millis().try_into().unwrap()
}

/// A doubt of `name-0` that never reached the server, in a run that began at `at`, on a machine that was up for `up`.
fn doubt(project: &Project, old: &InstanceId, at: Timestamp, boot: Option<String>, up: Option<u64>) {
    let mut store = open(&project.path("state"), None, 1).unwrap();
    let (attempt, name) = (AttemptId::typed("a-clock"), InstanceName::parse("name-0").unwrap());
    let run =
        Event::Run { verb: "apply".to_owned(), version: "0".to_owned(), who: Who::default(), boot, up, plan: None, aim: None };
    for event in [
        run,
        Event::Listed { ids: vec![old.clone()] },
        Event::Intent { attempt: attempt.clone(), name, kind: InstanceType::WhatsApp, fence: Some(Serial(3)) },
        Event::Sent { attempt },
        Event::Recipients { to: Recipients::new([identities()[0].recipient().unwrap()]).unwrap() },
    ] {
        store.append(event, at).unwrap();
    }
    Box::new(store).close().unwrap();
}

fn assert_sound(ended: &Ended, what: &str) {
    assert!(ended.code().is_some() && !ended.stderr.contains("panicked at"), "{what}: {:?} {}", ended.status, ended.stderr);
}

/// Each row in a thread of its own: who may settle waits five seconds for the second list.
#[test]
fn p1_p16_only_time_that_has_passed_settles_a_doubt() {
    let (now, here) = (Timestamp::now(), boot_id());
    let elsewhere = || Some("another-start-of-a-machine".to_owned());
    let in_2038 = Timestamp::from_second(i64::from(i32::MAX) + 1).unwrap();
    let rows = [
        ("the clock was put forward by ten years", now - DECADE, here.clone(), Some(up()), "15m", false),
        ("the clock was put back by ten years", now + DECADE, here.clone(), Some(0), "1s", false),
        ("an entry from the future, of another machine", now + DECADE, elsewhere(), Some(0), "1s", false),
        ("an entry from after 2038", in_2038, elsewhere(), None, "1s", false),
        ("the last moment that there is", Timestamp::MAX, elsewhere(), None, "15m", false),
        ("it was long ago on both clocks", now - SignedDuration::from_hours(1), here, Some(0), "1s", true),
        ("1970, of another machine", Timestamp::UNIX_EPOCH, elsewhere(), Some(0), "15m", true),
        ("the first moment that there is", Timestamp::MIN, None, None, "15m", true),
    ];
    std::thread::scope(|scope| {
        for (what, at, boot, up, after, settles) in rows {
            scope.spawn(move || {
                let place = tempfile::tempdir().unwrap();
                let (gateway, old) = server(place.path(), &[]);
                let project = exclusive(&place.path().join("home"), &gateway);
                doubt(&project, &old, at, boot, up);
                for words in [&["plan"][..], &["doubts"], &["state", "show", "name-0"]] {
                    assert_sound(&project.run(words), what);
                }
                let apply = project.run(&["apply", "--settle-after", after]);
                assert_sound(&apply, what);
                let came = gateway.creates().len() - 1;
                let told = format!("{what}: {:?}, {came} came\n{}{}", apply.status, apply.stdout, apply.stderr);
                assert_eq!((apply.code(), came), if settles { (Some(0), 1) } else { (Some(3), 0) }, "{told}");
            });
        }
    });
}

fn faked(project: &Project, time: &str, words: &[&str]) -> Ended {
    let mut command = project.command(words);
    command.env("LD_PRELOAD", LIBRARY).env("FAKETIME", time);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    Run::start(command).end()
}

/// An attempt at one time, everything else at another, a moment later: nothing is settled, and the name stays held. The ordinary
/// set has the 13 pairs with the right time in them (at most 20 s), `CHATAPI_CLOCKS=1` all 49.
#[test]
fn p1_p13_a_clock_that_jumps_between_runs_creates_nothing_twice() {
    if !Path::new(LIBRARY).exists() {
        println!("skipped: no {LIBRARY}");
        return;
    }
    let times =
        ["+0", "-10y", "+10y", "@1970-01-01 00:00:01", "@2038-01-19 03:14:06", "2030-02-28 23:59:59", "@2400-01-01 00:00:00"];
    let (mut runs, mut pairs) = (0, 0);
    let takes_all = number("CHATAPI_CLOCKS", 0) == 1;
    for (then, now) in times.iter().flat_map(|then| times.iter().map(move |now| (then, now))) {
        if !takes_all && *then != times[0] && *now != times[0] {
            continue;
        }
        pairs += 1;
        let place = tempfile::tempdir().unwrap();
        let (gateway, _) = server(place.path(), &["create:nth=2=drop-before"]);
        let project = exclusive(&place.path().join("home"), &gateway);
        let what = format!("{then}, then {now}");
        let first = faked(&project, then, &["apply"]);
        assert_eq!((first.code(), first.printed().len()), (Some(3), 0), "{what}: {}{}", first.stdout, first.stderr);
        for words in [&["plan"][..], &["state", "list"], &["doubts", "--refresh"], &["apply"]] {
            let ended = faked(&project, now, words);
            assert_sound(&ended, &what);
            let code = if words == ["state", "list"] { 0 } else { 3 };
            assert_eq!(ended.code(), Some(code), "{what}, {words:?}: {}{}", ended.stdout, ended.stderr);
            runs += 1;
        }
        assert_eq!(gateway.creates().len(), 1, "{what}");
        let trails = super::kill_loop::oracle::trails(&project);
        assert!(trails.values().all(super::kill_loop::oracle::Trail::is_ambiguous), "{what}: {trails:?}");
    }
    println!("{runs} runs at {pairs} pairs of times; settled 0");
}
