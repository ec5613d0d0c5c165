//! A token that a person brings to a state which pins no key: sealed as the manifest asks, or refused, or told to be in the clear.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::done;
use crate::stage::{Gateway, Project};

const TOKEN: &str = "brought-back-by-the-operator";

/// Two instances whose state was lost, without a lock file, and rebuilt from the server: it pins no key and has no token. The manifest
/// asks for sealing.
fn rebuilt() -> (Gateway, Project) {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    fs::remove_file(project.lock_file()).unwrap();
    let words = format!("state rebuild --from server --adopt a={} --adopt b={}", ids["a"], ids["b"]);
    project.run(&words).exits(0).warns("this state names no key to seal to").done_with("state rekey --only-new MANIFEST");
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.write("key.pub", public.trim_end());
    project.declare(&format!("seal_to: [{}]\n{}", public.trim_end(), project.read("instances.yaml")));
    (gateway, project)
}

fn set(project: &Project, name: &str) -> crate::stage::Run {
    project.call(["token", "set", name]).input(TOKEN).run()
}

/// Whether the token stands anywhere below `place` as it is, or as base64.
fn is_in_clear(place: &Path) -> bool {
    Project::files(place).values().any(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.contains(TOKEN) || text.contains(&STANDARD.encode(TOKEN)[2..TOKEN.len()])
    })
}

