//! `destroy`: what was named is deleted, nothing else is, and nothing is created for it, whatever happens in between.

use chatapi::failpoint::DELETES;
use rustix::process::Signal;

use crate::stage::{Gateway, Project, manifest};

/// A project with three instances.
fn project(gateway: &Gateway) -> Project {
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

#[test]
fn what_is_named_is_deleted_and_nothing_is_created_for_it_by_itself() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let ids = project.ids();
    let run = project.run("destroy --yes --max-deletes 2 a b").exits(0).prints("Destroy: 2 deleted.");
    assert_eq!(gateway.deleted(), [ids["a"].clone(), ids["b"].clone()], "{run}");
    project.run("plan").exits(0).prints("Plan: 2 to create, 1 unchanged.").warns("--recreate a");
    let stopped = project.run("apply").exits(6).warns("`a` was deleted as").warns("--recreate b");
    assert_eq!(gateway.creates(), 3, "{stopped}");
    project.run("apply --recreate a --recreate b").exits(0).prints("Apply: 2 created, 1 unchanged.");
    assert!(project.ids()["a"] != ids["a"] && gateway.creates() == 5);
    project.run("state verify").exits(0).done();
}

/// An apply has shown that it is not declared any more; that it is declared again is said by whoever has written it.
#[test]
fn what_had_left_the_manifest_before_is_created_as_declared() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    project.declare(&manifest("{kind: chatapi}", &["b", "c"]));
    project.run("apply").exits(0).prints("1 orphaned");
    project.run("destroy -y --max-deletes 1 a").exits(0).done();
    project.run("plan").exits(0).prints("Nothing to do: 2 instances exist as declared.").done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c"]));
    project.run("apply").exits(0).prints("Apply: 1 created, 2 unchanged.");
}

#[test]
fn p4_nothing_is_sent_until_somebody_has_said_how_many() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let before = gateway.requests();
    for (line, code, why) in [
        ("destroy a", 6, "--yes --max-deletes 1"),
        ("destroy --yes a", 6, "--yes --max-deletes 1"),
        ("destroy --yes --max-deletes 1 a b", 6, "this run may delete 1"),
        ("destroy --yes --max-deletes 9 a unheard-of", 1, "nothing is recorded under `unheard-of`"),
        ("destroy", 1, "<NAME>"),
    ] {
        project.run(line).exits(code).warns(why);
    }
    assert_eq!((gateway.requests(), gateway.deleted().len()), (before, 0));
}

#[test]
fn deleting_twice_does_no_harm() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    project.run("destroy -y --max-deletes 1 a").exits(0).done();
    project.run("destroy -y --max-deletes 1 a").exits(0).prints("Nothing to delete.").warns("a was deleted before");
    // Somebody else was faster.
    let settings = chatapi::Client::builder(gateway.url(), chatapi::secret::Secret::new(crate::stage::KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    client.delete_instance(&chatapi::instance::InstanceId::parse(&project.ids()["b"]).unwrap()).unwrap();
    project.run("destroy -y --max-deletes 1 b").exits(3).prints("too new for a list to tell");
    project.run("destroy -y --max-deletes 1 b --settle-after 0s").exits(0).prints("does not list it");
    assert_eq!(gateway.deleted().len(), 2);
}

/// The request may have been answered, or not have come; nobody knows until the list tells.
#[test]
fn p7_an_unknown_outcome_is_settled_by_the_list() {
    for (fault, gone) in [("delete:nth=1=drop-after", true), ("delete:nth=1=drop-before", true), ("delete=drop-before", false)] {
        let gateway = Gateway::start(&[fault]);
        let project = project(&gateway);
        let run = project.run("destroy -y --max-deletes 1 a --settle-after 0s");
        assert_eq!((run.code, gateway.deleted().len()), if gone { (0, 1) } else { (3, 0) }, "{fault}: {run}");
        if !gone {
            let _ = run.warns("deleting again does no harm: `chatapi destroy a --settle-after 0s`");
            project.run("plan").exits(3).prints("hold").done_with("being deleted as");
            project.run("apply").exits(3).done_with("being deleted as");
        }
        assert_eq!(gateway.creates(), 3, "{fault}");
    }
}

#[test]
fn what_the_server_refuses_and_lists_still_exists() {
    let gateway = Gateway::start(&["delete:nth=1=refuse:not-you"]);
    let project = project(&gateway);
    project
        .run("destroy -y --max-deletes 2 --parallelism 1 a b")
        .exits(4)
        .prints("a still exists: not-you")
        .prints("1 deleted, 1 kept");
    project.run("apply").exits(6).warns("--recreate b");
    assert!(!project.token("a").is_empty(), "it is managed as before");
}

/// A list that does not show what exists proves nothing of what it does not show.
#[test]
fn a_list_that_cannot_be_believed_deletes_nothing_from_the_record() {
    let gateway = Gateway::start(&["delete=drop-before", "list=empty-list"]);
    let project = project(&gateway);
    project.run("destroy -y --max-deletes 1 a").exits(3).prints("1 in doubt");
    let status = project.run("state show a --format json").json();
    assert_eq!(status["status"], "retiring");
}

#[test]
fn a_delete_that_dies_anywhere_is_finished_by_the_next_and_touches_nothing_else() {
    for point in DELETES {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway);
        let ids = project.ids();
        let died =
            project.call(["destroy", "-y", "--max-deletes", "1", "a"]).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
        assert!(died.code > 1_000, "{point}: {died}");
        // An apply in between creates nothing and deletes nothing.
        let deleted = gateway.deleted();
        let between = project.run("apply");
        assert!(matches!(between.code, 0 | 3 | 6), "{point}: {between}");
        assert_eq!((gateway.creates(), gateway.deleted()), (3, deleted), "{point}");
        project.run("destroy -y --max-deletes 1 a --settle-after 0s").exits(0).done();
        assert_eq!(gateway.deleted(), [ids["a"].clone()], "{point}");
        assert!(["b", "c"].iter().all(|name| project.ids()[*name] == ids[*name] && !project.token(name).is_empty()), "{point}");
        project.run("state verify").exits(0).done();
    }
}

