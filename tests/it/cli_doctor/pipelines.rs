//! What `chatapi doctor` says of pipelines: a finding for what is wrong, `unsure` for what it cannot know, `ok` for nothing else.

use std::fmt::Write as _;

use super::{BAD_WORKFLOW, examined, of, workflow};
use crate::stage::{Project, manifest};

const GOOD_WORKFLOW: &str = "\
name: apply
on: {push: {branches: [main]}}
concurrency: {group: chatapi, cancel-in-progress: false}
env: {CHATAPI_STATE: /srv/chatapi/state}
jobs:
  apply:
    runs-on: [self-hosted]
    steps:
      - uses: actions/checkout@v4
      - uses: actions/cache@v4
        with: {path: ~/.cargo, key: cargo}
      - run: cargo install --locked chatapi --version 0.1.0
      - run: |
          chatapi validate
          exec chatapi apply instances.yaml
";

/// On a hosted machine, the state carried away whatever happens.
pub(super) const HOSTED: &str = "\
name: apply
on: {push: {branches: [main]}}
concurrency: {group: chatapi}
jobs:
  apply:
    runs-on: ubuntu-24.04
    steps:
      - run: exec chatapi apply instances.yaml
      - if: always()
        run: aws s3 sync ./state s3://bucket/state
";

const GOOD_GITLAB: &str = "\
.base: {resource_group: chatapi, script: [set +e, chatapi apply instances.yaml, aws s3 sync state s3://bucket/state]}
apply:
  extends: .base
  image: example/chatapi:0.1.0
";

const BAD_GITLAB: &str = "\
cache: {paths: [state/]}
apply:
  image: example/chatapi:latest
  script: [!reference [.setup, script], chatapi apply]
";

#[test]
fn good_pipelines_have_no_findings_and_bad_ones_each_its_own() {
    let ids = ["state-cache", "state-kept", "concurrency", "signals", "version-pin"];
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    workflow(&project, "apply.yml", GOOD_WORKFLOW);
    project.write(".gitlab-ci.yml", GOOD_GITLAB);
    let document = examined(&project);
    for id in ids {
        assert_eq!(of(&document, id), ["ok"], "{id}: {document:#}");
    }
    workflow(&project, "apply.yml", BAD_WORKFLOW);
    project.write(".gitlab-ci.yml", BAD_GITLAB);
    let document = examined(&project);
    for (id, expected) in
        ids.into_iter().zip([&["error", "error"][..], &["skipped"], &["error", "error"], &["warning"], &["warning", "warning"]])
    {
        assert_eq!(of(&document, id), expected, "{id}: {document:#}");
    }
}

#[test]
fn one_change_of_a_good_workflow_is_one_finding() {
    let gone = GOOD_WORKFLOW.replace("CHATAPI_STATE: /srv/chatapi/state", "X: y");
    for (text, id, status, why) in [
        (GOOD_WORKFLOW.replace("concurrency", "x-concurrency"), "concurrency", "error", "no group"),
        (GOOD_WORKFLOW.replace("progress: false", "progress: true"), "concurrency", "warning", "cancelled in the middle"),
        (GOOD_WORKFLOW.replace("exec chatapi", "chatapi"), "signals", "warning", "no exec"),
        (GOOD_WORKFLOW.replace("instances.yaml\n", "instances.yaml | tee log\n"), "signals", "warning", "a pipe"),
        (GOOD_WORKFLOW.replace(" --version 0.1.0", ""), "version-pin", "warning", "no version"),
        (GOOD_WORKFLOW.replace(" --locked", ""), "version-pin", "warning", "not locked"),
        (
            GOOD_WORKFLOW.replace("chatapi --version 0.1.0", "--git https://h.example/chatapi"),
            "version-pin",
            "warning",
            "a branch",
        ),
        (
            GOOD_WORKFLOW.replace("chatapi --version 0.1.0", "--git https://h.example/chatapi --rev 89bbf28"),
            "version-pin",
            "ok",
            "a commit",
        ),
        (gone.replace("[self-hosted]", "ubuntu-latest"), "state-kept", "error", "a hosted runner forgets"),
        (gone.clone(), "state-kept", "warning", "checkout cleans up"),
        (gone.replace("~/.cargo", "state"), "state-cache", "error", "cached"),
        (
            gone.replace("apply instances", "--state var/s apply instances").replace("~/.cargo", "var"),
            "state-cache",
            "error",
            "named by a flag",
        ),
    ] {
        let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
        workflow(&project, "apply.yml", &text);
        let document = examined(&project);
        assert_eq!(of(&document, id), [status], "{why}: {document:#}");
    }
}