#[test]
fn p11_a_token_that_is_set_after_a_rebuild_is_sealed_as_the_manifest_asks() {
    let (gateway, project) = rebuilt();
    set(&project, "a").exits(0).warns("tokens of this state are sealed to").done();
    set(&project, "b").exits(0).done();
    assert!(!is_in_clear(project.dir()));
    project.run("token get a").exits(1).done_with("sealed");
    project.run("token get a --identity key.txt").exits(0).prints(TOKEN).done();
    // Nothing is left to be settled about keys.
    project.run("apply").exits(0).prints("0 created, 0 unchanged, 2 protected no longer").done();
    project.run("state verify").exits(0).prints("= tokens").done();
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p11_the_environment_names_the_key_where_no_manifest_is_near() {
    let (_gateway, project) = rebuilt();
    let public = project.read("key.pub");
    fs::remove_file(project.path("instances.yaml")).unwrap();
    let run = project.call(["token", "set", "a"]).env("CHATAPI_SEAL_TO", &public).input(TOKEN).run();
    run.exits(0).warns("tokens of this state are sealed to").done();
    // Pinned by now: the environment is not needed for the next one.
    set(&project, "b").exits(0).done();
    assert!(!is_in_clear(project.dir()));
}

#[test]
fn p11_a_token_is_refused_where_the_others_stand_in_the_clear_and_a_key_is_named() {
    let (_gateway, project) = done(&["a", "b"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.declare(&format!("seal_to: [{}]\n{}", public.trim_end(), project.read("instances.yaml")));
    let before = project.read("state/journal.jsonl");
    let run = project.call(["token", "set", "a", "--replace"]).input(TOKEN).run().exits(6);
    run.warns("tokens stand in this state in the clear").warns("nothing was written").done_with("state rekey MANIFEST");
    assert_eq!(project.read("state/journal.jsonl"), before);
    project.run("state rekey instances.yaml").exits(0).done();
    project.call(["token", "set", "a", "--replace"]).input(TOKEN).run().exits(0).done();
    assert!(!is_in_clear(project.dir()));
}

#[test]
fn p11_a_token_that_is_kept_in_the_clear_is_said_to_be() {
    let (_gateway, project) = done(&["a"]);
    let set = || project.call(["token", "set", "a", "--replace"]).input(TOKEN);
    let before = project.read("state/journal.jsonl");
    set().env("CHATAPI_REQUIRE_SEAL", "true").run().exits(1).done_with("there is no public key to seal tokens to");
    assert_eq!(project.read("state/journal.jsonl"), before);
    let run = set().env("CHATAPI_REQUIRE_SEAL", "0").run().exits(0);
    run.warns("the token is kept in the clear in state").done_with("instances.yaml names a key to seal to");
}

/// Whose manifest it is nobody knows: neither its keys count, nor what is wrong with it.
#[test]
fn p11_a_manifest_here_that_may_be_another_projects_neither_seals_nor_blocks() {
    let (gateway, project) = rebuilt();
    fs::create_dir(project.path("kept")).unwrap();
    for file in ["state", "chatapi.lock"] {
        fs::rename(project.path(file), project.path(&format!("kept/{file}"))).unwrap();
    }
    fs::write(project.path("kept/prod.yaml"), crate::stage::manifest("{kind: chatapi}", &["a", "b"])).unwrap();
    let project = project.with("CHATAPI_STATE", "kept/state");
    let run = set(&project, "a").exits(0).warns("the token is kept in the clear in kept/state");
    run.warns("neither the state nor CHATAPI_SEAL_TO nor a manifest beside its lock file names a key").done_with("state rekey");
    assert_eq!(project.token("a"), TOKEN);
    // Nor one with the lock file of another state beside it, where the right one is named.
    let other = Project::at(&gateway.url(), &["x"]);
    other.run("apply").exits(0);
    project.write("chatapi.lock", other.read("chatapi.lock"));
    project.declare("seal_to: [\n");
    let words = ["token", "set", "b", "--lock-file", "kept/chatapi.lock"];
    project.call(words).input(TOKEN).run().exits(0).warns("is kept in the clear").done();
    fs::rename(project.path("kept/chatapi.lock"), project.path("right.lock")).unwrap();
    let words = ["token", "set", "b", "--replace", "--lock-file", "right.lock"];
    project.call(words).input(TOKEN).run().exits(0).warns("is kept in the clear").done();
}

#[test]
fn p11_a_manifest_that_cannot_be_read_may_name_a_key_so_the_token_is_refused() {
    let (_gateway, project) = rebuilt();
    project.declare("seal_to: [\n");
    let before = project.read("state/journal.jsonl");
    let run = set(&project, "a").exits(1).warns("it may name keys to seal the token to");
    assert!(run.stdout.is_empty() && !is_in_clear(project.dir()));
    assert_eq!(project.read("state/journal.jsonl"), before);
}

#[test]
fn p11_a_token_that_comes_with_a_resolution_is_sealed_too() {
    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(3);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.declare(&format!("seal_to: [{}]\n{}", public.trim_end(), project.read("instances.yaml")));
    let attempt = project.attempt("a");
    let id = gateway.tokens().keys().next().unwrap().clone();
    let words = ["resolve", "a", "--attempt", &attempt, "--created", &id, "--token-stdin"];
    project.call(words).input(TOKEN).run().exits(0).warns("tokens of this state are sealed to").done();
    assert!(!is_in_clear(project.dir()));
    project.run("token get a --identity key.txt").exits(0).prints(TOKEN).done();
    project.run("apply").exits(0).prints("Nothing to do").done();
}

/// Cut off between the key that is pinned and the token: nothing is ever in the clear, and the command can be given again.
#[cfg(feature = "failpoints")]
#[test]
fn p3_p11_a_token_that_is_cut_off_while_its_key_is_pinned_is_never_in_the_clear() {
    for point in [
        "journal-written-run",
        "journal-written-recipients",
        "journal-written-token_set",
        "journal-after-recipients",
        "journal-after-token_set",
        "closing",
    ] {
        let (gateway, project) = rebuilt();
        let run = project.call(["token", "set", "a"]).env("CHATAPI_FAILPOINT", format!("{point}=kill")).input(TOKEN).run();
        assert_eq!(run.code, 1_009, "{point}: {run}");
        assert!(!is_in_clear(project.dir()), "{point}");
        let again = set(&project, "a");
        assert!(matches!(again.code, 0 | 1), "{point}: {again}");
        assert!(again.code == 0 || again.stderr.contains("is kept already"), "{point}: {again}");
        set(&project, "b").exits(0).done();
        assert!(!is_in_clear(project.dir()), "{point}");
        project.run("token get a --identity key.txt").exits(0).prints(TOKEN).done();
        project.run("apply").exits(0).prints("0 created, 0 unchanged, 2 protected no longer").done();
        assert_eq!(gateway.creates(), 2, "{point}");
    }
}
