//! Where the key of an environment goes: to no address that a file or a state alone names.

use std::fs;

use super::{OTHER_KEY, project};
use crate::stage::{Gateway, KEY, Project, hex, manifest, rechained};

#[test]
fn p11_a_file_that_comes_with_a_pull_request_sends_no_key_anywhere() {
    let (thief, prod) = (Gateway::start(&[]), Gateway::start(&[]));
    let project = project(&thief.url(), &prod.url());
    let first = project.run("apply --env staging").exits(1).warns("its address has to be told from outside");
    first.warns(&format!("export CHATAPI_URL={}", thief.url()));
    project.call(["apply", "--env", "prod"]).env("CHATAPI_URL", prod.url()).run().exits(0).done();
    // Its gateway is changed in the file: the state is bound to the other one.
    project.write("chatapi.yaml", project.read("chatapi.yaml").replace(&prod.url(), &thief.url()));
    project.run("apply --env prod").exits(1).warns("its address has to be told from outside");
    let set = project.call(["apply", "--env", "prod"]).env("CHATAPI_URL", prod.url()).run().exits(1);
    set.warns("CHATAPI_URL is").warns("nothing was sent");
    let both = project.call(["apply", "--env", "prod"]).env("CHATAPI_URL", thief.url()).run().exits(1);
    both.warns("the state belongs to");
    assert_eq!(thief.requests(), 0);
}

/// Both come with a pull request: a file that names a gateway, and a state that is bound to it without a key.
#[test]
fn p11_a_state_that_somebody_made_up_sends_no_key_anywhere() {
    let thief = Gateway::start(&[]);
    let attacker = Project::at(&thief.url(), &["z"]).with("CHATAPI_API_KEY", OTHER_KEY);
    attacker.run("apply").exits(0).done();
    fs::rename(attacker.path("state"), attacker.path("old")).unwrap();
    attacker.run("state rebuild --from lock").exits(0).done();
    for (state, before) in [("old", "bound by his key"), ("state", "bound by none")] {
        let gateway = thief.url();
        attacker.write(
            "chatapi.yaml",
            format!("environments: {{prod: {{gateway: '{gateway}', state: {state}, lock_file: none.lock}}}}\n"),
        );
        let requests = thief.requests();
        for line in ["drift", "apply", "plan --verify", "doubts --refresh", "import --discover", "destroy -y --max-deletes 1 z"] {
            let words = line.split(' ').chain(["--env", "prod"]);
            let run = attacker.call(words).env("CHATAPI_API_KEY", KEY).without("CHATAPI_URL").run();
            assert!(thief.requests() == requests, "{before}: {run}");
        }
        let run = attacker.call(["drift", "--env", "prod"]).env("CHATAPI_API_KEY", KEY).without("CHATAPI_URL").run();
        run.exits(1).warns("its address has to be told from outside");
    }
}

/// The journal's chain has no key: whoever may change the file and the state, in git, can say everything in both but the fingerprint.
#[test]
fn p11_a_state_that_is_moved_to_another_server_sends_no_key_there() {
    let (gateway, thief) = (Gateway::start(&[]), Gateway::start(&[]));
    let project = Project::at(&gateway.url(), &["a"]);
    let file = |url: &str| format!("environments: {{prod: {{gateway: '{url}', state: state, lock_file: chatapi.lock}}}}\n");
    project.write("chatapi.yaml", file(&gateway.url()));
    project.run("apply --env prod").exits(0).done();
    let moved = |text: &str| text.replace(gateway.url().trim_end_matches('/'), thief.url().trim_end_matches('/'));
    let without = |line: &str| project.call(line.split(' ')).without("CHATAPI_URL").run();
    without("drift --env prod").exits(0).done();
    let fingerprint = format!("\"key\":\"{}", "2:");
    let (journal, lineage) = (project.read("state/journal.jsonl"), lineage(&project));
    assert!(journal.contains(&fingerprint), "{journal}");
    // As it was before: of the key alone.
    let bound = journal.split(&fingerprint).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let early = journal.replace(&format!("2:{bound}"), &early_fingerprint(&lineage));
    for journal in [&journal, &early] {
        project.write("chatapi.yaml", file(&thief.url()));
        project.write("state/journal.jsonl", rechained(&moved(journal)));
        fs::remove_dir_all(project.path("state/index")).unwrap_or_default();
        fs::remove_file(project.lock_file()).unwrap_or_default();
        for line in ["drift", "apply", "plan --verify", "doubts --refresh", "import --discover", "destroy -y --max-deletes 1 a"] {
            let run = without(&format!("{line} --env prod"));
            assert_eq!(thief.requests(), 0, "{line}: {run}");
        }
        without("drift --env prod").exits(1).warns("its address has to be told from outside").done_with("CHATAPI_URL");
    }
}

/// A state from before is used where the address is told from outside, and its fingerprint is of that too from then on.
#[test]
fn p15_a_fingerprint_of_the_key_alone_names_no_address() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}', state: state}}}}\n", gateway.url()));
    project.run("apply --env prod").exits(0).done();
    let journal = project.read("state/journal.jsonl");
    let bound = journal.split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let early = rechained(&journal.replace(&bound, &early_fingerprint(&lineage(&project))));
    for renew in ["state rebind --env prod", "apply --env prod --allow-unknown all"] {
        project.write("state/journal.jsonl", &early);
        fs::remove_dir_all(project.path("state/index")).unwrap_or_default();
        fs::remove_file(project.path("chatapi.prod.lock")).unwrap_or_default();
        let unset = || project.call(["drift", "--env", "prod"]).without("CHATAPI_URL").run();
        unset().exits(1).warns("`chatapi --env prod state rebind`, with CHATAPI_URL").done_with("told from outside");
        project.run("drift --env prod").exits(0).done();
        let other = project.call(["drift", "--env", "prod"]).env("CHATAPI_API_KEY", OTHER_KEY).run();
        other.exits(1).done_with("the API key differs");
        project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
        project.run(renew).exits(0).done();
        assert!(project.read("state/journal.jsonl").contains(&bound));
        unset().done_or_doubtful();
    }
}

