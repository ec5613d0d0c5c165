//! `chatapi state …` beyond looking: export and import, verify, compact, history and rm, as a person uses them.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::{Gateway, Project, manifest};

mod rebind;
mod rebuild;
mod rebuild_from_lock;
mod rebuild_from_pieces;
mod rebuild_from_server;
mod rescue;

fn done(names: &[&str]) -> (Gateway, Project) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), names);
    project.run("apply").exits(0);
    (gateway, project)
}

/// `a` exists and `b` is in doubt: the server has it, and its answer was lost.
fn doubtful() -> (Gateway, Project) {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    (gateway, project)
}

#[test]
fn an_exported_state_is_imported_where_there_is_none_and_goes_on() {
    let (gateway, project) = doubtful();
    let export = project.run("state export --unsealed").exits(0).stdout;
    let other = Project::at(&gateway.url(), &["a", "b"]);
    other.write("state.json", &export);
    other.run("state import state.json").exits(0).prints("Imported 2 names").warns("two writers");
    assert_eq!((other.ids()["a"].clone(), other.token("a")), (project.ids()["a"].clone(), project.token("a")));
    other.run("apply").exits(3).warns("b is in doubt");
    assert_eq!(gateway.creates(), 2, "what is in doubt stays held");
    other.run("state import state.json").exits(1).warns("there is a state in").warns("never replaces one");
    // What is no export, or was changed, begins nothing.
    let empty = Project::at(&gateway.url(), &["a"]);
    empty.write("changed.json", export.replace("whatsapp", "whatsapp_dev"));
    empty.write("list.json", "[]");
    empty.run("state import changed.json").exits(8).warns("does not match its sum");
    empty.run("state import list.json").exits(1).warns("no export of a state");
    empty.run("state import missing.json").exits(1).warns("cannot read missing.json");
    assert!(!empty.path("state/journal.jsonl").exists());
}

#[test]
fn p5_an_export_that_is_older_than_the_lock_file_is_refused() {
    let (_gateway, project) = done(&["a"]);
    project.write("old.json", project.run("state export --unsealed").exits(0).stdout);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    project.write("new.json", project.run("state export --unsealed").exits(0).stdout);
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state import old.json").exits(8).warns("the lock file");
    project.run("state import new.json").exits(0);
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
}

#[test]
fn a_revealed_export_has_the_tokens_and_cannot_be_imported() {
    let (gateway, project) = doubtful();
    let document = project.run("state export --reveal").exits(0).json();
    let tokens = gateway.tokens();
    let instances = document["instances"].as_array().unwrap();
    assert_eq!(instances[0]["token"], tokens[instances[0]["id"].as_str().unwrap()]);
    assert_eq!(instances[1]["token"], Value::Null);
    project.write("revealed.json", document.to_string());
    let other = Project::at(&gateway.url(), &["a"]);
    other.write("revealed.json", document.to_string());
    other.run("state import revealed.json").exits(1).warns("`--reveal` does not");
}

