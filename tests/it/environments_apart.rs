//! P1: environments of one account. What one of them has, or may have created, settles nothing in another; and no state is taken for another's.

use std::fs;
use std::path::Path;

use crate::stage::{Account, Create, Project, Run, manifest};

const PLAIN: &str = "{kind: chatapi}";
const EXCLUSIVE: &str = "{kind: chatapi, exclusive: true}";

/// `dev` and `prod`, which share an account; each has a manifest, and one instance.
fn sharing(account: &Account) -> Project {
    let project = Project::at(&account.url(), &[]);
    let environment =
        |name: &str, other: &str| format!("  {name}: {{state: s-{name}, lock_file: {name}.lock, same_account_as: [{other}]}}\n");
    project.write("chatapi.yaml", format!("environments:\n{}{}", environment("dev", "prod"), environment("prod", "dev")));
    for name in ["dev", "prod"] {
        declare(&project, name, PLAIN, &[&format!("{name}-a")]);
        apply(&project, name, "").exits(0).done();
    }
    project
}

fn declare(project: &Project, environment: &str, provider: &str, names: &[&str]) {
    project.write(&format!("{environment}.yaml"), manifest(provider, names));
}

fn apply(project: &Project, environment: &str, more: &str) -> Run {
    project.run(&format!("apply --env {environment} {environment}.yaml --parallelism 1 --allow-unknown all{more}"))
}

/// `c` of `prod` is in doubt, and nothing was made for it; then `dev` has got `d`, with this id.
fn doubtful_beside(account: &Account) -> (Project, String) {
    let project = sharing(account);
    account.next(&[Create::Nothing]);
    declare(&project, "prod", EXCLUSIVE, &["prod-a", "c"]);
    apply(&project, "prod", "").exits(3).done_with("1 in doubt");
    declare(&project, "dev", PLAIN, &["dev-a", "d"]);
    apply(&project, "dev", "").exits(0).done();
    (project, account.newest())
}

fn list(project: &Project, environment: &str) -> String {
    project.run(&format!("--env {environment} state list")).stdout
}

/// What another environment creates meanwhile is not what a doubt here has created.
#[test]
fn p1_another_environments_instance_settles_no_doubt_of_an_exclusive_account() {
    let account = Account::start();
    let (project, id) = doubtful_beside(&account);
    let run = apply(&project, "prod", " --settle-after 0s").exits(3);
    run.warns(&format!("{id}, which environment `dev` (as `d`) has")).done_with("1 in doubt");
    assert!(!list(&project, "prod").contains(&id) && list(&project, "dev").contains(&id));
    assert_eq!(account.creates(), 4);
}

#[test]
fn p1_an_open_doubt_of_another_environment_keeps_doubts_open() {
    let account = Account::start();
    let project = sharing(&account);
    account.next(&[Create::Nothing, Create::Lost]);
    declare(&project, "prod", EXCLUSIVE, &["prod-a", "c"]);
    apply(&project, "prod", "").exits(3).done_with("1 in doubt");
    declare(&project, "dev", PLAIN, &["dev-a", "d"]);
    apply(&project, "dev", "").exits(3).done_with("1 in doubt");
    let id = account.newest();
    let run = apply(&project, "prod", " --settle-after 0s").exits(3);
    run.warns("`d` of environment `dev` is in doubt too").done_with("1 in doubt");
    assert!(!list(&project, "prod").contains(&id));
    // A state that cannot be read may hold anything.
    fs::write(project.path("s-dev/journal.jsonl"), "nonsense\n").unwrap();
    let run = apply(&project, "prod", " --settle-after 0s").exits(3);
    run.warns("environment `dev`").done_with("1 in doubt");
    assert_eq!(account.creates(), 4);
}

/// As within one state.
#[test]
fn p1_what_a_doubt_of_another_environment_may_have_created_is_not_taken_in() {
    let account = Account::start();
    let project = sharing(&account);
    account.next(&[Create::Lost]);
    declare(&project, "dev", PLAIN, &["dev-a", "d"]);
    apply(&project, "dev", "").exits(3).done_with("1 in doubt");
    let id = account.newest();
    let told = format!("`d` of environment `dev` is in doubt, and {id} is new since");
    project.run(&format!("import x --id {id} --env prod")).exits(6).warns(&told).done_with("--env dev doubts --refresh");
    let found = project.run("import --discover --env prod").exits(0).prints("instances: []");
    found.prints(&format!("# {id} is left out")).done();
    let entry = format!("{}import: [{{name: x, id: '{id}', type: whatsapp}}]\n", manifest(PLAIN, &["prod-a", "x"]));
    project.write("prod.yaml", entry);
    apply(&project, "prod", "").exits(6).done_with(&told);
    project.run("plan --env prod prod.yaml").warns(&told).done();
}