/// The checks of `id` for a repository with just this pipeline.
#[track_caller]
pub(super) fn found(forge: &str, text: &str, id: &str, expected: &[&str], why: &str) {
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    match forge {
        "github" => workflow(&project, "apply.yml", text),
        _ => project.write(".gitlab-ci.yml", text),
    }
    let document = examined(&project);
    assert_eq!(of(&document, id), expected, "{why}: {text}\n{document:#}");
}

#[test]
fn a_group_that_is_not_one_for_all_runs_is_no_queue() {
    for (group, expected, why) in [
        ("chatapi", "ok", "one"),
        ("chatapi-${{ github.run_id }}", "error", "a group for each run"),
        ("chatapi-${{ github.run_number }}", "error", "a group for each run"),
        ("chatapi-${{ github.run_attempt }}", "error", "a group for each attempt"),
        ("chatapi-${{ github.sha }}", "error", "a group for each commit"),
        ("chatapi-${{ github.ref }}", "ok", "one branch only"),
        ("chatapi-${{ inputs.place }}", "unsure", "who calls it says"),
        ("${{ github.workflow }}", "ok", "one name"),
    ] {
        found("github", &HOSTED.replace("group: chatapi", &format!("group: \"{group}\"")), "concurrency", &[expected], why);
    }
    let by_branch = HOSTED.replace("group: chatapi", "group: \"chatapi-${{ github.ref }}\"");
    found("github", &by_branch.replace("{push: {branches: [main]}}", "push"), "concurrency", &["error"], "any branch");
    let two = by_branch.replace("[main]", "[main, next]");
    found("github", &two, "concurrency", &["error"], "two branches apply");
    let called = HOSTED.replace("{push: {branches: [main]}}", "workflow_call").replace("concurrency:", "x:");
    found("github", &called, "concurrency", &["unsure"], "who calls it may wait");
    for (group, expected) in [
        ("chatapi", "ok"),
        ("$CI_PIPELINE_ID", "error"),
        ("x-${CI_JOB_ID}", "error"),
        ("$CI_COMMIT_SHA", "error"),
        ("$CI_COMMIT_REF_NAME", "error"),
        ("$OURS", "unsure"),
        ("", "error"),
    ] {
        found("gitlab", &GOOD_GITLAB.replace("group: chatapi", &format!("group: '{group}'")), "concurrency", &[expected], group);
    }
}

#[test]
fn jobs_that_apply_to_one_state_share_a_group() {
    let second = "  again:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: exec chatapi apply\n      - {if: always(), run: 'aws s3 sync state s3://b/s'}\n";
    let two = HOSTED.to_owned() + second;
    found("github", &two, "concurrency", &["ok"], "the workflow's group holds both");
    let of_jobs = |one: &str, other: &str| {
        let text = HOSTED
            .replace("concurrency: {group: chatapi}\n", "")
            .replace("  apply:\n", &format!("  apply:\n    concurrency: {one}\n"));
        text + &second.replace("  again:\n", &format!("  again:\n    concurrency: {other}\n"))
    };
    found("github", &of_jobs("a", "A"), "concurrency", &["ok"], "one group, whatever its case");
    found("github", &of_jobs("a", "b"), "concurrency", &["error"], "two groups");
    let apart = of_jobs("a", "b").replace("chatapi apply\n", "chatapi --state other apply\n");
    found("github", &apart, "concurrency", &["ok"], "two states");
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    workflow(&project, "one.yml", HOSTED);
    workflow(&project, "two.yml", HOSTED.replace("group: chatapi", "group: other"));
    let document = examined(&project);
    assert_eq!(of(&document, "concurrency"), ["error"], "two files: {document:#}");
    let gitlab = GOOD_GITLAB.to_owned() + "again: {extends: .base, resource_group: other}\n";
    found("gitlab", &gitlab, "concurrency", &["error"], "two resource groups");
}

