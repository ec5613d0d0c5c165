//! The main job, by the real binary: what is declared exists once, whatever server plays the other side (P1, P8, P9).

use std::collections::BTreeMap;

use chatapi::emulator::{LedgerOp, read_ledger};

use crate::stage::{Gateway, OtherGateway, Project, manifest};

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];
const SIX: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Plan, apply, apply, one more, apply. `creates` is what the server counted, `kind` what the manifest says of it.
fn five_then_one_more(project: &Project, kind: &str, creates: impl Fn() -> usize) {
    project.run("plan").exits(0).prints("Plan: 5 to create, 0 unchanged.");
    project.run("plan --detailed-exitcode").exits(2).prints("5 to create");
    assert_eq!(creates(), 0, "a plan creates nothing");
    project.run("apply").exits(0).prints("Apply: 5 created, 0 unchanged.");
    assert_eq!(creates(), 5);
    project.run("plan --detailed-exitcode").exits(0).prints("Nothing to do: 5 instances exist as declared.");
    project.run("apply").exits(0).prints("Nothing to do: 5 instances exist as declared.");
    assert_eq!(creates(), 5, "the second apply creates nothing");
    project.declare(&manifest(kind, &SIX));
    project.run("plan --detailed-exitcode").exits(2).prints("Plan: 1 to create, 5 unchanged.");
    project.run("apply").exits(0).prints("Apply: 1 created, 5 unchanged.");
    project.run("apply").exits(0).prints("Nothing to do: 6 instances exist as declared.");
    assert_eq!(creates(), 6);
}

/// Each name has an id of its own, and the token that the server gave with it.
fn every_token_is_the_servers(project: &Project, tokens: &BTreeMap<String, String>) {
    let ids = project.ids();
    assert_eq!(ids.keys().collect::<Vec<_>>(), SIX.iter().collect::<Vec<_>>());
    for (name, id) in &ids {
        assert_eq!(Some(&project.token(name)), tokens.get(id), "{name} is {id}");
    }
    let distinct: std::collections::BTreeSet<_> = ids.values().collect();
    assert_eq!((distinct.len(), tokens.len()), (6, 6));
}

#[test]
fn p1_p8_five_are_five_and_one_more_is_one_more_on_the_embedded_emulator() {
    let project = Project::new(&manifest("{kind: emulator}", &FIVE));
    let ledger = project.state().join("emulator/ledger.jsonl");
    let made = || read_ledger(&ledger).unwrap_or_default();
    five_then_one_more(&project, "{kind: emulator}", || made().len());
    let entries = made().into_iter().filter(|entry| entry.op == LedgerOp::Created);
    let tokens = entries.map(|entry| (entry.id.to_string(), entry.token.unwrap().expose().to_owned())).collect();
    every_token_is_the_servers(&project, &tokens);
}

#[test]
fn p1_p8_five_are_five_and_one_more_is_one_more_against_an_emulator_by_address() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &FIVE);
    five_then_one_more(&project, "{kind: chatapi}", || gateway.creates());
    every_token_is_the_servers(&project, &gateway.tokens());
}

#[test]
fn p1_p8_five_are_five_and_one_more_is_one_more_against_another_server_of_the_protocol() {
    for has_list in [false, true] {
        let (server, made) = OtherGateway::healthy(has_list);
        let project = Project::at(&server.url(), &FIVE);
        five_then_one_more(&project, "{kind: chatapi}", || server.creates());
        let tokens = made.lock().unwrap().iter().map(|made| (made.id.to_string(), made.token.clone())).collect();
        every_token_is_the_servers(&project, &tokens);
        let paths: std::collections::BTreeSet<_> = server.asked().iter().map(|asked| asked.function().to_owned()).collect();
        assert!(server.asked().iter().all(|asked| asked.target.starts_with("/v1/api/")));
        assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["listInstances", "newInstance"]);
    }
}

