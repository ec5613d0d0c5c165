//! `chatapi doctor` in made-up repositories, good and bad. It looks (P12), and shows no secret (P11).

mod elsewhere;
mod guards;
mod pipelines;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use pipelines::{HOSTED, found};
use serde_json::Value;

use crate::stage::{Gateway, KEY, Project, manifest, snapshot};

const BAD_WORKFLOW: &str = "\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/cache@v4
        with:
          path: |
            ~/.cargo
            ./state/
          key: state
      - run: cargo install chatapi
      - run: |
          chatapi apply instances.yaml
          echo done
";

/// The statuses of one check, from the document.
fn of<'d>(document: &'d Value, id: &str) -> Vec<&'d str> {
    let checks = document["checks"].as_array().unwrap().iter().filter(|check| check["id"] == id);
    checks.map(|check| check["status"].as_str().unwrap()).collect()
}

fn examined(project: &Project) -> Value {
    let run = project.run("doctor --format json");
    let document = run.json();
    let has_error = document["summary"]["error"] != 0;
    assert_eq!(run.code, i32::from(has_error), "{run}");
    assert_eq!(document["format_version"], "1.0");
    let checks = document["checks"].as_array().unwrap();
    for status in ["ok", "unsure", "warning", "error", "skipped"] {
        let count = checks.iter().filter(|check| check["status"] == status).count();
        assert_eq!(document["summary"][status], count, "{status}");
    }
    for check in checks.iter().filter(|check| !["ok", "skipped"].contains(&check["status"].as_str().unwrap())) {
        assert!(check["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "no next step: {check}");
    }
    document
}

fn workflow(project: &Project, name: &str, text: impl AsRef<[u8]>) {
    fs::create_dir_all(project.path(".github/workflows")).unwrap();
    project.write(&format!(".github/workflows/{name}"), text);
}

#[test]
fn p13_strange_files_are_skipped_with_a_note() {
    let lines = (1..12).map(|i| format!("b{i}: &b{i} [{}]\n", vec![format!("*b{}", i - 1); 8].join(", ")));
    let bomb = lines.fold("b0: &b0 [x]\n".to_owned(), |bomb, line| bomb + &line);
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let strange: [(&str, &[u8]); 6] = [
        ("a.yml", b"jobs: ["),
        ("b.yml", b"\xff\xfe\x00"),
        ("c.yml", bomb.as_bytes()),
        ("d.yml", b""),
        ("e.yml", b"- jobs"),
        ("f.yml", &vec![b' '; (1 << 20) + 10]),
    ];
    for (name, text) in strange {
        workflow(&project, name, text);
    }
    fs::create_dir(project.path(".github/workflows/g.yml")).unwrap();
    workflow(&project, "h.yml", "jobs:\n  \"x\\n::error::y\":\n    steps: [{run: chatapi apply}]\n");
    let document = examined(&project);
    assert_eq!(of(&document, "pipelines").iter().filter(|status| **status == "unsure").count(), 7, "{document:#}");
    let text = project.run("doctor").stdout;
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "no command of a CI system: {text}");
}

#[test]
fn p12_it_changes_nothing_and_needs_neither_key_nor_network() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    let is_database = |path: &std::path::Path| path.ends_with("index/db");
    let files = || Project::files(project.dir()).into_iter().filter(|(path, _)| !is_database(path)).collect::<Vec<_>>();
    let (before, requests) = (files(), gateway.requests());
    for line in ["doctor", "doctor --format json", "doctor -", "doctor no-such-file.yaml"] {
        let run = project.call(line.split(' ')).without("CHATAPI_API_KEY").without("CHATAPI_URL").run();
        assert!(run.code <= 1 && run.stderr.is_empty(), "{run}");
    }
    assert_eq!(gateway.requests(), requests);
    assert!(files() == before, "something was written");
}

