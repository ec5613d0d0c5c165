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
        .prints("Nothing to do by the state: 3 instances are recorded as declared. The server's list says otherwise.")
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
    history.prints("gone").prints("lists of the account without it").done();
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
    let run = project.run("apply --recreate bb --settle-after 0s").exits(1);
    run.done_with("`bb` is to be recreated, and is not declared");
    project.run("plan --recreate b").exits(1).done_with("`b` is to be recreated, and is not declared");
    project.run("apply").exits(0).prints("1 orphaned").done();
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

/// A server whose lists come one after another, the last again and again; each is the ids that it shows.
fn telling(lists: &Arc<Mutex<Vec<Vec<u32>>>>) -> OtherGateway {
    let (lists, made) = (Arc::clone(lists), Mutex::new(70_000));
    OtherGateway::start(move |asked| {
        if asked.function() == "newInstance" {
            let mut id = made.lock().unwrap();
            *id += 1;
            let instance = format!(r#"{{"id":{id},"apiUrl":"https://h.example/{id}/","token":"tokentoken{id}"}}"#);
            Reply::new(200, format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#))
        } else {
            let mut lists = lists.lock().unwrap();
            let shown = if lists.len() > 1 { lists.remove(0) } else { lists.first().cloned().unwrap_or_default() };
            let items: Vec<String> = shown.iter().map(|id| format!(r#"{{"id":"{id}","type":"whatsapp"}}"#)).collect();
            Reply::new(200, format!(r#"{{"result":[{}]}}"#, items.join(",")))
        }
    })
}

fn creates(server: &OtherGateway) -> usize {
    server.asked().iter().filter(|asked| asked.is_create()).count()
}

const RECREATE: &str = "apply --recreate b --settle-after 0s";

/// P1: one list without it proves nothing if any other of the run shows it, whichever that is.
#[test]
fn p1_what_any_list_of_the_run_shows_is_not_gone() {
    let (with, without) = (vec![70_001, 70_002, 70_003], vec![70_001, 70_003]);
    for seen_in in 0..3 {
        let lists = Arc::new(Mutex::new(Vec::new()));
        let server = telling(&lists);
        let project = Project::at(&server.url(), &["a", "b", "c"]);
        project.run("apply --parallelism 1").exits(0).done();
        let before = project.run("state list --format json").exits(0).stdout;
        let mut answers = vec![without.clone(); 3];
        answers[seen_in] = with.clone();
        answers.push(with.clone());
        *lists.lock().unwrap() = answers;
        let run = project.run(RECREATE).exits(0).prints("Nothing to do: 3 instances");
        run.warns("b exists as 70002 and is listed: `--recreate` does nothing for it").done();
        assert_eq!(creates(&server), 3, "list {seen_in}");
        assert_eq!(project.run("state list --format json").exits(0).stdout, before, "nothing is recorded");
        // Two lists without it, and every other one too, are proof.
        *lists.lock().unwrap() = vec![without.clone()];
        project.run(RECREATE).exits(0).prints("Apply: 1 created, 2 unchanged.").done();
        assert_eq!(creates(&server), 4);
    }
}

/// P1: what was called gone, before a run died, is asked for again; if it is listed it is what it was, with its token.
#[test]
fn p1_what_is_recorded_as_gone_and_listed_again_is_not_created_but_taken_back() {
    let lists = Arc::new(Mutex::new(Vec::new()));
    let server = telling(&lists);
    let project = Project::at(&server.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(0).done();
    let token = project.token("b");
    *lists.lock().unwrap() = vec![vec![70_001, 70_003]];
    let words: Vec<&str> = RECREATE.split(' ').collect();
    let died = project.call(words).env("CHATAPI_FAILPOINT", "journal-after-gone=kill").run();
    assert!(died.code > 1_000, "{died}");
    for answers in [vec![vec![70_001, 70_002, 70_003]], vec![vec![70_001, 70_003], vec![70_001, 70_002, 70_003]]] {
        *lists.lock().unwrap() = answers;
        let run = project.run(RECREATE).exits(6).warns("70002 is listed: it exists after all");
        run.done_with("`chatapi import b --id 70002`");
    }
    // Its entries are kept from one journal to the next, and with them its token.
    project.run("state compact").exits(0).done();
    project.run("drift --detailed-exitcode").exits(2).prints("1 still listed").done_with("70002");
    project.run("plan --verify --recreate b --settle-after 0s").exits(6).done_with("it exists after all");
    project.run("import b --id 70002").exits(0).prints("`b` is 70002 from now on, and its token is kept.").done();
    assert_eq!(project.token("b"), token);
    project.run("state verify").exits(0).done();
    project.run("apply").exits(0).prints("Nothing to do: 3 instances").done();
    assert_eq!(creates(&server), 3);
}

/// What was recorded as gone and is listed after all is told, whatever its name is by now.
#[test]
fn what_is_listed_though_it_was_recorded_as_gone_is_a_finding_whatever_has_its_name() {
    let lists = Arc::new(Mutex::new(Vec::new()));
    let server = telling(&lists);
    let project = Project::at(&server.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(0).done();
    *lists.lock().unwrap() = vec![vec![70_001, 70_003]];
    project.run(RECREATE).exits(0).prints("Apply: 1 created").done();
    project.run("state mv b d").exits(0).done();
    project.run("state compact").exits(0).done();
    *lists.lock().unwrap() = vec![vec![70_001, 70_002, 70_003, 70_004]];
    let run = project.run("drift --detailed-exitcode --format json").exits(2);
    assert_eq!(findings(&run.json()), ["still_listed d 70002"]);
    // Its name has another one since, so that it gets one of its own; and is what it was, with its token.
    let token = project.token("d");
    let told = project.run("drift").exits(0).prints("recorded as gone at").warns("lists alone called 70002 gone");
    told.done_with("`chatapi import NAME --id 70002`");
    project.run("import first --id 70002 --settle-after 0s").exits(0).done();
    assert!(!project.token("first").is_empty() && project.token("d") == token);
}

/// An entry that took an instance in is spent when that is gone: a new one can be had with the entry still there. A saved plan of it
/// is not carried out if the instance is listed again.
#[test]
fn p1_an_import_that_was_carried_out_is_spent_when_its_instance_is_gone() {
    let lists = Arc::new(Mutex::new(vec![vec![60_001, 60_002]]));
    let server = telling(&lists);
    let project = Project::at(&server.url(), &["a", "b"]);
    let entries = "import:\n  - {name: a, id: \"60001\", type: whatsapp}\n  - {name: b, id: \"60002\", type: whatsapp}\n";
    project.declare(&(manifest("{kind: chatapi}", &["a", "b"]) + entries));
    assert!(matches!(project.run("apply").code, 0 | 3));
    *lists.lock().unwrap() = vec![vec![60_001]];
    project.run("plan --verify --recreate b --settle-after 0s --out plan.json").prints("1 to create");
    *lists.lock().unwrap() = vec![vec![60_001], vec![60_001, 60_002]];
    project.run("apply --settle-after 0s plan.json").exits(7).done_with("the saved plan is to recreate `b`");
    assert_eq!(creates(&server), 0);
    *lists.lock().unwrap() = vec![vec![60_001]];
    project.run(RECREATE).prints("Apply: 1 created").warns("`b` was 60002, which is recorded as deleted");
    assert_eq!(creates(&server), 1);
}

/// What many have in common is said once, as one command; of what is not declared nobody wants another one.
#[test]
fn many_findings_are_answered_by_few_hints() {
    let gateway = Gateway::start(&[]);
    let names: Vec<String> = (1..=14).map(|number| format!("n{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let project = Project::at(&gateway.url(), &names);
    project.run("apply").exits(0).done();
    let ids = project.ids();
    let somebody = Somebody(&gateway);
    names.iter().skip(1).for_each(|name| somebody.deletes(&ids[*name]));
    let strangers = [somebody.creates("whatsapp"), somebody.creates("whatsapp")];
    project.declare(&manifest("{kind: chatapi}", &names[..12]));
    let run = project.run("drift instances.yaml").exits(0);
    let hints: Vec<&str> = run.stderr.lines().filter(|line| line.contains("hint")).collect();
    let listed = names[1..11].join(" ");
    let flags = names[1..11].join(" --recreate ");
    assert!(hints.iter().any(|hint| hint.contains(&format!("`chatapi apply --recreate {flags}` (and 1 more)"))), "{run}");
    // A list that lacks the others is not believed: what is not declared goes with what is.
    assert!(hints.iter().any(|hint| hint.contains(&format!("`chatapi destroy {listed}` (and 3 more)"))), "{run}");
    assert!(hints.iter().any(|hint| hint.contains("`chatapi import --discover`")), "{run}");
    assert!(hints.len() == 3 && strangers.iter().all(|id| run.stdout.contains(id)), "{run}");
    // In documents, each finding has its own.
    let document = project.run("drift --json instances.yaml").exits(0).json();
    assert!(
        document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|finding| finding["hints"].as_array().is_some_and(|it| !it.is_empty()))
    );
}
