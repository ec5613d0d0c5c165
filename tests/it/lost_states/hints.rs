//! What a hint says is typed as it is printed: it means this state, and does nothing by mistake.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{changes_nothing, done};
use crate::stage::{Gateway, KEY, Project, Run, manifest};

const TOKEN: &str = "Token0of0the0tests";

/// A project whose state is in `kept/state`, its lock file beside it, and one create in doubt.
fn in_doubt() -> (Gateway, Project) {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    fs::create_dir(project.path("kept")).unwrap();
    project.run("--state kept/state apply --parallelism 1 --lock-file kept/chatapi.lock").exits(3);
    (gateway, project)
}

/// Whether a command for a state is told that would be typed for another one.
fn is_for_another(run: &Run) -> bool {
    let stateless = ["--state", "key", "schema", "validate"];
    // That is what a pipeline does, and nothing to type.
    let told = (run.stdout.clone() + &run.stderr).replace("runs `chatapi apply`", "");
    told.split("`chatapi ").skip(1).any(|rest| !stateless.iter().any(|word| rest.starts_with(word)))
}

#[test]
fn every_hint_names_the_state_it_is_about() {
    let (_gateway, project) = in_doubt();
    let attempt = {
        let shown = project.run("--state kept/state state show b --format json").exits(0).json();
        shown["attempt"].as_str().unwrap().to_owned()
    };
    let lines = [
        "plan",
        "plan --format json",
        "apply --max-creates 0",
        "doubts",
        "doctor",
        "doctor --format json",
        "state show c",
        "state mv b c",
        "release c",
        "state history c",
        "state rekey",
        "state verify",
        "state export",
        "token get b",
        "token get c",
        "token answer a",
        "token set b",
        "token set c",
        "output c",
        "resolve a --attempt a-x --not-created --offline",
        "resolve b --attempt a-x --not-created --offline",
        "show none",
    ];
    for line in lines {
        let run = project.call(["--state", "kept/state"].into_iter().chain(line.split(' '))).input(TOKEN).run();
        assert!(!is_for_another(&run), "{line}: {run}");
    }
    let run = project.call(["--state", "kept/state", "apply"]).env("CHATAPI_API_KEY", format!("{KEY}0")).run().exits(1);
    assert!(run.stderr.contains("`chatapi --state kept/state state rebind`") && !is_for_another(&run), "{run}");
    // The reports say what the terminal says.
    let run = project.run("--state kept/state apply --max-creates 0 --events");
    assert!(!is_for_another(&run), "{run}");
    // A state that is usual, and not what the environment names.
    fs::create_dir_all(project.path("elsewhere")).unwrap();
    let run = project.call(["--state", "state", "state", "list"]).env("CHATAPI_STATE", "kept/state").run();
    assert!(!run.stderr.contains("`chatapi state"), "{run}");
    let not_created = format!("--state kept/state resolve b --attempt {attempt} --not-created --offline");
    project.run(&not_created).exits(0).done_with("kept/chatapi.lock says so too: commit it");
}

#[test]
fn a_verb_that_needs_a_state_does_not_suggest_to_begin_one() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    for line in ["state rebind", "state compact", "state list", "state mv a b", "token get a", "output"] {
        let run = project.run(&format!("--state kept/state {line}")).exits(8);
        let run = run.warns("there is no state in kept/state").warns("`--state PATH`, or CHATAPI_STATE");
        assert!(!run.stderr.contains("apply FILE"), "{line}: {run}");
        run.done_with("only a first apply begins one");
    }
}