#[test]
fn what_may_stop_an_apply_in_the_middle_is_told() {
    for (cancel, on, expected) in [
        ("true", "push", "warning"),
        ("${{ true }}", "push", "warning"),
        ("${{ github.event_name == 'pull_request' }}", "push", "ok"),
        ("${{ github.event_name == 'pull_request' }}", "[push, pull_request]", "warning"),
        ("${{ inputs.cancel }}", "push", "unsure"),
        ("${{ vars.CANCEL == 'yes' }}", "push", "unsure"),
    ] {
        let text = HOSTED.replace("{group: chatapi}", &format!("{{group: chatapi, cancel-in-progress: \"{cancel}\"}}"));
        found("github", &text.replace("{push: {branches: [main]}}", on), "concurrency", &[expected], cancel);
    }
    for (more, expected, why) in [
        ("default: {interruptible: true}\n", "warning", "it is inherited"),
        ("default: {interruptible: false}\n", "ok", "it is not"),
        ("default: {interruptible: true}\nworkflow: {auto_cancel: {on_new_commit: none}}\n", "ok", "no new commit cancels"),
        ("workflow: {auto_cancel: {on_job_failure: all}}\n", "warning", "another job's failure"),
        ("workflow: {rules: [{if: $X, auto_cancel: {on_job_failure: all}}]}\n", "warning", "by a rule"),
    ] {
        found("gitlab", &(more.to_owned() + GOOD_GITLAB), "concurrency", &[expected], why);
    }
    let own = GOOD_GITLAB.replace("image:", "inherit: {default: false}\n  image:");
    found("gitlab", &("default: {interruptible: true}\n".to_owned() + &own), "concurrency", &["ok"], "it inherits nothing");
}

#[test]
fn the_state_is_kept_by_what_really_carries_it_and_also_after_a_failure() {
    let step = |step: &str| HOSTED.split("      - if: always()").next().unwrap().to_owned() + step;
    for (last, expected) in [
        ("      - {if: always(), run: aws s3 sync ./state s3://bucket/state}\n", "ok"),
        ("      - run: aws s3 sync ./state s3://bucket/state\n", "error"),
        ("      - {if: '!cancelled()', run: aws s3 sync ./state s3://bucket/state}\n", "unsure"),
        ("      - {if: always(), run: aws s3 sync s3://bucket/state ./state}\n", "error"),
        ("      - {if: always(), run: aws s3 sync ./state $WHERE}\n", "unsure"),
        (
            "      - {if: always(), run: 'ls state; cat state/journal.jsonl; chmod -R go-rwx state; echo ./state; rm -rf state'}\n",
            "error",
        ),
        ("      - {if: always(), run: './keep.sh state'}\n", "unsure"),
        ("      - {if: always(), run: 'git add --force state; git commit -m x; git push'}\n", "ok"),
        ("      - {if: always(), run: 'git add .; git commit -m x; git push'}\n", "unsure"),
        ("      - {if: always(), run: 'git add --force state; git commit -m x'}\n", "error"),
        ("      - {if: always(), run: 'git -C other add -f .; git -C other push'}\n", "error"),
        ("        continue-on-error: true\n      - run: aws s3 sync state s3://b/s\n", "unsure"),
        ("      - {if: always(), uses: actions/upload-artifact@v4, with: {name: s, path: state}}\n", "unsure"),
        ("      - {uses: actions/upload-artifact@v4, with: {name: s, path: state}}\n", "error"),
        ("      - {if: always(), uses: actions/upload-artifact@v4, with: {name: state, path: log}}\n", "error"),
        ("      - {if: always(), uses: some/action@v1, with: {text: state}}\n", "unsure"),
        ("      - {if: always(), uses: some/action@v1, with: {text: other}}\n", "error"),
    ] {
        found("github", &step(last), "state-kept", &[expected], last);
    }
    let trapped = step("").replace("exec chatapi", "trap 'aws s3 sync state s3://b/s' EXIT; chatapi");
    found("github", &trapped, "state-kept", &["unsure"], "a trap");
    let printed = HOSTED.replace("    steps:\n", "    steps:\n      - run: echo CHATAPI_STATE=var/s >> $GITHUB_ENV\n");
    found("github", &printed, "state-kept", &["error"], "another state than the one that is copied");
    let fetched = HOSTED
        .replace("    steps:\n", "    steps:\n      - {uses: actions/download-artifact@v4, with: {name: s, run-id: '1'}}\n");
    let uploaded = fetched
        .replace("run: aws s3 sync ./state s3://bucket/state", "uses: actions/upload-artifact@v4\n        with: {path: state}");
    found("github", &uploaded, "state-kept", &["ok"], "fetched and uploaded");
    for (state, machine, expected) in [
        ("/srv/state", "ubuntu-24.04", "error"),
        ("/srv/state", "self-hosted", "ok"),
        ("/srv/state", "ours", "unsure"),
        ("$PLACE/state", "self-hosted", "unsure"),
        ("~/state", "ubuntu-24.04", "error"),
    ] {
        let text = step("").replace("chatapi apply", &format!("chatapi --state {state} apply")).replace("ubuntu-24.04", machine);
        found("github", &text, "state-kept", &[expected], &format!("{state} {machine}"));
    }
}

