//! P3, P5, P16 under SIGKILL of the commands besides apply: what each does is done or not done, and the next one goes on.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::listed;
use super::kill_loop::project::{Ended, Project, Run, pause};

const TOKEN: &str = "t0ken-of-the-operator";

/// A project with three instances and one doubt, `name-1`, whose create the server has done. Its server is gone.
struct Template {
    place: tempfile::TempDir,
    attempt: String,
}

impl Template {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let manner = Manner { faults: vec!["create:nth=2=drop-after".to_owned()], ..Manner::inside("0ms") };
        let data = tempfile::tempdir().unwrap();
        let mut gateway = Gateway::start(&data.path().join("gateway"), manner);
        let mut project = Project::new(place.path(), Some(gateway.url()));
        project.declare(4);
        assert_eq!(project.run(&["apply", "--parallelism", "1"]).code(), Some(3));
        gateway.stop();
        fs::write(place.path().join("token"), TOKEN).unwrap();
        let text = project.run(&["doubts", "--format", "json"]).stdout;
        let attempt = text.split('"').find(|word| word.starts_with("a-")).unwrap().to_owned();
        Self { place, attempt }
    }

    /// A copy of it in `dir`.
    fn copy(&self, dir: &Path) -> Project {
        copy(self.place.path(), dir);
        Project::new(dir, Some("http://127.0.0.1:9/".to_owned()))
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            // As it was, whatever this process's umask is: a state that a group may write to is refused.
            DirBuilder::new().mode(0o700).create(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn start(project: &Project, words: &[&str]) -> Run {
    let mut command = project.command(words);
    if let Ok(token) = fs::File::open(project.path("token")) {
        command.stdin(token);
    }
    Run::start(command)
}

/// Runs `words` in many copies, killed at moments spread over its usual time, with a plan after each; then `after` says what
/// may have become of it and brings it to its end.
fn campaign(words: &[&str], fresh: &dyn Fn(&Path) -> Project, after: &dyn Fn(&Project, bool)) {
    let rounds = number("CHATAPI_KILL_ROUNDS", 200) / 10;
    let seed = number("CHATAPI_KILL_SEED", 1);
    let place = tempfile::tempdir().unwrap();
    let project = fresh(place.path());
    let begun = Instant::now();
    let ended = start(&project, words).end();
    let usual = begun.elapsed();
    // The template's doubt is 3 for a plan.
    assert!(matches!(ended.code(), Some(0 | 3)), "{words:?}: {}", ended.stderr);
    let mut kills = 0;
    for round in 0..rounds {
        let mut dice = Rng::with_seed(seed.wrapping_mul(65_537).wrapping_add(round));
        let place = tempfile::tempdir().unwrap();
        let project = fresh(place.path());
        let mut was_killed = false;
        for _ in 0..dice.u8(1..=2) {
            let mut run = start(&project, words);
            pause(usual.mul_f64(dice.f64()).max(Duration::from_micros(1)));
            was_killed |= !run.is_over();
            run.kill();
            drop(run.end());
            let plan = project.run(&["plan"]);
            let is_fine = match plan.code() {
                Some(0 | 3) => true,
                // Without its manifest a plan has nothing to say; a state that is not rebuilt is no state.
                Some(1) => !project.path("instances.yaml").exists(),
                Some(8) => words.contains(&"rebuild"),
                _ => false,
            };
            assert!(is_fine, "{words:?}, round {round} of {seed}: {:?} {}", plan.status, plan.stderr);
        }
        kills += u64::from(was_killed);
        after(&project, was_killed);
    }
    assert!(kills >= rounds / 4, "{words:?}: only {kills} of {rounds} were killed");
}

fn status(project: &Project, name: &str) -> (String, String) {
    listed(project).unwrap().get(name).cloned().unwrap_or_default()
}

fn token(project: &Project, name: &str) -> Ended {
    project.run(&["token", "get", name])
}

#[test]
fn p5_a_killed_init_can_be_repeated() {
    let fresh = |dir: &Path| Project::new(dir, None);
    campaign(&["init"], &fresh, &|project, _| {
        let again = project.run(&["init"]);
        assert_eq!(again.code(), Some(0), "{}", again.stderr);
        let applied = project.run(&["apply"]);
        assert_eq!((applied.code(), applied.printed().len()), (Some(0), 2), "{}", applied.stderr);
    });
}

#[test]
fn p3_a_killed_token_set_keeps_the_old_token_or_the_new() {
    let template = Template::new();
    let place = tempfile::tempdir().unwrap();
    let old = token(&template.copy(place.path()), "name-0").stdout;
    let words = ["token", "set", "name-0", "--replace"];
    campaign(&words, &|dir| template.copy(dir), &|project, _| {
        let kept = token(project, "name-0");
        assert!(kept.stdout == old || kept.stdout.trim_end() == TOKEN, "{}", kept.stderr);
        assert_eq!(start(project, &words).end().code(), Some(0));
        assert_eq!(token(project, "name-0").stdout.trim_end(), TOKEN);
    });
}

#[test]
fn p16_a_killed_resolve_is_done_or_not_done() {
    let template = Template::new();
    let words = ["resolve", "name-1", "--attempt", &template.attempt, "--created", "100002", "--token-stdin", "--offline"];
    campaign(&words, &|dir| template.copy(dir), &|project, _| {
        let (found, id) = status(project, "name-1");
        let repair: &[&str] = match found.as_str() {
            "in_doubt" => &words,
            // The verdict is kept and its token not: that has a command of its own.
            "token_missing" => &["token", "set", "name-1"],
            "created" => &["token", "set", "name-1", "--replace"],
            other => panic!("{other}"),
        };
        assert!(found == "in_doubt" || id == "100002");
        assert_eq!(start(project, repair).end().code(), Some(0));
        assert_eq!(status(project, "name-1"), ("created".to_owned(), "100002".to_owned()));
        assert_eq!(token(project, "name-1").stdout.trim_end(), TOKEN);
    });
}

#[test]
fn p16_a_killed_verdict_of_not_created_frees_the_name_or_does_not() {
    let template = Template::new();
    let words = ["resolve", "name-1", "--attempt", &template.attempt, "--not-created", "--offline"];
    campaign(&words, &|dir| template.copy(dir), &|project, _| {
        let (found, _) = status(project, "name-1");
        let again = start(project, &words).end();
        match found.as_str() {
            "in_doubt" => assert_eq!(again.code(), Some(0), "{}", again.stderr),
            "absent" => assert_eq!(again.code(), Some(1), "{}", again.stderr),
            other => panic!("{other}"),
        }
        assert_eq!(status(project, "name-1").0, "absent");
    });
}

#[test]
fn p3_a_killed_move_has_one_of_both_names() {
    let template = Template::new();
    let words = ["state", "mv", "name-0", "other"];
    campaign(&words, &|dir| template.copy(dir), &|project, _| {
        let names = listed(project).unwrap();
        assert_eq!(names.len(), 4, "{names:?}");
        let is_moved = names.contains_key("other");
        assert!(is_moved != names.contains_key("name-0"), "{names:?}");
        assert_eq!(start(project, &words).end().code(), Some(i32::from(is_moved)));
        assert_eq!(status(project, "other").0, "created");
        assert_eq!(token(project, "other").code(), Some(0));
    });
}

/// Opening the index may write to it: a reader that is killed there must harm neither the next reader nor the next writer.
#[test]
fn p12_a_killed_plan_harms_nothing() {
    let template = Template::new();
    let fresh = |dir: &Path| {
        let project = template.copy(dir);
        for file in fs::read_dir(project.path("state/index")).unwrap().flatten() {
            let is_snapshot = file.file_name().to_string_lossy().starts_with("snap.");
            if is_snapshot {
                fs::remove_file(file.path()).unwrap();
            }
        }
        project
    };
    campaign(&["plan"], &fresh, &|project, _| {
        assert_eq!(listed(project).unwrap().len(), 4);
        assert_eq!(start(project, &["state", "mv", "name-0", "other"]).end().code(), Some(0));
        assert_eq!(status(project, "other").0, "created");
        let shown = project.run(&["state", "show", "--format", "json"]).stdout;
        assert!(shown.contains("\"index\""), "the writer has mended the index: {shown}");
    });
}

/// The state is lost; rebuilding it from the lock file is cut short. Nothing may be created from a half-built state.
#[test]
fn p5_a_killed_rebuild_fails_closed_and_can_be_begun_anew() {
    let template = Template::new();
    let fresh = |dir: &Path| {
        let project = template.copy(dir);
        fs::remove_dir_all(project.path("state")).unwrap();
        project
    };
    let words = ["state", "rebuild", "--from-lock", "chatapi.lock"];
    campaign(&words, &fresh, &|project, _| {
        // Where nothing listens, an apply that went on would say "not sent" and count its tries.
        let applied = project.run(&["apply"]);
        // A whole one knows its server, which this is not.
        let is_bound = applied.code() == Some(1) && applied.stderr.contains("the state belongs to");
        assert!(is_bound || matches!(applied.code(), Some(3 | 8)), "{:?} {}{}", applied.status, applied.stdout, applied.stderr);
        assert!(!applied.stdout.contains("not sent"), "{}", applied.stdout);
        if applied.code() == Some(8) {
            // As its hints say: what is left of it is moved aside.
            let _ = fs::rename(project.path("state"), project.path("aside"));
            let again = project.run(&words);
            assert_eq!(again.code(), Some(0), "{}", again.stderr);
        }
        let names = listed(project).unwrap();
        let statuses: Vec<_> = names.values().map(|(status, _)| status.as_str()).collect();
        assert_eq!(statuses, ["token_missing", "in_doubt", "token_missing", "token_missing"]);
    });
}

/// P5 after a kill: neither a state that is gone nor one from before the killed run may pay for its creates once more.
#[test]
fn p1_p5_a_state_that_is_older_than_a_killed_run_creates_nothing() {
    for kill_at in ["intent", "sent", "received", "created"] {
        let place = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&place.path().join("gateway"), Manner::inside("2ms"));
        let mut project = Project::new(place.path(), Some(gateway.url()));
        for had_state in [false, true] {
            project.declare(2);
            let (state, older) = (project.path("state"), project.path("older"));
            DirBuilder::new().mode(0o700).create(&older).unwrap();
            if had_state {
                copy(&state, &older);
            }
            let mut run = Run::start(project.command(&["apply", "--parallelism", "1"]));
            let event = format!("\"event\":{{\"{kill_at}\":");
            let entries = |dir: &Path| fs::read_to_string(dir.join("journal.jsonl")).unwrap_or_default().matches(&event).count();
            let before = entries(&older);
            assert!(run.wait_until(|| entries(&state) > before), "{kill_at}");
            run.kill();
            drop(run.end());
            fs::rename(&state, project.path("newest")).unwrap();
            if had_state {
                fs::rename(&older, &state).unwrap();
            }
            let seen = gateway.seen().len();
            let ended = project.run(&["apply"]);
            assert_eq!((ended.code(), gateway.seen().len()), (Some(8), seen), "{kill_at}, {had_state}: {}", ended.stderr);
            let _ = fs::remove_dir_all(&state);
            let _ = fs::remove_dir_all(&older);
            fs::rename(project.path("newest"), &state).unwrap();
            assert!(matches!(project.run(&["apply"]).code(), Some(0 | 3)), "{kill_at}: the newest is good");
        }
    }
}