#[test]
fn p11_tokens_in_the_clear_are_told_and_not_shown() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let run = project.run("doctor");
    for secret in [KEY.to_owned(), project.token("a")] {
        assert!(!run.to_string().contains(&secret), "a secret is shown");
    }
    assert_eq!(of(&examined(&project), "sealing"), ["warning"]);
    let sealed = Project::at(&gateway.url(), &["b"]);
    let public = sealed.run("key generate --output key.txt").exits(0).stdout;
    let sealed = sealed.with("CHATAPI_SEAL_TO", public.trim());
    assert_eq!(of(&examined(&sealed), "sealing"), ["ok"], "will be");
    sealed.run("apply").exits(0).done();
    assert_eq!(of(&examined(&sealed), "sealing"), ["ok"], "is");
}

#[test]
fn the_state_and_its_lock_file_are_looked_at() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let document = examined(&project);
    assert_eq!((of(&document, "state"), of(&document, "lock-file")), (vec!["skipped"], vec!["skipped"]));
    project.run("apply").exits(0).done();
    let document = examined(&project);
    assert_eq!((of(&document, "state"), of(&document, "lock-file")), (vec!["ok"], vec!["ok"]));
    let lock = project.read("chatapi.lock");
    fs::remove_file(project.lock_file()).unwrap();
    assert_eq!(of(&examined(&project), "lock-file"), ["warning"], "nothing of it costs money");
    project.write("chatapi.lock", "{");
    assert_eq!(of(&examined(&project), "lock-file"), ["error"]);
    project.write("chatapi.lock", &lock);
    let copy = project.copy_of_state();
    fs::remove_file(project.state().join("journal.jsonl")).unwrap();
    fs::remove_dir_all(project.state().join("index")).unwrap();
    assert_eq!(of(&examined(&project), "state"), ["error"], "lost");
    project.restore(&copy);
    let mut journal = fs::read(project.state().join("journal.jsonl")).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    fs::write(project.state().join("journal.jsonl"), journal).unwrap();
    assert_eq!(of(&examined(&project), "state"), ["error"], "damaged");
    project.declare("instances: [");
    assert_eq!(of(&examined(&project), "manifest"), ["error"]);
}

#[test]
fn files_that_others_can_read_and_addresses_that_are_not_safe_are_told() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    project.write("key", KEY);
    let project = {
        let key = project.path("key");
        project.with("CHATAPI_API_KEY_FILE", key)
    };
    for (mode, expected) in [(0o600, "ok"), (0o640, "warning"), (0o644, "error")] {
        fs::set_permissions(project.path("key"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(of(&examined(&project), "permissions"), [expected], "{mode:o}");
    }
    fs::set_permissions(project.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    for (url, expected) in
        [("https://gateway.example/", "ok"), ("http://127.0.0.1:1/", "ok"), ("http://gateway.example/", "error"), ("x", "error")]
    {
        let run = project.call(["doctor", "--json"]).env("CHATAPI_URL", url).run();
        assert_eq!(of(&run.json(), "url"), [expected], "{url}");
    }
    let run = project.call(["doctor", "--json"]).without("CHATAPI_URL").run();
    assert_eq!(of(&run.json(), "url"), ["skipped"]);
}

#[test]
fn caches_and_temporary_places_are_told_and_another_schema_too() {
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    let temporary = project.path("temp");
    for (state, env, expected) in [("temp/state", "RUNNER_TEMP", "error"), ("home/.cache/chatapi", "X", "error")] {
        let run = project.call(["--state", state, "doctor", "--json"]).env(env, &temporary).run().exits(1);
        assert_eq!(of(&run.json(), "state-place").last(), Some(&expected), "{run}");
        assert!(run.stdout.contains(if env == "X" { "caches are emptied" } else { "the runner empties it" }), "{run}");
    }
    assert_eq!(of(&examined(&project), "schema"), ["skipped"]);
    project.run("schema --out chatapi.schema.json").exits(0).done();
    assert_eq!(of(&examined(&project), "schema"), ["ok"]);
    project.write("chatapi.schema.json", "{}");
    assert_eq!(of(&examined(&project), "schema"), ["warning"]);
}

#[test]
fn git_is_asked_where_it_is_installed() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]).with("PATH", std::env::var_os("PATH").unwrap_or_default());
    let git = |words: &[&str]| {
        Command::new("git").args(words).current_dir(project.dir()).output().is_ok_and(|output| output.status.success())
    };
    assert_eq!(of(&examined(&project), "git"), ["skipped"], "no work tree");
    if !git(&["init", "--quiet"]) {
        eprintln!("skipped: git is not installed");
        return;
    }
    project.run("apply").exits(0).done();
    let seen = |why: &str, lock: &str, state: &str| {
        let document = examined(&project);
        assert_eq!((of(&document, "lock-file"), of(&document, "git")), (vec![lock], vec![state]), "{why}: {document:#}");
    };
    seen("the lock file is not added, the state ignores itself", "warning", "ok");
    assert!(git(&["add", "chatapi.lock"]));
    seen("added", "ok", "ok");
    fs::remove_file(project.state().join(".gitignore")).unwrap();
    seen("tokens would be committed", "ok", "error");
    assert!(git(&["add", "state"]));
    seen("tokens are committed", "ok", "error");
    assert!(git(&["rm", "-r", "--quiet", "--cached", "."]));
    project.write(".gitignore", "chatapi.lock\nstate/\n");
    seen("the lock file is ignored", "error", "ok");
    let run = project.call(["doctor", "--json"]).env("PATH", "/nonexistent").run();
    assert_eq!(of(&run.json(), "git"), ["skipped"], "no git: {run}");
}

