//! Tokens sealed to public keys (T22, T23, P11), by the commands that a person types.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::stage::{Gateway, Project, Run};

/// A gateway, and a project whose manifest seals to the key in `key.txt`.
fn sealed(rules: &[&str], names: &[&str]) -> (Gateway, Project, String) {
    let gateway = Gateway::start(rules);
    let project = Project::at(&gateway.url(), names);
    let public = generate(&project, "key.txt");
    seal_to(&project, &[&public]);
    (gateway, project, public)
}

fn generate(project: &Project, file: &str) -> String {
    let run = project.run(&format!("key generate --output {file}")).exits(0);
    run.stdout.trim_end().to_owned()
}

fn seal_to(project: &Project, keys: &[&str]) {
    let manifest = project.read("instances.yaml");
    let rest: Vec<_> = manifest.lines().filter(|line| !line.starts_with("seal_to")).collect();
    let sealing = if keys.is_empty() { String::new() } else { format!("seal_to: [{}]\n", keys.join(", ")) };
    project.write("instances.yaml", format!("{sealing}{}\n", rest.join("\n")));
}

fn get(project: &Project, name: &str, identity: &str) -> Run {
    project.run(&format!("token get {name} --identity {identity}"))
}

/// No file of the state, nor beside it, has one of the tokens.
fn holds_no_token(gateway: &Gateway, project: &Project) {
    for (path, bytes) in Project::files(project.dir()) {
        let text = String::from_utf8_lossy(&bytes);
        for token in gateway.tokens().values() {
            assert!(!text.contains(token.as_str()), "{} has a token", path.display());
            let base64 = base64(token.as_bytes());
            let inner = &base64[2..base64.len() - 4];
            assert!(!text.contains(inner), "{} has a token as base64", path.display());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn t22_ci_creates_with_the_public_key_and_only_the_secret_one_reads() {
    let (gateway, project, public) = sealed(&[], &["a", "b"]);
    let run = project.run("apply").exits(0).prints("2 created");
    assert!(!run.stderr.contains("unsealed"), "{run}");
    holds_no_token(&gateway, &project);
    project.run("plan").exits(0).prints("Nothing to do: 2 instances");
    project.run("state list").exits(0).prints("created");
    project.run("state show").exits(0).prints("sealed to");
    project.run("token get a").exits(1).warns("the token is sealed").warns("--identity");
    let ids = project.ids();
    for (name, id) in &ids {
        assert_eq!(get(&project, name, "key.txt").exits(0).stdout.trim_end(), gateway.tokens()[id]);
    }
    // The three ways to name the key, and keys that do not fit.
    let secret = project.read("key.txt");
    let token = gateway.tokens()[&ids["a"]].clone();
    let by_variable = project.call(["token", "get", "a"]).env("CHATAPI_IDENTITY", &secret).run().exits(0);
    let by_command = project.call(["token", "get", "a", "--identity-command", "cat key.txt"]).run().exits(0);
    let by_file = project.call(["token", "get", "a"]).env("CHATAPI_IDENTITY_FILE", "key.txt").run().exits(0);
    for run in [by_variable, by_command, by_file] {
        assert_eq!(run.stdout.trim_end(), token);
    }
    generate(&project, "other.txt");
    get(&project, "a", "other.txt").exits(1).warns("none of the given secret keys");
    get(&project, "a", "instances.yaml").exits(1).warns("not usable as a secret key");
    get(&project, "a", "missing.txt").exits(1).warns("cannot read the file that `--identity` names");
    project.call(["token", "get", "a", "--identity-command", "exit 3"]).run().exits(1).warns("--identity-command` failed");
    assert_eq!(project.run("key show --identity key.txt").exits(0).stdout.trim_end(), public);
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn t13_the_command_that_prints_the_key_inherits_no_secret_and_no_open_file() {
    let (_gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    let other = generate(&project, "other.txt");
    seal_to(&project, &[&other]);
    // A rekey holds the state's lock meanwhile: a file that is open.
    let words = ["state", "rekey", "--identity-command", "env > seen.txt; ls -l /proc/$$/fd > open.txt; cat key.txt"];
    let run = project.call(words).env("CHATAPI_API_KEY", "a-key-of-the-account").env("CHATAPI_IDENTITY", "x").env("KEPT", "kept");
    run.run().exits(0);
    let (seen, open) = (project.read("seen.txt"), project.read("open.txt"));
    assert!(seen.contains("KEPT=kept") && !seen.contains("CHATAPI_"), "{seen}");
    assert!(open.contains("0 ->") && !open.contains("/state"), "{open}");
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    let project = Project::at("http://127.0.0.1:9/", &[]);
    let public = generate(&project, "key.txt");
    assert_eq!(fs::metadata(project.path("key.txt")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = project.read("key.txt");
    assert!(before.contains(&public) && before.contains("CHATAPI-SECRET-KEY1-"));
    let again = project.run("key generate --output key.txt").exits(1).warns("never overwritten");
    assert!(!again.stdout.contains("pub1"), "{again}");
    assert_eq!(project.read("key.txt"), before);
    let document = project.run("key show --identity key.txt --format json").exits(0).json();
    assert_eq!(document["keys"][0]["public"], public);
    project.run("key show").exits(1).warns("no secret key was named");
}

#[test]
fn t22_a_list_of_keys_that_a_pull_request_changes_is_refused_until_rekey() {
    let (gateway, project, public) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    let stranger = generate(&project, "stranger.txt");
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "b"]));
    for keys in [vec![public.as_str(), &stranger], vec![&stranger], vec![]] {
        seal_to(&project, &keys);
        project.run("plan").exits(0).warns("the keys to seal to have changed");
        let hint = if keys.is_empty() { "bring `seal_to:` back" } else { "state rekey" };
        project.run("apply").exits(6).warns("the keys to seal to have changed").warns(hint).warns("nothing was sent");
    }
    assert_eq!(gateway.creates(), 1);
    seal_to(&project, &[&public, &stranger]);
    project.run("state rekey").exits(1).warns("the token is sealed");
    project.run("state rekey --identity key.txt").exits(0).prints("sealed anew");
    project.run("apply").exits(0).prints("1 created");
    for name in ["a", "b"] {
        let token = gateway.tokens()[&project.ids()[name]].clone();
        for key in ["key.txt", "stranger.txt"] {
            assert_eq!(get(&project, name, key).exits(0).stdout.trim_end(), token);
        }
    }
    // Taken out again: nothing that is left opens with it.
    seal_to(&project, &[&public]);
    project.run("state rekey --identity key.txt").exits(0);
    get(&project, "a", "stranger.txt").exits(1);
    get(&project, "a", "key.txt").exits(0);
    holds_no_token(&gateway, &project);
}

#[test]
fn t22_when_a_key_is_lost_ids_stay_known_and_new_tokens_are_sealed_to_another() {
    let (gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    fs::remove_file(project.path("key.txt")).unwrap();
    let new = generate(&project, "new.txt");
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "b"]));
    seal_to(&project, &[&new]);
    project.run("state rekey --identity new.txt").exits(1).warns("--only-new");
    project.run("state rekey --only-new").exits(0).warns("old keys only");
    project.run("apply").exits(0).prints("1 created, 1 unchanged");
    get(&project, "b", "new.txt").exits(0);
    get(&project, "a", "new.txt").exits(1);
    project.call(["token", "set", "a", "--replace"]).input("replaced-token").run().exits(0);
    assert_eq!(get(&project, "a", "new.txt").exits(0).stdout.trim_end(), "replaced-token");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p11_without_keys_a_run_says_so_once_and_refuses_if_it_is_told_to() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let refused = project.call(["apply"]).env("CHATAPI_REQUIRE_SEAL", "1").run();
    refused.exits(1).warns("no public key to seal tokens to").warns("nothing was sent");
    assert_eq!(gateway.requests(), 0);
    let run = project.run("apply").exits(0);
    assert_eq!(run.stderr.matches("kept unsealed").count(), 1, "{run}");
    // From then on it is known, and `doctor` says it still: a warning of every run is read by nobody.
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "z"]));
    let later = project.run("apply").exits(0).prints("1 created");
    assert!(!later.stderr.contains("kept unsealed"), "{later}");
    let _ = project.run("doctor").prints("2 secrets stand in the state in the clear");
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a"]));
    // By the environment, on a state of its own.
    let public = generate(&project, "key.txt");
    let other = Project::at(&gateway.url(), &["b"]).with("CHATAPI_SEAL_TO", &public).with("CHATAPI_REQUIRE_SEAL", "1");
    other.run("apply").exits(0).prints("1 created");
    other.run("token get b").exits(1).warns("sealed");
    let wrong = project.call(["apply"]).env("CHATAPI_SEAL_TO", project.read("key.txt").lines().last().unwrap()).run();
    let wrong = wrong.exits(1).warns("secret key where a public one belongs");
    assert!(!wrong.stderr.contains("CHATAPI-SECRET-KEY1-"), "{wrong}");
}

