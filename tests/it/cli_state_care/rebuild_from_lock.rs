//! `chatapi state rebuild --from-lock`: into which state, and what is told of it.

use std::fs;

use serde_json::{Value, json};

use super::done;
#[cfg(feature = "failpoints")]
use super::doubtful;
use crate::stage::{Gateway, Project};

/// P9: a state with a doubt of its own is not lost, and another one's instances are not taken into it.
#[test]
fn p9_a_state_with_doubts_of_its_own_takes_in_no_other_lock_file() {
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let one = Project::at(&gateway.url(), &["a", "b"]);
    one.run("apply").exits(0).done();
    let other = Project::at(&gateway.url(), &["x"]);
    other.run("apply --allow-unknown all").exits(3).done_with("x is in doubt");
    let before = (other.read("state/journal.jsonl"), other.read("chatapi.lock"));
    let mut theirs: Value = serde_json::from_str(&one.read("chatapi.lock")).unwrap();
    for doubts in [json!({}), json!({"x": {"type": "whatsapp", "attempt": "a-another"}})] {
        theirs["in_doubt"] = doubts;
        other.write("theirs.lock", theirs.to_string());
        let run = other.run("state rebuild --from-lock theirs.lock --lock-file chatapi.lock").exits(1).warns("it is not lost");
        run.done_with("move that directory aside first");
        assert_eq!((other.read("state/journal.jsonl"), other.read("chatapi.lock")), before);
    }
}

/// Budget: 1 s.
#[cfg(feature = "failpoints")]
#[test]
fn p5_a_rebuild_that_was_cut_off_goes_on_with_its_doubts_and_its_server() {
    let (gateway, project) = doubtful();
    fs::remove_dir_all(project.state()).unwrap();
    let lock = project.read("chatapi.lock");
    let words = ["state", "rebuild", "--from-lock", "chatapi.lock"];
    let died = project.call(words).env("CHATAPI_FAILPOINT", "lockfile-before=kill").run();
    assert!(died.code > 1_000, "{died}");
    let journal = project.read("state/journal.jsonl");
    let origin = serde_json::from_str::<Value>(&lock).unwrap()["origin"].as_str().unwrap().to_owned();
    project.write("moved.lock", lock.replace(&origin, "http://127.0.0.1:1"));
    let run = project.run("state rebuild --from-lock moved.lock --lock-file chatapi.lock").exits(1);
    let run = run.warns("the instances of the lock file are on http://127.0.0.1:1, and the state in state belongs to");
    run.done_with("nothing was written");
    assert_eq!(project.read("state/journal.jsonl"), journal);
    project.call(words).run().exits(0).prints("Rebuilt: 1 instance without token, 1 in doubt.").done();
    project.run("apply").exits(3).done_with("b is in doubt");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn what_was_released_waits_for_no_token() {
    let (gateway, project) = done(&["a", "b", "c"]);
    let ids = project.ids();
    project.run("release a").exits(0).done();
    fs::remove_dir_all(project.state()).unwrap();
    let run = project.run("state rebuild --from lock").exits(0);
    run.prints("Rebuilt: 2 instances without token, 0 in doubt, 1 released.").done_with("`chatapi token set --from FILE`");
    let line = |name: &str| format!("{name},{}\n", gateway.tokens()[&ids[name]]);
    project.write("tokens.csv", line("b") + &line("c"));
    fs::set_permissions(project.path("tokens.csv"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    project.run("token set --from tokens.csv").exits(0).done_with("2 instances");
    // Nothing else is there: no token is asked for.
    let (_gateway, project) = done(&["a"]);
    project.run("release a").exits(0).done();
    fs::remove_dir_all(project.state()).unwrap();
    let run = project.run("state rebuild --from lock").exits(0).prints("0 instances without token, 0 in doubt, 1 released.");
    assert!(!run.stderr.contains("token set"), "{run}");
}

/// A merge that kept both sides says two things: whichever were believed, the other one would be created again.
#[test]
fn p1_a_lock_file_that_says_two_things_of_one_name_or_id_is_believed_in_nothing() {
    let (gateway, project) = done(&["a", "b"]);
    let (ids, before) = (project.ids(), project.read("chatapi.lock"));
    let instance = |id: &str| json!({"id": id, "type": "whatsapp"});
    let said: [(&str, &str, Value, String); 6] = [
        ("instances", "B2", instance(&ids["b"]), format!("`B2` and `b` are both {}", ids["b"])),
        ("released", "c", instance(&ids["a"]), format!("`a` and `c` are both {}", ids["a"])),
        ("released", "a", instance("777"), "it says two things of `a`".to_owned()),
        ("deleted", "a", instance("777"), "it says two things of `a`".to_owned()),
        ("in_doubt", "a", json!({"type": "whatsapp"}), "it says two things of `a`".to_owned()),
        ("instances", "a", instance("777"), "`a` stands in it twice".to_owned()),
    ];
    for (section, name, value, told) in said {
        let mut lock: Value = serde_json::from_str(&before).unwrap();
        let text = if section == "instances" {
            let line = format!("\"instances\": {{\"{name}\": {value},");
            before.replacen("\"instances\": {", &line, 1)
        } else {
            lock[section][name] = value;
            lock.to_string()
        };
        project.write("chatapi.lock", &text);
        project
            .run("apply")
            .exits(8)
            .warns("is not a lock file of chatapi")
            .warns(&told)
            .done_with("after a merge: take the side");
        fs::rename(project.state(), project.path("aside")).unwrap();
        for from in ["lock", "journal", &format!("server --adopt a={}", ids["a"])] {
            project.run(&format!("state rebuild --from {from}")).exits(8).done_with(&told);
        }
        fs::rename(project.path("aside"), project.state()).unwrap();
        assert_eq!(project.read("chatapi.lock"), text, "{told}");
    }
    project.write("chatapi.lock", &before);
    project.run("apply").exits(0).done();
    assert_eq!(gateway.creates(), 2);
}