#[test]
fn p1_many_are_created_once_each_however_many_at_once() {
    let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for parallelism in ["1", "32"] {
        let gateway = Gateway::start(&[]);
        let project = Project::at(&gateway.url(), &names);
        project.run(&format!("apply --parallelism {parallelism}")).exits(0).prints("Apply: 40 created, 0 unchanged.");
        project.run("apply").exits(0).prints("Nothing to do: 40 instances");
        assert_eq!((gateway.creates(), gateway.tokens().len(), project.ids().len()), (40, 40, 40));
    }
}

#[test]
fn a_second_apply_with_nothing_to_do_asks_the_server_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    let before = gateway.requests();
    project.run("apply").done();
    project.run("apply --auto-approve").done();
    assert_eq!(gateway.requests(), before);
}

#[test]
fn p9_what_leaves_the_manifest_is_orphaned_and_nothing_is_deleted() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run("plan").exits(0).prints("Plan: 0 to create, 1 unchanged, 1 orphaned.").prints("b");
    project.run("apply").exits(0).prints("1 orphaned");
    project.declare(&manifest("{kind: chatapi}", &[]));
    project.run("apply").exits(0).prints("2 orphaned");
    assert_eq!(project.ids().len(), 2, "both are still known");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!((gateway.creates(), gateway.tokens().len()), (2, 2));
    assert!(!project.token("b").is_empty());
}

#[test]
fn a_rename_is_stopped_and_both_ways_out_of_it_work() {
    let gateway = Gateway::start(&[]);
    for (way_out, creates) in [("state mv old new", 1), ("apply --not-a-rename new", 2)] {
        let project = Project::at(&gateway.url(), &["old", "stays"]);
        project.run("apply").done();
        let before = gateway.creates();
        let id = project.ids()["old"].clone();
        project.declare(&manifest("{kind: chatapi}", &["new", "stays"]));
        project.run("plan").exits(0).warns("an apply will stop").warns("`chatapi state mv old new`");
        let stopped = project.run("apply").exits(6).prints("Stopped: nothing was sent.");
        let stopped = stopped.warns("`chatapi state mv old new`").warns("--not-a-rename new");
        let stopped = stopped.warns("if another manifest declares `old`: name both in one command");
        let misspelt = project.run("plan --not-a-rename nwe").exits(0);
        misspelt.warns("`nwe` is not declared: `--not-a-rename` does nothing for it").done_with("did you mean `new`?");
        let answered = project.run("plan --not-a-rename new").exits(0);
        assert!(!answered.stderr.contains("does nothing"), "{answered}");
        assert!(!answered.stdout.contains("renamed from") && !answered.stderr.contains("will stop"), "{answered}");
        assert_eq!(gateway.creates(), before, "{stopped}");
        project.run(way_out).done();
        project.run("apply").done();
        assert_eq!(gateway.creates() - before, creates - 1, "{way_out}");
        assert_eq!(project.ids()["new"] == id, creates == 1, "{way_out}: a moved instance keeps its id");
    }
}

/// What was tried before is not new; and what is in doubt cannot be moved.
#[test]
fn a_rename_is_suspected_of_new_names_only_and_a_doubt_is_settled_first() {
    let gateway = Gateway::start(&["create:nth=1=drop-after", "create:nth=2=refuse:no"]);
    let project = Project::at(&gateway.url(), &["doubtful", "refused"]);
    let _ = project.run("apply --parallelism 1").exits(3);
    project.declare(&manifest("{kind: chatapi}", &["refused"]));
    let run = project.run("plan").exits(3);
    assert!(!run.stdout.contains("renamed from") && !run.stderr.contains("will stop"), "{run}");
    project.declare(&manifest("{kind: chatapi}", &["refused", "unheard-of"]));
    let run = project.run("plan").exits(3).warns("`doubtful` is in doubt: settle that first (`chatapi doubts`)");
    assert!(!run.stderr.contains("state mv"), "{run}");
}