/// Two directories that change places in the file.
#[test]
fn p1_states_whose_places_are_swapped_create_nothing_again() {
    let account = Account::start();
    let project = sharing(&account);
    // Of other types, so that nothing looks like a rename.
    project.write("dev.yaml", "instances: [{name: dev-a, type: whatsapp}, {name: dev-b, type: whatsapp_dev}]\n");
    apply(&project, "dev", "").exits(0).done();
    let (right, creates) = (project.read("chatapi.yaml"), account.creates());
    let swapped = right.replace("s-dev, lock_file: dev", "X").replace("s-prod, lock_file: prod", "s-dev, lock_file: dev");
    project.write("chatapi.yaml", swapped.replace('X', "s-prod, lock_file: prod"));
    let told = "the state in s-prod is that of environment `prod`, and this is `dev`";
    let ci = project.call("apply --env dev dev.yaml --not-a-rename dev-a".split(' ')).env("CI", "true").run();
    ci.exits(1).warns(told).warns("nothing was sent").done_with("chatapi --env dev state rebind");
    for line in
        ["plan dev.yaml", "drift", "import x --id 7", "destroy prod-a -y --max-deletes 1", "token get prod-a", "release prod-a"]
    {
        project.run(&format!("{line} --env dev")).done_with(told);
    }
    project.run("destroy prod-a -y --max-deletes 1 --env dev").exits(1).done_with(told);
    assert_eq!(account.creates(), creates);
    project.write("chatapi.yaml", right);
    apply(&project, "dev", "").exits(0).prints("Nothing to do").done();
}

/// On the emulator nothing costs money, and what belongs to another environment is as wrong.
#[test]
fn p1_states_of_the_emulator_whose_places_are_swapped_are_told_apart() {
    let project = Project::new("");
    let environments = "environments: {one: {gateway: emulator}, two: {gateway: emulator}}\n";
    project.write("chatapi.yaml", environments);
    for name in ["one", "two"] {
        project.declare(&manifest("{kind: emulator}", &[name]));
        project.run(&format!("apply --env {name}")).exits(0).done();
    }
    let swapped = "environments: {one: {gateway: emulator, state: state/two, lock_file: chatapi.two.lock}, \
                   two: {gateway: emulator, state: state/one, lock_file: chatapi.one.lock}}\n";
    project.write("chatapi.yaml", swapped);
    let told = "the state in state/one is that of environment `one`, and this is `two`";
    for line in ["apply", "drift", "destroy one -y --max-deletes 1", "token get one", "status"] {
        project.run(&format!("{line} --env two")).exits(1).done_with(told);
    }
    // One that is renamed on purpose, without a server to be asked.
    project.write("chatapi.yaml", "environments: {uno: {gateway: emulator, state: state/one, lock_file: chatapi.one.lock}}\n");
    project.declare(&manifest("{kind: emulator}", &["one"]));
    project.run("apply --env uno").exits(1).done_with("`chatapi --env uno state rebind`");
    project.run("state rebind --env uno").exits(0).prints("that of environment `uno` from now on").done();
    project.run("state rebind --env uno").exits(0).prints("that of environment `uno` already").done();
    project.run("apply --env uno").exits(0).prints("Nothing to do").done();
    project.run("state verify --env uno").exits(0).done();
}

/// One that was begun before there were environments belongs to the first that uses it, and works without any.
#[test]
fn a_state_of_the_emulator_from_before_becomes_an_environments() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0).done();
    project.write("chatapi.yaml", "environments: {dev: {state: state, lock_file: chatapi.lock}}\n");
    for line in ["apply --env dev", "apply --state state", "state list --env dev"] {
        project.run(line).exits(0).done();
    }
    project.write("chatapi.yaml", "environments: {other: {state: state, lock_file: chatapi.lock}}\n");
    project.run("apply --env other").exits(1).done_with("is that of environment `dev`, and this is `other`");
}

