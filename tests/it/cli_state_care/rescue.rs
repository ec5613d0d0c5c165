//! `chatapi state rescue`: an answer that the journal did not take comes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::doubtful;
use crate::stage::{Gateway, Project};

/// The packet for the answer to `b` as an apply would have written it.
fn packet(gateway: &Gateway, project: &Project) -> Value {
    let (id, token) = gateway.tokens().pop_last().unwrap();
    let instance = json!({"id": id, "apiUrl": format!("https://eu.example/instance{id}/"), "token": token});
    let body = json!({"result": {"status": "created", "instance": instance}}).to_string();
    let lineage = project.run("state show --format json").exits(0).json()["lineage"].clone();
    json!({
        "chatapi_rescue": 1,
        "lineage": lineage,
        "name": "b",
        "attempt": project.attempt("b"),
        "answer": {"status": 200, "complete": true, "body": STANDARD.encode(body)},
    })
}

#[test]
fn p3_a_rescued_answer_is_brought_back_from_its_file_or_from_a_log() {
    for from_log in [false, true] {
        let (gateway, project) = doubtful();
        let packet = packet(&gateway, &project);
        let text = if from_log {
            format!("10:31 step 4\n10:32 chatapi-rescue: {}\nmore\n", STANDARD.encode(packet.to_string()))
        } else {
            packet.to_string()
        };
        let run = project.call(["state", "rescue", "-"]).input(text.clone()).run();
        run.exits(0).prints("`b` exists as").prints("its token is kept");
        let id = project.ids()["b"].clone();
        assert_eq!(project.token("b"), gateway.tokens()[&id]);
        project.run("apply").exits(0).prints("Nothing to do: 2 instances");
        project.call(["state", "rescue", "-"]).input(text).run().exits(1).warns("does not wait for an answer");
        assert_eq!(gateway.creates(), 2);
    }
}

/// Budget: 2 s.
#[cfg(feature = "failpoints")]
#[test]
fn p3_the_whole_log_of_a_run_that_could_not_record_an_answer_brings_it_back() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    let key = project.run("key generate --output key.txt").exits(0).stdout;
    let project = project.with("CHATAPI_SEAL_TO", key.trim());
    let failing = project.call("apply --parallelism 1 --rescue-dir nowhere".split(' '));
    let run = failing.env("CHATAPI_FAILPOINT", "journal-before-received=error@2").run();
    let run = run.exits(3).warns("keep this line").warns("b is in doubt").warns("it is kept in the log");
    let log = format!("{}{}{}", run.stdout, run.stderr, run.stderr.replace("chatapi-rescue: ey", "chatapi-rescue: cut short ey"));
    project.call(["state", "rescue", "-"]).input(log).run().exits(0).prints("its token is kept");
    project.run("apply").exits(0);
    let token = project.run("token get b --identity key.txt").exits(0).stdout;
    assert_eq!(token.trim(), gateway.tokens()[&project.ids()["b"]].as_str());
}

#[test]
fn a_rescue_file_of_another_state_attempt_or_kind_is_refused() {
    let (gateway, project) = doubtful();
    let whole = packet(&gateway, &project);
    let with = |key: &str, value: Value| {
        let mut packet = whole.clone();
        packet[key] = value;
        packet.to_string()
    };
    for (text, why) in [
        (with("lineage", json!("0".repeat(32))), "belongs to another state"),
        (with("attempt", json!("a-other")), "does not wait for an answer"),
        (with("name", json!("a")), "does not wait for an answer"),
        (with("chatapi_rescue", json!(2)), "newer version"),
        (with("more", json!(1)), "unknown field"),
        ("a log without it\n".to_owned(), "it holds no rescued answer"),
        ("chatapi-rescue: ???\n".to_owned(), "it holds no rescued answer"),
    ] {
        project.call(["state", "rescue", "-"]).input(text.clone()).run().exits(1).warns(why);
    }
    project.run("apply").exits(3);
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p3_a_rescued_answer_brings_its_token_though_the_doubt_was_resolved_before() {
    let (gateway, project) = doubtful();
    let (packet, attempt) = (packet(&gateway, &project), project.attempt("b"));
    let id = gateway.tokens().pop_last().unwrap().0;
    project
        .call(["resolve", "b", "--attempt", &attempt, "--created", &id, "--offline"])
        .run()
        .exits(0)
        .prints("token is missing");
    let run = project.call(["state", "rescue", "-"]).input(packet.to_string()).run();
    run.exits(0).prints("its token is kept");
    assert_eq!(project.token("b"), gateway.tokens()[&id]);
    project.call(["state", "rescue", "-"]).input(packet.to_string()).run().exits(1).warns("does not wait for an answer");
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
}

#[test]
fn p3_one_packet_that_does_not_fit_keeps_no_other_from_being_brought_back() {
    let (gateway, project) = doubtful();
    let good = packet(&gateway, &project);
    let mut other = good.clone();
    let body = json!({"result": {"status": "created", "instance": {"id": project.ids()["a"]}}}).to_string();
    (other["name"], other["attempt"], other["answer"]["body"]) = (json!("a"), json!("a-other"), json!(STANDARD.encode(body)));
    let line = |packet: &Value| format!("chatapi-rescue: {}\n", STANDARD.encode(packet.to_string()));
    let run = project.call(["state", "rescue", "-"]).input(line(&other) + &line(&good)).run();
    run.exits(4).prints("`b` exists as").prints("its token is kept").warns("does not wait for an answer");
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
}

#[test]
fn p3_a_rescued_token_finds_its_instance_under_another_name() {
    let (gateway, project) = doubtful();
    let (packet, attempt) = (packet(&gateway, &project), project.attempt("b"));
    let id = gateway.tokens().pop_last().unwrap().0;
    project.call(["resolve", "b", "--attempt", &attempt, "--created", &id, "--offline"]).run().exits(0);
    project.run("state mv b z").exits(0);
    project
        .call(["state", "rescue", "-"])
        .input(packet.to_string())
        .run()
        .exits(0)
        .prints("`z` exists as")
        .prints("its token is kept");
    assert_eq!(project.token("z"), gateway.tokens()[&id]);
}

#[test]
fn p5_a_rescue_holds_the_state_against_its_lock_file_and_renews_it() {
    let (gateway, project) = doubtful();
    let text = packet(&gateway, &project).to_string();
    let older = project.copy_of_state();
    project.run("state compact").exits(0);
    let newest = project.copy_of_state();
    project.restore(&older);
    let before = project.read("state/journal.jsonl");
    let rescue = || project.call(["state", "rescue", "-"]).input(text.clone());
    rescue().run().exits(8).done_with("the state is older than the lock file");
    let run = project.call(["state", "rescue", "-", "--lock-file", "typo.lock"]).input(text.clone()).run().exits(8);
    run.done_with("there is no lock file typo.lock");
    assert_eq!(project.read("state/journal.jsonl"), before);
    project.restore(&newest);
    rescue().run().exits(0).prints("its token is kept").done_with("chatapi.lock says so too: commit it");
    let id = project.ids()["b"].clone();
    assert!(project.read("chatapi.lock").contains(&id));
}