#[test]
fn t2_more_creates_than_are_allowed_are_none_at_all() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply --max-creates 1").done();
    let names: Vec<String> = (0..1_000).map(|number| format!("n{number}")).collect();
    let many: Vec<&str> = names.iter().map(String::as_str).chain(["a"]).collect();
    project.declare(&manifest("{kind: chatapi}", &many));
    let before = gateway.requests();
    let told = |line: &str| project.call(line.split(' ')).env("CHATAPI_MAX_CREATES", "999");
    for run in [told("apply"), project.call(["apply", "--max-creates", "0"]), told("apply --max-creates 7")] {
        let run = run.run().exits(6).prints("Stopped: nothing was sent.");
        run.warns("1000 instances would be created").warns("--max-creates 1000");
    }
    let plan = told("plan").run().exits(0).prints("1000 to create").warns("an apply will stop");
    assert!(!plan.stderr.contains("rename"), "{plan}");
    let document = told("plan --format json").run().exits(0).json();
    assert_eq!(document["guards"][0]["guard"], "budget");
    project.call(["apply"]).env("CHATAPI_MAX_CREATES", "").run().exits(1).warns("--max-creates");
    assert_eq!(gateway.requests(), before);
    project.declare(&manifest("{kind: chatapi}\nmax_creates: 5000", &["a", "b"]));
    project.run("apply").exits(1).warns("max_creates");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    told("apply").run().exits(0).prints("1 created, 1 unchanged");
}

#[test]
fn a_changed_type_is_stopped_and_nothing_is_sent() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    let before = gateway.requests();
    project.declare("instances:\n  - {name: a, type: whatsapp_dev}\n  - {name: b, type: whatsapp}\n");
    project.run("plan").exits(0).prints("1 in conflict");
    project.run("apply").exits(6).warns("a type cannot be changed").prints("Stopped: nothing was sent.");
    let document = project.run("apply --format json").exits(6).json();
    assert_eq!((&document["guards"][0]["guard"], &document["exit_code"]), (&"type_change".into(), &6.into()));
    assert_eq!(gateway.requests(), before);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("Apply: 1 created, 1 unchanged.");
}

#[test]
fn manifests_come_from_files_directories_and_standard_input() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    std::fs::create_dir(project.path("team")).unwrap();
    project.write("team/b.yaml", manifest("{kind: chatapi}", &["b"]));
    project.write("team/c.yml", manifest("{kind: chatapi}", &["c"]));
    project.write("team/notes.txt", "instances: [");
    let lock = "--lock-file chatapi.lock";
    project.run(&format!("plan {lock} instances.yaml team")).exits(0).prints("3 to create");
    project.run(&format!("apply {lock} instances.yaml team")).exits(0).prints("3 created");
    let words = ["apply", "team", "instances.yaml", "-", "--lock-file", "chatapi.lock"];
    let run = project.call(words).input(manifest("{kind: chatapi}", &["d"])).run();
    run.exits(0).prints("Apply: 1 created, 3 unchanged.");
    project.run(&format!("apply {lock} team/b.yaml team/c.yml")).exits(0).prints("2 orphaned");
    assert_eq!(gateway.creates(), 4);
    project.call(["validate", "-"]).input("instances: []").run().exits(0).prints("Valid: 0 instances declared.");
    project.run("validate team/b.yaml team").exits(0).prints("Valid: 2 instances declared.");
    project.write("again.yaml", manifest("{kind: chatapi}", &["b"]));
    project.run("validate again.yaml team").exits(1).warns("duplicate name `b`");
}

#[test]
fn the_state_can_be_elsewhere_and_the_lock_file_stays_beside_the_manifest() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("--state deep/er/state apply instances.yaml").done();
    assert!(project.path("deep/er/state/journal.jsonl").is_file() && project.lock_file().is_file() && !project.state().exists());
    project.call(["apply"]).env("CHATAPI_STATE", "deep/er/state").run().exits(0).prints("Nothing to do");
    project.run("apply").exits(8).warns("nothing was sent");
    assert_eq!(gateway.creates(), 1);
}
