//! P2, P3, P8, P12 when there is no room: file size limits, full file systems, read-only ones, unwritable lock file and index.
//!
//! Space for an answer is reserved before its request, so that fullness alone never leaves a doubt: whatever the server has
//! created is recorded, however early the disk is full.
//!
//! The ordinary set takes coarse steps; `CHATAPI_DISK_STEP=4` (KiB) takes them all.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::{self, Truth};
use super::kill_loop::project::{Ended, Project, Run};

mod deletes;
mod limits;
mod small_disk;

use small_disk::SmallDisk;

/// Names that a project declares.
const NAMES: usize = 3;

/// A project in `dir` and its server, whose data are elsewhere.
struct Site {
    gateway: Gateway,
    project: Project,
    printed: Vec<(String, String)>,
    _data: tempfile::TempDir,
}

impl Site {
    fn new(dir: &Path) -> Self {
        Self::with_latency(dir, "0..2ms")
    }

    fn with_latency(dir: &Path, latency: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&data.path().join("gateway"), Manner::inside(latency));
        let mut project = Project::new(dir, Some(gateway.url()));
        project.declare(NAMES);
        Self { gateway, project, printed: Vec::new(), _data: data }
    }

    /// A run that had no room ended as it should, and every create of the server is on record.
    fn assert_orderly(&mut self, ended: &Ended, what: &str) {
        self.printed.extend(ended.printed());
        let told = format!("{what}: {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
        assert!(matches!(ended.code(), Some(0 | 1 | 4)), "{told}");
        assert!(!ended.stderr.contains("panicked"), "{told}");
        if ended.code() != Some(0) {
            let has_all = ["error: ", "  caused by: ", "hint: "].iter().all(|part| ended.stderr.contains(part));
            assert!(has_all, "what failed, why, and what to do: {told}");
        }
        let trails = oracle::trails(&self.project);
        for seen in self.gateway.seen() {
            let trail = seen.request_id.as_ref().and_then(|attempt| trails.get(attempt));
            assert!(trail.is_some_and(|trail| trail.is_sent && trail.is_received), "{trail:?} {told}");
        }
        let expected = match (ended.code(), ended.printed().len()) {
            (Some(1), 0) | (Some(4), 1..) => true,
            (code, _) => code == Some(0),
        };
        assert!(expected, "{told}");
    }

    /// A run goes to its end, and all that the server did is on record or in doubt.
    fn assert_reconciled(&mut self, what: &str) {
        let last = self.project.run(&["apply"]);
        self.printed.extend(last.printed());
        let truth = Truth { ledger: self.gateway.creates(), seen: self.gateway.seen(), printed: self.printed.clone() };
        oracle::check(&self.project, &truth, &last).unwrap_or_else(|broken| panic!("{what}: {broken}"));
    }

    /// With room, a run makes everything as declared.
    fn assert_mended(&mut self, what: &str) {
        let last = self.project.run(&["apply"]);
        self.printed.extend(last.printed());
        let truth = Truth { ledger: self.gateway.creates(), seen: self.gateway.seen(), printed: self.printed.clone() };
        let found = oracle::check(&self.project, &truth, &last).unwrap_or_else(|broken| panic!("{what}: {broken}"));
        assert_eq!((found.creates, last.code()), (self.project.names().len(), Some(0)), "{what}");
    }
}

/// A disk of `kib` KiB, or the reason why there is none on standard output.
fn disk(kib: u64) -> Option<SmallDisk> {
    SmallDisk::new(kib).inspect_err(|why| println!("skipped: {why}")).ok()
}

