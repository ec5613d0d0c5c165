//! P1, P2, P3 when the power is cut: the real program is held at a failpoint on a file system whose block device is then taken
//! away; what only the page cache had is gone. After a plain run on what is left every promise holds.
//!
//! Needs the right to mount a loop device; where that is missing it says so and does nothing. The ordinary set has 45 cuts,
//! about 20 s. `CHATAPI_POWER_EVERY=1` makes all of them; `CHATAPI_CRASH_CELL=N` one.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use super::crash_points::scene::{PRIORS, Prior, Scene, ensure, scratch};
use super::crash_points::{Cell, first_crashes};
use super::kill_loop::number;
use super::kill_loop::project::Run;

mod disk;

use disk::BlockDisk;

const MODES: [&str; 3] = ["ordered", "writeback", "journal"];

/// How one cut ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Held {
        creates: usize,
        doubts: usize,
    },
    /// The program was over before.
    TooLate,
}

/// One cut at the point of `cell`. `seeded`: a defect in the program.
fn live(cell: &Cell, seeded: &str) -> Result<Cut, String> {
    let mut disk = BlockDisk::new(MODES[cell.number % MODES.len()])?;
    let outside = scratch();
    let paused = outside.path().join("paused");
    let path = disk.path().to_owned();
    let mut scene = Scene::new(&path, Vec::new());
    scene.begin(cell.prior)?;
    scene.project.declare(cell.shape.0);
    // The manifest is version control's business.
    File::open(scene.project.path("instances.yaml")).and_then(|file| file.sync_all()).map_err(|error| error.to_string())?;
    File::open(&path).and_then(|file| file.sync_all()).map_err(|error| error.to_string())?;
    let mut command = scene.project.command(&["apply", "--parallelism", cell.shape.1]);
    command.env("CHATAPI_FAILPOINT", format!("{seeded}{}=pause:{}@{}", cell.point, paused.display(), cell.nth));
    let mut run = Run::start(command);
    let is_held = run.wait_until(|| paused.exists());
    // Nothing happens, and nothing is printed, between the cut and the end.
    freeze(&mut run);
    disk.cut();
    run.kill();
    let ended = run.end();
    if !is_held {
        return Ok(Cut::TooLate);
    }
    scene.printed.extend(ended.printed());
    disk.come_up();
    let found = scene.mend()?;
    let expected = cell.shape.0 + usize::from(cell.prior != Prior::Nothing);
    ensure(found.creates + found.doubts_empty == expected, || format!("{found:?} of {expected}"))?;
    Ok(Cut::Held { creates: found.creates, doubts: found.doubts_created + found.doubts_empty })
}

/// Stops every thread of the program.
fn freeze(run: &mut Run) {
    run.signal(Signal::STOP);
    let tasks = format!("/proc/{}/task", run.id());
    let is_still = |stat: &str| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 'Z', 'X']));
    run.wait_until(|| {
        let mut stats = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
        stats.all(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| is_still(&stat)))
    });
}

/// Every point once for each prior state and shape: a cut has no other action.
fn cuts() -> Vec<Cell> {
    first_crashes().into_iter().filter(|cell| cell.action == "kill" && !cell.point.starts_with("the server")).collect()
}

/// What went wrong in `cells`, and how many cuts were made.
fn campaign(cells: &[&Cell], seeded: &str) -> (usize, Vec<String>) {
    let (figures, failures) = (Mutex::new((0, 0, 0, 0)), Mutex::new(Vec::new()));
    let next = AtomicUsize::new(0);
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let lived = catch_unwind(AssertUnwindSafe(|| live(cell, seeded)));
                    match lived.unwrap_or_else(|_| Err("it does not end, or the test is wrong: see above".to_owned())) {
                        Ok(Cut::Held { creates, doubts }) => {
                            let mut figures = figures.lock().unwrap();
                            *figures = (figures.0 + 1, figures.1, figures.2 + creates, figures.3 + doubts);
                        }
                        Ok(Cut::TooLate) => figures.lock().unwrap().1 += 1,
                        Err(why) => failures.lock().unwrap().push(format!("cell {} {cell}\n{why}", cell.number)),
                    }
                }
            });
        }
    });
    let ((held, late, creates, doubts), failures) = (figures.into_inner().unwrap(), failures.into_inner().unwrap());
    println!(
        "power cuts {seeded} {} cells in {:.0?}: {held} cuts, {late} too late; {creates} creates, {doubts} in doubt; broken {}",
        cells.len(),
        start.elapsed(),
        failures.len()
    );
    (held, failures)
}

fn is_possible() -> bool {
    BlockDisk::new(MODES[0]).inspect_err(|why| println!("skipped: {why}")).is_ok()
}

#[test]
fn p1_p2_p3_a_power_cut_at_each_point_loses_and_doubles_nothing() {
    if !is_possible() {
        return;
    }
    let cells = cuts();
    let every = usize::try_from(number("CHATAPI_POWER_EVERY", 17)).unwrap().max(1);
    let only = std::env::var("CHATAPI_CRASH_CELL").ok().map(|text| text.parse::<usize>().unwrap());
    let chosen: Vec<&Cell> = match only {
        Some(only) => cells.iter().filter(|cell| cell.number == only).collect(),
        None => cells.iter().step_by(every).collect(),
    };
    let (held, failures) = campaign(&chosen, "");
    assert!(failures.is_empty(), "{} cuts: {:#?}", failures.len(), &failures[..failures.len().min(5)]);
    assert!(held * 4 >= chosen.len() * 3, "only {held} of {} were made", chosen.len());
}

/// A campaign that a program without any sync passes would prove nothing.
#[test]
fn without_syncs_a_power_cut_breaks_promises() {
    if !is_possible() {
        return;
    }
    let cells = cuts();
    let is_telling = |cell: &&Cell| {
        ["journal-after-sent", "answer-read", "journal-after-received", "told"].contains(&cell.point) && cell.prior == PRIORS[0]
    };
    let telling: Vec<&Cell> = cells.iter().filter(is_telling).collect();
    let (held, failures) = campaign(&telling, "sync=lie,");
    assert!(failures.len() * 2 > telling.len(), "only {} of {} are seen; {held} hold", failures.len(), telling.len());
}
