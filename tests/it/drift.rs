//! `drift` and `plan --verify`: what others have done to the account is told, and nothing is created or deleted for it by itself.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::stage::{Gateway, KEY, OtherGateway, Project, Reply, manifest};

/// A client of the protocol that shares nothing with ours: a form over a socket.
struct Somebody<'a>(&'a Gateway);

impl Somebody<'_> {
    fn post(&self, function: &str, form: &str) -> String {
        let url = self.0.url();
        let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let body = format!("uid={KEY}&{form}");
        let mut stream = TcpStream::connect(host).unwrap();
        let head = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close";
        write!(stream, "POST /{function} HTTP/1.1\r\nHost: {host}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Gives its id.
    fn creates(&self, kind: &str) -> String {
        let answer: Value = serde_json::from_str(&self.post("newInstance", &format!("type={kind}"))).unwrap();
        answer["result"]["instance"]["id"].as_str().unwrap().to_owned()
    }

    fn deletes(&self, id: &str) {
        assert!(self.post("deleteInstance", &format!("instanceId={id}")).contains("deleted"));
    }
}

/// A project with three instances.
fn project(gateway: &Gateway) -> Project {
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

/// The findings, each as its word, its name and its id.
fn findings(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let of = |it: &Value| format!("{} {} {}", text(&it["finding"]), text(&it["name"]), text(&it["id"]));
    document["findings"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn drift_says_exactly_what_somebody_else_did_between_our_runs() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let somebody = Somebody(&gateway);
    project.run("drift").exits(0).prints("No drift: 3 instances checked against the server's list.");
    project.run("drift --detailed-exitcode instances.yaml").exits(0).done();
    let ids = project.ids();
    let before = project.copy_of_state();
    somebody.deletes(&ids["b"]);
    let stranger = somebody.creates("whatsapp_dev");
    let seen = (gateway.creates(), gateway.deleted().len());
    let run = project.run("drift").exits(0).prints("Drift: 3 instances checked, 1 gone, 1 unknown.");
    let run = run.warns("`chatapi apply --recreate b`").warns(&format!("chatapi import NAME --id {stranger}"));
    assert!(run.stdout.lines().any(|line| line.starts_with("gone") && line.contains(&ids["b"])), "{run}");
    let expected = [format!("gone b {}", ids["b"]), format!("unknown - {stranger}")];
    let run = project.run("drift --detailed-exitcode --format json").exits(2);
    assert_eq!(findings(&run.json()), expected);
    let run = project.run("plan --verify --detailed-exitcode --format json").exits(2);
    assert_eq!(findings(&run.json()["drift"]), expected);
    project
        .run("plan --verify")
        .exits(0)
        .prints("Nothing to do: 3 instances exist as declared.")
        .prints("1 gone, 1 unknown.")
        .done();
    project.run("plan --detailed-exitcode").exits(0).done();
    assert_eq!((gateway.creates(), gateway.deleted().len()), seen, "looking does nothing to the account");
    assert_eq!(project.copy_of_state(), before, "nor to the state");
}

#[test]
fn what_we_deleted_is_no_drift_and_what_an_apply_has_seen_is_no_stranger() {
    let gateway = Gateway::start(&[]);
    let somebody = Somebody(&gateway);
    let old = somebody.creates("whatsapp");
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --allow-unknown 1").exits(0).done();
    project.run("destroy -y --max-deletes 1 a").exits(0).done();
    let run = project.run("drift --detailed-exitcode").exits(0).warns("1 other instance that an apply has seen before");
    assert!(!run.stdout.contains(&old), "{run}");
}

/// P1: nothing is created for what is gone, until the operator names it and a list that can be believed shows it.
#[test]
fn p1_what_is_gone_is_created_again_only_where_it_is_named() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let ids = project.ids();
    Somebody(&gateway).deletes(&ids["b"]);
    project.run("apply").exits(0).prints("Nothing to do: 3 instances");
    project.run("apply --recreate b").exits(6).warns("a list may not show it yet").warns("--settle-after 0s");
    project.run("apply --recreate a --settle-after 0s").exits(0).warns("`--recreate` does nothing for it").done();
    assert_eq!(gateway.creates(), 3);
    let plan = project.run("plan --verify --recreate b --settle-after 0s").exits(0);
    plan.prints("Plan: 1 to create, 2 unchanged.").prints("No drift: 2 instances").done();
    project.run("apply --recreate b --settle-after 0s").exits(0).prints("Apply: 1 created, 2 unchanged.").done();
    assert_eq!(gateway.creates(), 4);
    let now = project.ids();
    assert!(now["a"] == ids["a"] && now["b"] != ids["b"] && now["c"] == ids["c"]);
    assert_eq!(gateway.tokens()[&now["b"]], project.token("b"));
    let history = project.run("state history b").exits(0);
    history.prints("gone").prints("a list of the account without it").done();
    project.run("state verify").exits(0).done();
    // The same command again finds it there.
    project.run("apply --recreate b --settle-after 0s").exits(0).prints("Nothing to do").warns("does nothing for it").done();
    assert_eq!(gateway.creates(), 4);
    project.run("drift --detailed-exitcode").exits(0).done();
}

#[test]
fn a_saved_plan_may_recreate_what_it_names() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    Somebody(&gateway).deletes(&project.ids()["c"]);
    project.run("plan --verify --recreate c --settle-after 0s --out plan.json").exits(0).prints("Plan: 1 to create").done();
    project.run("apply plan.json").exits(6).warns("a list may not show it yet").done_with("nothing was sent");
    project.run("apply --settle-after 0s plan.json").exits(0).prints("Apply: 1 created, 2 unchanged.").done();
    assert_eq!(gateway.creates(), 4);
}

/// What no create would follow is not recorded as gone.
#[test]
fn only_what_is_to_be_created_is_recorded_as_gone() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    project.run("plan --recreate b --out plan.json").exits(0).prints("Nothing to do").done();
    Somebody(&gateway).deletes(&project.ids()["b"]);
    project.run("apply --settle-after 0s plan.json").exits(0).prints("Nothing to do: 3 instances").done();
    project.declare(&manifest("{kind: chatapi}", &["a", "c"]));
    project.run("apply --recreate b --settle-after 0s").exits(0).prints("1 orphaned").done();
    project.run("drift").exits(0).prints("1 gone").done();
    assert_eq!(gateway.creates(), 3);
}