/// From nothing to enough, in blocks of 512 bytes.
#[test]
fn p2_p3_a_file_size_limit_stops_creates_and_loses_nothing() {
    let mut outcomes = [0; 5];
    // In the first steps one limit at least falls between a `sent` and its answer, wherever exactly they stand.
    let steps = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 64, 512, 1_024, 1_400, 2_048, 3_584, 4_096, 5_120, 5_620,
        5_632, 5_640, 6_144, 7_168, 9_216,
    ];
    for (step, blocks) in steps.into_iter().chain([10_240, 11_770, 11_800, 16_384, 32_768]).enumerate() {
        let place = tempfile::tempdir().unwrap();
        let mut site = Site::new(place.path());
        let parallelism = ["1", "3"][step % 2];
        let ended = Run::start(site.project.limited(blocks, &["apply", "--parallelism", parallelism])).end();
        let what = format!("{blocks} blocks, parallelism {parallelism}");
        site.assert_orderly(&ended, &what);
        outcomes[usize::try_from(ended.code().unwrap()).unwrap()] += 1;
        site.assert_mended(&what);
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

/// A limit that ends other programs with a signal ends no command here.
#[test]
fn p12_no_command_dies_of_the_file_size_limit() {
    let place = tempfile::tempdir().unwrap();
    let site = Site::new(place.path());
    assert_eq!(site.project.run(&["apply"]).code(), Some(0));
    fs::write(place.path().join("token"), "t0ken").unwrap();
    for words in [
        &["plan"][..],
        &["validate"],
        &["state", "list"],
        &["state", "show"],
        &["state", "show", "name-0"],
        &["doubts"],
        &["token", "get", "name-0"],
        &["version"],
    ] {
        let ended = Run::start(site.project.limited(0, words)).end();
        assert_eq!(ended.code(), Some(0), "{words:?}: {:?}\n{}", ended.status, ended.stderr);
        // Neither does a reader need its index.
        let _ = fs::remove_dir_all(place.path().join("state/index"));
    }
    for words in [
        &["init"][..],
        &["state", "mv", "name-0", "other"],
        &["token", "set", "name-0", "--replace"],
        &["resolve", "name-0", "--attempt", "a-x", "--not-created", "--offline"],
        &["--state", "elsewhere", "init"],
        &["--state", "elsewhere", "state", "rebuild", "--from-lock", "chatapi.lock"],
    ] {
        let mut command = site.project.limited(0, words);
        command.stdin(fs::File::open(place.path().join("token")).unwrap());
        let ended = Run::start(command).end();
        assert!(ended.code().is_some_and(|code| code < 100), "{words:?}: {:?}\n{}", ended.status, ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{words:?}: {}", ended.stderr);
    }
    assert_eq!(site.project.run(&["apply"]).code(), Some(0));
}

/// Everything on one small disk, from nothing but the manifest to enough.
#[test]
fn p2_p3_a_disk_that_is_full_before_the_start_loses_nothing() {
    let step = usize::try_from(number("CHATAPI_DISK_STEP", 384)).unwrap();
    let fine = (4..64).step_by(step.min(12)).map(|kib| (kib, kib % 8 == 0));
    let sizes: Vec<(u64, bool)> = fine.chain((64..=8_192).step_by(step).map(|kib| (kib, kib / 4 % 3 == 0))).collect();
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new([0; 5]));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((kib, is_alone)) = sizes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(mut disk) = disk(*kib) else { return };
                    let mut site = Site::new(disk.path());
                    let parallelism = if *is_alone { "1" } else { "3" };
                    let ended = site.project.run(&["apply", "--parallelism", parallelism]);
                    let what = format!("{kib} KiB, parallelism {parallelism}");
                    site.assert_orderly(&ended, &what);
                    outcomes.lock().unwrap()[usize::try_from(ended.code().unwrap()).unwrap()] += 1;
                    disk.remount("size=32768k");
                    site.assert_mended(&what);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    println!("disks of {} sizes: exit codes {outcomes:?}", sizes.len());
    assert!((outcomes[0] > 0 && outcomes[1] > 0) || disk(64).is_none(), "{outcomes:?}");
}

/// Somebody else takes all room while creates are on their way, whose answers come when nothing fits any more.
#[test]
fn p2_p3_a_disk_that_fills_up_while_applying_loses_nothing() {
    let most = usize::try_from(number("CHATAPI_DISK_FILLS", 10)).unwrap();
    for (round, parallelism) in ["1", "3", "4", "8"].into_iter().cycle().enumerate().take(most) {
        let Some(mut disk) = disk(24_576) else { return };
        let mut site = Site::with_latency(disk.path(), "60ms");
        site.project.declare(9);
        let mut run = Run::start(site.project.command(&["apply", "--parallelism", parallelism]));
        run.wait_until(|| site.gateway.seen().len() > round % 8);
        disk.fill();
        let ended = run.end();
        let what = format!("full after {} requests, parallelism {parallelism}", round % 8 + 1);
        site.assert_orderly(&ended, &what);
        let plan = site.project.run(&["plan"]);
        assert_eq!(plan.code(), Some(0), "{what}: {}", plan.stderr);
        disk.unfill();
        site.assert_mended(&what);
    }
}

/// Looking goes on, nothing is sent, and the message says what is wrong.
#[test]
fn p2_p12_a_read_only_disk_sends_nothing() {
    let Some(mut disk) = disk(32_768) else { return };
    let mut site = Site::new(disk.path());
    for had_state in [false, true] {
        disk.remount("ro");
        let sent = site.gateway.seen().len();
        let ended = site.project.run(&["apply"]);
        site.assert_orderly(&ended, "read-only");
        assert_eq!((ended.code(), site.gateway.seen().len()), (Some(1), sent), "{}", ended.stderr);
        assert_eq!(site.project.run(&["plan"]).code(), Some(0));
        let listed = site.project.run(&["state", "list"]);
        assert_eq!(listed.code() == Some(0), had_state, "{}", listed.stderr);
        disk.remount("rw");
        site.assert_mended("writable again");
        site.project.declare(2);
    }
}

/// A lock file that cannot be written stops the run before anything is sent.
#[test]
fn p4_an_unwritable_lock_file_sends_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mut site = Site::new(place.path());
    let refuse = |site: &mut Site, path: &str| {
        let ended = site.project.run(&["apply", "--lock-file", path]);
        site.assert_orderly(&ended, path);
        assert_eq!((ended.code(), site.gateway.seen().len()), (Some(1), 0), "{path}: {}", ended.stderr);
        assert!(!ended.stderr.contains("version control"), "nothing is to be restored: {}", ended.stderr);
    };
    refuse(&mut site, "no/such/directory/chatapi.lock");
    if let Some(mut disk) = disk(64) {
        let path = disk.path().join("chatapi.lock").display().to_string();
        disk.fill();
        refuse(&mut site, &path);
        disk.unfill();
        disk.remount("ro");
        refuse(&mut site, &path);
    }
    site.assert_mended("with a lock file again");
}

