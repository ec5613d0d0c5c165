//! `--env`: several states from one directory, each with its gateway and values, that nobody can mix up.

mod accounts;
mod files;
mod keys;

use std::fs;
use std::os::unix::fs::symlink;

use crate::stage::{Gateway, KEY, Project, Run, manifest};

const MANIFEST: &str = "variables: {region: {type: text}}\ninstances:\n  - {name: 'shop-{var.region}', type: whatsapp}\n";
const OTHER_KEY: &str = "Other0key0of0another0account";

/// `dev` on the emulator, `staging` and `prod` at addresses.
fn project(staging: &str, prod: &str) -> Project {
    let project = Project::new(MANIFEST).with("CHATAPI_API_KEY", KEY);
    let text = format!(
        "version: 1\nenvironments:\n  dev: {{gateway: emulator, var_files: [vars/dev.yaml]}}\n  staging: {{gateway: '{staging}', \
         var_files: [vars/staging.yaml]}}\n  prod: {{gateway: '{prod}', state: kept/prod, var_files: [vars/prod.yaml]}}\n"
    );
    project.write("chatapi.yaml", text);
    fs::create_dir(project.path("vars")).unwrap();
    for name in ["dev", "staging", "prod"] {
        project.write(&format!("vars/{name}.yaml"), format!("region: {name}\n"));
    }
    project
}

#[test]
fn each_environment_has_a_state_a_lock_file_and_values_of_its_own() {
    let (staging, prod) = (Gateway::start(&[]), Gateway::start(&[]));
    let project = project(&staging.url(), &prod.url());
    project.run("apply --env dev").exits(0).prints("shop-dev").warns("environment dev: state in state/dev, on the emulator");
    let at = |env: &str, url: &str| {
        project.call(["apply", "--env", env]).env("CHATAPI_URL", url).env("CHATAPI_API_KEY", env.repeat(4))
    };
    at("staging", &staging.url()).run().exits(0).prints("shop-staging");
    at("prod", &prod.url()).run().exits(0).prints("shop-prod");
    assert_eq!((staging.creates(), prod.creates()), (1, 1));
    for file in ["state/dev/journal.jsonl", "state/staging/journal.jsonl", "kept/prod/journal.jsonl"] {
        assert!(project.path(file).exists(), "{file}");
    }
    for (env, name) in [("dev", "shop-dev"), ("staging", "shop-staging"), ("prod", "shop-prod")] {
        assert!(project.read(&format!("chatapi.{env}.lock")).contains(name));
        let listed = project.run(&format!("--env {env} state list --names")).exits(0);
        assert_eq!(listed.stdout.trim(), name);
    }
    assert!(!project.lock_file().exists());
    // A bound state knows its gateway: the file may say where it is from now on.
    let again = project.call(["apply", "--env", "prod"]).env("CHATAPI_API_KEY", "prod".repeat(4)).run();
    again.exits(0).prints("Nothing to do");
}

#[test]
fn p1_nothing_is_done_until_it_is_said_which_one_is_meant() {
    let prod = Gateway::start(&[]);
    let project = project("https://gateway.example/", &prod.url()).with("CHATAPI_URL", prod.url());
    for line in ["apply", "plan", "state list", "output", "doubts", "init", "destroy a", "doctor"] {
        let run = project.run(line).exits(1).warns("which environment is meant is not said").warns("dev, prod, staging");
        run.warns("--env NAME");
    }
    project.run("apply --env prd").exits(1).warns("`prd` is no environment of chatapi.yaml").warns("dev, prod, staging");
    let elsewhere = project.run("apply --env prod --state other").exits(1);
    elsewhere.warns("`prod` has its state in kept/prod, and `--state` or CHATAPI_STATE names other");
    assert!(!project.path("state").exists() && !project.path("other").exists());
    assert_eq!(prod.requests(), 0);
    // A default is said for everybody.
    project.write("chatapi.yaml", format!("default: dev\n{}", project.read("chatapi.yaml")));
    project.run("plan").exits(0).prints("shop-dev");
    // What names a state says which one is meant.
    project.run("--state other plan --var region=x").exits(0).prints("shop-x");
    project.run("validate --env prod").exits(0).prints("Valid: 1 instance");
    for free in ["version", "schema", "key show --help", "completions bash"] {
        project.run(free).exits(0).done();
    }
}

