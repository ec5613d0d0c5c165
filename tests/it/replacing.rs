//! `apply --replace`: begun and not finished, taken back, renamed, protected, stopped. There is one new instance in the end or none, and
//! what was not confirmed is not deleted.

use chatapi::instance::InstanceId;
use chatapi::secret::Secret;
use rustix::process::Signal;

use crate::stage::{Gateway, KEY, Project, Run, Terminal, eventually, manifest};

const REPLACE: [&str; 6] = ["apply", "--replace", "a", "--yes", "--max-deletes", "1"];

fn project(gateway: &Gateway, names: &[&str]) -> Project {
    let project = Project::at(&gateway.url(), names);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

fn declare(project: &Project, names: &[&str], more: &str) {
    project.declare(&(manifest("{kind: chatapi}", names) + more));
}

/// `a` has been replaced up to that point, where the run died; gives what its old instance is called.
fn died_at(project: &Project, point: &str) -> String {
    let died = project.call(REPLACE).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
    assert!(died.code > 1_000, "{point}: {died}");
    format!("a.{}", old_id(project))
}

/// The id of what `a` had.
fn old_id(project: &Project) -> String {
    let ids = project.ids();
    ids.into_iter().find(|(name, _)| name.starts_with('a')).expect("it is recorded").1
}

/// What a run that died or failed has left is no plain create: a replacement is asked for by name.
#[test]
fn a_begun_replacement_is_finished_or_taken_back_only_when_that_is_said() {
    for point in ["set-aside", "journal-after-intent"] {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a", "b"]);
        let old = died_at(&project, point);
        let plan = project.run("plan").exits(0).prints("already: begun and not finished").warns("`a` is half replaced");
        let _ = plan.warns(&format!("`moved: [{{from: {old}, to: a}}]`")).warns("`--replace a`");
        let guards = project.run("plan --format json").exits(0).json()["guards"].clone();
        assert_eq!((&guards[0]["guard"], &guards[0]["name"]), (&"half_replaced".into(), &"a".into()), "{point}");
        for line in ["apply", "apply --yes --max-deletes 9", "apply --prune --yes --max-deletes 9", "apply --recreate a"] {
            project.run(line).exits(6).prints("Stopped: nothing was sent.").warns("`a` is half replaced");
        }
        project.run("plan --out plan.json").exits(6).warns("`a` is half replaced");
        project.run("state rm a").exits(1).warns(&format!("`chatapi state mv {old} a`"));
        assert_eq!((gateway.creates(), gateway.deleted().len()), (2, 0), "{point}");
        // What is not selected stops nothing.
        project.run("apply --target b").exits(0).prints("2 left aside").done();
        project.run("plan --replace a --out plan.json").exits(0).prints("1 to create").done();
        // What was reviewed has no delete in it.
        let run = project.run("apply plan.json --yes --max-deletes 1").exits(0).prints("1 created");
        let _ = run.warns(&format!("`chatapi destroy {old}` deletes it"));
        assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 0), "{point}");
        project.run("state verify").exits(0).done();
    }
}

#[test]
fn a_begun_replacement_is_taken_back_by_a_rename() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let id = old_id(&project);
    let old = died_at(&project, "set-aside");
    project.run(&format!("state mv {old} a")).exits(0).done();
    project.run("apply").exits(0).prints("Nothing to do").done();
    // By the manifest too.
    let _ = died_at(&project, "set-aside");
    declare(&project, &["a"], &format!("moved: [{{from: {old}, to: a}}]\n"));
    project.run("apply").exits(0).prints("1 moved");
    assert_eq!((project.ids()["a"].clone(), gateway.creates()), (id, 1));
    // It is as if it had never been begun.
    declare(&project, &["a"], "");
    project.call(REPLACE).run().exits(0).prints("1 created, 1 deleted").done();
    assert_eq!((gateway.creates(), gateway.deleted().len()), (2, 1));
}

