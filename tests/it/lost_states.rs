//! A state that is lost, older or another one than its lock file says: every verb says what a plan says of it.

use std::fs;

use crate::stage::{Gateway, Project, Run, manifest};

mod beside;
mod hints;
mod named;
mod names;
mod tokens;
mod words;

/// Verbs that look, without a manifest.
const LOOKING: [&str; 7] =
    ["state list", "state list --format json", "state show", "state show a", "state export", "doubts", "doubts --format json"];
/// Verbs that pass on what the state holds.
const PASSING: [&str; 8] = [
    "output",
    "output a --reveal --format dotenv --out made",
    "output --format k8s-secret",
    "output --format shell",
    "output --retry",
    "token get a",
    "token answer a",
    "state export --reveal",
];
/// Verbs that write.
const WRITING: [&str; 5] =
    ["state mv a z", "release a", "token set a", "token set a --replace", "resolve a --attempt a-x --not-created --offline"];
/// What begins each hint that leads to a state from the lock file.
const FROM_LOCK: &str = "`chatapi state rebuild --from-lock chatapi.lock`";

fn done(names: &[&str]) -> (Gateway, Project) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), names);
    project.run("apply").exits(0);
    (gateway, project)
}

fn run(project: &Project, line: &str) -> Run {
    project.call(line.split(' ')).input("token").run()
}

/// Nothing stands on standard output, and neither the state nor the lock file nor anything else has changed.
fn changes_nothing(project: &Project, lines: &[&str], look: impl Fn(&str, Run)) {
    let files = || {
        let mut files = Project::files(project.dir());
        // Says who held it last.
        files.remove(&project.path("state/lock"));
        files
    };
    let before = files();
    for line in lines {
        let run = run(project, line);
        assert!(run.stdout.is_empty(), "{line}: {run}");
        look(line, run);
        assert!(files() == before, "{line} wrote");
    }
}