/// Whoever had one state before and declares environments does not create everything anew.
#[test]
fn p1_a_state_from_before_is_moved_and_not_begun_again() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").exits(0).done();
    project.write("chatapi.yaml", "environments: {prod: }\n");
    let run = project.run("apply --env prod").exits(6).warns("the key opens the account of the state in state");
    run.warns("`state: state` and `lock_file: chatapi.lock` under `prod`");
    project.write("chatapi.yaml", "environments: {prod: {state: state, lock_file: chatapi.lock}}\n");
    project.run("apply --env prod").exits(0).prints("Nothing to do");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn an_environment_brings_a_manifest_to_the_emulator_and_none_away_from_it() {
    let gateway = Gateway::start(&[]);
    let project = project("https://gateway.example/", &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.declare(&format!("provider: {{kind: chatapi}}\n{MANIFEST}"));
    project.run("apply --env dev").exits(0).prints("Apply: 1 created, 0 unchanged.");
    project.declare(&format!("provider: {{kind: emulator}}\n{MANIFEST}"));
    for verb in ["plan", "apply", "validate"] {
        let run = project
            .run(&format!("{verb} --env prod"))
            .exits(1)
            .warns("the manifest is for the emulator, and environment `prod` is on");
        run.warns("gateway: emulator");
    }
    assert_eq!(gateway.requests(), 0);
}

#[test]
fn a_saved_plan_is_of_its_environment() {
    let gateway = Gateway::start(&[]);
    let project = project("https://gateway.example/", &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env dev").exits(0).done();
    project.run("init --env prod").exits(0).done();
    project.run("plan --env prod --out plan.json").exits(0).done();
    project.run("apply plan.json").exits(1).warns("which environment is meant is not said");
    project.run("apply --env dev plan.json").exits(7).warns("hint");
    assert_eq!(gateway.creates(), 0);
    project.run("apply --env prod plan.json").exits(0).prints("Apply: 1 created, 0 unchanged.");
    project.run("apply --env prod plan.json").exits(7).warns("hint");
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn the_file_is_found_beside_the_manifest_and_hints_name_the_environment() {
    let project = Project::new("");
    fs::create_dir(project.path("team")).unwrap();
    project.write("team/chatapi.yaml", "environments: {dev: {gateway: emulator}}\n");
    project.write("team/instances.yaml", "instances: [{name: a, type: whatsapp}]\n");
    project.run("apply team/instances.yaml --env dev").exits(0).done();
    // A directory's manifests are not its environments.
    project.run("plan team --env dev").exits(0).prints("Nothing to do");
    assert!(project.path("team/state/dev/journal.jsonl").exists() && project.path("team/chatapi.dev.lock").exists());
    project.run("state list --env dev").exits(1).warns("there is no chatapi.yaml").warns("--environments FILE");
    let listed = project.run("state list --names --env dev --environments team/chatapi.yaml").exits(0);
    assert_eq!(listed.stdout, "a\n");
    let gone = project.run("token get b --env dev --environments team/chatapi.yaml").exits(1);
    gone.warns("chatapi --env dev --environments team/chatapi.yaml state list");
}

#[test]
fn a_wrong_file_is_told_with_its_place() {
    let project = Project::new(MANIFEST);
    project.write("chatapi.yaml", "environments:\n  dev: {gatway: emulator}\n");
    project.run("plan --env dev").exits(1).warns("chatapi.yaml:2:9").warns("did you mean `gateway`?");
    project.write("chatapi.yaml", "environments:\n  dev: {api_key: canary-0123456789}\n");
    let run = project.run("plan --env dev").exits(1).warns("a secret is never read from it");
    assert!(!run.stderr.contains("canary"), "{run}");
    project.write("chatapi.yaml", "environments:\n  dev: {gateway: 'ftp://x'}\n");
    project.run("plan --env dev").exits(1).warns("the gateway of `dev` in chatapi.yaml is not usable");
}

/// A command is typed as it is printed: without its environment it would be about another one's instances.
#[test]
fn every_command_that_is_told_names_the_environment() {
    let gateway = Gateway::start(&["create:nth=1=no-token", "create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}'}}, next: }}\n", gateway.url()));
    project.run("apply --env prod --parallelism 1").exits(3).done_or_doubtful();
    let mut told = Vec::new();
    for line in ["status", "status --format json", "plan", "qr a --print", "qr b --print", "doubts", "token get a"] {
        told.push((line, project.call(line.split(' ').chain(["--env", "prod"])).run()));
    }
    let settled = "resolutions: [{name: b, attempt: a-aaaaaaaaaa, created: '7'}]\n";
    project.declare(&(crate::stage::manifest("{kind: chatapi}", &["a", "b"]) + settled));
    told.push(("plan with a wrong entry", project.run("plan --env prod").exits(1)));
    for (line, run) in told {
        let text = format!("{}{}", run.stdout, run.stderr);
        let commands: Vec<&str> = text.split("chatapi ").skip(1).collect();
        assert!(!commands.is_empty(), "{line}: {run}");
        assert!(commands.iter().all(|rest| rest.starts_with("--env prod ")), "{line}: {run}");
    }
    let first = project.call(["apply", "--env", "next"]).env("CI", "true").run().exits(8);
    first.warns("`chatapi --env next apply --init …`");
}

/// The emulator numbers its instances anew in each state: its ids are nobody else's.
#[test]
fn ids_of_the_emulator_are_of_one_state() {
    let project = Project::new("");
    project.write("chatapi.yaml", "environments: {one: {gateway: emulator}, two: {gateway: emulator}}\n");
    let declared = "instances: [{name: a, type: whatsapp}]\n";
    project.declare(declared);
    for env in ["one", "two"] {
        project.run(&format!("apply --env {env}")).exits(0).done();
    }
    let listed = project.run("--env one state list --format json").exits(0).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    for line in ["release a", "state rm a"] {
        project.run(&format!("{line} --env one")).exits(0).done();
    }
    project.run("drift --env one").exits(0).prints("1 unknown").done();
    project.declare(&format!("{declared}import: [{{name: a, id: '{id}', type: whatsapp}}]\n"));
    project.run("apply --env one").exits(3).prints("1 imported").done_with("token set a");
}

/// CI systems set what nobody has defined to the empty text.
#[test]
fn an_empty_variable_names_nothing() {
    let prod = Gateway::start(&[]);
    let project = project("https://gateway.example/", &prod.url()).with("CHATAPI_URL", prod.url());
    let project = project.with("CHATAPI_ENV", "").with("CHATAPI_STATE", "").with("CHATAPI_ENVIRONMENTS", "");
    project.run("plan").exits(1).warns("which environment is meant is not said");
    project.run("plan --env prod").exits(0).prints("shop-prod");
    project.call(["plan"]).env("CHATAPI_ENV", "dev").run().exits(0).prints("shop-dev");
    fs::remove_file(project.path("chatapi.yaml")).unwrap();
    project.run("apply --var region=x").exits(0).prints("shop-x created");
    project.run("plan --env prod").exits(1).warns("there is no chatapi.yaml");
}