/// Where the server creates nothing in the second run either, or nothing can be written, the old one has its name again.
#[test]
fn what_comes_to_nothing_gives_the_old_one_its_name_back() {
    let gateway = Gateway::start(&["create:nth=2=refuse:no"]);
    let project = project(&gateway, &["a"]);
    let id = old_id(&project);
    let _ = died_at(&project, "set-aside");
    project.call(REPLACE).run().exits(1).prints("1 refused").done_with("refused");
    assert_eq!((project.ids()["a"].clone(), project.ids().len()), (id.clone(), 1));
    let call = project.call(REPLACE).env("CHATAPI_FAILPOINT", "lockfile-before=error");
    call.run().exits(1).warns("nothing was sent").done_with("lock");
    assert_eq!((project.ids()["a"].clone(), project.ids().len(), gateway.creates()), (id, 1, 2));
    project.call(REPLACE).run().exits(0).prints("1 created, 1 deleted").done();
    project.run("state verify").exits(0).done();
}

/// An operator says that nothing was created: what stands then is said, and how to go on or back.
#[test]
fn a_doubt_that_created_nothing_leaves_a_replacement_that_is_asked_about() {
    let gateway = Gateway::start(&["create:nth=2=drop-before"]);
    let project = project(&gateway, &["a"]);
    let id = old_id(&project);
    project.call(REPLACE).run().exits(3).prints("1 in doubt").done_with("doubt");
    let attempt = project.attempt("a");
    let run = project.run(&format!("resolve a --attempt {attempt} --not-created --offline --reason looked")).exits(0);
    let run = run.prints("`a` was not created.").warns(&format!("what it had, {id}, is called `a.{id}` now"));
    let _ = run.warns("`--replace a`").warns(&format!("`chatapi state mv a.{id} a`"));
    project.run("apply").exits(6).warns("`a` is half replaced").done_with("nothing was sent");
    assert_eq!(gateway.creates(), 2);
    project.run(&format!("state mv a.{id} a")).exits(0).done();
    assert_eq!(project.ids()["a"], id);
    project.run("apply").exits(0).prints("Nothing to do").done();
}

/// The mark follows renames of either, in the journal and in the index.
#[test]
fn p1_a_replacement_is_done_once_also_when_the_new_one_was_renamed() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let id = old_id(&project);
    project.run("apply --replace a --yes").exits(0).done();
    declare(&project, &["z"], "moved: [{from: a, to: z}]\n");
    project.run("apply").exits(0).prints("1 moved");
    let shown = || project.run(&format!("state show a.{id} --format json")).exits(0).json()["replaced"].clone();
    assert_eq!(shown(), "z");
    std::fs::remove_dir_all(project.state().join("index")).unwrap();
    assert_eq!(shown(), "z", "by the journal");
    declare(&project, &["z"], "");
    project.run("plan --replace z").exits(0).warns("`z` was replaced before").done();
    project.run("apply --replace z --yes").exits(0).warns("`z` was replaced before").done();
    assert_eq!(gateway.creates(), 2);
    // Another instance under the old name is another one.
    declare(&project, &["a", "z"], "");
    project.run("apply").exits(0).prints("1 created");
    let run = project.call(REPLACE).run().exits(0).prints("1 created, 1 deleted");
    assert!(!run.stderr.contains("replaced before") && !gateway.deleted().contains(&id), "{run}");
    assert_eq!(gateway.creates(), 4);
}

/// What is deleted is no orphan any more, and needs no hint how to delete it.
#[test]
fn a_replaced_one_that_is_deleted_later_is_counted_once() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    project.run("apply --replace a --yes").exits(0).warns("still paid for").done();
    let run = project.run("apply --replace a").exits(0).warns("`a` was replaced before").warns("still paid for");
    assert!(run.stdout.contains("1 orphaned"), "{run}");
    assert_eq!(run.stderr.matches("chatapi destroy a.").count(), 1, "{run}");
    let run = project.call(REPLACE).run().exits(0).warns("`a` was replaced before").prints("1 deleted");
    assert!(!run.stdout.contains("orphaned") && !run.stderr.contains("destroy"), "{run}");
    project.run("apply --replace a").exits(0).warns("forgets that; then it can be replaced again").done();
}

