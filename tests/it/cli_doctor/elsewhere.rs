//! `chatapi doctor` where the state, the manifests or a key are elsewhere than it looks first: what it says agrees with itself, and
//! what it says to type works.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::pipelines::HOSTED;
use super::{examined, of, workflow};
use crate::stage::{Gateway, Project, manifest};

/// The message of the first check of that name, and its hint.
fn said(document: &Value, id: &str) -> (String, String) {
    let checks = document["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {document:#}"));
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("message"), text("hint"))
}

/// A repository whose pipeline keeps its state in `kept/state`, and has its manifests in `team`.
fn kept_elsewhere() -> Project {
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    let text = HOSTED.replace("jobs:", "env: {CHATAPI_STATE: kept/state}\njobs:").replace("instances.yaml", "team/");
    workflow(&project, "apply.yml", text);
    project
}

#[test]
fn a_state_that_the_pipelines_keep_is_begun_nowhere_else() {
    let project = kept_elsewhere();
    fs::remove_file(project.path("instances.yaml")).unwrap();
    let document = examined(&project);
    assert_eq!((of(&document, "manifest"), of(&document, "state")), (vec!["skipped"], vec!["skipped"]));
    assert!(!document.to_string().contains("init`"), "one line says to begin none: {document:#}");
    assert!(said(&document, "manifest").1.contains("chatapi doctor FILE"), "{document:#}");

    // Begun all the same: it is not the one that counts.
    project.run("init --no-schema").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    let document = examined(&project);
    assert_eq!(of(&document, "state"), ["warning"], "{document:#}");
    let (message, hint) = said(&document, "state");
    assert!(message.contains("records 0 names, but the pipelines have theirs in `kept/state`"), "{message}");
    assert!(hint.contains("`chatapi --state kept/state doctor`"), "{hint}");
    let theirs = project.run("--state kept/state doctor --json").json();
    assert!(!theirs.to_string().contains("the pipelines have theirs"), "{theirs:#}");

    // One that the emulator made on this machine is nobody's money.
    let tried = kept_elsewhere();
    tried.declare(&manifest("{kind: emulator}", &["a"]));
    tried.run("apply").exits(0).done();
    let document = examined(&tried);
    assert_eq!(of(&document, "state"), ["ok"]);
    assert!(said(&document, "state").0.contains("the pipelines have theirs in `kept/state`"), "{document:#}");
}

#[test]
fn manifests_that_a_workflow_applies_are_found_by_it() {
    let project = kept_elsewhere();
    fs::create_dir(project.path("team")).unwrap();
    project.write("team/all.yaml", manifest("{kind: chatapi}", &["b", "c"]));
    assert_eq!(said(&examined(&project), "manifest").0, "1 instance declared, on a real server", "the usual one is there");
    fs::remove_file(project.path("instances.yaml")).unwrap();
    let document = examined(&project);
    let expected = "2 instances declared, on a real server: team, by .github/workflows/apply.yml";
    assert_eq!((of(&document, "manifest"), said(&document, "manifest").0.as_str()), (vec!["ok"], expected));
    // What was typed is not replaced by another.
    let typed = project.run("doctor no-such-file.yaml --json").json();
    assert_eq!(of(&typed, "manifest"), ["skipped"]);
    project.write("team/all.yaml", "instances: [");
    assert_eq!(of(&examined(&project), "manifest"), ["error"]);

    // The recipes apply a saved plan: what it was made of counts. Nothing outside of the work tree is read.
    for (run, status) in [
        ("exec chatapi plan --out p.json --lock-file kept/l team/all.yaml\n      - run: exec chatapi apply p.json", "error"),
        ("exec chatapi --state team apply", "skipped"),
        ("exec chatapi apply ../", "skipped"),
        ("exec chatapi apply p.json", "skipped"),
    ] {
        workflow(&project, "apply.yml", HOSTED.replace("exec chatapi apply instances.yaml", run));
        assert_eq!(of(&examined(&project), "manifest"), [status], "{run}");
    }
}

#[test]
fn a_key_that_is_there_is_shown_and_not_made_again() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let home = project.path("home");
    fs::create_dir_all(&home).unwrap();
    let project = project.with("HOME", home);
    // Each as it is typed, by a shell.
    let typed = |hint: &str| {
        let command = hint.split('`').nth(1).unwrap().to_owned();
        let words = command.strip_prefix("chatapi ").unwrap().replace("~/", "home/");
        project.run(&words).exits(0).stdout
    };
    let hint = said(&examined(&project), "sealing").1;
    assert!(hint.starts_with("`chatapi key generate --output ~/.config/chatapi/key.txt` makes a key"), "{hint}");
    let warned = project.run("apply").exits(0);
    assert!(warned.stderr.contains("`chatapi key generate --output ~/.config/chatapi/key.txt` makes a key"), "{warned}");
    let public = typed(&hint);

    let hint = said(&examined(&project), "sealing").1;
    assert!(hint.starts_with("`chatapi key show --identity ~/.config/chatapi/key.txt`"), "{hint}");
    assert_eq!(typed(&hint).trim(), public.lines().next_back().unwrap().trim());
}