#[test]
fn p11_a_secret_key_in_a_manifest_is_refused_and_not_shown() {
    let project = Project::at("http://127.0.0.1:9/", &["a"]);
    generate(&project, "key.txt");
    let secret = project.read("key.txt").lines().last().unwrap().to_owned();
    for keys in [format!("[{secret}]"), secret.clone(), format!("[a, {secret}]"), format!("{{a: {secret}}}")] {
        project.write("instances.yaml", format!("seal_to: {keys}\ninstances: []\n"));
        let run = project.run("validate").exits(1);
        assert!(!run.stderr.contains(&secret[20..]), "{run}");
        project.write("instances.yaml", format!("instances:\n  - {{name: {secret}, type: {secret}}}\n  - {secret}: 1\n"));
        let run = project.run("validate").exits(1);
        assert!(!run.stderr.contains(&secret[20..]), "{run}");
    }
    for (keys, why) in [
        ("[]", "names no key"),
        ("[a]", "a public key begins with"),
        ("a", "a list of public keys is expected"),
        ("[1]", "a public key begins with"),
        ("[chatapi-pub1-AAAA]", "mistyped or cut"),
        ("[[a]]", "a public key is expected"),
    ] {
        project.write("instances.yaml", format!("seal_to: {keys}\ninstances: []\n"));
        project.run("validate").exits(1).warns(why).warns("instances.yaml:1:");
    }
}