/// Two steps, and the hint has both.
#[test]
fn what_is_protected_is_replaced_in_two_steps() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let of = |kind: &str, protect: &str| {
        project.declare(&format!("instances:\n  - {{name: a, type: {kind}, protect: {protect}}}\n"));
    };
    of("whatsapp", "true");
    project.run("apply").exits(0).done();
    for (kind, protect) in [("whatsapp", "true"), ("whatsapp", "false"), ("whatsapp_dev", "true"), ("whatsapp_dev", "false")] {
        of(kind, protect);
        let run = project.call(REPLACE).run().exits(6).warns("`a` is protected, and would be replaced");
        let _ = run.warns("`protect: false` and its type as it was").warns("with `--replace a`");
    }
    of("whatsapp", "false");
    project.run("apply").exits(0).prints("1 protected no longer");
    // What the manifest protects from now on is not taken away by the same run, whatever its type.
    for kind in ["whatsapp", "whatsapp_dev"] {
        of(kind, "true");
        project.call(REPLACE).run().exits(6).warns("`a` is protected, and would be replaced").done_with("nothing was sent");
    }
    assert_eq!((gateway.creates(), gateway.deleted().len()), (1, 0));
    of("whatsapp_dev", "false");
    project.call(REPLACE).run().exits(0).prints("1 created, 1 deleted").done();
    // Of what has left, the hint says how it comes back into the manifest.
    of("whatsapp_dev", "true");
    project.run("apply").exits(0).prints("1 protected");
    project.declare("instances: []\n");
    let run = project.run("apply --prune --yes --max-deletes 1").exits(6).warns("`a` is protected, and would be deleted");
    let _ = run.warns("declare `a` once more with `protect: false`, and apply");
}

#[test]
fn where_nothing_is_declared_the_number_is_of_what_was_selected() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    project.declare("instances: []\n");
    let run = project.run("apply --prune --target a --yes").exits(6);
    let _ = run.warns("nothing at all is declared, and 1 instance would be deleted").warns("--max-deletes 1");
    project.run("apply --prune --target a --yes --max-deletes 1").exits(0).prints("1 deleted, 0 unchanged, 1 left aside");
    assert_eq!(gateway.deleted().len(), 1);
}

/// An owner's instances are all deleted or none: what has another name until an apply is not left out without a word.
#[test]
fn a_selection_that_a_pending_move_is_about_deletes_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let of = |name: &str, more: &str| {
        let entry = |name: &str| format!("  - {{name: {name}, type: whatsapp, owner: ops}}\n");
        project.declare(&format!("instances:\n{}{}{more}", entry(name), entry("b")));
    };
    of("a", "");
    project.run("apply --parallelism 1").exits(0).done();
    of("z", "moved: [{from: a, to: z}]\n");
    let destroy = "destroy --target owner=ops --yes --max-deletes 2";
    project.run(destroy).exits(1).warns("`z` is selected, and its instance is still called `a`").warns("`chatapi apply`");
    assert!(gateway.deleted().is_empty());
    project.run("apply").exits(0).prints("1 moved");
    project.run(destroy).exits(0).prints("2 deleted");
}

/// A name that has just left, and what stands in its place.
#[test]
fn p1_a_rename_beside_a_begun_replacement_is_asked_about() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "c"]);
    let old = died_at(&project, "set-aside");
    // Of another name, while the one that is half replaced is declared.
    declare(&project, &["a", "d"], "");
    let run = project.call(REPLACE).run().exits(6).warns("`d` is new and `c` has left");
    assert!(!run.stderr.contains("`a` is new"), "{run}");
    // Of the name that is half replaced: its instance is found again.
    declare(&project, &["e", "c"], "");
    let run = project.run("apply").exits(6).warns(&format!("`e` is new and `{old}` has left"));
    let _ = run.warns(&format!("`moved: [{{from: {old}, to: e}}]`"));
    declare(&project, &["e", "c"], "moved: [{from: a, to: e}]\n");
    project.run("apply").exits(1).warns("`a` is half replaced and has no instance").warns(&format!("{{from: {old}, to: e}}"));
    declare(&project, &["e", "c"], &format!("moved: [{{from: {old}, to: e}}]\n"));
    project.run("apply").exits(0).prints("1 moved");
    assert_eq!((gateway.creates(), gateway.deleted().len()), (2, 0));
    assert_eq!(project.ids()["e"], old["a.".len()..]);
}