/// Without an address from outside a wrong key reads as one too, and an environment has no `--state`.
#[test]
fn p15_another_key_is_told_of_also_where_only_the_file_has_the_address() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}'}}}}\n", gateway.url()));
    project.run("apply --env prod").exits(0).done();
    let before = gateway.requests();
    for line in ["apply --env prod", "drift --env prod"] {
        let call = project.call(line.split(' ')).env("CHATAPI_API_KEY", OTHER_KEY);
        let run = call.without("CHATAPI_URL").run().exits(1).warns("bound by another key: is the API key that of `prod`?");
        run.done_with("export CHATAPI_URL=");
        let told = project.call(line.split(' ')).env("CHATAPI_API_KEY", OTHER_KEY).run().exits(1);
        assert!(!told.stderr.contains("--state"), "{told}");
        told.warns("this is `prod`").done_with("the API key differs");
    }
    assert_eq!(gateway.requests(), before);
    project.call(["drift", "--env", "prod"]).without("CHATAPI_URL").run().exits(0).done();
}

/// The fingerprint of [`KEY`] as it was made before it was of an address too.
fn early_fingerprint(lineage: &str) -> String {
    let salt = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, lineage.as_bytes());
    hex("", &ring::hmac::sign(&salt, KEY.as_bytes()).as_ref()[..16])
}

fn lineage(project: &Project) -> String {
    let journal = project.read("state/journal.jsonl");
    journal.split("\"lineage\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// A state knows its gateway's host and no path: what stands behind the host is told from outside.
#[test]
fn p11_another_path_on_the_same_host_gets_no_key() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}'}}}}\n", gateway.url()));
    project.run("apply --env prod").exits(0).done();
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}other/'}}}}\n", gateway.url()));
    let before = gateway.requests();
    project.run("drift --env prod").exits(1).warns("CHATAPI_URL is").warns("/other/");
    let unset = project.call(["drift", "--env", "prod"]).without("CHATAPI_URL").run().exits(1);
    unset.warns("its address has to be told from outside");
    assert_eq!(gateway.requests(), before);
}

/// A rebuild binds a state, too: one that is here belongs to its account, also by a fingerprint from before.
#[test]
fn p1_a_rebuild_from_the_server_takes_no_state_to_another_account() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let other = Project::at(&gateway.url(), &["b"]).with("CHATAPI_API_KEY", OTHER_KEY);
    other.run("apply").exits(0).done();
    // A rebuild that was cut off, and is bound: nothing but what the lock file names.
    fs::rename(project.lock_file(), project.path("lost.lock")).unwrap();
    fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from-lock lost.lock --lock-file chatapi.lock").exits(0).done();
    project.run("state rebind").exits(0).done();
    fs::remove_file(project.lock_file()).unwrap();
    let bound = project.read("state/journal.jsonl").split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let adopt = format!("state rebuild --from server --lock-file lost.lock --adopt b={}", other.ids()["b"]);
    for key in [bound.clone(), early_fingerprint(&lineage(&project))] {
        let journal = rechained(&project.read("state/journal.jsonl").replace(&bound, &key));
        project.write("state/journal.jsonl", &journal);
        fs::remove_dir_all(project.path("state/index")).unwrap_or_default();
        let before = gateway.requests();
        let run = project.call(adopt.split(' ')).env("CHATAPI_API_KEY", OTHER_KEY).run().exits(1);
        run.warns("the API key differs").done_with("nothing was sent");
        assert_eq!((gateway.requests(), project.read("state/journal.jsonl")), (before, journal));
    }
    assert_eq!(gateway.creates(), 2);
}

/// Nor does it begin an environment with the key of another one.
#[test]
fn p1_a_rebuild_from_the_server_begins_no_environment_with_the_key_of_another() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("chatapi.yaml", "environments: {dev: {}, prod: {}}\n");
    project.run("apply --env dev").exits(0).done();
    let before = gateway.requests();
    let run = project.run("state rebuild --from server --adopt x=1 --env prod").exits(6);
    run.warns("the key opens the account of the state in state/dev").done_with("same_account_as: [dev]");
    assert_eq!(gateway.requests(), before);
    assert!(!project.path("state/prod").exists());
}

/// Which state is bound to the gateway is told by the key: it is asked for first.
#[test]
fn an_environment_without_a_key_asks_for_the_key() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}'}}}}\n", gateway.url()));
    project.run("apply --env prod").exits(0).done();
    for line in ["apply --env prod", "drift --env prod", "import --discover --env prod"] {
        let run = project.call(line.split(' ')).without("CHATAPI_URL").without("CHATAPI_API_KEY").run().exits(1);
        assert!(!run.stderr.contains("has to be told from outside"), "{line}: {run}");
        run.warns("the API key is not set").done_with("CHATAPI_API_KEY_FILE=");
    }
}