#[test]
fn a_state_that_others_may_write_to_is_not_left_for_another_where_it_records_something() {
    let (gateway, project) = done(&["a"]);
    let open = |path: &str| fs::set_permissions(project.path(path), fs::Permissions::from_mode(0o777)).unwrap();
    open("state");
    let run = project.run("plan").exits(1).warns("chmod -R go-rwx state");
    assert!(!run.stderr.contains("--state"), "{run}");
    fs::create_dir(project.path("shared")).unwrap();
    project.write("shared/notes.txt", "somebody's");
    open("shared");
    let run = project.run("--state shared apply --lock-file other.lock").exits(1);
    run.done_with("or name a directory inside it, which chatapi makes for itself: `--state DIR/state`");
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn a_placeholder_that_a_hint_prints_is_no_id_and_no_reason() {
    let (_gateway, project) = in_doubt();
    let resolve = "--state kept/state resolve b --attempt a-x --offline";
    let before = project.read("kept/state/journal.jsonl");
    for line in [
        format!("{resolve} --created ID"),
        format!("{resolve} --not-created --reason TEXT"),
        "--state kept/state state rebind --despite-list --reason TEXT".to_owned(),
        "--state kept/state state rebuild --from server --adopt eu=ID".to_owned(),
        "--state kept/state state rebuild --from server --adopt NAME=100001".to_owned(),
    ] {
        let run = project.run(&line);
        assert!(run.code != 0 && run.stderr.contains("invalid value"), "{line}: {run}");
    }
    assert_eq!(project.read("kept/state/journal.jsonl"), before);
}

#[test]
fn p5_what_changes_a_state_renews_its_lock_file() {
    let (_gateway, project) = done(&["a"]);
    let key = project.call(["key", "generate", "--output", "key.txt"]).run().exits(0).stdout.trim().to_owned();
    let serial = || -> u64 {
        let lock: serde_json::Value = serde_json::from_str(&project.read("chatapi.lock")).unwrap();
        lock["serial"].as_u64().unwrap()
    };
    let is_current = || project.run("state verify").exits(0).prints("stands at the journal's head").done();
    let mut before = serial();
    for line in ["token set a --replace", "state compact", "state rekey"] {
        let call = project.call(line.split(' ')).env("CHATAPI_SEAL_TO", &key).env("CHATAPI_IDENTITY_FILE", "key.txt");
        let run = call.input(TOKEN).run();
        if line.starts_with("token") {
            // Tokens in the clear, and a key is named: the token has to wait for the rekey.
            run.exits(6);
            project.call(line.split(' ')).input(TOKEN).run().exits(0).done_with("chatapi.lock says so too: commit it");
        } else {
            run.exits(0).done_with("chatapi.lock says so too: commit it");
        }
        is_current();
        assert!(serial() > before, "{line}");
        before = serial();
    }
    let rebound = project.call(["state", "rebind"]).env("CHATAPI_API_KEY", format!("{KEY}0")).run();
    assert!([0, 6].contains(&rebound.code), "{rebound}");
    is_current();
}

#[test]
fn a_second_rekey_to_the_same_keys_has_nothing_to_do_and_asks_for_no_key() {
    let (_gateway, project) = done(&["a", "b"]);
    let key = project.call(["key", "generate", "--output", "key.txt"]).run().exits(0).stdout.trim().to_owned();
    let text = manifest("{kind: chatapi}", &["a", "b"]) + &format!("seal_to: [{key}]\n");
    project.declare(&text);
    project.run("state rekey").exits(0);
    for line in ["state rekey", "state rekey --only-new", "state rekey --identity-command false"] {
        changes_nothing_but_says(&project, line, "Nothing to do: sealed to");
    }
    // Another key: then the old one is needed.
    let other = project.call(["key", "generate", "--output", "other.txt"]).run().exits(0).stdout.trim().to_owned();
    project.declare(&text.replace(&key, &other));
    changes_nothing(&project, &["state rekey"], |_, run| run.exits(1).done_with("`--only-new` leaves what is kept as it is"));
    project.run("state rekey --identity key.txt").exits(0);
    // The keys are as wanted, and one token is not sealed to them yet.
    project.declare(&text);
    project.run("state rekey --only-new").exits(0);
    changes_nothing(&project, &["state rekey"], |_, run| run.exits(1).done_with("`--only-new` leaves what is kept as it is"));
}

fn changes_nothing_but_says(project: &Project, line: &str, says: &str) {
    let before = project.read("state/journal.jsonl");
    project.run(line).exits(0).prints(says);
    assert_eq!(project.read("state/journal.jsonl"), before, "{line} wrote");
}

#[test]
fn the_token_of_a_released_name_is_said_to_be_kept() {
    let (_gateway, project) = done(&["a"]);
    let token = project.token("a");
    project.run("release a").exits(0);
    project.run("token get a").exits(1).warns("`a` is released: its token is kept").warns("`chatapi release --undo a` first");
    project.run("release --undo a").exits(0);
    assert_eq!(project.token("a"), token);
}

#[test]
fn p5_a_rebuild_reads_the_lock_file_that_is_typed_whatever_the_environment_names() {
    let (gateway, project) = done(&["a"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    fs::create_dir(project.path("kept")).unwrap();
    fs::rename(project.lock_file(), project.path("kept/chatapi.lock")).unwrap();
    let call = |line: &str| project.call(line.split(' ')).env("CHATAPI_LOCK_FILE", "kept/chatapi.lock");
    let run = call("plan").run().exits(8);
    run.done_with("`chatapi state rebuild --from-lock kept/chatapi.lock`");
    call("state rebuild --from-lock kept/chatapi.lock").run().exits(0);
    call("plan").run().exits(3);
    assert_eq!((project.ids(), project.lock_file().exists()), (ids.clone(), false));
    // From a copy: the one that later runs look at knows it too.
    fs::remove_dir_all(project.state()).unwrap();
    fs::rename(project.path("kept/chatapi.lock.before-rebuild"), project.path("copy.lock")).unwrap();
    call("state rebuild --from-lock copy.lock").run().exits(0);
    call("plan").run().exits(3);
    assert_eq!((project.ids(), gateway.creates()), (ids, 1));
}

#[test]
fn p5_where_there_is_no_journal_nothing_leads_to_a_rebuild_from_it() {
    let (_gateway, project) = done(&["a"]);
    fs::remove_dir_all(project.state()).unwrap();
    let lines = ["state verify", "state rebuild --from journal"];
    for line in lines {
        let run = project.run(line).exits(8);
        assert!(!run.stderr.contains("--from journal"), "{run}");
        assert!(run.stderr.contains("`chatapi state rebuild --from-lock chatapi.lock`"), "{run}");
        assert!(!project.state().exists(), "{line}");
    }
    fs::remove_file(project.lock_file()).unwrap();
    for line in lines {
        let run = project.run(line).exits(8);
        assert!(run.stderr.contains("`chatapi state rebuild --from server`"), "{run}");
        assert!(!project.state().exists(), "{line}");
    }
    let run = project.run("state verify").exits(8).prints("there is no state in state");
    run.warns("chatapi.lock would be the lock file; if it is elsewhere, name it: `--lock-file PATH`");
}