#[test]
fn verify_says_what_is_wrong_and_what_to_do() {
    let (_gateway, project) = done(&["a", "b"]);
    let document = project.run("state verify --format json").exits(0).json();
    assert_eq!(document["is_intact"], true);
    assert!(document["findings"].as_array().unwrap().iter().all(|finding| finding["severity"] == "good"), "{document}");
    let run = project.run("state verify").exits(0);
    run.prints("= journal").prints("= index      equals the journal").prints("= lock file").prints("= files");
    let journal = project.read("state/journal.jsonl");
    project.write("state/journal.jsonl", journal.replacen("whatsapp", "whatsaqp", 1));
    let run = project.run("state verify").exits(8).prints("x journal").prints("its bytes do not match its hash");
    run.warns("state rebuild --from journal");
    project.write("state/journal.jsonl", &journal);
    fs::set_permissions(project.path("state/journal.jsonl"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    project.run("state verify").exits(0).prints("! files").prints("has mode 0644");
    fs::remove_file(project.path("state/journal.jsonl")).unwrap();
    project.run("state verify").exits(8).prints("there is no journal").warns("--from-lock chatapi.lock");
}

#[test]
fn p16_history_tells_who_did_what_before_and_after_a_rename_and_a_compaction() {
    let (_gateway, project) = done(&["a"]);
    project.run("state mv a z").exits(0);
    project.run("state compact").exits(0).prints("Compacted").warns("history/until-");
    let run = project.call(["state", "history", "z"]).run().exits(0);
    for word in ["intent", "sent", "received", "created", "moved", "is z from now on", "apply (", "state mv ("] {
        assert!(run.stdout.contains(word), "{word} in {run}");
    }
    let document = project.run("state history --format json").exits(0).json();
    let entries = document["entries"].as_array().unwrap();
    assert_eq!(entries[0]["event"], "genesis");
    assert!(entries.iter().any(|entry| entry["event"] == "checkpoint"));
    assert_eq!(document["gaps"], json!([]));
    project.run("state history q").exits(1).warns("nothing is recorded under `q`");
    assert!(!run.stdout.contains(&project.token("z")));
}

#[test]
fn t23_compact_leaves_no_token_behind_that_was_replaced() {
    let (gateway, project) = done(&["a", "b"]);
    let (old, kept) = (project.token("a"), project.token("b"));
    project.call(["token", "set", "a", "--replace"]).input("replaced-token").run().exits(0);
    project.run("state compact").exits(0);
    for (path, bytes) in Project::files(&project.state()) {
        let text = String::from_utf8_lossy(&bytes);
        // Unsealed answers stand there as base64; three bytes of text are four of it, so all but the ends show.
        for form in [old.clone(), STANDARD.encode(&old)[2..old.len()].to_owned()] {
            assert!(!text.contains(&form), "{} has the replaced token", path.display());
        }
    }
    assert_eq!((project.token("a").as_str(), project.token("b")), ("replaced-token", kept));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p9_a_removed_name_stays_on_the_server_and_is_not_created_again() {
    let (gateway, project) = done(&["a", "b"]);
    project.run("release c").exits(1).warns("nothing is recorded under `c`");
    let why = "exists as 1000";
    let kept = project.run("state rm b").exits(1).warns(why).warns("it would be paid for, and known to nobody");
    kept.warns("`chatapi release b`").warns("`chatapi destroy b`").done_with("`chatapi state mv b NEW`");
    project.run("release b").exits(0).prints("still paid for").warns("release --undo b");
    project.run("release b").exits(1).warns("`b` is released");
    project.run("apply").exits(6).warns("`b` is declared again, and was released").warns("release --undo b");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run("apply").exits(0).prints("Nothing to do");
    project.run("state list").exits(0).prints("released");
    project.run("release --undo a").exits(1).warns("`a` is created");
    project.run("release --undo b").exits(0).prints("managed again");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!(gateway.creates(), 2);
}

/// A copy of the journal, without the index.
fn journal(project: &Project) -> String {
    project.read("state/journal.jsonl")
}

fn put_back(project: &Project, journal: &str) {
    fs::remove_dir_all(project.state()).unwrap();
    fs::create_dir(project.state()).unwrap();
    project.write("state/journal.jsonl", journal);
}

#[test]
fn p5_an_older_state_is_not_laundered_by_compacting_it() {
    let (gateway, project) = done(&["a", "b"]);
    let older = journal(&project);
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c", "d"]));
    project.run("apply").exits(0);
    put_back(&project, &older);
    for _ in 0..4 {
        let _ = project.run("state compact");
    }
    project.run("plan").exits(8).warns("the lock file");
    project.run("apply").exits(8).warns("the lock file");
    project.run("state verify").exits(8);
    assert_eq!(gateway.creates(), 4);
}

#[test]
fn p5_a_state_that_was_compacted_is_known_by_a_lock_file_from_before() {
    let (gateway, project) = done(&["a", "b"]);
    let lock = project.read("chatapi.lock");
    for _ in 0..2 {
        project.run("state compact").exits(0);
    }
    project.write("chatapi.lock", &lock);
    project.run("plan").exits(0);
    project.run("apply").exits(0);
    // Without the history too, as long as everything is known that it names.
    project.run("state compact").exits(0);
    project.write("chatapi.lock", &lock);
    fs::remove_dir_all(project.path("state/history")).unwrap();
    project.run("apply").exits(0);
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p11_an_export_has_tokens_in_the_clear_only_if_that_is_meant() {
    let (_gateway, project) = done(&["a"]);
    let run = project.run("state export").exits(1).warns("--unsealed");
    assert!(run.stdout.is_empty());
    project.run("state export --unsealed").exits(0);
}

type Spoil<'a> = &'a dyn Fn(&mut Value);

#[test]
fn p5_an_import_that_would_not_open_writes_nothing() {
    let (gateway, project) = done(&["a"]);
    let whole: Value = project.run("state export --unsealed").exits(0).json();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = whole.clone();
        change(&mut document["state"]);
        let state: chatapi::store::Snapshot = serde_json::from_value(document["state"].clone()).unwrap();
        let sum = ring::digest::digest(&ring::digest::SHA256, &serde_json::to_vec(&state).unwrap());
        document["sum"] = sum.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")).into();
        document.to_string()
    };
    let spoilt: [(&str, Spoil<'_>, &str); 3] = [
        ("newer", &|state| state["checkpoint"]["format"] = 99.into(), "newer version"),
        ("serial", &|state| state["checkpoint"]["after"]["serial"] = u64::MAX.into(), "larger than any"),
        ("count", &|state| state["checkpoint"]["entries"] = 7.into(), "not complete"),
    ];
    for (what, change, why) in spoilt {
        let other = Project::at(&gateway.url(), &["a"]);
        other.write("state.json", with(change));
        other.run("state import state.json").exits(8).warns(why);
        assert!(!other.path("state/journal.jsonl").exists(), "{what}");
    }
    let device = Project::at(&gateway.url(), &["a"]);
    device.run("state import /dev/zero").exits(1).warns("it is not a file");
    device.run("apply").exits(0);
}

#[test]
fn verify_goes_on_where_the_lock_file_cannot_be_read() {
    let (_gateway, project) = done(&["a"]);
    fs::write(project.lock_file(), "<<<<<<< ours\n").unwrap();
    let run = project
        .run("state verify")
        .exits(8)
        .prints("x lock file")
        .prints("= journal")
        .prints("= tokens     1 kept, in the clear");
    let run = run.prints("= index      equals the journal").warns("restore the lock file from version control");
    assert!(!run.stderr.contains("rebuild"), "{run}");
}