#[test]
fn artifacts_of_gitlab_keep_a_state_if_they_are_taken_always_and_fetched() {
    let with =
        |artifacts: &str, script: &str| format!("apply:\n  resource_group: c\n  script: [{script}]\n  artifacts: {artifacts}\n");
    let fetch = "'curl -o a.zip $CI_API_V4_URL/projects/1/jobs/artifacts/main/download?job=apply', chatapi apply";
    for (artifacts, script, expected) in [
        ("{paths: [state/], when: always}", fetch, "ok"),
        ("{untracked: true, when: always}", fetch, "ok"),
        ("{paths: [state/], when: always}", "chatapi apply", "unsure"),
        ("{untracked: true, when: always}", "chatapi apply", "unsure"),
        ("{paths: [state/]}", fetch, "error"),
        ("{paths: [state/], when: on_success}", fetch, "error"),
        ("{paths: [state/], when: on_failure}", fetch, "unsure"),
        ("{paths: [log], when: always}", fetch, "error"),
        ("{paths: ['*'], exclude: [state], when: always}", fetch, "error"),
    ] {
        found("gitlab", &with(artifacts, script), "state-kept", &[expected], artifacts);
    }
}

#[test]
fn a_cache_holds_the_state_by_whatever_pattern() {
    for (cache, expected) in [
        ("{paths: [state]}", "error"),
        ("{untracked: true}", "error"),
        ("{paths: ['*']}", "error"),
        ("{paths: ['st*']}", "error"),
        ("{paths: ['**/*.jsonl']}", "error"),
        ("{paths: [$WHERE]}", "unsure"),
        ("{paths: [target, .cargo]}", "ok"),
        ("[{paths: [target]}, {paths: ['s?ate/']}]", "error"),
    ] {
        found("gitlab", &format!("{GOOD_GITLAB}  cache: {cache}\n"), "state-cache", &[expected], cache);
    }
    let cached = |path: &str| GOOD_WORKFLOW.replace("/srv/chatapi/state", "kept/state").replace("~/.cargo", path);
    for (path, expected) in [("kept", "error"), ("'**/state'", "error"), ("'${{ inputs.x }}'", "unsure"), ("\"*\\n!kept\"", "ok")]
    {
        found("github", &cached(path), "state-cache", &[expected], path);
    }
}

#[test]
fn what_is_not_read_is_told_and_what_can_be_followed_is_followed() {
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    for number in 0..103 {
        workflow(&project, &format!("w{number:03}.yml"), "jobs: {a: {steps: [{run: 'true'}]}}");
    }
    let document = examined(&project);
    assert!(document.to_string().contains("3 more workflow files were not read"), "{document:#}");
    assert_eq!(of(&document, "pipelines"), ["unsure", "skipped"]);

    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    std::fs::create_dir(project.path("ci")).unwrap();
    let mut jobs = "include: [{local: /ci/base.yml}]\nstages: [apply]\n".to_owned();
    writeln!(jobs, "apply:\n  extends: .kept\n  script: [!reference [.apply, script]]").unwrap();
    project.write(".gitlab-ci.yml", &jobs);
    project.write(
        "ci/base.yml",
        ".apply: {script: [chatapi apply || true, aws s3 sync state s3://b/s]}\n.kept: {resource_group: c}\n",
    );
    let document = examined(&project);
    for id in ["pipelines", "state-kept", "concurrency"] {
        assert_eq!(of(&document, id), ["ok"], "{id}: {document:#}");
    }
    for (more, told) in [
        ("include: {template: X.yml}\n", "`include: template X.yml`"),
        ("include: {local: ../../etc/passwd}\n", "`include: local ../../etc/passwd`"),
        ("include: ci/no.yml\n", "`include: ci/no.yml`"),
        ("x: {script: [!reference [.no, script]]}\n", "`!reference [.no, script]`"),
        ("x: {extends: .no, script: [a]}\n", "`extends: .no`"),
        ("x: {trigger: {include: other.yml}}\n", "the pipeline that `x` triggers"),
    ] {
        project.write(".gitlab-ci.yml", more);
        let document = examined(&project);
        assert_eq!(of(&document, "pipelines"), ["unsure", "skipped"], "{more}: {document:#}");
        assert!(document.to_string().contains(told), "{told}: {document:#}");
    }
    let uses = HOSTED.to_owned() + "      - uses: ./.github/actions/apply\n";
    found("github", &uses, "pipelines", &["unsure", "ok"], "an action of the repository");
    let hidden = HOSTED.replace("exec chatapi apply instances.yaml", "docker run example/chatapi:1 apply");
    found("github", &hidden, "pipelines", &["unsure", "skipped"], "in a container");
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    workflow(&project, "apply.yml", HOSTED.replace("chatapi apply", "chatapi --state 'x; reboot' apply"));
    let document = examined(&project).to_string();
    assert!(!document.contains("--state x; reboot"), "a command that somebody else has written: {document}");
}
