//! What is deleted was named and asked about, and nothing else is: what stands in between, protection, an old state, a kill, a changed
//! manifest, keeps it; and what was done is told.

use serde_json::json;

use crate::stage::{Gateway, Project, eventually, manifest};

fn project(gateway: &Gateway, names: &[&str]) -> Project {
    let project = Project::at(&gateway.url(), names);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

fn declare(project: &Project, names: &[&str]) {
    project.declare(&manifest("{kind: chatapi}", names));
}

const PROTECTED: &str = "instances:\n  - {name: a, type: whatsapp, protect: true}\n  - {name: b, type: whatsapp}\n";

/// A run that deletes nothing lifts nothing either, wherever it stops.
#[test]
fn p9_a_destroy_that_is_told_to_unprotect_lifts_nothing_but_by_deleting() {
    for why in ["no key", "refused", "killed before", "killed after"] {
        let faults: &[&str] = if why == "refused" { &["delete=refuse:no"] } else { &[] };
        let gateway = Gateway::start(faults);
        let project = project(&gateway, &[]);
        project.declare(PROTECTED);
        project.run("apply --parallelism 1").exits(0).done();
        declare(&project, &["b"]);
        project.run("apply").exits(0).prints("1 orphaned");
        let call = project.call(["destroy", "--yes", "--max-deletes", "1", "--unprotect", "a"]);
        let call = match why {
            "no key" => call.env("CHATAPI_API_KEY", ""),
            "killed before" => call.env("CHATAPI_FAILPOINT", "delete-begun=kill"),
            "killed after" => call.env("CHATAPI_FAILPOINT", "delete-sent=kill"),
            _ => call,
        };
        assert_ne!(call.run().code, 0, "{why}");
        let shown = project.run("state show a --format json").exits(0).json();
        assert_eq!(shown["protected"], json!(true), "{why}: {shown}");
        let prune = project.run("apply --prune --yes --max-deletes 1");
        assert!(prune.stderr.contains("`a` is protected, and would be deleted"), "{why}: {prune}");
        let line = "destroy --yes --max-deletes 1 --settle-after 0s a";
        project.run(line).exits(6).warns("`a` is protected").done_with("nothing was sent");
        assert!(gateway.deleted().is_empty(), "{why}");
        if why != "refused" {
            project.run(&format!("{line} --unprotect")).exits(0).prints("1 deleted").done();
            assert_eq!(gateway.deleted().len(), 1, "{why}");
        }
    }
}

/// What was answered before a kill is on record.
#[test]
fn p7_a_destroy_that_is_killed_keeps_the_answers_that_came() {
    let gateway = Gateway::start(&["delete=delay:40ms"]);
    let names: Vec<String> = (0..30).map(|number| format!("n{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let project = Project::at(&gateway.url(), &names);
    project.run("apply").exits(0).done();
    let words = ["destroy", "--yes", "--max-deletes", "30", "--parallelism", "1"];
    let run = project.call(words.iter().chain(&names)).start();
    eventually("some are deleted", || gateway.deleted().len() > 4);
    run.kill();
    let _ = run.wait();
    let deleted = gateway.deleted().len();
    let listed = project.run("state list --format json").exits(0).json();
    let retired = listed.as_array().unwrap().iter().filter(|row| row["status"] == "retired").count();
    assert!(retired + 1 >= deleted, "{retired} of {deleted} are on record");
}

/// Where nobody is asked, a log names what goes before it is sent; and there is a document however it ends.
#[test]
fn what_goes_is_named_where_nobody_is_asked_and_every_end_has_its_document() {
    let gateway = Gateway::start(&[]);
    let names: Vec<String> = (0..12).map(|number| format!("n{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let project = Project::at(&gateway.url(), &names);
    project.run("apply").exits(0).done();
    let stopped = project.run("destroy --json n00 n01").exits(6).json();
    assert_eq!((&stopped["exit_code"], &stopped["stopped"]["cause"]), (&json!(6), &json!("guard")), "{stopped}");
    assert_eq!(stopped["results"], json!([{"name": "n00", "result": "not_tried"}, {"name": "n01", "result": "not_tried"}]));
    let unknown = project.run("destroy --json --yes --max-deletes 1 unheard-of").exits(1).json();
    assert_eq!((&unknown["exit_code"], &unknown["stopped"]["cause"]), (&json!(1), &json!("error")));
    let run = project.call(["destroy", "--json", "--yes", "--max-deletes", "12"].iter().chain(&names)).run().exits(0);
    assert!(names.iter().all(|name| run.stderr.contains(&format!("- {name}"))), "{run}");
    assert_eq!(run.json()["summary"]["deleted"], json!(12));
    let again = project.run("destroy --json --yes --max-deletes 1 n00").exits(0).json();
    assert_eq!((&again["summary"]["deleted"], &again["results"][0]["reason"]), (&json!(0), &json!("it was deleted before")));
    // A prune too; and its events.
    declare(&project, &["z"]);
    project.run("apply").exits(0).done();
    declare(&project, &["w"]);
    let run = project.run("apply --prune --yes --max-deletes 1 --not-a-rename w --events").exits(0).warns("- z");
    let types: Vec<String> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["type"].as_str().unwrap().starts_with("delete"))
        .map(|line| format!("{} {} {}", line["type"].as_str().unwrap(), line["name"], line["result"]))
        .collect();
    assert_eq!(types, ["delete_start \"z\" null", "delete_complete \"z\" \"deleted\""]);
}

/// A prune comes after creates that have come to something.
#[test]
fn p9_nothing_is_pruned_where_a_create_of_the_same_run_has_failed() {
    let gateway = Gateway::start(&["create:nth=3=refuse:no"]);
    let project = project(&gateway, &["a", "b"]);
    declare(&project, &["b", "d"]);
    let prune = "apply --prune --yes --max-deletes 1 --not-a-rename d";
    project.run(prune).exits(1).prints("1 refused").prints("a not tried").done_with("1 not tried");
    assert!(gateway.deleted().is_empty());
    project.run(prune).exits(0).prints("1 created, 1 deleted").done();
}

/// An old copy of the state, and no lock file that would tell: what the server lists tells, before anything is deleted.
#[test]
fn p5_an_old_state_prunes_nothing_of_an_account_that_has_gone_on() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let old = project.copy_of_state();
    project.run("release b").exits(0).done();
    declare(&project, &["a", "d"]);
    project.run("apply --not-a-rename d").exits(0).prints("1 created");
    project.restore(&old);
    std::fs::remove_file(project.lock_file()).unwrap();
    declare(&project, &["a"]);
    let prune = "apply --prune --yes --max-deletes 1";
    project.run(prune).exits(6).warns("1 instance that this state does not know").done_with("nothing was sent");
    assert!(gateway.deleted().is_empty());
    project.run(&format!("{prune} --allow-unknown 1")).exits(0).prints("1 deleted").done();
}

/// What a prune would delete is listed, as what the record says; what is not listed is told, and not sent.
#[test]
fn p9_what_is_listed_as_something_else_is_not_deleted() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b", "c"]);
    let ids = project.ids();
    // The record says another type than the server.
    let state = project.run("state export --unsealed").exits(0).stdout;
    let other = Project::at(&gateway.url(), &["a", "b"]);
    let rows: Vec<String> = ["a", "b"].iter().map(|name| format!("--adopt {name}={}", ids[*name])).collect();
    other.run(&format!("state rebuild --from server {}", rows.join(" "))).exits(0).done();
    // What comes from a list is protected until it is declared without.
    other.run("apply --allow-unknown all").exits(3).done_with("2 protected no longer");
    declare(&other, &["a"]);
    drop(state);
    // Somebody else deletes `b` there.
    project.run("destroy --yes --max-deletes 1 b").exits(0).done();
    let run = other.run("apply --prune --yes --max-deletes 1 --allow-unknown all");
    assert!(run.stderr.contains("the server does not list `b`: nothing was sent for it"), "{run}");
    assert!(run.stdout.contains("b still exists: the server does not list it"), "{run}");
    assert_eq!(gateway.deleted(), [ids["b"].clone()], "once: {run}");
    other.run("destroy --yes --max-deletes 1 --settle-after 0s b").exits(0).warns("may be gone already").done_with("1 deleted");
    let mut journal = other.read("state/journal.jsonl");
    journal = journal.replace("\"kind\":\"whatsapp\"", "\"kind\":\"whatsapp_dev\"");
    other.write("state/journal.jsonl", crate::stage::rechained(&journal));
    std::fs::remove_dir_all(other.state().join("index")).unwrap();
    std::fs::remove_file(other.lock_file()).unwrap();
    let line = "destroy --yes --max-deletes 1 a";
    let run = other.run(line).exits(6).warns("recorded as whatsapp_dev, and the server lists it as whatsapp");
    run.done_with("nothing was sent");
    assert_eq!(gateway.deleted(), [ids["b"].clone()]);
}

/// What was begun and not sent is taken back; what was sent is not.
#[test]
fn a_delete_that_was_not_sent_is_taken_back_by_a_release() {
    for (point, code) in [("delete-begun", 0), ("delete-sent", 1)] {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a", "b"]);
        let token = project.token("a");
        let call = project.call(["destroy", "--yes", "--max-deletes", "1", "a"]);
        let died = call.env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
        assert!(died.code > 1_000, "{died}");
        let run = project.run("release a").exits(code);
        if code == 0 {
            project.run("release --undo a").exits(0).done();
            project.run("apply").exits(0).prints("Nothing to do").done();
            assert_eq!(project.token("a"), token);
        } else {
            run.warns("its delete was sent: `chatapi destroy a` tells what became of it").done_with("`a` is being deleted");
        }
        assert!(gateway.deleted().is_empty());
    }
}

/// What a pull request may change besides names and types is in the hash that somebody reviewed.
#[test]
fn p4_a_checksum_covers_protection_seals_and_who_else_has_the_account() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &[]);
    project.declare(PROTECTED);
    project.run("apply").exits(0).done();
    let hash = |text: &str| {
        project.declare(text);
        project.run("plan --checksum").exits(0).stdout.trim().to_owned()
    };
    let plain = hash(PROTECTED);
    let lifted = PROTECTED.replace("protect: true", "protect: false");
    let moved = lifted.replace("name: b, type: whatsapp", "name: b, type: whatsapp, protect: true");
    let exclusive = format!("provider: {{kind: chatapi, exclusive: true}}\n{PROTECTED}");
    let created = format!("{PROTECTED}  - {{name: c, type: whatsapp}}\n");
    let guarded = format!("{PROTECTED}  - {{name: c, type: whatsapp, protect: true}}\n");
    let hashes = [plain.clone(), hash(&lifted), hash(&moved), hash(&exclusive), hash(&created), hash(&guarded)];
    let different: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len(), "{hashes:?}");
    for text in [&lifted, &moved, &exclusive] {
        project.declare(text);
        project.run(&format!("apply --checksum {plain}")).exits(7).warns("not the reviewed one").done_with("nothing was sent");
        let shown = project.run("state show a --format json").exits(0).json();
        assert_eq!(shown["protected"], json!(true));
    }
}