/// What exists is on record even if the lock file cannot say so at the end; the next run says it.
#[test]
fn p8_a_lock_file_that_cannot_be_written_at_the_end_is_told() {
    let Some(mut disk) = disk(64) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut site = Site::with_latency(place.path(), "200ms");
    let path = disk.path().join("chatapi.lock").display().to_string();
    let mut run = Run::start(site.project.command(&["apply", "--lock-file", &path, "--parallelism", "1"]));
    run.wait_until(|| !site.gateway.creates().is_empty());
    run.signal(Signal::STOP);
    disk.fill();
    run.signal(Signal::CONT);
    let ended = run.end();
    site.printed.extend(ended.printed());
    assert_eq!(ended.printed().len(), NAMES, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("error: cannot write"), "{}", ended.stderr);
    disk.unfill();
    let again = site.project.run(&["apply", "--lock-file", &path]);
    assert_eq!(again.code(), Some(0), "{}", again.stderr);
    assert!(fs::read_to_string(&path).unwrap().contains("name-2"));
    site.assert_mended("at the end");
}

/// What an `init` without room leaves is no half of a manifest, which the next one would take for yours.
#[test]
fn p5_an_init_without_room_can_be_repeated() {
    for kib in (0..=64).step_by(4) {
        let Some(mut disk) = disk(1_024) else { return };
        let project = Project::new(disk.path(), None);
        let filler = vec![0; usize::try_from((1_024 - kib) * 1_024).unwrap()];
        let _ = fs::write(disk.path().join("filler"), filler);
        let ended = project.run(&["init"]);
        assert!(matches!(ended.code(), Some(0 | 1)), "{kib} KiB: {:?} {}", ended.status, ended.stderr);
        disk.unfill();
        disk.remount("size=32768k");
        assert_eq!(project.run(&["init"]).code(), Some(0));
        assert_eq!(project.run(&["plan"]).code(), Some(0), "{kib} KiB");
        assert!(!disk.path().join("instances.yaml.new").exists(), "{kib} KiB");
    }
}

/// The index is a convenience: without it everything works, from the journal.
#[test]
fn p8_p12_an_unwritable_index_is_no_obstacle() {
    let place = tempfile::tempdir().unwrap();
    let mut site = Site::new(place.path());
    assert_eq!(site.project.run(&["init"]).code(), Some(0));
    let index = place.path().join("state/index");
    fs::remove_dir_all(&index).unwrap();
    fs::write(&index, "in the way").unwrap();
    let ended = site.project.run(&["apply"]);
    site.assert_orderly(&ended, "an index that is a file");
    assert_eq!((ended.code(), ended.printed().len()), (Some(0), NAMES), "{}", ended.stderr);
    assert_eq!(site.project.run(&["plan"]).code(), Some(0));
    fs::remove_file(&index).unwrap();
    site.assert_mended("with an index again");
}
