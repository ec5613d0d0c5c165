//! The ways out of a doubt, each by the commands that the program names (P7, P16).

use crate::stage::{Gateway, Project, manifest};

const EXCLUSIVE: &str = "{kind: chatapi, exclusive: true}";

/// `a` exists and `b` is in doubt: `fault` hit its create.
fn doubtful(fault: &str) -> (Gateway, Project, String) {
    let gateway = Gateway::start(&[&format!("create:nth=2={fault}")]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    let attempt = project.attempt("b");
    (gateway, project, attempt)
}

#[test]
fn p16_where_the_list_does_not_tell_it_shows_what_is_new() {
    let (gateway, project, _) = doubtful("drop-after");
    let ours = gateway.tokens().pop_last().unwrap().0;
    Project::at(&gateway.url(), &["somebody-elses"]).run("apply").exits(0);
    let theirs = gateway.tokens().pop_last().unwrap().0;
    project.run("doubts --refresh").exits(3).prints("more new instances").prints(&format!("new       {ours}, {theirs}"));
}

#[test]
fn p16_a_doubt_is_shown_with_its_evidence_and_its_command() {
    let (gateway, project, attempt) = doubtful("drop-after");
    let run = project.run("doubts").exits(3).prints("? b (whatsapp)").prints(&attempt).prints("not asked");
    let _ = run.prints(&format!("chatapi resolve b --attempt {attempt} --not-created"));
    let before = gateway.requests();
    let document = project.run("doubts --format json").exits(3).json();
    assert_eq!((&document[0]["name"], &document[0]["proposal"]), (&"b".into(), &serde_json::Value::Null));
    assert_eq!(gateway.requests(), before, "it asks only when told to");
    let id = gateway.tokens().pop_last().unwrap().0;
    project.run("doubts --refresh").exits(3).prints(&format!("chatapi resolve b --attempt {attempt} --created {id}"));
    let document = project.run("doubts --refresh --format json").exits(3).json();
    assert_eq!((&document[0]["proposal"]["verdict"], &document[0]["proposal"]["id"]), (&"created".into(), &id.into()));
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p7_p16_created_then_its_token_and_apply_is_done() {
    let (gateway, project, attempt) = doubtful("drop-after");
    let (id, token) = gateway.tokens().pop_last().unwrap();
    let created = |attempt: &str, id: &str| project.run(&format!("resolve b --attempt {attempt} --created {id} --reason seen"));
    created("a-wrong", &id).exits(1).warns("another one than typed");
    created(&attempt, "999999").exits(6).warns("does not list 999999").warns("--despite-list");
    project.run(&format!("resolve a --attempt {attempt} --created {id}")).exits(1).warns("not in doubt");
    project.run(&format!("resolve z --attempt {attempt} --created {id}")).exits(1).warns("nothing is recorded under `z`");
    created(&attempt, &id).exits(0).prints("its token is missing");
    created(&attempt, &id).exits(1).warns("not in doubt");
    project.run("doubts").exits(0).prints("No doubts.");
    project.run("apply").exits(3).warns("its token is missing");
    project.call(["token", "set", "b"]).input(format!("{token}\n")).run().done();
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!((project.token("b"), project.ids()["b"].clone(), gateway.creates()), (token, id, 2));
    let journal = project.read("state/journal.jsonl");
    let resolved = journal.lines().find(|line| line.contains("resolved")).unwrap();
    assert!(resolved.contains("operator") && resolved.contains("seen"), "{resolved}");
}

#[test]
fn p16_with_the_token_on_standard_input_one_command_is_enough() {
    let (gateway, project, attempt) = doubtful("status-after:504");
    let (id, token) = gateway.tokens().pop_last().unwrap();
    let words = ["resolve", "b", "--attempt", &attempt, "--created", &id, "--token-stdin"];
    project.call(words).input("two words").run().exits(1).warns("holds no token");
    project.call(words).input(token.clone()).run().exits(0).prints("its token is kept");
    project.run("apply").exits(0).prints("Nothing to do");
    assert_eq!((project.token("b"), gateway.creates()), (token, 2));
}

#[test]
fn p1_p16_not_created_then_the_next_apply_creates_it_once() {
    let (gateway, project, attempt) = doubtful("drop-before");
    project.run("doubts --refresh").exits(3).prints("shows nothing new yet");
    let not_created = format!("resolve b --attempt {attempt} --not-created");
    project.run(&not_created).exits(6).warns("that counts only from").warns("--despite-list");
    project.run(&format!("{not_created} --settle-after 0s")).exits(0).prints("the next apply tries again");
    project.run("plan --detailed-exitcode").exits(2).prints("1 to create, 1 unchanged");
    project.run("apply").exits(0).prints("Apply: 1 created, 1 unchanged.");
    project.run("apply").exits(0).prints("Nothing to do");
    assert_eq!((gateway.creates(), gateway.tokens().len()), (3, 2));
}

#[test]
fn p16_a_verdict_against_the_list_is_refused_unless_it_is_meant() {
    let (gateway, project, attempt) = doubtful("reset-after");
    let not_created = format!("resolve b --attempt {attempt} --not-created");
    let id = gateway.tokens().pop_last().unwrap().0;
    project.run(&not_created).exits(6).warns(&format!("the server lists what may be it: {id}")).warns("--despite-list");
    project.run(&format!("{not_created} --despite-list --offline")).exits(1);
    project.run("doubts").exits(3);
    project.run(&format!("{not_created} --despite-list --reason sure")).done();
    project.run("apply").exits(0).prints("1 created");
    assert_eq!(gateway.creates(), 3, "once more, because the operator said so");
}

#[test]
fn p16_without_a_list_the_operators_word_counts_when_it_is_said_to_be_all_there_is() {
    let gateway = Gateway::start(&["create:nth=1=drop-after", "list=status-before:503"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(3).warns("no list from before the creates");
    let attempt = project.attempt("a");
    project.run("doubts --refresh").exits(1).warns("without `--refresh`");
    project.run(&format!("resolve a --attempt {attempt} --not-created")).exits(1).warns("--offline");
    let offline = project.call(["resolve", "a", "--attempt", &attempt, "--not-created", "--offline"]);
    offline.without("CHATAPI_URL").without("CHATAPI_API_KEY").run().done();
    project.run("apply").exits(0).prints("1 created");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p16_on_an_exclusive_account_the_only_candidate_is_adopted_without_asking() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &[]);
    project.declare(&manifest(EXCLUSIVE, &["a", "b"]));
    project.run("apply --parallelism 1").exits(3).prints("1 in doubt");
    let (id, token) = gateway.tokens().pop_last().unwrap();
    project.run("apply").exits(3).prints(&format!("b exists as {id}, token missing"));
    project.call(["token", "set", "b"]).input(token).run().done();
    project.run("apply").exits(0).prints("Nothing to do: 2");
    assert_eq!((project.ids()["b"].clone(), gateway.creates()), (id, 2));
}

#[test]
fn p1_p16_on_an_exclusive_account_a_settled_absence_is_created_again_once() {
    let gateway = Gateway::start(&["create:nth=2=drop-before"]);
    let project = Project::at(&gateway.url(), &[]);
    project.declare(&manifest(EXCLUSIVE, &["a", "b"]));
    project.run("apply --parallelism 1").exits(3).prints("1 in doubt");
    project.run("apply").exits(3);
    assert_eq!(gateway.creates(), 2, "before the settling time the absence counts for nothing");
    project.run("apply --settle-after 0s").exits(0).prints("1 created");
    project.run("apply").exits(0).prints("Nothing to do: 2");
    assert_eq!((gateway.creates(), gateway.tokens().len()), (3, 2));
}
