//! What is said of a state that its lock file speaks against is so.

use std::fs;

use super::done;
use crate::stage::{Gateway, Project, manifest};

#[test]
fn p7_a_spent_plan_is_not_called_good_because_its_state_was_brought_back() {
    let (gateway, project) = done(&["a"]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("plan --out p.json").exits(0);
    project.run("show p.json").exits(0).done_with("good: neither the state here nor the manifest has changed since");
    let manifest = project.read("instances.yaml");
    fs::remove_file(project.path("instances.yaml")).unwrap();
    let run = project.run("show p.json").exits(0).warns("good: the state here has not changed since; the manifest is not here");
    assert!(!run.stderr.contains("nor the manifest"), "{run}");
    project.declare(&manifest);
    let older = project.copy_of_state();
    project.run("apply p.json").exits(0);
    project.restore(&older);
    let run = project.run("show p.json").exits(0).warns("an apply of it will stop: the state is older than the lock file");
    assert!(!run.stderr.contains("good") && !run.stderr.contains("nothing was sent"), "{run}");
    project.run("apply p.json").exits(8).warns("nothing was sent").done_with("older than the lock file");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn an_older_copy_without_records_is_not_said_to_have_been_begun_later() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("init").exits(0);
    let bare = project.copy_of_state();
    project.run("apply").exits(0);
    project.restore(&bare);
    let run = project.run("plan").exits(8).warns("the state is older than the lock file");
    assert!(!run.stderr.contains("begun after") && !run.stderr.contains("nothing was sent"), "{run}");
    assert!(run.stderr.contains("`chatapi state rebuild --from journal --lock-file chatapi.lock`"), "{run}");
    project
        .run("state rebuild --from journal --lock-file chatapi.lock")
        .exits(0)
        .done_with("1 instance is without token: `chatapi token set NAME < FILE`");
    project.run("apply").exits(3).done_with("0 created");
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn what_looks_tells_a_warning_and_no_error_where_it_ends_well() {
    let (_gateway, project) = done(&["a"]);
    let older = project.copy_of_state();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    project.restore(&older);
    for line in ["state list", "state show a", "doubts"] {
        let run = project.run(line).exits(0).warns("warning: what is shown may not be all that exists");
        assert!(!run.stderr.contains("error: "), "{run}");
    }
}

#[test]
fn a_sealing_stop_that_a_plan_foresees_is_a_warning_in_its_reports_too() {
    let (_gateway, project) = done(&["a"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.declare(&format!("seal_to: [{}]\n{}", public.trim_end(), manifest("{kind: chatapi}", &["a"])));
    let run = project.call(["plan", "--junit-into", "junit.xml"]).env("GITHUB_ACTIONS", "true").run().exits(0);
    let run = run.warns("warning: an apply will stop: the keys to seal to have changed");
    assert!(run.stderr.contains("::warning") && !run.stderr.contains("::error"), "{run}");
    let junit = project.read("junit.xml");
    assert!(!junit.contains("<error") && !junit.contains("<failure"), "{junit}");
}

#[cfg(feature = "failpoints")]
#[test]
fn p7_a_run_of_a_saved_plan_that_is_stopped_says_what_goes_on() {
    use crate::stage::eventually;
    use rustix::process::Signal;
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b", "c", "d", "e", "f"]);
    project.run("init").exits(0);
    project.run("plan --out p.json").exits(0);
    let call = project.call(["apply", "p.json", "--parallelism", "1", "--write-outputs", "json=out.json"]);
    let running = call.env("CHATAPI_FAILPOINT", format!("outputs-owed=pause:{}", project.path("paused").display())).start();
    eventually("the pause", || project.path("paused").exists());
    running.signal(Signal::TERM);
    fs::remove_file(project.path("paused")).unwrap();
    let run = running.wait();
    assert!(run.stderr.contains("plan again (this plan is spent), or apply the manifest"), "{run}");
    assert!(!run.stderr.contains("apply again"), "{run}");
    project.run("apply p.json").exits(7).done_with("is spent");
    project.run("apply").exits(0).done();
    assert_eq!(gateway.creates(), 6);
}

#[cfg(feature = "failpoints")]
#[test]
fn p5_an_apply_whose_lock_file_is_not_written_is_not_done() {
    let (gateway, project) = done(&["a"]);
    project.run("state mv a z").exits(0);
    fs::remove_file(project.lock_file()).unwrap();
    project.declare(&manifest("{kind: chatapi}", &["z"]));
    let run = project.call(["apply"]).env("CHATAPI_FAILPOINT", "lockfile-before=error").run().exits(4);
    run.warns("error: cannot write chatapi.lock").done_with("the next apply writes the lock file");
    project.run("apply").exits(0).done();
    assert!(project.lock_file().exists() && gateway.creates() == 1);
}