#[test]
fn a_state_in_a_place_that_goes_is_moved_by_what_is_said() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let temporary = project.path("temp");
    let place = |project: &Project| {
        let run = project.call(["--state", "temp/state", "doctor", "--json"]).env("RUNNER_TEMP", &temporary).run();
        let document = run.json();
        let checks = document["checks"].as_array().unwrap().iter();
        let mut found = checks.filter(|check| check["id"] == "state-place");
        found.next_back().unwrap()["hint"].as_str().unwrap().to_owned()
    };
    assert!(place(&project).contains("`chatapi --state /srv/chatapi/state init`"), "nothing is there yet");
    project.run("--state temp/state apply").exits(0).done();
    let hint = place(&project);
    assert!(!hint.contains("init"), "{hint}");
    // As typed, but for the place, which tests may not write to.
    let command = hint.split('`').nth(1).unwrap().replace("/srv/chatapi", "srv/chatapi");
    assert_eq!(command, "mkdir -p srv/chatapi && mv temp/state srv/chatapi/state");
    assert!(Command::new("sh").args(["-c", &command]).current_dir(project.dir()).status().unwrap().success());
    let hint = place(&project);
    assert!(!hint.contains("init") && !hint.contains("mv "), "a lock file tells of one that is not here: {hint}");
    assert!(project.run("--state elsewhere init").exits(8).stderr.contains("the state is missing"));
    project.run("--state srv/chatapi/state apply").exits(0).done();
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn p11_credentials_that_git_would_take_are_told() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]).with("PATH", std::env::var_os("PATH").unwrap_or_default());
    let git = |words: &[&str]| {
        Command::new("git").args(words).current_dir(project.dir()).output().is_ok_and(|output| output.status.success())
    };
    if !git(&["init", "--quiet"]) {
        eprintln!("skipped: git is not installed");
        return;
    }
    assert_eq!(of(&examined(&project), "outputs"), [""; 0], "none are written");
    project.run("apply --write-outputs dotenv=.env --write-outputs json=../outside.json").exits(0).done();
    fs::remove_file(project.path("../outside.json")).unwrap();
    let document = examined(&project);
    assert_eq!(of(&document, "outputs"), ["warning"], "one is in the work tree: {document:#}");
    assert_eq!(said(&document, "outputs").1, "`echo .env >> .gitignore`");
    let token = project.token("a");
    assert!(!document.to_string().contains(&token), "a token is shown");
    assert!(git(&["add", ".env"]));
    assert_eq!(of(&examined(&project), "outputs"), ["error"], "it is in git");
    assert!(git(&["rm", "--quiet", "--cached", ".env"]));
    project.write(".gitignore", ".env\n");
    assert_eq!(of(&examined(&project), "outputs"), ["ok"]);

    // Those of a pipeline, though nothing was delivered here.
    let words = "apply --write-outputs k8s-secret=secret.yaml --write-outputs=dotenv=$RUNNER_TEMP/x";
    workflow(&project, "apply.yml", HOSTED.replace("exec chatapi apply", &format!("cd deploy; exec chatapi {words}")));
    fs::create_dir(project.path("deploy")).unwrap();
    let document = examined(&project);
    assert_eq!(of(&document, "outputs"), ["warning"], "{document:#}");
    let (message, hint) = said(&document, "outputs");
    assert!(message.starts_with("deploy/secret.yaml is not ignored"), "{message}");
    assert_eq!(hint, "`echo secret.yaml >> deploy/.gitignore`");
}

/// What is to be typed next is for the environment that was looked at; where its state is kept is said in its file, and by no flag.
#[test]
fn what_is_told_of_an_environment_is_for_that_environment() {
    let project = Project::new("variables: {region: {type: text}}\ninstances: [{name: 'a-{var.region}', type: no-such}]\n");
    project.write("vars.yaml", "region: eu\n");
    project.write("chatapi.yaml", "environments: {prod: {var_files: [vars.yaml], state: temp/state}}\n");
    let temporary = project.path("temp");
    let look = || project.call(["doctor", "--env", "prod", "--json"]).env("RUNNER_TEMP", &temporary).run().json();
    let document = look();
    assert_eq!(said(&document, "manifest").1, "`chatapi --env prod validate` shows each with its place");
    let place = said(&document, "state-place").1;
    assert!(place.contains("`state: /srv/chatapi/prod` under `prod` in chatapi.yaml; then `chatapi --env prod init`"), "{place}");
    project.declare(&manifest("{kind: emulator}", &["a"]));
    project.write("chatapi.yaml", "environments: {prod: {state: temp/state}}\n");
    project.run("apply --env prod").exits(0).done();
    let place = said(&look(), "state-place").1;
    assert!(place.ends_with("then `state: /srv/chatapi/prod` under `prod` in chatapi.yaml"), "{place}");
    let text = look().to_string();
    for wrong in ["--state", "CHATAPI_STATE", "`chatapi apply`", "exec chatapi apply"] {
        assert!(!text.replace("runs `chatapi apply`", "").contains(wrong), "{wrong}: {text}");
    }
}