/// Nobody has to be asked whether more are to go than may.
#[test]
fn a_terminal_is_asked_about_what_was_replaced_only_within_its_limit() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let (screen, terminal) = Terminal::open(100);
    let words = ["apply", "--replace", "a", "--replace", "b", "--max-deletes", "1", "--parallelism", "1"];
    let run = project.call(words).env("TERM", "dumb").at_terminal(&terminal).coloured().run().exits(0).prints("2 created");
    eventually("what still exists", || screen.text().matches("still paid for").count() == 2);
    assert!(!screen.text().contains("to delete, or no") && screen.text().contains("--max-deletes 2"), "{run}");
    assert!(gateway.deleted().is_empty());
    let call = project.call(["apply", "--replace", "a", "--max-deletes", "1"]).env("TERM", "dumb").at_terminal(&terminal);
    let asked = call.coloured().start();
    screen.shows("to delete, or no to keep");
    screen.types("1\n");
    asked.wait().exits(0).prints("1 deleted").done();
    assert_eq!(gateway.deleted().len(), 1);
    drop(terminal);
    let _ = screen.end();
}

/// P10: what was replaced is not deleted any more once somebody has asked to stop.
#[test]
fn p10_a_signal_before_the_replaced_one_goes_keeps_it() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let held = project.path("held");
    let call = project.call(REPLACE).env("CHATAPI_FAILPOINT", format!("replaced=pause:{}", held.display()));
    let run = call.start();
    eventually("the pause", || held.exists());
    run.signal(Signal::INT);
    std::fs::remove_file(&held).unwrap();
    let run: Run = run.wait();
    assert_eq!((run.code, gateway.creates(), gateway.deleted().len()), (130, 2, 0), "{run}");
    // A signal may be heard a moment after it was sent.
    let is_kept = ["not tried", "not sent: the run was asked to stop"].iter().any(|words| run.stdout.contains(words));
    assert!(run.stdout.contains("1 created") && is_kept, "{run}");
    project.call(REPLACE).run().exits(0).prints("1 deleted").done();
    assert_eq!((gateway.creates(), gateway.deleted().len()), (2, 1));
}

/// P10: nor is anything created for what one list lacks, if the run is stopped before the second.
#[test]
fn p10_a_signal_between_two_lists_ends_the_run() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let settings = chatapi::Client::builder(gateway.url(), Secret::new(KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    client.delete_instance(&InstanceId::parse(&project.ids()["a"]).unwrap()).unwrap();
    let held = project.path("held");
    let call = project.call("apply --recreate a --settle-after 0s".split(' '));
    let run = call.env("CHATAPI_FAILPOINT", format!("between-lists=pause:{}", held.display())).start();
    eventually("the pause", || held.exists());
    let asked = gateway.requests();
    run.signal(Signal::INT);
    std::fs::remove_file(&held).unwrap();
    let run = run.wait();
    assert_eq!((run.code, gateway.requests(), gateway.creates()), (130, asked, 2), "{run}");
    project.run("state show a").exits(0).prints("created").done();
}

/// A move says what a name is called now, not which instance it was: where the old name has one again and the new one has none, it is
/// carried out again. Nothing is created for it.
#[test]
fn a_move_is_carried_out_again_where_the_old_name_has_another_instance() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    declare(&project, &["z"], "moved: [{from: a, to: z}]\n");
    project.run("apply").exits(0).prints("1 moved");
    project.run("destroy z --yes --max-deletes 1").exits(0).done();
    // Spent, and not created anew by itself.
    project.run("apply").exits(6).warns("`a` is `z` already").warns("--recreate z");
    declare(&project, &["a"], "");
    project.run("apply").exits(0).prints("1 created");
    let anew = project.ids()["a"].clone();
    declare(&project, &["z"], "moved: [{from: a, to: z}]\n");
    project.run("apply").exits(0).prints("1 moved");
    assert_eq!((project.ids()["z"].clone(), gateway.creates(), gateway.deleted().len()), (anew, 2, 1));
}