/// An environment that is renamed on purpose; and a state from before there were names in it.
#[test]
fn a_state_gets_the_name_of_its_environment_and_another_one_when_that_is_meant() {
    let account = Account::start();
    let project = Project::at(&account.url(), &["a"]);
    project.run("apply").exits(0).done();
    project.write("chatapi.yaml", "environments: {prod: {state: state, lock_file: chatapi.lock}}\n");
    project.run("apply --env prod").exits(0).prints("Nothing to do").done();
    assert!(project.read("state/journal.jsonl").contains("\"environment\":\"prod\""));
    let written = project.read("state/journal.jsonl");
    project.run("apply --env prod").exits(0).prints("Nothing to do").done();
    project.run("apply --state state").exits(0).prints("Nothing to do").done();
    assert_eq!(project.read("state/journal.jsonl"), written, "once");
    project.write("chatapi.yaml", "environments: {live: {state: state, lock_file: chatapi.lock}}\n");
    project.run("apply --env live").exits(1).done_with("the state in state is that of environment `prod`, and this is `live`");
    project.run("state rebind --env live").exits(0).done_with("environment `live`");
    project.run("apply --env live").exits(0).prints("Nothing to do").done();
    project.run("state compact --env live").exits(0).done();
    project.run("state verify --env live").exits(0).done();
    project.write("chatapi.yaml", "environments: {prod: {state: state, lock_file: chatapi.lock}}\n");
    project.run("apply --env prod").exits(1).done_with("is that of environment `live`");
    assert_eq!(account.creates(), 1);
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// A copy of a state is not another environment's.
#[test]
fn p1_two_environments_with_one_state_do_nothing() {
    let account = Account::start();
    let project = sharing(&account);
    let environments =
        project.read("chatapi.yaml") + "  staging: {state: s-staging, lock_file: staging.lock, same_account_as: [dev, prod]}\n";
    project.write("chatapi.yaml", environments);
    copy(&project.path("s-prod"), &project.path("s-staging"));
    declare(&project, "staging", PLAIN, &["prod-a"]);
    declare(&project, "prod", PLAIN, &["prod-a", "new"]);
    for (line, name) in [
        ("destroy prod-a -y --max-deletes 1", "staging"),
        ("destroy prod-a -y --max-deletes 1", "prod"),
        ("apply prod.yaml", "prod"),
        ("apply staging.yaml", "staging"),
        ("import x --id 80001", "staging"),
        ("release prod-a", "staging"),
    ] {
        let run = project.run(&format!("{line} --env {name}")).exits(6).warns("nothing was sent");
        let other = if name == "prod" { "staging" } else { "prod" };
        run.done_with(&format!("the states of `{name}` and `{other}` are one: a copy"));
    }
    // The third one is not concerned.
    apply(&project, "dev", "").exits(0).done();
    fs::remove_dir_all(project.path("s-staging")).unwrap();
    apply(&project, "prod", "").exits(0).done();
}

/// A state that cannot be read may have what is to be taken in.
#[test]
fn p9_nothing_is_taken_in_beside_a_state_that_cannot_be_read() {
    let account = Account::start();
    let project = sharing(&account);
    let id = account.foreign("whatsapp");
    fs::write(project.path("s-dev/journal.jsonl"), "nonsense\n").unwrap();
    fs::remove_dir_all(project.path("s-dev/index")).unwrap();
    let run = project.run(&format!("import x --id {id} --env prod")).exits(6);
    let run = run.warns(&format!("whether environment `dev` has {id} is not known: its state cannot be read"));
    run.warns("nothing was changed").done_with("chatapi --env dev state verify");
    assert!(!list(&project, "prod").contains(&id));
}

/// Nor does a hand-over go on.
#[test]
fn p9_nothing_is_managed_again_beside_a_state_that_cannot_be_read() {
    let account = Account::start();
    let project = sharing(&account);
    project.run("--env prod release prod-a").exits(0).done();
    fs::write(project.path("s-dev/journal.jsonl"), "nonsense\n").unwrap();
    fs::remove_dir_all(project.path("s-dev/index")).unwrap();
    project.run("--env prod release --undo prod-a").exits(6).done_with("its state cannot be read");
}

/// In CI, the states of two environments may never stand side by side; their lock files do.
#[test]
fn p1_a_lock_file_speaks_for_a_state_that_is_elsewhere() {
    let account = Account::start();
    let (project, id) = doubtful_beside(&account);
    fs::rename(project.path("s-dev"), project.path("elsewhere")).unwrap();
    let run = apply(&project, "prod", " --settle-after 0s").exits(3);
    run.warns(&format!("{id}, which environment `dev` (as `d`) has")).done_with("1 in doubt");
    project.run(&format!("import x --id {id} --env prod")).exits(6).done_with("belongs to environment `dev`");
    assert!(!list(&project, "prod").contains(&id));
}
