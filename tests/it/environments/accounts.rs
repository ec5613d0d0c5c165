//! Environments and accounts: whose an account is, and what another environment has there.

use std::fs;

use super::{MANIFEST, OTHER_KEY, project};
use crate::stage::{Gateway, Project};

#[test]
fn p1_the_key_of_another_environment_begins_none() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    let before = gateway.requests();
    let mixed = project.run("apply --env staging").exits(6).warns("the key opens the account of the state in kept/prod");
    mixed.warns("same_account_as: [prod]").warns("nothing was sent");
    assert_eq!(gateway.requests(), before);
    let other = project.call(["apply", "--env", "staging"]).env("CHATAPI_API_KEY", OTHER_KEY).run();
    other.exits(0).prints("Apply: 1 created, 0 unchanged.");
    // And a state that is bound takes no other key.
    project.call(["apply", "--env", "prod"]).env("CHATAPI_API_KEY", OTHER_KEY).run().exits(1).warns("the API key differs");
}

/// P1: where nobody can tell whether another environment has the account, none begins on it.
#[test]
fn p1_no_environment_begins_beside_a_state_that_cannot_be_read() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    let (before, journal) = (gateway.requests(), project.read("kept/prod/journal.jsonl"));
    let begin = || project.run("apply --env staging");
    for damaged in [journal.replace("\"id\"", "\"is\""), journal.replacen('{', "[", 1), String::new()] {
        project.write("kept/prod/journal.jsonl", damaged);
        fs::remove_dir_all(project.path("kept/prod/index")).unwrap_or_default();
        let run = begin().exits(8).warns("the state of `prod` cannot be read, and the key may be of its account");
        run.done_with("would be paid for twice");
    }
    // It is elsewhere: the lock file tells of it.
    fs::rename(project.path("kept"), project.path("away")).unwrap();
    let run = begin().exits(6).warns("whether the key opens the account of environment `prod` is not known");
    run.warns("by chatapi.prod.lock it has instances on that server").done_with("same_account_as: [prod]");
    assert_eq!(gateway.requests(), before);
    let text = project.read("chatapi.yaml");
    project.write(
        "chatapi.yaml",
        text.replace("var_files: [vars/staging.yaml]", "same_account_as: [prod], var_files: [vars/staging.yaml]"),
    );
    begin().exits(0).done();
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn environments_that_share_an_account_say_so() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    project.write(
        "chatapi.yaml",
        project
            .read("chatapi.yaml")
            .replace("var_files: [vars/staging.yaml]", "same_account_as: [prod], var_files: [vars/staging.yaml]"),
    );
    // The instance of the other environment is unknown to this one, and that is told as ever.
    project.run("apply --env staging").exits(0).prints("Apply: 1 created, 0 unchanged.");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p1_what_another_environment_has_is_not_taken_in() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    let shared = project.read("chatapi.yaml").replace("staging.yaml]", "staging.yaml], same_account_as: [prod]");
    project.write("chatapi.yaml", shared);
    // It is no stranger, and in CI nobody has to allow it.
    let apply = project.call(["apply", "--init", "--env", "staging"]).env("CI", "true").run();
    apply.exits(0).prints("Apply: 1 created, 0 unchanged.");
    let listed = project.run("--env prod state list --format json").exits(0).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let theirs = format!("{id} belongs to environment `prod`, as `shop-prod`");
    let import = format!("import x --id {id} --env staging");
    project.run(&import).exits(6).warns(&theirs).warns("`chatapi --env prod release shop-prod`");
    let found = project.run("import --discover --env staging").exits(0).prints("instances: []");
    found.prints(&format!("# {id} is left out: it belongs to environment prod."));
    let entry = format!("{MANIFEST}  - {{name: x, type: whatsapp}}\nimport: [{{name: x, id: '{id}', type: whatsapp}}]\n");
    project.declare(&entry);
    // A plan foretells it, and none is saved that an apply would refuse.
    let plan = project.run("plan --env staging").exits(0).warns("an apply will stop").warns(&theirs).warns("`x` is not taken in");
    plan.warns("`chatapi --env prod release shop-prod`").done();
    project.run("plan --env staging --out plan.json").exits(6).warns(&theirs).warns("the plan was not saved");
    assert!(!project.path("plan.json").exists());
    project.run("apply --env staging").exits(6).warns(&theirs).warns("`x` is not taken in");
    // What it has let go is free.
    project.run("release shop-prod --env prod").exits(0).done();
    project.run("plan --env staging").exits(0).prints("1 to import").done();
    project.run(&import).exits(0).prints("from now on");
    // And it is not taken back while the other one has it.
    let back = project.run("release --undo shop-prod --env prod").exits(6);
    back.warns(&format!("{id} belongs to environment `staging`, as `x`")).done_with("nothing was changed");
    project.run("release x --env staging").exits(0).done();
    project.run("release --undo shop-prod --env prod").exits(0).done();
    assert_eq!(gateway.creates(), 2);
}