/// P5: a list of nothing, or of another account, is no proof that everything is gone.
#[test]
fn p5_a_list_that_shows_nothing_old_calls_nothing_gone() {
    let gateway = Gateway::start(&["list:every=1=empty-list"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").exits(0).done();
    let why = "the server's list cannot be believed";
    project.run("drift").exits(1).warns(why).warns("it shows none of the 2").done_with("nothing was changed");
    project.run("plan --verify").exits(1).done_with(why);
    project.run("apply --recreate a --settle-after 0s").exits(1).done_with(why);
    assert_eq!(gateway.creates(), 2);
    assert_eq!(project.ids().len(), 2, "both are recorded as before");
}

/// Dying anywhere between the record and the create makes no second one, and the next run needs the name again.
#[test]
fn p1_a_recreate_that_dies_makes_no_second_one() {
    for (point, creates) in
        [("journal-written-gone", 3), ("journal-after-gone", 3), ("journal-after-intent", 3), ("journal-after-created", 4)]
    {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway);
        Somebody(&gateway).deletes(&project.ids()["b"]);
        let words = ["apply", "--recreate", "b", "--settle-after", "0s"];
        let died = project.call(words).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
        assert!(died.code > 1_000 && gateway.creates() == creates, "{point}: {died}");
        let between = project.run("apply");
        assert!(matches!(between.code, 0 | 6), "{point}: {between}");
        project.run("apply --recreate b --settle-after 0s").exits(0).done();
        assert_eq!(gateway.creates(), 4, "{point}");
        project.run("state verify").exits(0).done();
    }
}

/// A server whose list says what it is told to.
fn told(items: &Arc<Mutex<String>>) -> OtherGateway {
    let (items, made) = (Arc::clone(items), Mutex::new(70_000));
    OtherGateway::start(move |asked| match asked.function() {
        "newInstance" => {
            let mut id = made.lock().unwrap();
            *id += 1;
            let instance = format!(r#"{{"id":{id},"apiUrl":"https://h.example/{id}/","token":"tokentoken{id}"}}"#);
            Reply::new(200, format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#))
        }
        _ => Reply::new(200, format!(r#"{{"result":[{}]}}"#, items.lock().unwrap())),
    })
}

#[test]
fn stopped_unpaid_and_of_another_type_are_told_by_what_the_server_says() {
    let items = Arc::new(Mutex::new(String::new()));
    let server = told(&items);
    let project = Project::at(&server.url(), &["a", "b", "c", "d"]);
    project.run("apply --parallelism 1").exits(0).done();
    let ids = project.ids();
    let soon = jiff::Timestamp::now().as_millisecond() + 3 * 24 * 60 * 60 * 1_000 + 60_000;
    let more = BTreeMap::from([
        ("a", r#""stopped": true, "paidTill": 1500000000000"#.to_owned()),
        ("b", format!(r#""stopped": 0, "paidTill": {soon}"#)),
        ("c", r#""kind": "?""#.to_owned()),
        ("d", "\"name\": \"\u{1b}[31m\"".replace('\u{1b}', "\\u001b")),
    ]);
    let item = |(name, more): (&&str, &String)| {
        let kind = if *name == "c" { "Tele\\u001b[31mgram" } else { "whatsapp" };
        format!(r#"{{"id": "{}", "type": "{kind}", {more}}}"#, ids[*name])
    };
    *items.lock().unwrap() = more.iter().map(item).collect::<Vec<_>>().join(",");
    let run = project.run("drift --format json").exits(0);
    let document = run.json();
    let of = |word: &str, name: &str| format!("{word} {name} {}", ids[name]);
    assert_eq!(findings(&document), [of("stopped", "a"), of("expired", "a"), of("expiring", "b"), of("wrong_type", "c")]);
    assert_eq!(document["findings"][2]["message"].as_str().unwrap().rsplit(": ").next(), Some("3 days"));
    let run = project.run("drift --expiring-within 2d").exits(0).prints("1 stopped, 1 expired, 1 of another type");
    assert!(!run.stdout.contains('\u{1b}'), "{run}");
    project.declare(
        &manifest("{kind: chatapi}", &["a", "b", "d"]).replace("{name: d, type: whatsapp}", "{name: d, type: whatsapp_dev}"),
    );
    project.run("drift instances.yaml").exits(0).prints("2 of another type").done();
}

#[test]
fn nothing_is_asked_of_another_server_or_without_a_state() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let other = Gateway::start(&[]);
    project
        .call(["drift"])
        .env("CHATAPI_URL", other.url())
        .run()
        .exits(1)
        .warns("the state belongs to")
        .done_with("another state");
    project.call(["drift"]).env("CHATAPI_API_KEY", "another-key-altogether").run().exits(1).done_with("another account");
    project.call(["plan", "--verify"]).env("CHATAPI_URL", other.url()).run().exits(1).done_with("the state belongs to");
    assert_eq!(other.requests(), 0);
    let empty = Project::at(&other.url(), &["a"]);
    empty.run("drift").exits(8).done_with("there is no state");
    empty.run("plan --verify").exits(0).prints("1 to create").done_with("nothing to verify");
    assert_eq!(other.requests(), 0);
    for bad in ["7", "-1d", "3651d", "99999999999999999999d", "d", "1w2"] {
        project.call(["drift", &format!("--expiring-within={bad}")]).run().exits(1).done_with("`7d`");
    }
    let unlisted = OtherGateway::healthy(false).0;
    let blind = Project::at(&unlisted.url(), &["a"]);
    blind.run("apply").exits(0).done();
    blind.run("drift").exits(1).done_with("`chatapi status` asks each of them");
}