#[test]
fn its_text_is_aligned_and_says_what_to_type() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    workflow(&project, "apply.yml", BAD_WORKFLOW);
    let text = project.run("doctor").exits(0).stdout;
    // Where the tests' directory is differs from machine to machine.
    let mut is_place = false;
    let steady = text.lines().filter(|line| {
        is_place = line.contains("state-place") || (is_place && line.contains("hint:"));
        !is_place && !line.starts_with("Doctor:")
    });
    snapshot("doctor-bad.txt", &steady.map(|line| line.to_owned() + "\n").collect::<String>());
    assert!(text.lines().last().unwrap().starts_with("Doctor: 0 errors, "), "{text}");
    let coloured = project.call(["doctor", "--color", "always"]).coloured().run().exits(0);
    assert!(coloured.stdout.contains("\u{1b}[35mwarning"), "{coloured}");
    let hints: Vec<_> = coloured.stdout.lines().filter(|line| line.contains("hint:")).collect();
    assert!(hints.len() > 3 && !hints.iter().any(|line| line.contains('\u{1b}')), "what to type is as bright as the rest");
}

#[test]
fn an_emulator_in_a_pipeline_is_no_server() {
    found("github", HOSTED, "target", &["ok"], "a server");
    for url in ["http://127.0.0.1:8080", "http://localhost:1/", "http://[::1]:9"] {
        let text = HOSTED.replace("jobs:", &format!("env: {{CHATAPI_URL: \"{url}\"}}\njobs:"));
        found("github", &text, "target", &["warning"], url);
    }
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    workflow(&project, "apply.yml", HOSTED);
    assert_eq!(of(&examined(&project), "target"), ["warning"], "by the manifest");
    // What is said of its tokens is the same before and after.
    let sealing = |project: &Project| {
        let document = examined(project);
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == "sealing").unwrap().clone()
    };
    let before = sealing(&project);
    assert_eq!(before["status"], "skipped");
    project.run("apply").exits(0).done();
    assert_eq!(sealing(&project), before);
    let run = project.call(["doctor", "--json"]).env("CI", "true").env("CHATAPI_URL", "http://127.0.0.1:1/").run();
    assert_eq!(of(&run.json(), "url"), ["warning"], "in a job");
}

/// A pipeline that looks at itself, on a machine that is thrown away.
#[test]
fn a_state_that_a_job_carries_away_is_not_told_to_move() {
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    workflow(&project, "apply.yml", HOSTED);
    let call = |project: &Project| {
        let call = project.call(["doctor", "--json"]).env("RUNNER_ENVIRONMENT", "github-hosted");
        call.env("GITHUB_WORKSPACE", project.dir()).run().json()
    };
    assert!(!call(&project).to_string().contains("a hosted runner is thrown away"), "state-kept is ok");
    workflow(&project, "apply.yml", HOSTED.replace("chatapi apply", "chatapi plan"));
    assert!(call(&project).to_string().contains("a hosted runner is thrown away"), "nobody knows who would");
}
