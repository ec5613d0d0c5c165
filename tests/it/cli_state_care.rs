//! `chatapi state …` beyond looking: export and import, rebuild, verify, compact, history, rm and rescue, as a person uses them.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatapi::emulator::account_hash;
use serde_json::{Value, json};

use crate::stage::{Gateway, Project, manifest};

fn done(names: &[&str]) -> (Gateway, Project) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), names);
    project.run("apply").exits(0);
    (gateway, project)
}

/// `a` exists and `b` is in doubt: the server has it, and its answer was lost.
fn doubtful() -> (Gateway, Project) {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    (gateway, project)
}

#[test]
fn an_exported_state_is_imported_where_there_is_none_and_goes_on() {
    let (gateway, project) = doubtful();
    let export = project.run("state export --unsealed").exits(0).stdout;
    let other = Project::at(&gateway.url(), &["a", "b"]);
    other.write("state.json", &export);
    other.run("state import state.json").exits(0).prints("Imported 2 names").warns("two writers");
    assert_eq!((other.ids()["a"].clone(), other.token("a")), (project.ids()["a"].clone(), project.token("a")));
    other.run("apply").exits(3).warns("b is in doubt");
    assert_eq!(gateway.creates(), 2, "what is in doubt stays held");
    other.run("state import state.json").exits(1).warns("there is a state in").warns("never replaces one");
    // What is no export, or was changed, begins nothing.
    let empty = Project::at(&gateway.url(), &["a"]);
    empty.write("changed.json", export.replace("whatsapp", "whatsapp_dev"));
    empty.write("list.json", "[]");
    empty.run("state import changed.json").exits(8).warns("does not match its sum");
    empty.run("state import list.json").exits(1).warns("no export of a state");
    empty.run("state import missing.json").exits(1).warns("cannot read missing.json");
    assert!(!empty.path("state/journal.jsonl").exists());
}

#[test]
fn p5_an_export_that_is_older_than_the_lock_file_is_refused() {
    let (_gateway, project) = done(&["a"]);
    project.write("old.json", project.run("state export --unsealed").exits(0).stdout);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    project.write("new.json", project.run("state export --unsealed").exits(0).stdout);
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state import old.json").exits(8).warns("the lock file");
    project.run("state import new.json").exits(0);
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
}

#[test]
fn a_revealed_export_has_the_tokens_and_cannot_be_imported() {
    let (gateway, project) = doubtful();
    let document = project.run("state export --reveal").exits(0).json();
    let tokens = gateway.tokens();
    let instances = document["instances"].as_array().unwrap();
    assert_eq!(instances[0]["token"], tokens[instances[0]["id"].as_str().unwrap()]);
    assert_eq!(instances[1]["token"], Value::Null);
    project.write("revealed.json", document.to_string());
    let other = Project::at(&gateway.url(), &["a"]);
    other.write("revealed.json", document.to_string());
    other.run("state import revealed.json").exits(1).warns("`--reveal` does not");
}

