//! The figures, as they come.

use std::time::Duration;

use super::measure::Measured;

/// One line of the table.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) count: usize,
    /// The median.
    pub(super) wall: Duration,
    /// KiB.
    pub(super) peak: u64,
}

/// What was measured.
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) fn begin() -> Self {
        let titles = ["N", "median", "least", "greatest", "processor", "peak", "written", "instructions", "syncs"];
        line("what", titles.map(str::to_owned), "");
        Self(Vec::new())
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.0
    }

    pub(super) fn add(&mut self, what: &str, count: usize, runs: &Measured, counted: [Option<u64>; 2]) {
        self.put(what, count, runs, counted, "");
    }

    /// The same, with the ratio to another time.
    pub(super) fn add_beside(
        &mut self,
        what: &str,
        count: usize,
        runs: &Measured,
        counted: [Option<u64>; 2],
        (name, other): (&str, Duration),
    ) {
        let ratio = runs.wall().as_secs_f64() / other.as_secs_f64();
        let note = if other.is_zero() { rate(count, runs.wall()) } else { format!("{ratio:.3} of {name}") };
        self.put(what, count, runs, counted, &note);
    }

    fn put(&mut self, what: &str, count: usize, runs: &Measured, [instructions, syncs]: [Option<u64>; 2], note: &str) {
        let [least, median, greatest] = runs.walls().map(millis);
        let mib = |kib: u64| format!("{:.1} MiB", f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1_024.0);
        let number = |counted: Option<u64>| counted.map_or_else(|| "-".to_owned(), |counted| counted.to_string());
        let cells = [
            count.to_string(),
            median,
            least,
            greatest,
            millis(runs.cpu()),
            mib(runs.peak()),
            mib(runs.written()),
            number(instructions),
            number(syncs),
        ];
        line(what, cells, note);
        self.0.push(Row { what: what.to_owned(), count, wall: runs.wall(), peak: runs.peak() });
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn rate(count: usize, wall: Duration) -> String {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    format!("{:.0} a second", count / wall.as_secs_f64())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn line(what: &str, cells: [String; 9], note: &str) {
    let [count, median, least, greatest, cpu, peak, written, instructions, syncs] = cells;
    println!(
        "{what:32} {count:>8} {median:>12} {least:>12} {greatest:>12} {cpu:>12} {peak:>11} {written:>11} {instructions:>14} {syncs:>7}  {note}"
    );
}
