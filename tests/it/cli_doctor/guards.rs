//! What `chatapi doctor` says of pipelines that switch guards off, or have a secret in their file (P1, P11).

use super::pipelines::{HOSTED, found};
use super::{examined, of, workflow};
use crate::stage::{Project, manifest};

/// With one more line of variables, and other words behind `apply`.
fn changed(variable: &str, words: &str) -> String {
    HOSTED
        .replace("jobs:", &format!("env: {{{variable}}}\njobs:"))
        .replace("exec chatapi apply", &format!("exec chatapi apply {words}"))
}

#[test]
fn p1_a_guard_that_a_workflow_switches_off_is_told() {
    for (variable, words, expected, why) in [
        ("", "", "ok", "all are on"),
        ("", "--init", "error", "a lost state looks like a first run"),
        ("CHATAPI_INIT: true", "", "error", "by its variable"),
        ("CHATAPI_INIT: false", "", "ok", "said and off"),
        ("", "--allow-unknown all", "error", "what a lost run has made"),
        ("", "--allow-unknown=all", "error", "in one word"),
        ("CHATAPI_ALLOW_UNKNOWN: all", "", "error", "by its variable"),
        ("CHATAPI_ALLOW_UNKNOWN: '3'", "--allow-unknown 3", "ok", "so many are somebody else's"),
        ("", "--max-creates 100000", "warning", "no limit"),
        ("CHATAPI_MAX_CREATES: 100000", "", "warning", "by its variable"),
        ("CHATAPI_MAX_CREATES: '10'", "--max-creates 20", "ok", "a limit"),
        ("CHATAPI_MAX_CREATES: \"${{ vars.CHATAPI_MAX_CREATES || '10' }}\"", "", "ok", "kept by the forge"),
    ] {
        found("github", &changed(variable, words), "guards", &[expected], why);
    }
    let set = |before: &str| HOSTED.replace("exec chatapi", &format!("{before} exec chatapi"));
    found("github", &set("CHATAPI_INIT=1"), "guards", &["error"], "before the command");
    found("github", &set("export CHATAPI_ALLOW_UNKNOWN=all;"), "guards", &["error"], "exported");
    let planned = HOSTED.replace("      - run: exec", "      - run: chatapi plan --max-creates 9999 --out p\n      - run: exec");
    found("github", &planned, "guards", &["warning"], "a saved plan takes its limit along");
    let other = HOSTED.to_owned() + "  other:\n    env: {CHATAPI_MAX_CREATES: 100000}\n    steps: [{run: chatapi validate}]\n";
    found("github", &other, "guards", &["ok"], "a job that plans nothing");
    let gitlab = "a: {resource_group: c, variables: {CHATAPI_ALLOW_UNKNOWN: all}, script: [chatapi apply --init]}";
    found("gitlab", gitlab, "guards", &["error", "error"], "two of them");
}

#[test]
fn p11_a_secret_that_stands_in_a_pipeline_is_told_and_not_shown() {
    const LITERAL: &str = "key-0123456789-of-a-customer";
    for (value, expected) in [
        (LITERAL, "error"),
        ("\"${{ secrets.CHATAPI_API_KEY }}\"", "ok"),
        ("\"${{ secrets.A || vars.B }}\"", "ok"),
        ("\"${{ vars.CHATAPI_API_KEY }}\"", "error"),
        ("$KEY_OF_THE_PROJECT", "ok"),
        ("''", "ok"),
        ("'0000000000'", "error"),
    ] {
        for name in ["CHATAPI_API_KEY", "CHATAPI_IDENTITY"] {
            found("github", &changed(&format!("{name}: {value}"), ""), "secrets", &[expected], name);
        }
    }
    let project = Project::new(&manifest("{kind: chatapi}", &["a"]));
    for (shell, expected) in [
        (format!("CHATAPI_API_KEY={LITERAL} exec chatapi"), "error"),
        (format!("export CHATAPI_API_KEY={LITERAL}; exec chatapi"), "error"),
        (format!("docker run -e CHATAPI_API_KEY={LITERAL} x; exec chatapi"), "error"),
        ("export CHATAPI_API_KEY=\"$(cat key)\"; exec chatapi".to_owned(), "ok"),
    ] {
        workflow(&project, "apply.yml", HOSTED.replace("exec chatapi", &shell));
        let document = examined(&project);
        assert_eq!(of(&document, "secrets"), [expected], "{shell}: {document:#}");
        assert!(!document.to_string().contains(LITERAL) && !project.run("doctor").to_string().contains(LITERAL));
    }
    // Of a job that applies nothing, too; and once, in however many jobs it is.
    let plans = format!("env: {{CHATAPI_API_KEY: {LITERAL}}}\njobs: {{a: {{steps: [{{run: x}}]}}, b: {{steps: []}}}}\n");
    workflow(&project, "apply.yml", plans);
    let document = examined(&project);
    assert_eq!((of(&document, "secrets"), of(&document, "guards")), (vec!["error"], vec![]), "{document:#}");
}
