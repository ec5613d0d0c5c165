//! What the main job costs, as whole processes: `cargo bench --bench main_job`.
//!
//! No-op plans of 1,000 and 10,000 instances, and applies of 1,000 instances against the emulator with 0 and 50 ms latency at a
//! parallelism of 10, beside the ideal ⌈N/P⌉·L, once with the latency asked for and once with the one that a bare socket sees
//! (timers are late by a millisecond or two). Each figure is the median of five runs, with its least and its greatest; memory is
//! the greatest peak of the process. The emulator runs in this program, on the same processors. Nothing here judges.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chatapi::emulator::{Emulator, EmulatorConfig, parse_latency};
use nix::sys::resource::{UsageWho, getrusage};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RUNS: usize = 5;
/// Under this word the program runs one command and reports on it, so that each has an accounting of its own.
const ONE: &str = "--one-run";

/// What one run cost.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    peak_kib: i64,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((word, command)) if word == ONE => one_run(command),
        _ => all(),
    }
}

/// Runs `command`; prints microseconds and KiB.
#[expect(clippy::print_stdout, reason = "the report to the program that started this one")]
fn one_run(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().ok_or("no command")?;
    let start = Instant::now();
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    let wall = start.elapsed();
    if !status.success() {
        return Err(format!("{command:?} ended with {status}").into());
    }
    println!("{} {}", wall.as_micros(), getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}

/// A directory with a manifest, and the emulator that its instances are created on.
struct Project {
    dir: tempfile::TempDir,
    url: String,
}

impl Project {
    fn new(count: usize, url: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut text = String::from("version: 1\ninstances:\n");
        for index in 0..count {
            let kind = if index % 4 == 0 { "whatsapp_dev" } else { "whatsapp" };
            writeln!(text, "  - name: instance-{index:06}\n    type: {kind}")?;
        }
        std::fs::write(dir.path().join("instances.yaml"), text)?;
        Ok(Self { dir, url: url.to_owned() })
    }

    fn run(&self, words: &[&str]) -> Result<Cost> {
        let output = Command::new(std::env::current_exe()?)
            .arg(ONE)
            .arg(env!("CARGO_BIN_EXE_chatapi"))
            .args(words)
            .arg("instances.yaml")
            .current_dir(self.dir.path())
            .env("CHATAPI_URL", &self.url)
            .env("CHATAPI_API_KEY", "benchmark")
            .env("CI", "false")
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let (micros, peak) = text.trim().split_once(' ').ok_or("the run failed")?;
        Ok(Cost { wall: Duration::from_micros(micros.parse()?), peak_kib: peak.parse()? })
    }
}

fn all() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let start = |latency: &str| -> Result<Emulator> {
        let config = EmulatorConfig { latency: parse_latency(latency)?, ..EmulatorConfig::default() };
        Ok(runtime.block_on(Emulator::start(config))?)
    };
    show("what", "median", "least", "greatest", "peak", "");
    let emulator = start("0ms")?;
    for count in [1_000, 10_000] {
        let project = Project::new(count, &emulator.base_url())?;
        row(&format!("first apply of {count}, parallelism 64"), &[project.run(&["apply", "--parallelism", "64"])?], None);
        let plans = (0..RUNS).map(|_| project.run(&["plan"])).collect::<Result<Vec<_>>>()?;
        row(&format!("no-op plan of {count}"), &plans, None);
        let applies = (0..RUNS).map(|_| project.run(&["apply"])).collect::<Result<Vec<_>>>()?;
        row(&format!("no-op apply of {count}"), &applies, None);
    }
    for latency in [0, 50] {
        let emulator = start(&format!("{latency}ms"))?;
        let once = |_| Project::new(1_000, &emulator.base_url())?.run(&["apply", "--parallelism", "10"]);
        let applies = (0..RUNS).map(once).collect::<Result<Vec<_>>>()?;
        let ideals = [Duration::from_millis(latency), bare_latency(emulator.addr())?];
        row(&format!("apply of 1000, parallelism 10, {latency} ms"), &applies, Some(ideals).filter(|_| latency > 0));
    }
    Ok(())
}

/// What a create takes with nothing around it: the median of 21, one after the other.
fn bare_latency(server: SocketAddr) -> Result<Duration> {
    let body = r#"{"uid":"bare","type":"whatsapp"}"#;
    let head =
        format!("POST /newInstance HTTP/1.1\r\nHost: {server}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut taken = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let mut connection = TcpStream::connect(server)?;
        connection.write_all(format!("{head}{body}").as_bytes())?;
        connection.read_to_end(&mut Vec::new())?;
        taken.push(begun.elapsed());
    }
    taken.sort();
    Ok(taken.get(10).copied().unwrap_or_default())
}

fn row(what: &str, costs: &[Cost], latencies: Option<[Duration; 2]>) {
    let mut walls: Vec<Duration> = costs.iter().map(|cost| cost.wall).collect();
    walls.sort();
    let at = |index: usize| walls.get(index).copied().unwrap_or_default();
    let text = |wall: Duration| format!("{:.1} ms", wall.as_secs_f64() * 1e3);
    let peak = costs.iter().map(|cost| cost.peak_kib).max().unwrap_or(0) / 1024;
    let median = at(walls.len() / 2);
    let beside = latencies.map(|latencies| {
        let [asked, seen] = latencies.map(|latency| median.as_secs_f64() / (latency * 100).as_secs_f64());
        format!("{asked:.3} of the ideal at 50 ms, {seen:.3} at the {} seen", text(latencies[1]))
    });
    let greatest = at(walls.len().saturating_sub(1));
    show(what, &text(median), &text(at(0)), &text(greatest), &format!("{peak} MiB"), &beside.unwrap_or_default());
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn show(what: &str, median: &str, least: &str, greatest: &str, peak: &str, note: &str) {
    println!("{what:42} {median:>11} {least:>11} {greatest:>11} {peak:>9}  {note}");
}