/// `exclusive: true` settles doubts by the list alone: not before the plan is the reviewed one, and no guard stops it.
#[test]
fn p4_nothing_is_settled_before_the_guards_and_the_checksum() {
    let gateway = Gateway::start(&["create:nth=3=drop-before"]);
    let project = project(&gateway, &["a", "b"]);
    declare(&project, &["a", "b", "c"]);
    project.run("apply").exits(3).prints("1 in doubt");
    let theirs = Project::at(&gateway.url(), &["x"]);
    theirs.run("apply").exits(0).done();
    let hash = project.run("plan --checksum").exits(3).stdout.trim().to_owned();
    let status = || project.run("state show c --format json").exits(0).json()["status"].clone();
    project.declare(&manifest("{kind: chatapi, exclusive: true}", &["a", "b", "c"]));
    project.run(&format!("apply --checksum {hash}")).exits(7).done_with("nothing was sent");
    assert_eq!(status(), json!("in_doubt"));
    let typed = manifest("{kind: chatapi, exclusive: true}", &["a", "b", "c"]).replacen("whatsapp", "whatsapp_dev", 1);
    project.declare(&typed);
    project.run("apply").exits(3).prints("Stopped: nothing was sent.").done_with("a type cannot be changed");
    assert_eq!(status(), json!("in_doubt"));
    project.declare(&manifest("{kind: chatapi, exclusive: true}", &["a", "b", "c"]));
    project.run("apply").exits(3).done_with("1 without token");
    assert_eq!(status(), json!("token_missing"));
    assert_eq!(gateway.creates(), 4);
}

/// A name is either made anew or given what another has.
#[test]
fn what_is_recreated_is_not_moved_to() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "e"]);
    project.run("destroy --yes --max-deletes 1 a").exits(0).done();
    project.declare(&(manifest("{kind: chatapi}", &["a"]) + "moved: [{from: e, to: a}]\n"));
    let run = project.run("apply --recreate a").exits(1).warns("`a` is to be recreated, and");
    run.warns("gives it what `e` has").done_with("nothing was sent");
    project.run("apply").exits(0).prints("1 moved");
    assert_eq!(gateway.creates(), 2);
}
