//! Instances that somebody else has deleted, taken as a newcomer takes them: whoever types what each message says comes to the end, and
//! nothing that exists is deleted or paid for twice on the way.

use chatapi::instance::InstanceId;
use chatapi::secret::Secret;

use crate::stage::{Gateway, KEY, Project};

/// A project with these instances.
fn project(gateway: &Gateway, names: &[&str]) -> Project {
    let project = Project::at(&gateway.url(), names);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

/// Somebody else deletes what `names` have.
fn lose(gateway: &Gateway, project: &Project, names: &[&str]) {
    let settings = chatapi::Client::builder(gateway.url(), Secret::new(KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    for name in names {
        client.delete_instance(&InstanceId::parse(&project.ids()[*name]).unwrap()).unwrap();
    }
}

/// A list that lacks others too is not believed: every message names all of them.
#[test]
fn what_is_gone_with_others_is_recorded_or_created_again_with_them() {
    for is_wanted in [true, false] {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a", "b", "c"]);
        lose(&gateway, &project, &["a", "b"]);
        let (both, gone) = ("`chatapi apply --recreate a --recreate b`", "`chatapi destroy a b`");
        let alone = project.run("apply --recreate a --settle-after 0s").exits(1);
        let _ = alone.warns("recorded as existing").warns(both).warns(gone);
        project.run("drift").exits(0).warns(both).done_with(gone);
        let findings = project.run("drift --format json").exits(0).json()["findings"].clone();
        for finding in findings.as_array().unwrap() {
            assert!(finding["hints"].to_string().contains(both), "{finding}");
        }
        assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 2));
        if is_wanted {
            project
                .run("apply --recreate a --recreate b --settle-after 0s")
                .exits(0)
                .prints("Apply: 2 created, 1 unchanged.")
                .done();
        } else {
            project.run("destroy --yes --max-deletes 2 a b --settle-after 0s").exits(0).prints("2 deleted").done();
            let stopped = project.run("apply").exits(6).warns("`a` was deleted as").warns("`b` was deleted as");
            assert_eq!(stopped.stderr.matches("--recreate").count(), 2, "all of them in one command: {stopped}");
            let _ = stopped.warns("`--recreate a --recreate b`");
            project.run("apply --recreate a --recreate b").exits(0).done();
        }
        assert_eq!((gateway.creates(), gateway.deleted().len()), (5, 2));
    }
}

/// One of them is destroyed alone, and `--recreate` of it does nothing: both say what does.
#[test]
fn a_delete_in_doubt_for_another_one_that_is_gone_names_both() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b", "c"]);
    lose(&gateway, &project, &["a", "b"]);
    let ids = project.ids();
    let alone = project.run("destroy --yes --max-deletes 1 a --settle-after 0s").exits(3);
    let alone = alone.prints(&format!("the list lacks {} (`b`) too, recorded as existing", ids["b"]));
    alone.done_with("`chatapi destroy a b` deletes and records them in one command");
    let again = project.run("apply --recreate a").exits(3);
    let again = again.warns(&format!("`a` is to be recreated, and the delete of {} is in doubt", ids["a"]));
    again.done_with("`chatapi destroy a` finishes that; then `chatapi apply --recreate a`");
    project.run("plan --recreate a").exits(3).done_with("`a` is to be recreated, and the delete of");
    let drift = project.run("drift").exits(0).prints("1 gone, 1 being deleted").prints("retiring");
    drift.done_with("`chatapi destroy a` finishes that");
    let document = project.run("drift --format json").exits(0).json();
    assert_eq!((&document["summary"]["retiring"], &document["findings"][0]["finding"]), (&1.into(), &"retiring".into()));
    assert_eq!(gateway.creates(), 3);
    project.run("destroy --yes --max-deletes 2 a b --settle-after 0s").exits(0).prints("2 deleted").done();
    project.run("drift").exits(0).prints("No drift").done();
}