#[test]
fn p3_a_sealed_answer_is_finished_after_a_crash_without_the_secret_key() {
    let (gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    // The crash between the answer and what is concluded from it: the journal ends with the answer.
    let journal = project.read("state/journal.jsonl");
    let end = journal.find("\"event\":{\"created\":{").unwrap();
    let cut = journal[..end].rfind('\n').unwrap() + 1;
    project.write("state/journal.jsonl", &journal[..cut]);
    fs::remove_dir_all(project.state().join("index")).unwrap();
    fs::remove_file(project.lock_file()).unwrap();
    project.run("plan").exits(0).prints("1 to finish");
    project.run("apply").exits(0).prints("1 recovered");
    let token = gateway.tokens()[&project.ids()["a"]].clone();
    assert_eq!(get(&project, "a", "key.txt").exits(0).stdout.trim_end(), token);
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn t22_sealed_texts_cannot_be_swapped_between_names() {
    let (gateway, project, _) = sealed(&[], &["a", "b"]);
    project.run("apply --parallelism 1").exits(0);
    let export = project.run("state export").exits(0);
    let mut document: serde_json::Value = export.json();
    let records = document["state"]["records"].as_array_mut().unwrap();
    let one = records[0]["kept"][0]["event"]["received"]["answer"].clone();
    let two = records[1]["kept"][0]["event"]["received"]["answer"].clone();
    records[0]["kept"][0]["event"]["received"]["answer"] = two;
    records[1]["kept"][0]["event"]["received"]["answer"] = one;
    document["sum"] = resummed(&document["state"]).into();
    let other = Project::at(&gateway.url(), &["a", "b"]);
    other.write("swapped.json", document.to_string());
    other.write("key.txt", project.read("key.txt"));
    other.run("state import swapped.json").exits(0);
    for name in ["a", "b"] {
        let run = get(&other, name, "key.txt").exits(8).warns("belongs to another name, attempt or state");
        assert!(run.stdout.is_empty(), "{run}");
    }
}

/// The sum of an export's state, as the program computes it.
fn resummed(state: &serde_json::Value) -> String {
    let state: chatapi::store::Snapshot = serde_json::from_value(state.clone()).unwrap();
    let hash = ring::digest::digest(&ring::digest::SHA256, &serde_json::to_vec(&state).unwrap());
    hash.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn an_answer_that_could_not_be_read_can_be_looked_at_with_the_key() {
    let (gateway, project, _) = sealed(&["create=exists"], &["a"]);
    project.run("apply").exits(3);
    project.run("token answer a").exits(1).warns("sealed");
    let run = project.run("token answer a --identity key.txt").exits(0).warns("status 200");
    assert!(!run.stdout.is_empty());
    project.run("token answer b").exits(1).warns("nothing is recorded under `b`");
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn t12_a_secret_key_where_a_file_or_command_belongs_is_not_shown() {
    let (_gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    let secret = project.read("key.txt").lines().last().unwrap().to_owned();
    let calls = [
        project.call(["token", "get", "a", "--identity", &secret]),
        project.call(["token", "get", "a", "--identity-command", &secret]),
        project.call(["key", "show", &secret]),
        project.call(["token", "get", "a"]).env("CHATAPI_IDENTITY_FILE", &secret),
        project.call(["token", "get", "a"]).env("CHATAPI_IDENTITY_COMMAND", &secret),
    ];
    for call in calls {
        let run = call.run().exits(1);
        assert!(!run.stderr.contains(&secret[20..]) && run.stdout.is_empty(), "{run}");
    }
}

#[test]
fn p11_nothing_unseals_a_state_unless_that_is_said() {
    let (gateway, project, public) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    seal_to(&project, &[]);
    let run = project.run("apply").exits(6).warns("bring `seal_to:` back");
    assert!(!run.stderr.contains("rekey"), "{run}");
    project.run("state rekey --identity key.txt").exits(1).warns("no public key to seal to");
    holds_no_token(&gateway, &project);
    let empty = Project::at(&gateway.url(), &["b"]);
    empty.write("instances.yaml", format!("seal_to: [{public}]\n{}", empty.read("instances.yaml")));
    empty.call(["apply"]).env("CHATAPI_SEAL_TO", ",").run().exits(1).warns("CHATAPI_SEAL_TO is not usable");
    project.run("state rekey --unseal --identity key.txt").exits(0);
    project.run("token get a").exits(0);
}

#[test]
fn t22_a_renamed_and_released_token_survives_a_rekey() {
    for is_sealed in [true, false] {
        let (gateway, project, public) = sealed(&[], &["a"]);
        if !is_sealed {
            seal_to(&project, &[]);
        }
        project.run("apply").exits(0);
        let token = gateway.tokens().into_values().next().unwrap();
        project.run("state mv a b").exits(0);
        project.run("release b").exits(0);
        let second = generate(&project, "second.txt");
        seal_to(&project, &[&public, &second]);
        project.run("state rekey --identity key.txt").exits(0);
        project.run("release --undo b").exits(0);
        assert_eq!(get(&project, "b", "second.txt").exits(0).stdout.trim_end(), token);
    }
}

#[test]
fn t22_a_rebuilt_state_seals_to_the_keys_of_the_lost_one() {
    let (gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from lock").exits(0);
    let token = gateway.tokens().into_values().next().unwrap();
    project.call(["token", "set", "a"]).input(token.clone()).run().exits(0);
    holds_no_token(&gateway, &project);
    assert_eq!(get(&project, "a", "key.txt").exits(0).stdout.trim_end(), token);
    project.run("apply").exits(0);
}

#[test]
fn t22_an_answer_in_the_clear_does_not_enter_a_sealed_state_by_rescue() {
    let (gateway, project, _) = sealed(&["create:nth=1=drop-after"], &["a"]);
    project.run("apply").exits(3);
    let lineage = project.run("state show --format json").exits(0).json()["lineage"].clone();
    let answer = serde_json::json!({"status": 400, "complete": true, "body": base64(b"{\"error\":\"no\"}")});
    let packet = serde_json::json!({
        "chatapi_rescue": 1, "lineage": lineage, "name": "a", "attempt": project.attempt("a"), "answer": answer,
    });
    project.call(["state", "rescue", "-"]).input(packet.to_string()).run().exits(1).warns("is not sealed, and this state seals");
    project.run("apply").exits(3);
    assert_eq!(gateway.creates(), 1);
}

/// Budget: 2 s.
#[cfg(feature = "failpoints")]
#[test]
fn p3_a_sealed_answer_that_was_rescued_after_its_doubt_was_resolved_needs_the_key() {
    let (gateway, project, _) = sealed(&[], &["a"]);
    let run = project.call(["apply", "--rescue-dir", "."]).env("CHATAPI_FAILPOINT", "journal-before-received=error").run();
    run.exits(3).warns("it is kept in ./chatapi-rescue-");
    let (id, token) = gateway.tokens().pop_last().unwrap();
    let attempt = project.attempt("a");
    project.call(["resolve", "a", "--attempt", &attempt, "--created", &id, "--offline"]).run().exits(0);
    let file = format!("chatapi-rescue-{attempt}.json");
    project.call(["state", "rescue", &file]).run().exits(1).warns("the token is sealed");
    project.call(["state", "rescue", &file, "--identity", "key.txt"]).run().exits(0).prints("its token is kept");
    assert_eq!(get(&project, "a", "key.txt").exits(0).stdout.trim_end(), token);
    holds_no_token(&gateway, &project);
}

#[test]
fn t22_tokens_that_only_a_lost_key_opens_are_named() {
    let (gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    let new = generate(&project, "new.txt");
    seal_to(&project, &[&new]);
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "b"]));
    seal_to(&project, &[&new]);
    project.run("state rekey --only-new").exits(0);
    project.run("apply").exits(0).prints("1 created, 1 unchanged");
    project.run("state verify").exits(0).prints("! tokens     1 are sealed to keys that the state does not name: a;");
    let run = project.run("state export --reveal --identity new.txt").exits(4).warns("opens the tokens of a");
    let document = run.json();
    let (a, b) = (&document["instances"][0], &document["instances"][1]);
    assert_eq!((a["token"].is_null(), a["sealed_to"].as_array().unwrap().len()), (true, 1), "{document}");
    assert_eq!(b["token"], gateway.tokens()[&project.ids()["b"]].as_str());
    let run = project.run("state export --reveal").exits(1).warns("the token is sealed");
    assert!(run.stdout.is_empty(), "{run}");
    project.run("state rekey --identity key.txt --identity new.txt").exits(1);
    project.write("both.txt", project.read("key.txt") + &project.read("new.txt"));
    project.run("state rekey --identity both.txt").exits(0).prints("2 kept texts sealed anew");
    project.run("state verify").exits(0).prints("= tokens     2 kept, sealed to");
    let third = generate(&project, "third.txt");
    seal_to(&project, &[&new, &third]);
    project.run("state rekey --only-new").exits(0);
    project.run("state verify").exits(0).prints("! tokens     2 are sealed to some of the state's keys only, or to more: a, b;");
}

#[test]
fn what_is_typed_goes_before_what_the_environment_says() {
    let (gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    generate(&project, "other.txt");
    let token = gateway.tokens()[&project.ids()["a"]].clone();
    let call = |words: &[&str]| {
        let call = project.call([&["token", "get", "a"], words].concat());
        call.env("CHATAPI_IDENTITY_FILE", "other.txt").env("CHATAPI_IDENTITY_COMMAND", "cat other.txt").run()
    };
    call(&[]).exits(1).warns("none of the given secret keys");
    assert_eq!(call(&["--identity", "key.txt"]).exits(0).stdout.trim_end(), token);
    assert_eq!(call(&["--identity-command", "cat key.txt"]).exits(0).stdout.trim_end(), token);
    let document = call(&["--identity", "key.txt", "--format", "json"]).exits(0).json();
    assert_eq!((document["name"].as_str(), document["token"].as_str()), (Some("a"), Some(token.as_str())));
}

#[test]
fn p13_a_command_for_the_key_that_does_not_end_is_not_waited_for() {
    let (_gateway, project, _) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    let words = ["token", "get", "a", "--identity-timeout", "100ms", "--identity-command", "cat key.txt; exec sleep 60"];
    let run = project.call(words).run().exits(1).warns("did not end within 100ms").warns("--identity-timeout");
    assert!(run.stdout.is_empty(), "{run}");
    // What it leaves running holds its output open.
    let left = "cat key.txt; sleep 60 2> /dev/null & echo $! > left.txt";
    let run = project.call(["token", "get", "a", "--identity-timeout", "1s", "--identity-command", left]).run();
    run.exits(1).warns("leave something running");
    let pid = project.read("left.txt").trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

#[test]
fn t22_keys_are_pinned_by_the_first_apply_that_sends_and_not_by_one_that_nothing_came_of() {
    let (gateway, project, public) = sealed(&["create:first=2=refuse:no"], &["a"]);
    let stranger = generate(&project, "stranger.txt");
    // In the clear, and refused: nothing was sealed to anybody, so there is nothing to rekey.
    seal_to(&project, &[]);
    project.run("apply").exits(1).prints("1 refused");
    seal_to(&project, &[&public]);
    // A guard stops it before anything could be sealed: nothing is pinned.
    project.run("apply --max-creates 0").exits(6).warns("1 instance would be created");
    assert_eq!(project.run("state show --format json").exits(0).json()["seal_to"], serde_json::json!([]));
    project.run("apply").exits(1).prints("1 refused");
    // Pinned now, although nothing exists.
    seal_to(&project, &[&stranger]);
    project.run("apply").exits(6).warns("the keys to seal to have changed");
    let plan = project.run("plan --format json").exits(0).warns("the keys to seal to have changed").json();
    assert_eq!(plan["sealing"]["is_refused"], true, "{plan}");
    assert_ne!(plan["sealing"]["pinned"], plan["sealing"]["wanted"], "{plan}");
    seal_to(&project, &[&public]);
    project.run("apply").exits(0).prints("1 created");
    assert_eq!(project.run("plan --format json").exits(0).json()["sealing"]["is_refused"], false);
    assert_eq!(gateway.tokens().len(), 1);
}

#[test]
fn t22_a_rebuild_keeps_the_keys_that_the_journal_pins() {
    let (_gateway, project, old) = sealed(&[], &["a"]);
    project.run("apply").exits(0);
    let new = generate(&project, "new.txt");
    seal_to(&project, &[&new]);
    let before = project.read("chatapi.lock");
    project.run("state rekey --identity key.txt").exits(0);
    assert!(project.read("chatapi.lock").contains(&new));
    // The lock file of before has the old key, and the index is gone.
    assert!(before.contains(&old));
    project.write("chatapi.lock", before);
    let mut lines: Vec<String> = project.read("state/journal.jsonl").lines().map(str::to_owned).collect();
    project.run("apply").exits(0);
    lines.push("#".to_owned());
    project.write("state/journal.jsonl", lines.join("\n") + "\n");
    fs::remove_dir_all(project.state().join("index")).unwrap();
    let run = project.run("state rebuild --from journal").exits(0);
    let document = project.run("state show --format json").exits(0).json();
    assert_eq!(document["seal_to"], serde_json::json!([new]), "{run}");
    seal_to(&project, &[&old]);
    project.run("apply").exits(6).warns("the keys to seal to have changed");
}