/// `staging` and `prod`, which share an account and have created one instance each; and the id of each.
fn sharing(gateway: &Gateway) -> (Project, [String; 2]) {
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    let shared = project.read("chatapi.yaml").replace("staging.yaml]", "staging.yaml], same_account_as: [prod]");
    project.write("chatapi.yaml", shared);
    let ids = ["staging", "prod"].map(|env| {
        project.run(&format!("apply --env {env}")).exits(0).done();
        let listed = project.run(&format!("--env {env} state list --format json")).exits(0).json();
        listed[0]["id"].as_str().unwrap().to_owned()
    });
    (project, ids)
}

#[test]
fn drift_tells_which_environment_has_what_is_not_here() {
    let gateway = Gateway::start(&[]);
    let (project, [ours, theirs]) = sharing(&gateway);
    let told = format!("environment `prod` has {theirs} (`shop-prod`)");
    let run = project.run("drift --env staging --detailed-exitcode").exits(0).prints("No drift: 1 instance checked");
    assert!(!run.stdout.contains(&theirs), "{run}");
    run.warns(&told).done();
    let document = project.run("drift --env staging --format json").exits(0).json();
    assert_eq!(document["elsewhere"], serde_json::json!([{"id": theirs, "environment": "prod", "name": "shop-prod"}]));
    assert_eq!((&document["summary"]["elsewhere"], &document["summary"]["unknown"]), (&1.into(), &0.into()));
    project.run("plan --verify --env staging --detailed-exitcode").exits(0).warns(&told).done();
    let document = project.run("plan --verify --env staging --format json").exits(0).json();
    assert_eq!(document["drift"]["elsewhere"][0]["environment"], "prod");
    project.run("drift --env prod").exits(0).warns(&format!("environment `staging` has {ours} (`shop-staging`)")).done();
    // What it has let go is nobody's, as far as this one knows.
    project.run("release shop-prod --env prod").exits(0).done();
    project
        .run("drift --env staging --detailed-exitcode")
        .exits(2)
        .prints("1 unknown")
        .warns("import NAME --id")
        .done_with(&theirs);
}

/// A state that was bound by no key, or by another, can be made up: it explains nothing away.
#[test]
fn p1_drift_believes_no_environment_that_another_key_has_bound() {
    let gateway = Gateway::start(&[]);
    let (project, [_, theirs]) = sharing(&gateway);
    fs::rename(project.path("kept/prod"), project.path("kept/lost")).unwrap();
    project.run("state rebuild --from lock --env prod").exits(0).done();
    let run = project.run("drift --env staging --detailed-exitcode").exits(2).prints("1 unknown").prints(&theirs);
    assert!(!run.stderr.contains("environment `prod` has"), "{run}");
}

/// A doubt is not settled by what another environment has created, in whatever way that is said.
#[test]
fn p1_a_doubt_did_not_create_what_another_environment_has() {
    let gateway = Gateway::start(&["create:nth=2=drop-before"]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    let shared = project.read("chatapi.yaml").replace("staging.yaml]", "staging.yaml], same_account_as: [prod]");
    project.write("chatapi.yaml", shared);
    project.declare(&format!("{MANIFEST}  - {{name: second, type: whatsapp}}\n"));
    project.run("apply --env staging --parallelism 1").exits(3).done_with("1 in doubt");
    project.declare(MANIFEST);
    project.run("apply --env prod").exits(0).done();
    let listed = project.run("--env prod state list --format json").exits(0).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let doubts = project.run("doubts --format json --env staging").exits(3).json();
    let (name, attempt) = (doubts[0]["name"].as_str().unwrap(), doubts[0]["attempt"].as_str().unwrap());
    let theirs = format!("{id} belongs to environment `prod`, as `shop-prod`");
    let resolve = format!("resolve {name} --attempt {attempt} --created {id} --env staging");
    for more in ["", " --offline", " --despite-list --reason x"] {
        project.run(&format!("{resolve}{more}")).exits(6).warns(&theirs).done_with("nothing was changed");
    }
    let shown = project.run("doubts --refresh --env staging").exits(3).prints("environment `prod` (as `shop-prod`) has it");
    assert!(!shown.stdout.contains("--created"), "{shown}");
    let said = format!("resolutions: [{{name: {name}, attempt: {attempt}, created: '{id}'}}]\n");
    project.declare(&format!("{MANIFEST}  - {{name: second, type: whatsapp}}\n{said}"));
    project.run("plan --env staging").exits(0).warns("an apply will stop").warns(&theirs).done();
    project.run("apply --env staging").exits(6).warns(&theirs).done_with("is not settled that way");
    assert_eq!(gateway.creates(), 3);
}

/// A state without a key can be made up by a pull request: it explains nothing of what the account has away.
#[test]
fn p1_p5_a_made_up_environment_hides_no_lost_run() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    fs::rename(project.path("state"), project.path("lost")).unwrap();
    project.run("state rebuild --from lock").exits(0).done();
    fs::rename(project.path("state"), project.path("made-up")).unwrap();
    fs::remove_file(project.lock_file()).unwrap();
    let prod = format!("prod: {{gateway: '{}', same_account_as: [fake]}}", gateway.url());
    for state in ["nowhere", "made-up", "lost"] {
        project.write("chatapi.yaml", format!("environments: {{{prod}, fake: {{state: {state}}}}}\n"));
        let run = project.call(["apply", "--init", "--env", "prod"]).env("CI", "true").run();
        if state == "lost" {
            // It was bound by the very key.
            run.exits(0).done();
        } else {
            run.exits(6).warns("the account has 1 instance that this state does not know");
            assert_eq!(gateway.creates(), 1, "{state}");
        }
    }
}