/// Of an account that shows nothing, that is said by whoever looks at it.
#[test]
fn all_that_there_was_is_gone_and_recorded_as_that() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    lose(&gateway, &project, &["a", "b"]);
    for line in ["drift", "plan --verify", "apply --recreate a --settle-after 0s"] {
        project.run(line).exits(1).done_with("is recorded as deleted by `chatapi destroy a b`");
    }
    let destroy = "destroy --yes --max-deletes 2 a b";
    project.run(destroy).exits(3).prints("too new for a list to tell").done_with("`chatapi destroy a b --settle-after 0s`");
    let empty = project.run(&format!("{destroy} --settle-after 0s")).exits(3).prints("nothing at all is listed");
    empty.done_with("`chatapi destroy a b --despite-list --settle-after 0s`");
    project.run(&format!("{destroy} --settle-after 0s --despite-list")).exits(0).prints("2 deleted").done();
    project.run("apply --recreate a --recreate b").exits(0).prints("Apply: 2 created, 0 unchanged.").done();
    assert_eq!((gateway.creates(), gateway.deleted().len()), (4, 2));
}

/// What is not declared, and gone, is recorded with what is; then that is created again.
#[test]
fn what_is_gone_and_not_declared_is_in_the_way_of_what_is() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b", "c"]);
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "c"]));
    project.run("apply").exits(0).prints("1 orphaned");
    lose(&gateway, &project, &["a", "b"]);
    let drift = project.run("drift instances.yaml").exits(0).warns("`chatapi destroy a b` records that they are gone");
    drift.done_with("`chatapi apply --recreate a`");
    project.run("destroy --yes --max-deletes 2 a b --settle-after 0s").exits(0).done();
    project.run("apply --recreate a").exits(0).prints("1 created").done();
    assert_eq!(gateway.creates(), 4);
}

/// The number that is said is that of what is deleted: what the server does not list stays, and is told.
#[test]
fn p9_what_the_server_does_not_list_is_neither_counted_nor_deleted() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b", "c"]);
    lose(&gateway, &project, &["b"]);
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a"]));
    let prune = "apply --prune --allow-unknown all";
    project.run(prune).exits(6).warns("1 instance would be deleted").warns("`--yes --max-deletes 1`");
    let run = project.run(&format!("{prune} --yes --max-deletes 1"));
    let run = run.exits(4).prints("1 deleted").warns("1 instance will be deleted").warns("not counted: `b`");
    run.done_with("the server does not list `b`: nothing was sent for it");
    assert_eq!(gateway.deleted().len(), 2);
    // Nothing is left that would be deleted.
    project.run(prune).exits(1).done_with("`chatapi destroy b` records that");
}

/// What is replaced is called otherwise by the time it goes: it is known by its id.
#[test]
fn p9_what_is_replaced_and_not_listed_is_not_deleted() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let old = format!("a.{}", project.ids()["a"]);
    lose(&gateway, &project, &["a"]);
    let requests = gateway.requests();
    let run = project.run("apply --replace a --yes --max-deletes 1").exits(0).prints("1 created");
    run.done_with(&format!("the server does not list `{old}`: nothing was sent for it"));
    assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 1), "{requests}");
    assert_eq!(project.run(&format!("state show {old} --format json")).json()["status"], "created");
}

/// P1: a job goes on saying `--replace a` when somebody has given `a` back what it had.
#[test]
fn p1_a_replacement_that_a_person_has_swapped_back_is_not_made_a_second_time() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let first = project.ids()["a"].clone();
    project.run("apply --replace a").exits(0).prints("1 created").done_with("still paid for");
    let second = project.ids()["a"].clone();
    project.run("state mv a new").exits(0).done();
    project.run(&format!("state mv a.{first} a")).exits(0).done();
    for line in ["apply --replace a", "apply --replace a --prune --yes --max-deletes 9", "plan --replace a"] {
        if line.contains("prune") {
            project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "b", "new"]));
        }
        let told = format!("`a` is {first}, which was replaced before: what it got is `new`");
        project.run(line).exits(0).warns(&told).done_with(&format!("`--replace a={first}`"));
    }
    assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 0));
    assert_eq!((&project.ids()["a"], &project.ids()["new"]), (&first, &second));
    project.run(&format!("apply --replace a={first}")).exits(0).prints("1 created").done_with("still paid for");
    assert_eq!((gateway.creates(), gateway.deleted().len()), (4, 0));
}
