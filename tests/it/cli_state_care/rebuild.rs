//! `chatapi state rebuild`: a state from what is left of it, and what must never come of that.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{done, doubtful, journal, put_back};
use crate::stage::{Gateway, Project, manifest};

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
fn p9_a_released_name_stays_released_when_its_state_is_lost() {
    let (gateway, project) = done(&["a", "b"]);
    project.run("release b").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run("apply").exits(0);
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from lock").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(6).warns("was released").prints("nothing was sent");
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
    project.run("apply team/instances.yaml").exits(8).warns("`b` may exist, and the state does not know it");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p15_a_rebuild_leaves_a_newer_state_as_it_is() {
    let (_gateway, project) = done(&["a"]);
    let newer = journal(&project).replacen("\"format\":3", "\"format\":99", 1);
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
    project.run("state rebuild --from journal").exits(0).prints("1 entry is gone");
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
pub(super) fn garble(project: &Project, is_bad: impl Fn(&str) -> bool) {
    let lines: Vec<String> =
        journal(project).lines().map(|line| if is_bad(line) { "#".to_owned() } else { line.to_owned() }).collect();
    project.write("state/journal.jsonl", lines.join("\n") + "\n");
    fs::remove_dir_all(project.state().join("index")).unwrap();
}

#[test]
fn p5_what_a_damaged_checkpoint_has_lost_comes_back_from_the_history() {
    let (gateway, project) = done(&["a", "b", "c"]);
    project.run("state compact").exits(0);
    elsewhere(&project);
    garble(&project, |line| line.contains("\"restored\"") && line.contains("\"name\":\"b\""));
    let run = project.run("state rebuild --from journal").exits(0);
    let run = run.warns("there is no chatapi.lock").warns("--lock-file PATH").warns("tokens are sealed to");
    // The history has the names; without it, the line after the unreadable one holds its name.
    assert!(run.stdout.contains("Rebuilt: 3 names, 0 of them in doubt"), "{run}");
    project.run("apply infra/instances.yaml").exits(3).prints("0 created");
    assert_eq!((gateway.creates(), project.ids().len()), (3, 3));
}

#[test]
fn p5_a_checkpoint_that_lost_names_without_a_history_is_stopped_by_its_lock_file() {
    let (gateway, project) = done(&["a", "b", "c"]);
    project.run("state compact").exits(0);
    elsewhere(&project);
    garble(&project, |line| line.contains("\"restored\"") && line.contains("\"name\":\"b\""));
    fs::remove_dir_all(project.state().join("history")).unwrap();
    let run = project.run("state rebuild --from journal").exits(0);
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
    project.run("state rebuild --from journal").exits(0).prints("1 entry is gone");
    project.run("state history").exits(0).warns("1 entry up to serial");
    project.run("state verify").exits(0).prints("! history    1 entry up to serial");
}

/// What exit code 8 suggests.
pub(super) fn rebuilt(project: &Project) -> crate::stage::Run {
    project.run("state rebuild --from journal --lock-file chatapi.lock").exits(0)
}

#[test]
fn p1_an_answer_whose_conclusion_is_lost_frees_no_name() {
    let gateway = Gateway::start(&["create:nth=1=refuse"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(1);
    project.run("apply").exits(0);
    garble(&project, |line| line.contains("\"refused\":"));
    rebuilt(&project);
    project.run("apply").done_or_doubtful();
    assert_eq!(gateway.tokens().len(), 1);
}

#[test]
fn p1_a_name_that_a_newer_lock_file_has_under_another_id_is_held() {
    let (gateway, project) = done(&["a"]);
    let older = journal(&project);
    project.run("state mv a b").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("1 created");
    put_back(&project, &older);
    project.run("apply").exits(8);
    rebuilt(&project);
    project.run("apply").done_or_doubtful();
    assert_eq!(gateway.creates(), 2);
    // The same where only the line of the rename is gone.
    let (gateway, project) = done(&["a"]);
    project.run("state mv a b").exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("1 created");
    garble(&project, |line| line.contains("\"moved\""));
    rebuilt(&project);
    project.run("apply").done_or_doubtful();
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_a_lock_file_that_was_merged_by_hand_is_held_against_every_id() {
    let (gateway, project) = done(&["a"]);
    let mut lock: Value = serde_json::from_str(&project.read("chatapi.lock")).unwrap();
    lock["instances"]["b"] = json!({"id": "424242", "type": "whatsapp"});
    fs::write(project.lock_file(), lock.to_string()).unwrap();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(8).warns("`b` exists as 424242, and the state does not know it");
    rebuilt(&project);
    project.run("apply").exits(3);
    assert_eq!((gateway.creates(), project.ids()["b"].as_str()), (1, "424242"));
}

#[test]
fn p1_an_import_is_held_against_the_names_of_the_lock_file() {
    let (gateway, project) = done(&["a"]);
    let older = journal(&project);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    // Two copies: the older one goes on until its serial is the larger one.
    let other = Project::at(&gateway.url(), &["a"]);
    fs::create_dir(other.state()).unwrap();
    other.write("state/journal.jsonl", &older);
    fs::set_permissions(other.state(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for _ in 0..8 {
        other.run("state compact").exits(0);
    }
    project.write("longer.json", other.run("state export --unsealed").exits(0).stdout);
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state import longer.json").exits(8).warns("the state does not know it");
    assert!(!project.path("state/journal.jsonl").exists());
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_names_that_only_the_history_has_are_held() {
    let (gateway, project) = done(&["a", "b"]);
    project.run("state compact").exits(0);
    fs::remove_file(project.lock_file()).unwrap();
    garble(&project, |line| line.contains("\"restored\""));
    project.run("state rebuild --from journal").exits(0).prints("Rebuilt: 2 names");
    project.run("apply").exits(3);
    assert_eq!((gateway.creates(), project.ids().len()), (2, 2));
}

#[test]
fn p3_a_journal_without_its_first_line_keeps_its_tokens() {
    for is_compacted in [false, true] {
        let (gateway, project) = done(&["a", "b", "c"]);
        if is_compacted {
            project.run("state compact").exits(0);
        }
        let (ids, first) = (project.ids(), journal(&project).lines().next().unwrap().to_owned());
        garble(&project, |line| line == first);
        project.run("apply").exits(8);
        project.write("aside", project.read("chatapi.lock"));
        fs::remove_file(project.lock_file()).unwrap();
        project.run("state rebuild --from journal").exits(8).warns("not even the beginning").warns("--lock-file PATH");
        fs::rename(project.path("aside"), project.lock_file()).unwrap();
        rebuilt(&project);
        project.run("apply").done_or_doubtful();
        assert_eq!((gateway.creates(), project.ids()), (3, ids.clone()), "{is_compacted}");
        let kept =
            ids.iter().filter(|(name, id)| project.run(&format!("token get {name}")).stdout.trim_end() == gateway.tokens()[*id]);
        assert!(kept.count() >= 2, "{is_compacted}");
    }
}

/// P9: what must not be deleted by itself, or created, is so after a rebuild too.
#[cfg(feature = "failpoints")]
#[test]
fn p9_what_a_lock_file_says_of_an_instance_outlives_its_state() {
    let gateway = Gateway::start(&["create:nth=6=drop-before"]);
    let entry = |name: &str, more: &str| format!("  - {{name: {name}, type: whatsapp{more}}}\n");
    let declared = |all: &[&str]| format!("instances:\n{}", all.iter().map(|name| entry(name, "")).collect::<String>());
    let project = Project::at(&gateway.url(), &[]);
    project.declare(&(declared(&["b", "c", "d"]) + &entry("a", ", protect: true")));
    project.run("apply --parallelism 1").exits(0);
    let ids = project.ids();
    project.run("destroy b --yes --max-deletes 1").exits(0);
    project.declare(&declared(&["b", "c", "d"]));
    project.run("apply --replace c --recreate b --target c --yes").exits(0).prints("1 created");
    project.run("apply --replace d --target d --yes").exits(3).prints("1 in doubt");
    let lock: Value = serde_json::from_str(&project.read("chatapi.lock")).unwrap();
    assert_eq!((&lock["version"], &lock["instances"]["a"]["protected"]), (&json!(3), &json!(true)));
    assert_eq!(lock["deleted"]["b"]["id"], json!(ids["b"]));
    assert_eq!(lock["instances"][format!("c.{}", ids["c"])]["replaced_by"], json!("c"));
    fs::remove_dir_all(project.state()).unwrap();
    // Killed in the middle, it goes on.
    let died = project.call(["state", "rebuild", "--from-lock", "chatapi.lock"]);
    let died = died.env("CHATAPI_FAILPOINT", "journal-written-replacing=kill").run();
    assert!(died.code > 1_000, "{died}");
    project.run("state rebuild --from-lock chatapi.lock").exits(0).prints("1 in doubt");
    for old in [format!("c.{}", ids["c"]), format!("d.{}", ids["d"])] {
        assert_eq!(project.ids()[&old], old[2..]);
    }
    project.run("apply").exits(3).prints("nothing was sent").warns("`b` was deleted").warns("`--recreate b`");
    project.declare(&declared(&["c", "d"]));
    project.run("apply --prune --yes --max-deletes 9").exits(3).prints("nothing was sent").warns("`a` is protected");
    project.run("plan --replace c").warns("`c` was replaced before");
    project.declare(&(declared(&["c", "d"]) + &entry("a", "")));
    let prune = project.run("apply --prune --yes --max-deletes 9").exits(3);
    assert_eq!(gateway.deleted(), [ids["b"].clone()], "what is replaced stays until the new one can be used: {prune}");
    project.run("state verify").exits(0);
}

/// A lock file of an earlier version does not say what is protected.
#[test]
fn p9_what_an_older_lock_file_brings_back_is_protected() {
    let (gateway, project) = done(&["a", "b"]);
    let mut lock: Value = serde_json::from_str(&project.read("chatapi.lock")).unwrap();
    lock["version"] = json!(1);
    fs::write(project.lock_file(), lock.to_string()).unwrap();
    fs::remove_dir_all(project.state()).unwrap();
    project
        .run("state rebuild --from-lock chatapi.lock")
        .exits(0)
        .warns("does not say what was protected: everything is protected");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    let prune = project.run("apply --prune --yes --max-deletes 1").exits(6).prints("nothing was sent");
    let _ = prune.warns("`b` is protected, and would be deleted");
    assert!(gateway.deleted().is_empty());
}

/// An older copy of the state and a newer lock file: the newer one is right, and what was released is not managed.
#[test]
fn p9_a_rebuild_takes_the_ids_and_releases_of_a_newer_lock_file() {
    for damage in ["older", "cut"] {
        let (gateway, project) = done(&["a", "b", "c"]);
        let old = journal(&project);
        let ids = project.ids();
        project.run("release b").exits(0);
        project.run("destroy a --yes --max-deletes 1").exits(0);
        project.declare(&manifest("{kind: chatapi}", &["a", "c"]));
        project.run("apply --recreate a").exits(0);
        project.run("apply --replace c --yes").exits(0);
        let now = project.ids();
        match damage {
            "older" => put_back(&project, &old),
            // The index knows it, and no line does.
            _ => garble_but_index(&project, old.lines().count()),
        }
        rebuilt(&project);
        for name in ["a", "c"] {
            assert_eq!(project.ids()[name], now[name], "{damage}");
        }
        assert_eq!(project.ids()[&format!("c.{}", ids["c"])], ids["c"], "{damage}");
        let status = project.run("state show b --format json").exits(0).json()["status"].clone();
        assert_eq!(status, json!("released"), "{damage}");
        project.run("plan --replace c").warns("`c` was replaced before");
        let _ = project.run("apply --prune --yes --max-deletes 9").exits(3);
        assert_eq!(gateway.deleted(), [ids["a"].clone()], "{damage}: what was released, or its new one has no token, stays");
        assert_eq!(gateway.creates(), 5, "{damage}");
        project.run("state verify").exits(0);
    }
}

/// What was replaced is paid for once, also where the old one is deleted and the state is lost since.
#[test]
fn p1_what_was_replaced_and_deleted_is_not_replaced_again_by_a_rebuilt_state() {
    for is_older in [false, true] {
        let (gateway, project) = done(&["a", "b"]);
        let old = journal(&project);
        project.run("apply --replace a --yes --max-deletes 1").exits(0).prints("1 created, 1 deleted").done();
        assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 1));
        if is_older {
            put_back(&project, &old);
            rebuilt(&project);
        } else {
            fs::remove_dir_all(project.state()).unwrap();
            project.run("state rebuild --from-lock chatapi.lock").exits(0).done();
        }
        project.run("apply --replace a --yes --max-deletes 1").warns("`a` was replaced before");
        assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 1), "older: {is_older}");
        project.run("state verify").exits(0).done();
    }
}

/// The journal up to that line; the index and the lock file know more.
fn garble_but_index(project: &Project, lines: usize) {
    let kept: Vec<String> = journal(project).lines().take(lines).map(str::to_owned).collect();
    project.write("state/journal.jsonl", kept.join("\n") + "\n");
}