/// What cannot be recorded is not sent.
#[test]
fn a_disk_that_takes_nothing_deletes_nothing() {
    for point in
        ["journal-before-retiring", "journal-written-retiring", "journal-before-retire_sent", "journal-written-retire_sent"]
    {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway);
        let run =
            project.call(["destroy", "-y", "--max-deletes", "1", "a"]).env("CHATAPI_FAILPOINT", format!("{point}=full")).run();
        assert_eq!((run.code, gateway.deleted().len()), (1, 0), "{point}: {run}");
        project.run("destroy -y --max-deletes 1 a").exits(0).done();
        assert_eq!(gateway.deleted().len(), 1, "{point}");
    }
}

/// As creates do: one pause for all, as long as the server says, and no request in it.
#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    let gateway = Gateway::start(&["delete:first=1=too-many:1"]);
    let project = project(&gateway);
    let run = project.run("destroy -y --max-deletes 2 --parallelism 1 a b");
    let run = run.exits(0).prints("Destroy: 2 deleted.").warns("the server asks to wait (status 429): going on in 1.0 s");
    assert_eq!(gateway.deleted().len(), 2, "{run}");
    let history = project.run("state history a").exits(0).stdout;
    assert_eq!(history.matches("delete sent").count(), 1, "{history}");
}

/// P10: nothing is deleted any more once somebody has asked to stop.
#[test]
fn p10_a_run_that_is_told_to_stop_sends_no_further_delete() {
    let gateway = Gateway::start(&["delete=too-many:60"]);
    let project = project(&gateway);
    let run = project.call(["destroy", "-y", "--max-deletes", "2", "--parallelism", "1", "a", "b"]).start();
    run.says("the server asks to wait");
    let asked = gateway.requests();
    run.signal(Signal::INT);
    let run = run.wait().exits(130).prints("1 kept, 1 not tried").warns("stopped by SIGINT");
    assert_eq!((gateway.deleted().len(), gateway.requests()), (0, asked), "{run}");
    // It was sent, and the server has answered: that is told, here and in the journal.
    let run = run.prints("a still exists: the server asks to wait (status 429); the run was asked to stop");
    assert!(!run.stdout.contains("not sent"), "{run}");
    project.run("state history a").exits(0).prints("the server asks to wait (status 429)").done();
    assert!(["a", "b"].iter().all(|name| !project.token(name).is_empty()), "they are managed as before");
}

/// What a killed run has left open is shown by whoever looks, and finished by name.
#[test]
fn p7_an_open_delete_is_shown_until_it_is_finished() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let died = project.call(["destroy", "-y", "--max-deletes", "1", "a"]).env("CHATAPI_FAILPOINT", "delete-sent=kill").run();
    assert!(died.code > 1_000, "{died}");
    let id = &project.ids()["a"];
    project.run("plan").exits(3).prints("1 in doubt").warns("`chatapi doubts` shows the evidence");
    project.run("state list").exits(0).prints("being deleted");
    project.run("doubts").exits(3).prints(&format!("deletes   {id}")).prints("chatapi destroy a");
    let doubts = project.run("doubts --format json").exits(3).json();
    assert_eq!((&doubts[0]["name"], &doubts[0]["deletes"]), (&"a".into(), &id.as_str().into()));
    project.run("doubts --refresh").exits(3).prints("deletes");
    project.run("destroy -y --max-deletes 1 a").exits(0).done();
    project.run("doubts").exits(0).prints("No doubts.").done();
}

/// A list that lags does not show what was created just now, and an empty one shows nothing of what exists.
#[test]
fn p9_what_lives_is_never_called_deleted_by_a_list() {
    let gateway = Gateway::start(&["delete=drop-before", "list=lag:100s"]);
    let project = project(&gateway);
    project.run("destroy -y --max-deletes 1 a").exits(3).prints("1 in doubt");
    let gateway = Gateway::start(&["delete=refuse:no_right", "list=empty-list"]);
    let project = Project::at(&gateway.url(), &["only"]);
    project.run("apply").exits(0).done();
    project.run("destroy -y --max-deletes 1 only --settle-after 0s").exits(3).prints("nothing at all is listed");
    assert!(gateway.deleted().is_empty());
    // Somebody who looks at the account knows better.
    project.run("destroy -y --max-deletes 1 only --settle-after 0s --despite-list").exits(0).prints("1 deleted");
}

/// What is deleted and could not be recorded is in doubt, and no "not tried".
#[test]
fn p8_a_delete_that_could_not_be_recorded_is_told_as_in_doubt() {
    // The answer to the first is on record before the second is begun.
    for (failpoint, deleted, code) in [("journal-before-retiring=full@2", 1, 4), ("journal-before-retired=error", 1, 3)] {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway);
        let call = project.call("destroy a b c --parallelism 1 --yes --max-deletes 3".split(' '));
        let run = call.env("CHATAPI_FAILPOINT", failpoint).run().exits(code);
        assert_eq!(gateway.deleted().len(), deleted, "{run}");
        assert!(run.stdout.matches("may still exist").count() + run.stdout.matches(" deleted (").count() >= deleted, "{run}");
        project.run("destroy a b c --yes --max-deletes 3 --settle-after 0s --despite-list").exits(0).done();
        assert_eq!(gateway.deleted().len(), 3);
    }
}