/// The state that was there before is an environment's by now: the others may share its account as any other's.
#[test]
fn a_state_from_before_may_share_its_account_once_it_is_an_environments() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let declare = |next: &str| {
        let prod = "prod: {state: ./state, lock_file: chatapi.lock}";
        project.write("chatapi.yaml", format!("environments: {{{prod}, next: {{state: next-state, {next}}}}}\n"));
    };
    declare("var_files: []");
    project
        .run("apply --env next")
        .exits(6)
        .warns("the key opens the account of the state in")
        .done_with("same_account_as: [prod]");
    declare("same_account_as: [prod]");
    project.run("apply --env next").exits(0).prints("Apply: 1 created, 0 unchanged.").done();
    assert_eq!(gateway.creates(), 2);
}

/// P9: what another environment has comes in by no lock file, its own or a copy of that.
#[test]
fn p9_no_environment_is_rebuilt_from_the_lock_file_of_another() {
    let gateway = Gateway::start(&[]);
    let (project, [ours, theirs]) = sharing(&gateway);
    let lock = project.read("chatapi.prod.lock");
    project.write("copy.lock", &lock);
    fs::remove_dir_all(project.path("state/staging")).unwrap();
    let rebuild = |path: &str| project.run(&format!("state rebuild --env staging --from-lock {path}"));
    let run = rebuild("./chatapi.prod.lock").exits(6).warns("chatapi.prod.lock is the lock file of environment `prod`");
    run.done_with("`chatapi --env prod state rebuild --from lock`");
    let taken = format!("{theirs} belongs to environment `prod`, as `shop-prod`");
    rebuild("copy.lock").exits(6).warns(&taken).done_with("nothing was changed");
    // Where its state is elsewhere, its lock file says so.
    fs::rename(project.path("kept"), project.path("away")).unwrap();
    rebuild("copy.lock").exits(6).warns(&taken).done_with("nothing was changed");
    fs::rename(project.path("away"), project.path("kept")).unwrap();
    assert!(!project.path("state/staging").exists());
    // A copy of its own is read, and its own lock file is the one that is written.
    fs::rename(project.path("chatapi.staging.lock"), project.path("lost.lock")).unwrap();
    let lost = project.read("lost.lock");
    rebuild("lost.lock --lock-file lost.lock").exits(1).done_with("the environment's lock file is chatapi.staging.lock");
    rebuild("lost.lock").exits(0).prints("Rebuilt: 1 instance without token, 0 in doubt.\n").done();
    assert!(project.read("chatapi.staging.lock").contains(&ours));
    assert_eq!((project.read("lost.lock"), project.read("chatapi.prod.lock")), (lost, lock));
    project.run("--env staging plan").exits(3).done_with("token");
    project.run("--env prod plan").exits(0).done();
    assert_eq!(gateway.creates(), 2);
}

/// What was handed over is released where it was, and an older lock file does not take it back.
#[test]
fn p9_a_rebuild_takes_nothing_back_that_was_handed_over() {
    let gateway = Gateway::start(&[]);
    let (project, [ours, _]) = sharing(&gateway);
    let older = project.read("chatapi.staging.lock");
    project.run("release shop-staging --env staging").exits(0).done();
    project.run(&format!("import x --id {ours} --env prod")).exits(0).done();
    fs::remove_dir_all(project.path("state/staging")).unwrap();
    let rebuild = || project.run("state rebuild --from lock --env staging");
    rebuild().exits(0).prints("Rebuilt: 0 instances without token, 0 in doubt, 1 released.").done();
    fs::remove_dir_all(project.path("state/staging")).unwrap();
    project.write("chatapi.staging.lock", older);
    let taken = format!("{ours} belongs to environment `prod`, as `x`");
    rebuild().exits(6).warns(&taken).done_with("nothing was changed");
    let other = Project::at(&gateway.url(), &["b"]);
    other.run("apply --allow-unknown all").exits(0).done();
    let adopt = format!("state rebuild --from server --env staging --adopt b={}", other.ids()["b"]);
    project.run(&adopt).exits(6).warns(&taken).done_with("nothing was changed");
    assert!(!project.path("state/staging").exists());
}
