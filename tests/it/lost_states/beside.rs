//! The lock file beside the state directory: every verb finds it, as the pipelines keep both together.

use std::fs;

use super::changes_nothing;
use crate::stage::{Gateway, Project, manifest};

/// Manifests in `team/`, and state and lock file in `kept/`, as a pipeline has left them; nobody names the lock file any more.
fn kept(names: &[&str]) -> (Gateway, Project) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    for dir in ["team", "kept"] {
        fs::create_dir(project.path(dir)).unwrap();
    }
    fs::remove_file(project.path("instances.yaml")).unwrap();
    declare(&project, names);
    project.run("--state kept/state apply team --lock-file kept/chatapi.lock").exits(0);
    (gateway, project)
}

fn declare(project: &Project, names: &[&str]) {
    project.write("team/instances.yaml", manifest("{kind: chatapi}", names));
}

fn lock_files(project: &Project) -> Vec<&'static str> {
    let all = ["chatapi.lock", "team/chatapi.lock", "kept/chatapi.lock"];
    all.into_iter().filter(|path| project.path(path).exists()).collect()
}

#[test]
fn p1_p5_a_lock_file_beside_a_lost_state_is_found_by_every_verb() {
    let (gateway, project) = kept(&["a", "b"]);
    fs::remove_dir_all(project.path("kept/state")).unwrap();
    let lines = [
        "plan team",
        "plan team/instances.yaml --out plan.json",
        "apply team",
        "init team/instances.yaml",
        "init --yes other.yaml",
        "state list",
        "state rebind",
        "resolve a --attempt a-x --not-created --offline",
    ];
    let lines = lines.map(|line| format!("--state kept/state {line}"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    changes_nothing(&project, &lines, |line, run| {
        let run = run.exits(8).warns("the state is missing: there is no journal in kept/state");
        if !["state", "resolve"].iter().any(|verb| line.contains(&format!("kept/state {verb}"))) {
            run.warns("the lock file that says so is kept/chatapi.lock").warns("`--lock-file PATH`");
        }
    });
    let run = project.run("--state kept/state state verify").exits(8).prints("the state is missing");
    assert!(!run.stdout.contains("lock file  there is none"), "{run}");
    assert!(run.stderr.contains("`chatapi --state kept/state state rebuild --from-lock kept/chatapi.lock`"), "{run}");
    assert!(!project.path("kept/state").exists(), "an empty directory would be in the way of a copy");
    assert_eq!((gateway.creates(), lock_files(&project)), (2, vec!["kept/chatapi.lock"]));
}

#[test]
fn p5_the_lock_file_beside_the_state_is_the_one_that_is_written() {
    let (gateway, project) = kept(&["a"]);
    declare(&project, &["a", "b"]);
    project.run("--state kept/state apply team").exits(0);
    assert!(project.read("kept/chatapi.lock").contains("\"b\""));
    declare(&project, &["a", "b", "c"]);
    project.run("--state kept/state plan team --out plan.json").exits(0);
    project.run("--state kept/state apply plan.json").exits(0);
    assert!(project.read("kept/chatapi.lock").contains("\"c\""));
    // Made when nothing was to be found, and carried out where something is.
    declare(&project, &["a", "b", "c", "d"]);
    project.run("--state kept/state plan team --out plan.json --lock-file team/chatapi.lock").exits(0);
    project.run("--state kept/state apply plan.json").exits(0);
    assert!(project.read("kept/chatapi.lock").contains("\"d\""));
    assert_eq!((gateway.creates(), lock_files(&project)), (4, vec!["kept/chatapi.lock"]));
}

#[test]
fn p5_a_saved_plan_takes_a_lock_file_beside_a_state_elsewhere() {
    let (gateway, project) = kept(&["a"]);
    let state = project.path("kept/state");
    let state = state.to_str().unwrap();
    declare(&project, &["a", "b"]);
    project.call(["--state", state, "plan", "team", "--out", "plan.json"]).run().exits(0);
    project.call(["--state", state, "apply", "plan.json"]).run().exits(0);
    assert!(project.read("kept/chatapi.lock").contains("\"b\""));
    assert_eq!((gateway.creates(), lock_files(&project)), (2, vec!["kept/chatapi.lock"]));
}

#[test]
fn p5_of_two_lock_files_of_one_state_the_newer_one_is_believed_and_the_other_is_told_of() {
    let (gateway, project) = kept(&["a"]);
    let older = Project::files(&project.path("kept/state"));
    fs::copy(project.path("kept/chatapi.lock"), project.path("team/chatapi.lock")).unwrap();
    declare(&project, &["a", "b"]);
    project.run("--state kept/state apply team --lock-file kept/chatapi.lock").exits(0);
    let newer = Project::files(&project.path("kept/state"));
    let put = |files: &std::collections::BTreeMap<_, Vec<u8>>| {
        for (path, bytes) in files {
            fs::write(path, bytes).unwrap();
        }
    };
    put(&older);
    for line in ["plan team", "apply team", "init team/instances.yaml"] {
        let run = project.run(&format!("--state kept/state {line}")).exits(8);
        let run = run.warns("beside team/chatapi.lock there is kept/chatapi.lock, which knows more");
        run.warns("the state is older than the lock file").warns("the lock file that says so is kept/chatapi.lock");
    }
    assert_eq!(gateway.creates(), 2);
    put(&newer);
    // The one that is found first is written, and the other is named.
    let run = project.run("--state kept/state apply team").exits(0).prints("Nothing to do");
    run.warns("team/chatapi.lock was written, and kept/chatapi.lock, a lock file of this state too, stays behind");
    assert!(project.read("team/chatapi.lock").contains("\"b\""));
    fs::remove_file(project.path("kept/chatapi.lock")).unwrap();
    let run = project.run("--state kept/state plan team").exits(0);
    assert!(!run.stderr.contains("chatapi.lock"), "{run}");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn two_projects_with_their_states_side_by_side_are_told_apart() {
    let (gateway, project) = kept(&["a"]);
    fs::create_dir(project.path("other")).unwrap();
    project.write("other/instances.yaml", manifest("{kind: chatapi}", &["x"]));
    let before = project.read("kept/chatapi.lock");
    // Which of the two is lost nobody knows: the first time it is said.
    let run = project.run("--state kept/second apply other").exits(8);
    run.warns("the lock file that says so is kept/chatapi.lock").warns("if it belongs to another state");
    assert!(!project.path("kept/second").exists());
    project.run("--state kept/second apply other --lock-file other/chatapi.lock").exits(0);
    // From then on each has its own.
    project.run("--state kept/second apply other").exits(0).prints("Nothing to do: the instance exists");
    project.run("--state kept/state apply team").exits(0).prints("Nothing to do: the instance exists");
    // A state that records something is not held against the other's, and does not write over it.
    fs::remove_file(project.path("other/chatapi.lock")).unwrap();
    project.run("--state kept/second apply other").exits(0).prints("Nothing to do: the instance exists");
    assert!(project.read("other/chatapi.lock").contains("\"x\""));
    assert_eq!((project.read("kept/chatapi.lock"), gateway.creates()), (before, 2));
}
