//! Answers that are too much: an apply stays within its memory and its time whatever a server sends (T8).

use std::process::Command;
use std::time::{Duration, Instant};

use crate::stage::{Asked, Call, OtherGateway, Project, Reply};

/// Tells a child of the tests what to run; without it, its test does nothing.
const LINE: &str = "HARDENING_TEST_LINE";
/// Stands before the one line that the parent reads.
const MARK: &str = "hardening-test-peak: ";
/// The most memory that a command may ever take, in KiB.
const MOST: u64 = 256 * 1_024;

#[test]
fn child_measures_a_run_when_a_parent_asks() {
    let Ok(line) = std::env::var(LINE) else { return };
    let ended = Command::new(env!("CARGO_BIN_EXE_chatapi")).args(line.split(' ')).env_remove(LINE).output().unwrap();
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    println!("\n{MARK}{} {}", ended.status.code().unwrap_or(-1), usage.max_rss());
}

/// The exit code of `line` and the most memory that it took, in KiB.
fn measured(project: &Project, line: &str) -> (i32, u64) {
    let this = std::env::current_exe().unwrap();
    let words = ["hardening::answers::child_measures_a_run_when_a_parent_asks", "--exact", "--nocapture"];
    let run = Call::of(this.to_str().unwrap(), project.dir().to_owned(), words).envs(project.env()).env(LINE, line).run();
    let numbers = run.stdout.lines().find_map(|line| line.split_once(MARK)).unwrap_or_else(|| panic!("{run}")).1;
    let (code, peak) = numbers.split_once(' ').unwrap();
    (code.parse().unwrap(), peak.parse().unwrap())
}

#[test]
fn t8_an_apply_takes_bounded_memory_and_time_whatever_it_is_answered() {
    type Say = fn(&Asked) -> Reply;
    let bombs: [(&str, Say); 6] = [
        ("64 MiB of text", |_| Reply::new(200, "x".repeat(64 << 20))),
        ("64 MiB of JSON", |_| Reply::new(200, format!(r#"{{"result":[{}0]}}"#, "0,".repeat(32 << 20)))),
        ("a million levels", |_| Reply::new(200, "[".repeat(1_000_000))),
        ("a megabyte of levels in an error", |_| Reply::new(400, format!(r#"{{"error":{}"#, r#"{"a":"#.repeat(180_000)))),
        ("a header without end", |_| Reply::new(200, "{}").to(&"x".repeat(32 << 20))),
        ("a list of 30 MiB", |asked| {
            if asked.is_create() {
                return Reply::new(500, "x".repeat(1 << 20));
            }
            Reply::new(200, format!(r#"{{"result":[{}{{}}]}}"#, r#"{"id":7,"type":"whatsapp","name":""},"#.repeat(800_000)))
        }),
    ];
    for (what, say) in bombs {
        let server = OtherGateway::start(say);
        let project = Project::at(&server.url(), &["a", "b", "c", "d"]);
        for line in ["apply --timeout 10s --parallelism 4", "doubts --refresh --timeout 10s", "state list"] {
            let begun = Instant::now();
            let (code, peak) = measured(&project, line);
            assert!(peak <= MOST, "{what}: {line} took {peak} KiB");
            assert!(begun.elapsed() < Duration::from_secs(40), "{what}: {line} took {:?}", begun.elapsed());
            assert!((0..=8).contains(&code), "{what}: {line} ended with {code}");
        }
    }
}
