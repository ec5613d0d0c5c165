//! What commands cost, in instructions and in waits for the disk: figures that no busy machine changes, held against those that are
//! kept in `tests/fixtures/costs.txt`. `CHATAPI_BLESS=1` writes them anew.
//!
//! They are counted by valgrind and strace. Where these are not installed nothing is held, and the test says so; with
//! `CHATAPI_TEST_COSTS=required`, as in `.ci/run`, it fails. What an apply waits for when many creates are on their way is held by
//! `apply::costs_tests`, on a clock that the test moves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::stage::{Call, Gateway, Project};

const KEPT: &str = "tests/fixtures/costs.txt";
const HEAD: &str = "# Instructions of the program as the tests build it, the least of three runs. A tenth more or less fails the test `costs`.\n";
/// Instances: enough that they cost more than the start.
const COUNT: usize = 1_000;
/// In hundredths of what is kept: what another processor and another compiler may make of the same program.
const TOLERANCE: u64 = 10;

#[test]
fn commands_take_the_instructions_that_they_did() {
    if !is_there("valgrind") {
        return;
    }
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let mut manifest = String::from("version: 1\ninstances:\n");
    for number in 0..COUNT {
        writeln!(manifest, "  - name: shop-{number:05}\n    type: whatsapp").unwrap();
    }
    project.declare(&manifest);
    let mut now = BTreeMap::new();
    let mut count = |what: &str, line: &str| {
        let least = (0..3).map(|_| instructions(&project, line)).min().unwrap();
        now.insert(what.to_owned(), least);
    };
    count("version", "version");
    count("validate of 1000", "validate instances.yaml");
    count("plan of 1000 to create", "plan");
    // What opens the index is left out: sled's threads spin while one of them begins, and the count is another each time. `apply`
    // looks for the kernel's clock page, which valgrind hides.
    held(&now);
}

/// Compares with what is kept, both ways: what became better is to be kept too, or a later loss of it is not seen.
fn held(now: &BTreeMap<String, u64>) {
    let line = |(what, count): (&String, &u64)| format!("{what}: {count}\n");
    if std::env::var_os("CHATAPI_BLESS").is_some_and(|value| value == "1") {
        let text = now.iter().map(line).fold(HEAD.to_owned(), |text, line| text + &line);
        std::fs::write(KEPT, text).unwrap();
        return;
    }
    let text = std::fs::read_to_string(KEPT).unwrap();
    let kept: BTreeMap<&str, u64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").map(|(what, count)| (what, count.parse().unwrap())).unwrap())
        .collect();
    assert!(kept.keys().eq(now.keys()), "{KEPT} has other commands; if that is wanted: CHATAPI_BLESS=1");
    let other = |(what, count): &(&String, &u64)| {
        let kept = kept[what.as_str()];
        !(kept * (100 - TOLERANCE)..=kept * (100 + TOLERANCE)).contains(&(**count * 100))
    };
    let told = |(what, count): (&String, &u64)| format!("{what}: {count}, kept {}", kept[what.as_str()]);
    let others: Vec<String> = now.iter().filter(other).map(told).collect();
    assert!(others.is_empty(), "other costs than those of {KEPT}; if that is wanted: CHATAPI_BLESS=1\n{}", others.join("\n"));
}

/// How many instructions `line` takes.
fn instructions(project: &Project, line: &str) -> u64 {
    let counting = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", env!("CARGO_BIN_EXE_chatapi")];
    let words = counting.into_iter().chain(line.split(' '));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let run = Call::of("valgrind", project.dir().to_owned(), words).envs(project.env()).env("PATH", path).run();
    assert_eq!(run.code, 0, "{run}");
    let counted = run.stderr.lines().find_map(|line| line.split_once("I   refs:").or_else(|| line.split_once("I refs:")));
    let (_, number) = counted.unwrap_or_else(|| panic!("valgrind counts nothing: {run}"));
    number.trim().replace(',', "").parse().unwrap()
}

/// P2, P3: each create waits for the disk three times, for its intent, for `sent` and for its answer; the run does for its
/// beginning and its end.
#[test]
fn a_create_alone_waits_three_times_for_the_disk() {
    if !is_there("strace") {
        return;
    }
    let waits = |count: usize| {
        let gateway = Gateway::start(&[]);
        let names: Vec<String> = (0..count).map(|number| format!("shop-{number}")).collect();
        let project = Project::at(&gateway.url(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        project.run("init").exits(0).done();
        let log = project.path("calls");
        let tracing =
            ["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", log.to_str().unwrap(), env!("CARGO_BIN_EXE_chatapi")];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let words = tracing.into_iter().chain(["apply", "--parallelism", "1"]);
        let run = Call::of("strace", project.dir().to_owned(), words).envs(project.env()).env("PATH", path).run();
        assert_eq!((run.code, gateway.creates()), (0, count), "{run}");
        project
            .read("calls")
            .lines()
            .filter(|line| line.contains("journal.jsonl"))
            .filter(|line| !line.contains("resumed"))
            .count()
    };
    let (few, many) = (waits(2), waits(22));
    assert_eq!(many - few, 3 * 20, "{few} for 2, {many} for 22");
    assert!(few <= 3 * 2 + 4, "{few}");
}

/// Whether `tool` can be asked.
fn is_there(tool: &str) -> bool {
    let asked = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = asked.is_ok_and(|status| status.success());
    let is_required = std::env::var_os("CHATAPI_TEST_COSTS").is_some_and(|value| value == "required");
    assert!(is_there || !is_required, "{tool} is not installed");
    if !is_there {
        println!("{tool} is not installed: nothing is counted");
    }
    is_there
}