#[test]
fn p5_every_verb_says_of_a_lost_state_what_a_plan_says() {
    let (gateway, project) = done(&["a", "b"]);
    fs::remove_dir_all(project.state()).unwrap();
    let rest = ["plan", "apply", "init", "init --yes other.yaml", "state history", "state compact", "state rekey --only-new"];
    changes_nothing(&project, &[&rest[..], &LOOKING, &PASSING, &WRITING].concat(), |line, run| {
        if line.starts_with("state rekey") {
            // Without a key to seal to it does not come to that.
            return run.exits(1).done_with("there is no public key");
        }
        let run = run.exits(8).warns("the state is missing: there is no journal in state, and the lock file saw it at serial");
        assert!(!run.stderr.contains("begins one"), "{line}: {run}");
        run.done_with(FROM_LOCK);
    });
    assert!(!project.state().exists(), "an empty directory would be in the way of a copy");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_a_state_that_was_begun_beside_a_lost_ones_lock_file_gives_nothing_away() {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    fs::rename(project.lock_file(), project.path("aside")).unwrap();
    project.run("init").exits(0);
    fs::rename(project.path("aside"), project.lock_file()).unwrap();
    changes_nothing(&project, &[&["plan", "init"][..], &LOOKING, &PASSING, &WRITING].concat(), |_, run| {
        let run = run.exits(8).warns("the state is another one than the lock file belongs to: the lineage is");
        run.warns("records nothing: it was begun after that one").done_with(FROM_LOCK);
    });
    // As the hint says: what records nothing is in nobody's way.
    project.run("state rebuild --from-lock chatapi.lock").exits(0).prints("2 instances without token");
    project.run("apply").exits(3);
    assert_eq!((project.ids(), gateway.creates()), (ids, 2));
}

#[test]
fn p5_an_older_state_is_shown_with_a_warning_and_neither_passed_on_nor_written() {
    let (gateway, project) = done(&["a"]);
    let (older, old_lock) = (project.copy_of_state(), project.read("chatapi.lock"));
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    project.restore(&older);
    let message = "the state is older than the lock file: it ends at serial";
    for line in LOOKING.into_iter().filter(|line| *line != "state export") {
        let run = project.run(line).exits(0).warns("what is shown may not be all that exists").warns(message);
        run.warns("keeps what this one has, its tokens too").done_with("state rebuild --from journal --lock-file chatapi.lock");
    }
    changes_nothing(&project, &[&["plan", "apply", "init"][..], &PASSING, &WRITING].concat(), |_, run| {
        run.exits(8).done_with(message);
    });
    // A name that only the lock file knows is not simply unknown.
    project.run("state show b").exits(1).warns("nothing is recorded under `b`").done_with(message);
    project.run("token get b").exits(8).done_with(message);
    // Another lock file may be the right one: it is named as for a plan.
    project.write("old.lock", old_lock);
    let run = project.run("output --lock-file old.lock").exits(0);
    assert!(run.stderr.lines().all(|line| line.starts_with("tokens are left out")), "{run}");
    project.call(["state", "list"]).env("CHATAPI_LOCK_FILE", "old.lock").run().exits(0).prints("a ").done();
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_missing_older_other_apart_and_lacking_are_told_apart_and_each_names_its_way_out() {
    let (gateway, project) = done(&["a"]);
    let older = project.copy_of_state();
    project.run("state compact").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    let newest = project.copy_of_state();
    let lock = project.read("chatapi.lock");
    // Another state, with records of its own.
    let other = Project::at(&gateway.url(), &["x"]);
    other.run("apply").exits(0);
    project.write("chatapi.lock", other.read("chatapi.lock"));
    let run = project.run("plan").exits(8).warns("the state is another one than the lock file belongs to");
    let run = run.warns("bring the state of lineage").warns("`--lock-file PATH`");
    // A rebuild would refuse that lock file, so it is not what is suggested.
    assert!(!run.stderr.contains("state rebuild"), "{run}");
    // Both went on from the older copy.
    project.restore(&older);
    fs::remove_file(project.lock_file()).unwrap();
    for _ in 0..12 {
        project.run("state mv a z").exits(0);
        project.run("state mv z a").exits(0);
    }
    project.write("chatapi.lock", &lock);
    let run =
        project.run("plan").exits(8).warns("the state and the lock file went different ways: their histories differ at serial");
    run.done_with("two copies of one state were used");
    // What was merged by hand.
    project.restore(&newest);
    project.write("chatapi.lock", lock.replace("\"b\": {\n      \"id\": \"1000", "\"b\": {\n      \"id\": \"4242"));
    project.run("plan").exits(8).warns("the state lacks what the lock file names: `b` exists as").done_with("merged by hand");
    project.write("chatapi.lock", &lock);
    project.run("apply").exits(0).prints("Nothing to do: 2 instances").done();
    assert_eq!(gateway.creates(), 3);
}

#[test]
fn p5_a_rebuild_from_the_lock_file_is_refused_where_an_older_state_still_has_tokens() {
    let (gateway, project) = done(&["a"]);
    let token = project.token("a");
    let older = project.copy_of_state();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    project.restore(&older);
    changes_nothing(&project, &["state rebuild --from-lock chatapi.lock"], |_, run| {
        let run = run.exits(1).warns("is not lost, only older than the lock file: it has 1 tokens");
        run.warns("has 1 newer instances without token").done_with("its tokens go with it");
    });
    let run = project.run("state rebuild --from journal --lock-file chatapi.lock").exits(0);
    let run = run.warns("the journal as it was is kept as").warns("the old one is chatapi.lock.before-rebuild");
    run.warns("no secret in it").done_with("1 instance is without token");
    assert_eq!(project.token("a"), token);
    project.run("apply").exits(3).warns("its token is missing").done_with("b");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn a_second_rebuild_keeps_no_second_copy_of_the_same_lock_file() {
    let (_gateway, project) = done(&["a"]);
    let lock = project.read("chatapi.lock");
    fs::remove_dir_all(project.state()).unwrap();
    project.write("chatapi.lock.before-rebuild", &lock);
    project.run("state rebuild --from lock").exits(0).warns("the old one is chatapi.lock.before-rebuild\n").done();
    let copies = || Project::files(project.dir()).keys().filter(|path| path.to_string_lossy().contains(".before-")).count();
    assert_eq!((copies(), project.read("chatapi.lock.before-rebuild")), (1, lock));
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from lock").exits(0).warns(".before-rebuild.again-").done();
    assert_eq!(copies(), 2, "another one is kept besides");
}

#[test]
fn an_empty_selection_is_told_in_every_format() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("init").exits(0);
    for format in ["json", "yaml", "dotenv", "shell", "github-env", "k8s-secret", "docker-env"] {
        let run = project.run(&format!("output --format {format}")).exits(0);
        run.warns("warning: no instance is recorded in state, so there is nothing in the output")
            .done_with("`chatapi apply FILE`");
    }
    project.run("apply").exits(0);
    let run = project.run("output").exits(0);
    assert!(!run.stderr.contains("no instance is recorded"), "{run}");
}

#[test]
fn the_lock_file_is_looked_for_beside_the_state_and_one_that_is_only_near_counts_for_its_own_state() {
    let (gateway, project) = done(&["a"]);
    // Another project's state, from this directory: its own lock file counts, and the one here does not.
    for dir in ["with", "without"] {
        fs::create_dir(project.path(dir)).unwrap();
    }
    project.write("with/instances.yaml", manifest("{kind: chatapi}", &["x"]));
    project.run("apply with/instances.yaml --state with/state").exits(0);
    project.run("--state with/state output").exits(0).prints("\"x\"").done();
    let renamed = project.run("--state with/state state mv x y").exits(0);
    renamed.done_with("with/chatapi.lock says so too");
    assert!(project.read("with/chatapi.lock").contains("\"y\"") && !project.read("chatapi.lock").contains("\"y\""));
    fs::rename(project.path("with/state"), project.path("without/state")).unwrap();
    project.run("--state with/state output").exits(8).warns("the state is missing").done_with("with/chatapi.lock");
    project.run("--state without/state output").exits(0).prints("\"y\"").done();
    let near = project.read("chatapi.lock");
    project.run("--state without/state state mv y x").exits(0).done_with("the next apply writes it");
    assert_eq!(project.read("chatapi.lock"), near, "it is another state's");
    // A place where nothing is: the one here tells of a state.
    project
        .run("--state mistyped state list")
        .exits(8)
        .warns("the state is missing: there is no journal in mistyped")
        .done_with("--state");
    assert!(!project.path("mistyped").exists());
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p12_a_lock_file_that_cannot_be_read_stops_what_passes_on_and_not_what_looks() {
    let (_gateway, project) = done(&["a"]);
    fs::write(project.lock_file(), "<<<<<<< ours\n").unwrap();
    for line in ["state list", "state show a"] {
        let run = project.run(line).exits(0).warns("is not a lock file of chatapi").warns("a plan and an apply will stop");
        assert!(!run.stdout.is_empty(), "{run}");
    }
    changes_nothing(
        &project,
        &["output", "token get a", "state export --reveal", "state mv a z", "release a", "token set a --replace", "init"],
        |_, run| {
            run.exits(8).done_with("is not a lock file of chatapi");
        },
    );
}
