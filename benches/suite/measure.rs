//! Whole processes: time, memory and writes by the kernel's own accounting; instructions by valgrind, syncs by strace.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::Result;

/// Under this word the program runs one command and reports on it, so that each has an accounting of its own.
pub(super) const ONE: &str = "--one-run";

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    /// User and system time.
    pub(super) cpu: Duration,
    /// The greatest resident set, in KiB.
    pub(super) peak: u64,
    /// KiB that were written to the disk.
    pub(super) written: u64,
}

/// What some runs of the same cost.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured(Vec<Cost>);

impl Measured {
    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The least, the median and the greatest time.
    pub(super) fn walls(&self) -> [Duration; 3] {
        let mut walls: Vec<_> = self.0.iter().map(|cost| cost.wall).collect();
        walls.sort();
        let at = |index: usize| walls.get(index).copied().unwrap_or_default();
        [at(0), at(walls.len() / 2), at(walls.len().saturating_sub(1))]
    }

    /// The median time.
    pub(super) fn wall(&self) -> Duration {
        self.walls()[1]
    }

    /// The median processor time.
    pub(super) fn cpu(&self) -> Duration {
        let mut all: Vec<_> = self.0.iter().map(|cost| cost.cpu).collect();
        all.sort();
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    /// The greatest peak, in KiB.
    pub(super) fn peak(&self) -> u64 {
        self.0.iter().map(|cost| cost.peak).max().unwrap_or_default()
    }

    /// The most that was written, in KiB.
    pub(super) fn written(&self) -> u64 {
        self.0.iter().map(|cost| cost.written).max().unwrap_or_default()
    }
}

/// Runs what `command` gives so many times.
pub(super) fn measured(runs: usize, command: impl Fn() -> Command) -> Result<Measured> {
    let one = |_| {
        let command = command();
        let mut helper = Command::new(std::env::current_exe()?);
        helper.arg(ONE).arg(command.get_program()).args(command.get_args());
        like(&mut helper, &command);
        let output = helper.stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [wall, cpu, peak, written] = numbers[..] else { return Err(format!("{command:?} failed").into()) };
        Ok(Cost { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu), peak, written })
    };
    (0..runs).map(one).collect::<Result<_>>().map(Measured)
}

/// The directory and the environment of `command`.
pub(super) fn like(other: &mut Command, command: &Command) {
    if let Some(dir) = command.get_current_dir() {
        other.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
}

/// Runs `command`; prints microseconds of wall and processor time, and KiB of memory and of writes.
#[expect(clippy::print_stdout, reason = "the report to the program that started this one")]
pub(super) fn one_run(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().ok_or("no command")?;
    let start = Instant::now();
    let output = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let wall = start.elapsed();
    if !output.status.success() {
        std::io::stderr().write_all(&output.stderr)?;
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cpu = micros(used.user_time()) + micros(used.system_time());
    println!("{} {cpu} {} {}", wall.as_micros(), used.max_rss(), used.block_writes() / 2);
    Ok(())
}

/// How many instructions `command` takes, where valgrind is found.
pub(super) fn instructions(command: &Command) -> Result<Option<u64>> {
    if !is_found("valgrind") {
        return Ok(None);
    }
    let mut counted = Command::new("valgrind");
    counted.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program()).args(command.get_args());
    like(&mut counted, command);
    let output = counted.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split("Collected : ").nth(1));
    Ok(collected.and_then(|number| number.trim().parse().ok()))
}

/// How often `command` waits for a disk, where strace is found.
pub(super) fn syncs(command: &Command) -> Result<Option<u64>> {
    if !is_found("strace") {
        return Ok(None);
    }
    let mut log = tempfile::NamedTempFile::new()?;
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o"]).arg(log.path());
    traced.arg(command.get_program()).args(command.get_args());
    like(&mut traced, command);
    traced.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let mut text = String::new();
    log.read_to_string(&mut text)?;
    Ok(Some(text.lines().filter(|line| line.contains("sync(") && !line.contains("resumed")).count() as u64))
}

fn is_found(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