#[test]
fn verify_says_what_is_wrong_and_what_to_do() {
    let (_gateway, project) = done(&["a", "b"]);
    let document = project.run("state verify --format json").exits(0).json();
    assert_eq!(document["is_intact"], true);
    assert!(document["findings"].as_array().unwrap().iter().all(|finding| finding["severity"] == "good"), "{document}");
    let run = project.run("state verify").exits(0);
    run.prints("= journal").prints("= index      equals the journal").prints("= lock file").prints("= files");
    let journal = project.read("state/journal.jsonl");
    project.write("state/journal.jsonl", journal.replacen("whatsapp", "whatsaqp", 1));
    let run = project.run("state verify").exits(8).prints("x journal").prints("its bytes do not match its hash");
    run.warns("state rebuild --from journal");
    project.write("state/journal.jsonl", &journal);
    fs::set_permissions(project.path("state/journal.jsonl"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    project.run("state verify").exits(0).prints("! files").prints("has mode 0644");
    fs::remove_file(project.path("state/journal.jsonl")).unwrap();
    project.run("state verify").exits(8).prints("there is no journal").warns("--lock-file chatapi.lock");
}

#[test]
fn p5_a_damaged_journal_is_rebuilt_from_what_is_left_and_nothing_is_created_again() {
    let (gateway, project) = doubtful();
    let journal = project.read("state/journal.jsonl");
    let (ids, token) = (project.ids(), project.token("a"));
    for line in 2..journal.lines().count() {
        let mut broken = String::new();
        for (number, text) in journal.lines().enumerate() {
            broken.push_str(if number == line { "{\"serial\":" } else { text });
            broken.push('\n');
        }
        project.write("state/journal.jsonl", &broken);
        project.run("apply").exits(8).warns("damaged at line");
        project.run("state rebuild --from journal").exits(0).prints("Rebuilt: 2 names").warns("journal.jsonl.damaged-");
        project.run("state verify").exits(0).prints("holds what the journal held");
        let run = project.run("apply").exits(3);
        assert_eq!(gateway.creates(), 2, "line {line}: {run}");
        assert_eq!(project.ids().get("a"), ids.get("a"), "line {line}: {run}");
        let kept = project.run("token get a");
        assert!(kept.stdout.trim_end() == token || kept.code == 3, "line {line}: {kept}");
        // As it was, for the next line.
        fs::remove_dir_all(project.state()).unwrap();
        fs::create_dir(project.state()).unwrap();
        project.write("state/journal.jsonl", &journal);
        fs::remove_file(project.lock_file()).unwrap();
        project.run("apply").exits(3);
    }
}

#[test]
fn a_state_is_rebuilt_from_what_the_server_lists_and_a_person_names() {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    project.run("apply").exits(8);
    project.run("state rebuild --from server").exits(1).prints(&ids["a"]).warns("--adopt NAME=");
    project.run("state rebuild --from server --adopt a=999999").exits(1).warns("lists no 999999");
    project.run("state rebuild --from server --adopt a").exits(1).warns("NAME=ID");
    let words = format!("state rebuild --from server --adopt a={} --adopt b={}", ids["a"], ids["b"]);
    project.run(&words).exits(0).prints("2 instances without token");
    project.run("apply").exits(3).warns("its token is missing");
    for (name, id) in &ids {
        project.call(["token", "set", name]).input(gateway.tokens()[id].clone()).run().exits(0);
    }
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!((project.ids(), gateway.creates()), (ids, 2));
}

#[test]
fn p16_history_tells_who_did_what_before_and_after_a_rename_and_a_compaction() {
    let (_gateway, project) = done(&["a"]);
    project.run("state mv a z").exits(0);
    project.run("state compact").exits(0).prints("Compacted").warns("history/until-");
    let run = project.call(["state", "history", "z"]).run().exits(0);
    for word in ["intent", "sent", "received", "created", "moved", "is z from now on", "apply (", "state mv ("] {
        assert!(run.stdout.contains(word), "{word} in {run}");
    }
    let document = project.run("state history --format json").exits(0).json();
    let entries = document["entries"].as_array().unwrap();
    assert_eq!(entries[0]["event"], "genesis");
    assert!(entries.iter().any(|entry| entry["event"] == "checkpoint"));
    assert_eq!(document["gaps"], json!([]));
    project.run("state history q").exits(1).warns("nothing is recorded under `q`");
    assert!(!run.stdout.contains(&project.token("z")));
}

#[test]
fn t23_compact_leaves_no_token_behind_that_was_replaced() {
    let (gateway, project) = done(&["a", "b"]);
    let (old, kept) = (project.token("a"), project.token("b"));
    project.call(["token", "set", "a", "--replace"]).input("replaced-token").run().exits(0);
    project.run("state compact").exits(0);
    for (path, bytes) in Project::files(&project.state()) {
        let text = String::from_utf8_lossy(&bytes);
        // Unsealed answers stand there as base64; three bytes of text are four of it, so all but the ends show.
        for form in [old.clone(), STANDARD.encode(&old)[2..old.len()].to_owned()] {
            assert!(!text.contains(&form), "{} has the replaced token", path.display());
        }
    }
    assert_eq!((project.token("a").as_str(), project.token("b")), ("replaced-token", kept));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p9_a_removed_name_stays_on_the_server_and_is_not_created_again() {
    let (gateway, project) = done(&["a", "b"]);
    project.run("state rm c").exits(1).warns("nothing is recorded under `c`");
    project.run("state rm b").exits(0).prints("still paid for").warns("state rm --undo b");
    project.run("state rm b").exits(1).warns("`b` is released");
    project.run("apply").exits(6).warns("`b` is declared again, and was released").warns("state rm --undo b");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run("apply").exits(0).prints("Nothing to do");
    project.run("state list").exits(0).prints("released");
    project.run("state rm --undo a").exits(1).warns("`a` is created");
    project.run("state rm --undo b").exits(0).prints("managed again");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!(gateway.creates(), 2);
}

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

/// A copy of the journal, without the index.
fn journal(project: &Project) -> String {
    project.read("state/journal.jsonl")
}

fn put_back(project: &Project, journal: &str) {
    fs::remove_dir_all(project.state()).unwrap();
    fs::create_dir(project.state()).unwrap();
    project.write("state/journal.jsonl", journal);
}

#[test]
fn p5_an_older_state_is_not_laundered_by_compacting_it() {
    let (gateway, project) = done(&["a", "b"]);
    let older = journal(&project);
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c", "d"]));
    project.run("apply").exits(0);
    put_back(&project, &older);
    for _ in 0..4 {
        let _ = project.run("state compact");
    }
    project.run("plan").exits(8).warns("the lock file");
    project.run("apply").exits(8).warns("the lock file");
    project.run("state verify").exits(8);
    assert_eq!(gateway.creates(), 4);
}

#[test]
fn p5_a_state_that_was_compacted_is_known_by_a_lock_file_from_before() {
    let (gateway, project) = done(&["a", "b"]);
    let lock = project.read("chatapi.lock");
    for _ in 0..2 {
        project.run("state compact").exits(0);
    }
    project.write("chatapi.lock", &lock);
    project.run("plan").exits(0);
    project.run("apply").exits(0);
    // Without the history too, as long as everything is known that it names.
    project.run("state compact").exits(0);
    project.write("chatapi.lock", &lock);
    fs::remove_dir_all(project.path("state/history")).unwrap();
    project.run("apply").exits(0);
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_a_rebuild_does_not_take_over_another_states_lock_file() {
    let (gateway, project) = done(&["a", "b"]);
    let other = Project::at(&gateway.url(), &["x"]);
    other.run("apply").exits(0);
    put_back(&project, &journal(&other));
    let lock = project.read("chatapi.lock");
    project.run("state rebuild --from journal").exits(8).warns("the lineage is").warns("the lock file says");
    assert_eq!(project.read("chatapi.lock"), lock);
    project.run("apply").exits(8);
    assert_eq!(gateway.creates(), 3);
}

#[test]
fn p5_a_rebuild_from_the_server_keeps_what_the_lock_file_knows_besides() {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    project.run(&format!("state rebuild --from server --adopt a={}", ids["a"])).exits(0).prints("2 instances without token");
    project.run("apply").exits(3);
    assert_eq!((project.ids(), gateway.creates()), (ids, 2));
}

#[test]
fn p9_a_released_name_stays_released_when_its_state_is_lost() {
    let (gateway, project) = done(&["a", "b"]);
    project.run("state rm b").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run("apply").exits(0);
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from lock").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(3).warns("was released").prints("nothing was sent");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_a_rebuild_that_misses_its_lock_file_is_stopped_by_it_later() {
    let (gateway, project) = done(&["a", "b"]);
    fs::create_dir(project.path("team")).unwrap();
    for file in ["instances.yaml", "chatapi.lock"] {
        fs::rename(project.path(file), project.path(&format!("team/{file}"))).unwrap();
    }
    let broken: Vec<String> = journal(&project)
        .lines()
        .map(|line| if line.contains("\"intent\"") && line.contains("\"b\"") { "#".to_owned() } else { line.to_owned() })
        .collect();
    put_back(&project, &(broken.join("\n") + "\n"));
    project.run("state rebuild --from journal").exits(0);
    project.run("apply team/instances.yaml").exits(8).warns("`b` exists as");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p15_a_rebuild_leaves_a_newer_state_as_it_is() {
    let (_gateway, project) = done(&["a"]);
    let newer = journal(&project).replacen("\"format\":2", "\"format\":99", 1);
    put_back(&project, &newer);
    project.run("state rebuild --from journal").exits(8).warns("newer version");
    assert_eq!(journal(&project), newer);
}

#[test]
fn p3_a_line_whose_bytes_were_changed_gives_no_token_and_no_name() {
    let (gateway, project) = done(&["a", "b"]);
    let whole = journal(&project);
    let token = project.token("a");
    let body = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        entry["event"]["received"]["answer"]["body"].as_str().map(str::to_owned)
    };
    let holds_it = |line: &&str| {
        let bytes = body(line).and_then(|body| STANDARD.decode(body).ok());
        bytes.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(&token))
    };
    let line = whole.lines().find(holds_it).unwrap();
    // Four letters of base64 in the middle of the answer: three other bytes.
    let body = body(line).unwrap();
    let other = format!("{}AAAA{}", &body[..40], &body[44..]);
    let changed = line.replace(&body, &other);
    put_back(&project, &whole.replace(line, &changed));
    project.run("state rebuild --from journal").exits(0).prints("1 entries are gone");
    project.run("apply").exits(3);
    let got = project.run("token get a");
    assert_ne!(got.code, 0, "{got}");
    // A name that was changed is no name.
    put_back(&project, &whole.replacen("\"name\":\"b\"", "\"name\":\"q\"", 1));
    project.run("state rebuild --from journal").exits(0);
    let run = project.run("apply");
    assert_eq!(gateway.creates(), 2, "{run}");
}

#[test]
fn p11_an_export_has_tokens_in_the_clear_only_if_that_is_meant() {
    let (_gateway, project) = done(&["a"]);
    let run = project.run("state export").exits(1).warns("--unsealed");
    assert!(run.stdout.is_empty());
    project.run("state export --unsealed").exits(0);
}

type Spoil<'a> = &'a dyn Fn(&mut Value);

#[test]
fn p5_an_import_that_would_not_open_writes_nothing() {
    let (gateway, project) = done(&["a"]);
    let whole: Value = project.run("state export --unsealed").exits(0).json();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = whole.clone();
        change(&mut document["state"]);
        let state: chatapi::store::Snapshot = serde_json::from_value(document["state"].clone()).unwrap();
        let sum = ring::digest::digest(&ring::digest::SHA256, &serde_json::to_vec(&state).unwrap());
        document["sum"] = sum.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")).into();
        document.to_string()
    };
    let spoilt: [(&str, Spoil<'_>, &str); 3] = [
        ("newer", &|state| state["checkpoint"]["format"] = 99.into(), "newer version"),
        ("serial", &|state| state["checkpoint"]["after"]["serial"] = u64::MAX.into(), "larger than any"),
        ("count", &|state| state["checkpoint"]["entries"] = 7.into(), "not complete"),
    ];
    for (what, change, why) in spoilt {
        let other = Project::at(&gateway.url(), &["a"]);
        other.write("state.json", with(change));
        other.run("state import state.json").exits(8).warns(why);
        assert!(!other.path("state/journal.jsonl").exists(), "{what}");
    }
    let device = Project::at(&gateway.url(), &["a"]);
    device.run("state import /dev/zero").exits(1).warns("it is not a file");
    device.run("apply").exits(0);
}

#[test]
fn t1_the_same_account_under_another_key_and_address_is_bound_when_the_list_shows_that_it_is() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_in(data.path());
    let project = Project::at(&gateway.url(), &["a", "b"]).with("CHATAPI_API_KEY", "the-first-key-of-it");
    project.run("apply").exits(0);
    let other_key = |words: &[&str]| project.call(words).env("CHATAPI_API_KEY", "the-renewed-key-of-it").run();
    other_key(&["apply"]).exits(1).warns("the API key differs").warns("state rebind");
    other_key(&["state", "rebind"]).exits(6).warns("does not list 2 of this state's 2 instances: 100001, 100002");
    gateway.stop();
    // The provider gives the account another key; the server comes up at another address.
    let ledger = data.path().join("ledger.jsonl");
    let text = fs::read_to_string(&ledger).unwrap();
    let renewed = text.replace(&account_hash("the-first-key-of-it"), &account_hash("the-renewed-key-of-it"));
    assert_ne!(text, renewed);
    fs::write(&ledger, renewed).unwrap();
    let gateway = Gateway::start_in(data.path());
    let project = project.with("CHATAPI_URL", gateway.url()).with("CHATAPI_API_KEY", "the-renewed-key-of-it");
    project.run("apply").exits(1).warns("the state belongs to").warns("state rebind");
    project.run("state rebind").exits(0).prints("lists all of its instances (2)");
    project.run("state rebind").exits(0).prints("already");
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    project.call(["apply"]).env("CHATAPI_API_KEY", "the-first-key-of-it").run().exits(1).warns("the API key differs");
    project.run("state history").exits(0).prints("rebound").prints("lists all of its instances (2)");
    assert_eq!(gateway.creates(), 0);
}

#[test]
fn t1_another_account_is_not_taken_for_the_same() {
    let (gateway, project) = doubtful();
    let other = Gateway::start(&[]);
    let elsewhere = |words: &[&str]| project.call(words).env("CHATAPI_URL", other.url()).run();
    elsewhere(&["apply"]).exits(1).warns("not to").warns("state rebind");
    elsewhere(&["state", "rebind"]).exits(6).warns("something is in doubt").warns("nothing was changed");
    elsewhere(&["state", "rebind", "--despite-list"]).exits(1).warns("--reason");
    let despite = ["state", "rebind", "--despite-list", "--reason", "moved by the provider"];
    elsewhere(&despite).exits(6).warns("something is in doubt").warns("doubts --refresh");
    // The other account has an instance of that id by now, and of that type too: what is in doubt still speaks against it.
    let stranger = Project::at(&other.url(), &["x"]);
    stranger.run("apply").exits(0);
    assert_eq!(stranger.ids()["x"], project.ids()["a"]);
    elsewhere(&["state", "rebind"]).exits(6).warns("something is in doubt");
    let attempt = project.attempt("b");
    project.call(["resolve", "b", "--attempt", &attempt, "--not-created", "--offline", "--reason", "test"]).run().exits(0);
    let third = Gateway::start(&[]);
    let odd = Project::at(&third.url(), &[]);
    odd.declare("version: 1\nprovider: {kind: chatapi}\ninstances: [{name: x, type: whatsapp_dev}]\n");
    odd.run("apply").exits(0);
    let there = |words: &[&str]| project.call(words).env("CHATAPI_URL", third.url()).run();
    let refused = there(&["state", "rebind"]).exits(6).warns("does not list 1 of this state's 1 instances: ");
    refused.warns("--despite-list --reason").warns("nothing was changed");
    there(&despite).exits(0).prints("from now on").prints("does not list 1");
    there(&["plan"]).exits(0).prints("1 to create");
    project.run("state history").exits(0).prints("moved by the provider");
    assert_eq!((gateway.creates(), other.creates(), third.creates()), (2, 1, 1));
}

#[test]
fn what_is_bound_to_nothing_or_to_the_emulator_is_not_rebound() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    project.run("apply").exits(0);
    project.run("state rebind").exits(1).warns("no server yet");
    project.declare(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0);
    project.run("state rebind").exits(1).warns("embedded emulator");
    assert_eq!(gateway.requests(), 0);
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
fn verify_goes_on_where_the_lock_file_cannot_be_read() {
    let (_gateway, project) = done(&["a"]);
    fs::write(project.lock_file(), "<<<<<<< ours\n").unwrap();
    let run = project
        .run("state verify")
        .exits(8)
        .prints("x lock file")
        .prints("= journal")
        .prints("= tokens     1 kept, in the clear");
    let run = run.prints("= index      equals the journal").warns("restore the lock file from version control");
    assert!(!run.stderr.contains("rebuild"), "{run}");
}

#[test]
fn p16_the_past_survives_a_rebuild_of_a_damaged_journal_and_says_what_is_missing() {
    let (_gateway, project) = done(&["a", "b"]);
    let journal = project.read("state/journal.jsonl");
    let token = project.token("a");
    let lines: Vec<_> = journal.lines().enumerate().map(|(at, line)| if at == 5 { "{\"serial\":" } else { line }).collect();
    project.write("state/journal.jsonl", lines.join("\n") + "\n");
    fs::remove_dir_all(project.state().join("index")).unwrap();
    project.run("state rebuild --from journal").exits(0);
    let run = project.run("state history").exits(0).prints("genesis").prints("intent").prints("state rebuild (");
    let run = run.warns("entries up to serial").warns("could not be read: the journal was damaged");
    assert!(!run.stdout.contains(&token), "{run}");
    project.run("state verify").exits(0).prints("! history");
}

/// `infra/` has the manifest and the lock file, so that a rebuild without `--lock-file` does not find it.
fn elsewhere(project: &Project) {
    fs::create_dir(project.path("infra")).unwrap();
    for file in ["instances.yaml", "chatapi.lock"] {
        fs::rename(project.path(file), project.path(&format!("infra/{file}"))).unwrap();
    }
}

/// The journal with every line that `is_bad` replaced by one that cannot be read, and no index.
fn garble(project: &Project, is_bad: impl Fn(&str) -> bool) {
    let lines: Vec<String> =
        journal(project).lines().map(|line| if is_bad(line) { "#".to_owned() } else { line.to_owned() }).collect();
    project.write("state/journal.jsonl", lines.join("\n") + "\n");
    fs::remove_dir_all(project.state().join("index")).unwrap();
}

#[test]
fn p5_what_went_before_a_damaged_checkpoint_vouches_for_no_lock_file() {
    let (gateway, project) = done(&["a", "b", "c"]);
    project.run("state compact").exits(0);
    elsewhere(&project);
    garble(&project, |line| line.contains("\"restored\"") && line.contains("\"name\":\"b\""));
    let run = project.run("state rebuild --from journal").exits(0);
    let run = run.warns("there is no chatapi.lock").warns("--lock-file PATH").warns("tokens are sealed to");
    // The line after the unreadable one can be read, and nothing vouches for it: its name is held.
    assert!(run.stdout.contains("Rebuilt: 2 names, 1 of them in doubt"), "{run}");
    project.run("apply infra/instances.yaml").exits(8).warns("the state does not know it");
    project.run("state rebuild --from journal --lock-file infra/chatapi.lock").exits(0);
    project.run("apply infra/instances.yaml").exits(3).prints("0 created");
    assert_eq!((gateway.creates(), project.ids().len()), (3, 3));
}

/// Budget: 1 s.
#[cfg(feature = "failpoints")]
#[test]
fn p5_a_name_that_was_about_to_be_created_is_not_free_after_a_rebuild_without_its_lock_file() {
    let (gateway, project) = done(&["a"]);
    project.declare(&manifest("{kind: chatapi}", &["a", "z"]));
    assert_ne!(project.call(["apply"]).env("CHATAPI_FAILPOINT", "body-handed=kill").run().code, 0);
    elsewhere(&project);
    garble(&project, |line| line.contains("\"name\":\"z\"") || line.contains("\"sent\""));
    let before = gateway.creates();
    project.run("state rebuild --from journal").exits(0);
    project.run("apply infra/instances.yaml").exits(8).warns("`z` may exist");
    project.run("state rebuild --from journal --lock-file infra/chatapi.lock").exits(0);
    project.run("apply infra/instances.yaml").exits(3).warns("z is in doubt");
    assert_eq!(gateway.creates(), before);
}

#[test]
fn p15_a_rebuild_refuses_an_intact_journal_that_goes_on_in_a_newer_format() {
    let (_gateway, project) = done(&["a"]);
    let text = journal(&project);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let payload = format!(
        "{{\"serial\":{},\"at\":\"2026-11-22T00:00:00Z\",\"event\":{{\"format\":{{\"format\":99}}}}",
        last["serial"].as_u64().unwrap() + 1
    );
    project.write("state/journal.jsonl", text + &chained(&payload, last["hash"].as_str().unwrap()));
    let before = journal(&project);
    project.run("apply").exits(8).warns("use that version");
    project.run("state rebuild --from journal").exits(8).warns("use that version");
    assert_eq!(journal(&project), before);
}

/// A line of the journal: `payload` lacks its last brace; its hash goes on from `before`.
fn chained(payload: &str, before: &str) -> String {
    let bytes: Vec<u8> = (0..before.len()).step_by(2).map(|at| u8::from_str_radix(&before[at..at + 2], 16).unwrap()).collect();
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&bytes);
    context.update(payload.as_bytes());
    let hash = context.finish().as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("{payload},\"hash\":\"{hash}\"}}\n")
}

#[test]
fn p16_entries_that_are_lost_at_the_end_are_told_of() {
    let (_gateway, project) = done(&["a"]);
    let last = journal(&project).lines().last().unwrap().to_owned();
    garble(&project, |line| line == last);
    project.run("state rebuild --from journal").exits(0).prints("1 entries are gone");
    project.run("state history").exits(0).warns("1 entries up to serial");
    project.run("state verify").exits(0).prints("! history    1 entries up to serial");
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
