//! No output takes the place of what must outlive it: the state, lock files, manifests, plans and keys.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::stage::{Gateway, Project, manifest};

/// A project with a state, a folder with a manifest, a saved plan, and keys.
fn project(gateway: &Gateway) -> Project {
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    fs::create_dir(project.path("folder")).unwrap();
    fs::create_dir(project.path("x")).unwrap();
    project.write("folder/more.yaml", manifest("{kind: chatapi}", &["a", "b"]));
    symlink("state", project.path("link")).unwrap();
    project.run("plan --out plan.json folder").exits(0).done();
    let _ = project.run("key generate --output key.txt").exits(0);
    fs::copy(project.path("key.txt"), project.path("api.txt")).unwrap();
    project
}

/// Every file but the index, and the one that says who held the lock last.
fn bytes(project: &Project) -> BTreeMap<PathBuf, Vec<u8>> {
    let is_named = |path: &Path, name: &str| path.components().any(|part| part.as_os_str() == name);
    let is_kept = |path: &PathBuf| !is_named(path, "lock") && !is_named(path, "index");
    Project::files(project.dir()).into_iter().filter(|(path, _)| is_kept(path)).collect()
}

#[test]
fn p3_p5_what_must_outlive_a_run_is_no_target() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let before = bytes(&project);
    let requests = gateway.requests();
    let targets = [
        "state/journal.jsonl",
        "x/../state/journal.jsonl",
        "link/journal.jsonl",
        "state/new",
        "chatapi.lock",
        "folder/chatapi.lock",
        "folder/more.yaml",
        "x/../folder/new.yaml",
        "key.txt",
        "api.txt",
    ];
    for target in targets {
        for line in [
            format!("apply --identity key.txt --write-outputs json={target} folder"),
            format!("apply --identity key.txt --json-into {target} folder"),
            format!("apply --identity key.txt --markdown-into {target} folder"),
        ] {
            let _ = project.call(line.split(' ')).env("CHATAPI_IDENTITY_FILE", "api.txt").run().exits(1).warns(target);
        }
    }
    for target in targets[..5].iter().chain(&["instances.yaml"]) {
        for line in [format!("output --out {target}"), format!("schema --out {target}")] {
            let _ = project.run(&line).exits(1).warns("nothing is written to");
        }
    }
    let _ = project.run("output --reveal --identity key.txt --out key.txt").exits(1).warns("nothing is written to key.txt");
    for line in [
        "apply --json-into plan.json plan.json",
        "apply --write-outputs json=plan.json plan.json",
        "apply --junit-into folder/more.yaml plan.json",
        "plan --out new.json --json-into new.json folder",
        "apply --write-outputs dotenv=.env --json-into .env folder",
        "apply --write-outputs dotenv=.env --write-outputs json=x/../.env folder",
        "apply --write-outputs dotenv=/dev/full folder",
        "apply --write-outputs json=/dev/stdout folder",
        "apply --write-outputs json=- folder",
        "apply --write-outputs yaml=instances.yaml folder",
    ] {
        let _ = project.run(line).exits(1);
    }
    let after = bytes(&project);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    let changed: Vec<_> = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).map(|(path, _)| path).collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(gateway.requests(), requests, "nothing was sent");
    project.run("state verify").exits(0).done();
}

/// A saved plan goes to no place that is somebody else's, an output to no plan, no template and no file of the CI system.
#[test]
fn p3_p11_plans_and_outputs_take_the_place_of_nothing_that_is_used() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    project.write("template", "{{ instances | length }}");
    project.write("runner", "KEEP=me\n");
    let before = bytes(&project);
    for place in ["state/outputs.json", "state/history", "state/journal.jsonl.new", "chatapi.lock", "folder/more.yaml", "key.txt"]
    {
        let run = project.call(["plan", "--out", place]).env("CHATAPI_IDENTITY_FILE", "key.txt").run().exits(1);
        let _ = run.warns(&format!("the plan cannot go to {place}"));
    }
    let _ = project.run("output --format json --out plan.json").exits(1).warns("a saved plan is there");
    let _ = project.run("output --template template --out template").exits(1).warns("nothing is written to template");
    for variable in ["GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
        for line in ["apply --ci-reports never --write-outputs github-env=runner", "output --format github-env --out runner"] {
            let _ = project.call(line.split(' ')).env(variable, "runner").run().exits(1).warns("it is the CI system's");
        }
    }
    assert_eq!(bytes(&project), before);
    project.run("plan --out plan.json").exits(0).done();
}

/// The list of what is owed has no seal: what it names is looked at again.
#[test]
fn p11_a_list_of_owed_outputs_leads_nowhere_that_matters() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    for target in ["state/journal.jsonl", "chatapi.lock"] {
        let path = project.path(target);
        let owed = serde_json::json!({"version": 1, "outputs": {path.to_str().unwrap(): {"format": "json"}}});
        project.write("state/outputs.json", owed.to_string());
        let before = project.read(target);
        let _ = project.run("output --retry").exits(1).warns("cannot be written");
        assert_eq!(project.read(target), before);
    }
}

/// What a job's next step is told is how the run ends, a report that could not be written included.
#[test]
fn p8_the_exit_code_that_is_told_is_the_one_that_counts() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("told", "");
    let told = project.path("told");
    let call =
        project.call(["apply", "--init", "--json-into", "/dev/full"]).env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &told);
    let _ = call.run().exits(4);
    assert!(project.read("told").contains("\n4\n") || project.read("told").contains("exit_code=4\n"), "{}", project.read("told"));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let call = project.call(["plan", "--detailed-exitcode", "--format", "json"]).stdout_to(full);
    let _ = call.run().exits(1);
}

/// A plan for another server than the state's is none.
#[test]
fn a_plan_says_that_the_state_belongs_elsewhere() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    let _ = project.run("plan").exits(0).warns("an apply will stop").warns("the state belongs to emulator");
    let _ = project.run("plan --out plan.json").exits(1).warns("the plan was not saved");
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let elsewhere = project.call(["plan"]).env("CHATAPI_URL", "https://other.example/").run();
    let _ = elsewhere.exits(0).warns("an apply will stop").warns("not to https://other.example");
    let same = project.run("plan").exits(0);
    assert!(!same.stderr.contains("will stop"), "{same}");
    let unsaid = project.call(["plan"]).without("CHATAPI_URL").run().exits(0);
    assert!(!unsaid.stderr.contains("will stop"), "{unsaid}");
}
