//! Limits of the process and of the file system besides its size: open files, memory, inodes.
//!
//! Budget of the ordinary set: 10 s. `CHATAPI_LIMIT_EVERY=1` takes every step.

use super::*;

/// Every so-many-th of `steps`.
fn some(steps: impl Iterator<Item = u64>, every: u64) -> impl Iterator<Item = u64> {
    steps.step_by(usize::try_from(number("CHATAPI_LIMIT_EVERY", every)).unwrap().max(1))
}

/// Runs an apply under `limit`; whatever becomes of it, what the server did is known, and the next run does the rest.
fn live(limit: &str, parallelism: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let mut site = Site::new(place.path());
    let ended = Run::start(site.project.limited_to(limit, &["apply", "--parallelism", parallelism])).end();
    let what = format!("{limit}, parallelism {parallelism}: {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
    site.printed.extend(ended.printed());
    assert!(ended.code() != Some(1) || site.gateway.creates().is_empty(), "{what}");
    // Where the system gives not even a stack, it ends the program by a signal.
    assert!(matches!(ended.code(), Some(0) | None) || !ended.stderr.is_empty(), "it says why: {what}");
    site.assert_reconciled(&what);
    ended.code().map_or_else(|| "killed".to_owned(), |code| code.to_string())
}

/// How often each ending occurred.
fn tally(endings: impl Iterator<Item = String>) -> std::collections::BTreeMap<String, usize> {
    let mut tally = std::collections::BTreeMap::new();
    endings.for_each(|ending| *tally.entry(ending).or_default() += 1);
    tally
}

#[test]
fn p1_p3_too_few_open_files_lose_nothing() {
    let steps = some(3..33, 3).enumerate();
    let endings = tally(steps.map(|(index, files)| live(&format!("-n {files}"), ["1", "3"][index % 2])));
    println!("open files 3..32: {endings:?}");
    assert!(endings.contains_key("0") && endings.contains_key("1"), "{endings:?}");
    // With three the system cannot load a program, which the shell says with 127.
    assert!(endings.keys().all(|ending| ["0", "1", "3", "4", "127"].contains(&ending.as_str())), "{endings:?}");
}

#[test]
fn p1_p3_too_little_memory_loses_nothing() {
    let steps = some((8..40).map(|step| step * 8 * 1_024), 4).enumerate();
    let endings = tally(steps.map(|(index, kib)| live(&format!("-v {kib}"), ["1", "3"][index % 2])));
    println!("memory from 64 MiB: {endings:?}");
    assert!(endings.contains_key("0"), "{endings:?}");
}

#[test]
fn p1_p3_a_disk_without_inodes_loses_nothing() {
    let mut outcomes = [0; 5];
    for (index, inodes) in some(3..24, 3).enumerate() {
        let Some(mut disk) = disk(32_768) else { return };
        let mut site = Site::new(disk.path());
        disk.remount(&format!("nr_inodes={inodes}"));
        let ended = site.project.run(&["apply", "--parallelism", ["1", "3"][index % 2]]);
        let what = format!("{inodes} inodes");
        site.assert_orderly(&ended, &what);
        outcomes[usize::try_from(ended.code().unwrap()).unwrap()] += 1;
        disk.remount("nr_inodes=0");
        site.assert_mended(&what);
    }
    println!("inodes 3..24: {outcomes:?}");
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

/// Somebody takes all room at each point of a create.
#[cfg(feature = "failpoints")]
#[test]
fn p2_p3_a_disk_that_fills_up_at_each_point_loses_nothing() {
    let points: Vec<&str> = chatapi::failpoint::TIMELINE.iter().map(|(name, _)| *name).collect();
    let every = usize::try_from(number("CHATAPI_LIMIT_EVERY", 3)).unwrap().max(1);
    let mut endings = [0; 5];
    for (index, (point, parallelism)) in points.iter().flat_map(|point| [(point, "1"), (point, "4")]).enumerate().step_by(every) {
        let Some(mut disk) = disk(24_576) else { return };
        let place = tempfile::tempdir().unwrap();
        let paused = place.path().join("paused");
        let mut site = Site::new(disk.path());
        site.project.declare(3);
        let mut command = site.project.command(&["apply", "--parallelism", parallelism]);
        command.env("CHATAPI_FAILPOINT", format!("{point}=pause:{}@{}", paused.display(), 1 + index % 2));
        let mut run = Run::start(command);
        if run.wait_until(|| paused.exists()) {
            disk.fill();
            fs::remove_file(&paused).unwrap();
        }
        let ended = run.end();
        let what = format!("full at {point}, parallelism {parallelism}");
        let is_lock_file_only = ended.code() == Some(0) && ended.stderr.contains("error: cannot write");
        if is_lock_file_only {
            site.printed.extend(ended.printed());
        } else {
            site.assert_orderly(&ended, &what);
        }
        endings[usize::try_from(ended.code().unwrap()).unwrap()] += 1;
        if disk.path().join("filler").exists() {
            disk.unfill();
        }
        site.assert_mended(&what);
    }
    println!("filled at a point: {endings:?}");
    assert!(endings[0] > 0 && endings[1] > 0, "{endings:?}");
}
