//! The recipes as somebody reads them who may open a pull request and wants the secrets.

use serde_json::Value;

use super::BOTH;
use super::forge::{Kind, Repository};
use super::parts::{PUSH, executable, parsed, recipe};

/// All texts below `value`, with the key that each stands under.
fn texts(value: &Value, key: &str, into: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => into.push((key.to_owned(), text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, into)),
        Value::Object(members) => members.iter().for_each(|(key, value)| texts(value, key, into)),
        _ => {}
    }
}

fn under(value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    texts(value, "", &mut found);
    found
}

#[test]
fn p11_the_workflow_gives_a_pull_request_no_right_no_secret_and_no_shell() {
    let text = recipe(Kind::GitHub);
    let workflow = parsed(&text);
    assert!(!text.contains("pull_request_target") && !text.contains("workflow_run"), "a fork's code with our secrets");
    assert_eq!(workflow["permissions"], parsed("{contents: read}"));
    assert!(!workflow["env"].to_string().contains("secrets."), "for every job");
    let mut pinned = 0;
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        for (key, text) in under(job) {
            assert!(key != "run" || !text.contains("${{"), "{name}: text of others becomes a shell's: {text}");
            if key == "uses" {
                let version = text.split_once('@').unwrap().1;
                assert!(version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
                pinned += 1;
            }
        }
        let has_secret = job.to_string().contains("secrets.");
        let is_pushed = job["if"].as_str().is_some_and(|condition| condition.starts_with("github.event_name == 'push' && "));
        assert!(!has_secret || (is_pushed && job["environment"].is_string()), "{name} has a secret on a pull request");
        let rights = &job["permissions"];
        assert!(rights.is_null() || (is_pushed && *rights == parsed("{contents: write}")), "{name}: {rights}");
        let cached: Vec<_> =
            job["steps"].as_array().unwrap().iter().filter(|step| step.to_string().contains("/cache@")).collect();
        assert!(cached.iter().all(|step| step["with"]["restore-keys"].is_null()), "{name}: another program than the pinned one");
    }
    assert!(pinned > 10, "{pinned}");
}

#[test]
fn p11_the_gitlab_file_gives_a_merge_request_no_secret_and_no_shell() {
    let file = parsed(&recipe(Kind::GitLab));
    let theirs = ["MESSAGE", "TITLE", "DESCRIPTION", "REF_NAME", "REF_SLUG", "COMMIT_BRANCH", "AUTHOR", "SOURCE_BRANCH", "eval "];
    for (name, job) in file.as_object().unwrap().iter().filter(|(_, job)| job.is_object()) {
        for (key, text) in under(job) {
            let is_shell = ["script", "before_script", "after_script"].contains(&key.as_str());
            assert!(!is_shell || !theirs.iter().any(|word| text.contains(word)), "{name}: {text}");
        }
        let is_of_main = job["rules"].to_string().contains("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH");
        assert!(job["environment"].is_null() || is_of_main, "{name} has secrets on a merge request");
    }
    assert!(file["review"]["environment"].is_null() && file["review"]["resource_group"].is_null());
    let key = file["default"]["cache"]["key"].as_str().unwrap();
    assert!(
        key.contains("$CI_COMMIT_REF_PROTECTED") && key.contains("$CHATAPI_COMMIT"),
        "one cache for main and for others: {key}"
    );
    assert!(file["review"]["cache"].is_null() && file["apply"]["cache"].is_null(), "each as said for all");
}

/// A program in the place of the one that is installed.
#[test]
fn p11_a_program_that_comes_with_a_commit_is_not_run() {
    let repository = Repository::new(Kind::GitLab, &["a"]);
    repository.follow(PUSH).done();
    repository.again().ends("apply", 0, "1 created");
    let clone = repository.path("clone");
    std::fs::create_dir_all(clone.join(".chatapi/bin")).unwrap();
    let seen = repository.path("seen");
    executable(&clone.join(".chatapi/bin/chatapi"), &format!("#!/bin/sh\necho \"$CHATAPI_API_KEY\" > {}\n", seen.display()));
    let run = repository.merge(&["a", "b"]);
    assert_eq!((run.job("plan").result, run.job("apply").result), ("failure", "skipped"));
    assert!(!seen.exists(), "it was run");
    assert_eq!(repository.gateway.creates(), 1);
}

/// What is copied and not filled in is told, and nothing else is.
#[test]
fn placeholders_that_are_left_are_told_and_nothing_else() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        let (clone, path) = match kind {
            Kind::GitHub => (repository.path("clone"), ".github/workflows/chatapi.yml"),
            Kind::GitLab => (repository.path("clone"), ".gitlab-ci.yml"),
        };
        let doctor = || repository.shell(&clone, "chatapi doctor --format json || [ $? -eq 1 ]").json();
        let told = |document: &Value| -> Vec<String> {
            let checks = document["checks"].as_array().unwrap().iter();
            let bad = checks.filter(|check| !["ok", "skipped"].contains(&check["status"].as_str().unwrap()));
            let bad = bad.filter(|check| check["id"] != "state-place" && check["id"] != "file-system");
            bad.map(|check| format!("{} {}", check["id"].as_str().unwrap(), check["message"].as_str().unwrap())).collect()
        };
        let filled = doctor();
        assert_eq!(told(&filled), [""; 0], "{kind:?}: {filled:#}");
        std::fs::write(clone.join(path), recipe(kind)).unwrap();
        let left = told(&doctor());
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left[0].starts_with("placeholders CHATAPI_COMMIT in "), "{left:?}");
        assert!(left[1].starts_with("placeholders CHATAPI_SOURCE in "), "{left:?}");
        // The state is on its branch: none is begun here, and none is missed.
        let text = filled.to_string();
        assert!(!text.contains("init`") && text.contains("the pipelines have theirs in `kept/state`"), "{filled:#}");
        assert!(text.contains("the pipelines have theirs in `kept/chatapi.lock`"), "{filled:#}");
    }
}
