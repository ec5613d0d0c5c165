//! `state mv` and `release`: checked before anything is written, and brought into the lock file.

use std::fs;

use serde_json::Value;

use super::{changes_nothing, done};
use crate::stage::{Gateway, Project, manifest};

/// What the lock file has under `part`.
fn locked(project: &Project, part: &str) -> Vec<String> {
    let lock: Value = serde_json::from_str(&project.read("chatapi.lock")).unwrap();
    lock[part].as_object().map(|names| names.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn p5_a_rename_stands_in_the_lock_file_at_once() {
    let (gateway, project) = done(&["a", "b"]);
    let (ids, before) = (project.ids(), project.copy_of_state());
    project.run("state mv a z").exits(0).warns("chatapi.lock says so too: commit it").done();
    assert_eq!(locked(&project, "instances"), ["b", "z"]);
    project.declare(&manifest("{kind: chatapi}", &["b", "z"]));
    // A copy from before it is an older one now: it would create `z`.
    let newest = project.copy_of_state();
    project.restore(&before);
    project.run("apply --not-a-rename z").exits(8).done_with("the state is older than the lock file");
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from lock").exits(0).done();
    assert_eq!(project.ids()["z"], ids["a"]);
    project.run("apply --not-a-rename z").exits(3).done_with("0 created");
    fs::copy(project.path("chatapi.lock.before-rebuild"), project.lock_file()).unwrap();
    project.restore(&newest);
    project.run("apply").exits(0).prints("Nothing to do: 2 instances").done();
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p9_a_release_stands_in_the_lock_file_at_once() {
    let (gateway, project) = done(&["a", "b"]);
    let before = project.copy_of_state();
    project.run("release b").exits(0).warns("chatapi.lock says so too").done();
    assert_eq!((locked(&project, "instances"), locked(&project, "released")), (vec!["a".to_owned()], vec!["b".to_owned()]));
    let newest = project.copy_of_state();
    project.restore(&before);
    project.run("apply").exits(8).done_with("older than the lock file");
    project.restore(&newest);
    project.run("release --undo b").exits(0).done();
    assert_eq!((locked(&project, "instances").len(), locked(&project, "released").len()), (2, 0));
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn where_no_lock_file_is_near_the_next_apply_is_said_to_write_it() {
    let (_gateway, project) = done(&["a"]);
    fs::rename(project.lock_file(), project.path("elsewhere.lock")).unwrap();
    project.run("state mv a z").exits(0).warns("the next apply writes it into the lock file beside its manifest").done();
    assert!(!project.lock_file().exists());
    project.run("state mv z y --lock-file elsewhere.lock").exits(0).done_with("elsewhere.lock says so too");
    assert!(project.read("elsewhere.lock").contains("\"y\""));
}

#[test]
fn a_lock_file_that_cannot_be_written_leaves_the_rename_done() {
    let (gateway, project) = done(&["a"]);
    let run = project.call(["state", "mv", "a", "z"]).env("CHATAPI_FAILPOINT", "lockfile-before=error").run();
    let run = run.exits(4).prints("`a` is `z` from now on");
    run.warns("cannot write chatapi.lock").done_with("the state has it; the next apply writes the lock file");
    assert_eq!(locked(&project, "instances"), ["a"]);
    project.declare(&manifest("{kind: chatapi}", &["z"]));
    project.run("apply").exits(0).prints("Nothing to do").done();
    assert_eq!((locked(&project, "instances"), gateway.creates()), (vec!["z".to_owned()], 1));
}

#[test]
fn a_rename_that_cannot_be_writes_nothing_and_leaves_saved_plans_good() {
    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = Project::at(&gateway.url(), &["support-eu", "sandbox", "doubtful"]);
    project.run("apply --parallelism 1").exits(3);
    project.run("release sandbox").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["support-eu", "doubtful", "new"]));
    project.run("plan --out plan.json").exits(3);
    let cases: [(&str, &[&str]); 8] = [
        ("state mv suport-eu x", &["nothing is recorded under `suport-eu`", "did you mean `support-eu`?"]),
        ("state mv unheard-of x", &["nothing is recorded", "recorded are doubtful, sandbox, support-eu", "chatapi state list"]),
        ("state mv unheard-of support-eu", &["`support-eu` is recorded: it may have that name already"]),
        ("state mv support-eu support-eu", &["the name `support-eu` is taken: it is created", "choose another name"]),
        ("state mv support-eu sandbox", &["the name `sandbox` is taken: it is released", "release --undo sandbox"]),
        ("state mv support-eu doubtful", &["the name `doubtful` is taken: it is in_doubt", "state show doubtful"]),
        ("state mv doubtful x", &["`doubtful` is in_doubt", "settle it first: `chatapi doubts`"]),
        ("release suport-eu", &["nothing is recorded under `suport-eu`", "did you mean `support-eu`?"]),
    ];
    for (line, words) in cases {
        let journal = project.read("state/journal.jsonl");
        let run = project.run(line).exits(1);
        for word in words {
            assert!(run.stderr.contains(word), "{line}: `{word}` is not in {run}");
        }
        assert!(!run.stderr.contains("does not fit the state") && run.stdout.is_empty(), "{run}");
        assert_eq!(project.read("state/journal.jsonl"), journal, "{line} wrote");
    }
    // Each of them would have made it stale.
    project.run("apply plan.json").exits(3).done_with("1 created");
}

#[test]
fn names_are_listed_up_to_a_few() {
    let names: Vec<String> = (0..12).map(|number| format!("name-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_gateway, project) = done(&names);
    changes_nothing(&project, &["release unheard-of", "state show unheard-of", "token get unheard-of"], |_, run| {
        let run = run.exits(1).warns("`chatapi state list` shows every name");
        assert!(!run.stderr.contains("recorded are"), "{run}");
    });
}

/// Points in the life of a rename or a release, in their order.
#[cfg(feature = "failpoints")]
const POINTS: [&str; 10] = [
    "journal-written-run",
    "journal-written-WORD",
    "journal-after-run",
    "journal-after-WORD",
    "lockfile-before",
    "replace-written",
    "replace-renamed",
    "lockfile-written",
    "closing",
    "index-updated",
];

/// Whatever is cut off: an apply creates nothing, neither with the state as it is nor with the copy from before, and the command can be
/// given again.
#[cfg(feature = "failpoints")]
#[test]
fn p1_p5_a_rename_or_release_that_is_cut_off_anywhere_creates_nothing_twice() {
    for (verb, word, declared) in [("state mv a z", "moved", ["b", "z"]), ("release a", "released", ["b", "b2"])] {
        for point in POINTS.map(|point| point.replace("WORD", word)) {
            for action in ["kill", "error"] {
                if action == "error" && !matches!(point.as_str(), "lockfile-before" | "replace-written" | "replace-renamed") {
                    continue;
                }
                let told = format!("{verb}, {point}={action}");
                let (gateway, project) = done(&["a", "b"]);
                let before = project.copy_of_state();
                let run = project.call(verb.split(' ')).env("CHATAPI_FAILPOINT", format!("{point}={action}")).run();
                assert!(run.stderr.contains("failpoint: "), "{told}: {run}");
                // A lock file never knows more than its state.
                project.run("plan").exits(0).done();
                let newest = project.copy_of_state();
                project.restore(&before);
                let names: &[&str] = if word == "moved" { &declared } else { &["b"] };
                project.declare(&manifest("{kind: chatapi}", names));
                let run = project.run("apply");
                assert!(matches!(run.code, 0 | 6 | 8) && gateway.creates() == 2, "{told}, with the older copy: {run}");
                if run.code != 8 {
                    // That run was one of the older copy's own; the newest is no longer the lock file's.
                    continue;
                }
                project.restore(&newest);
                project.run(verb).done_with("");
                project.run("apply").exits(0).prints("Nothing to do").done();
                assert_eq!(gateway.creates(), 2, "{told}");
                let part = if word == "moved" { locked(&project, "instances") } else { locked(&project, "released") };
                assert!(part.contains(&if word == "moved" { "z" } else { "a" }.to_owned()), "{told}: {part:?}");
            }
        }
    }
}

/// The same without the older copy: done or not done, and the next one brings the lock file up.
#[cfg(feature = "failpoints")]
#[test]
fn p3_a_rename_that_is_cut_off_is_done_or_not_done_and_the_next_apply_catches_up() {
    for point in POINTS.map(|point| point.replace("WORD", "moved")) {
        let (gateway, project) = done(&["a", "b"]);
        let tokens = [project.token("a"), project.token("b")];
        let run = project.call("state mv a z".split(' ')).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
        assert_eq!(run.code, 1_009, "{point}: {run}");
        let is_moved = project.ids().contains_key("z");
        let again = project.run("state mv a z");
        assert_eq!(again.code, i32::from(is_moved), "{point}: {again}");
        project.declare(&manifest("{kind: chatapi}", &["b", "z"]));
        project.run("apply").exits(0).prints("Nothing to do: 2 instances").done();
        assert_eq!((locked(&project, "instances"), gateway.creates()), (vec!["b".to_owned(), "z".to_owned()], 2), "{point}");
        assert_eq!([project.token("z"), project.token("b")], tokens, "{point}");
        project.run("state verify").exits(0).prints("stands at the journal's head").done();
    }
}