/// P9: an instance that has been given a place of its own is no remainder of a replacement, whoever runs that again.
#[test]
fn p9_what_was_replaced_and_is_kept_is_deleted_by_no_replacement() {
    let replace = "apply --replace a --yes --max-deletes 1";
    let all = [
        ("renamed by hand", &["a", "b"][..], "", "state mv OLD keep"),
        ("renamed and declared", &["a", "b", "keep"], "", "state mv OLD keep"),
        ("moved by the manifest", &["a", "b", "keep"], "moved: [{from: OLD, to: keep}]\n", "plan"),
        ("declared as it is called", &["a", "b", "OLD"], "", "plan"),
    ];
    for (why, names, more, before) in all {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a", "b"]);
        let id = project.ids()["a"].clone();
        let old = format!("a.{id}");
        project.run("apply --replace a --yes").exits(0).prints("1 created").done();
        project.run(&before.replace("OLD", &old)).exits(0).done();
        let names: Vec<String> = names.iter().map(|name| name.replace("OLD", &old)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        declare(&project, &names, &more.replace("OLD", &old));
        let plan = project.run("plan --replace a").exits(0);
        assert!(!plan.stdout.contains("to delete"), "{why}: {plan}");
        let run = project.run(replace).exits(0).warns("`a` was replaced before");
        assert!(!run.stderr.contains(" destroy "), "{why}: {run}");
        // A job that runs again pays nothing; whoever wants another one says which one it is that goes.
        let now = project.ids()["a"].clone();
        let _ = run.warns(&format!("`--replace a={now}`"));
        assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 0), "{why}");
        let again = format!("apply --replace a={now} --yes --max-deletes 1");
        project.run(&again).exits(0).prints("1 created, 1 deleted").done();
        project.run(&again).exits(0).warns("`a` was replaced before").done();
        assert_eq!((gateway.creates(), gateway.deleted()), (4, vec![now]), "{why}");
        assert!(project.ids().values().any(|kept| *kept == id), "{why}");
        project.run("state verify").exits(0).done();
    }
    // With protection of its own in the same run.
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let old = format!("a.{}", project.ids()["a"]);
    project.run("apply --replace a --yes").exits(0).done();
    let protected = format!("instances:\n  - {{name: a, type: whatsapp}}\n  - {{name: {old}, type: whatsapp, protect: true}}\n");
    project.declare(&protected);
    project.run(replace).exits(0).prints("1 protected").done_with("replaced before");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run(replace).exits(0).done_with("replaced before");
    assert!(gateway.deleted().is_empty(), "taking its declaration out does not lift that");
}

/// The delete of what was replaced before stands in the plan: it is shown, reviewed and limited as every other.
#[test]
fn p4_the_delete_of_a_remainder_is_planned() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let ids = project.ids();
    let without = project.run("plan --checksum --replace a").exits(0).stdout;
    for name in ["a", "b"] {
        project.run(&format!("apply --replace {name} --yes")).exits(0).done();
    }
    let plan = project.run("plan --replace a --format json").exits(0).json();
    let change = plan["changes"].as_array().unwrap().iter().find(|change| change["action"] == "delete").unwrap().clone();
    assert_eq!((&change["name"], &change["id"]), (&format!("a.{}", ids["a"]).into(), &ids["a"].clone().into()));
    assert_eq!(plan["summary"]["delete"], 1);
    project.run("plan --replace a --detailed-exitcode").exits(2).prints("1 to delete").done_with("replaced before");
    let reviewed = plan["plan_hash"].as_str().unwrap().to_owned();
    assert_ne!(reviewed, without.trim());
    let unasked = project.run("plan --checksum").exits(0).stdout;
    let line = |hash: &str| format!("apply --replace a --yes --max-deletes 1 --checksum {}", hash.trim());
    project.run(&line(&unasked)).exits(7).done_with("nothing was sent");
    project
        .run("apply --replace a --replace b --yes --max-deletes 1")
        .exits(6)
        .warns("2 instances would be deleted")
        .done_with("--max-deletes 2");
    project.run("apply --replace a=7 --yes").exits(1).warns("`a` is to be replaced as 7, and has").done_with("nothing was sent");
    assert!(gateway.deleted().is_empty());
    project.run(&line(&reviewed)).exits(0).prints("1 deleted").done();
    assert_eq!(gateway.deleted(), [ids["a"].clone()]);
}
