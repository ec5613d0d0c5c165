//! `--env`: several states from one directory, each with its gateway and values, that nobody can mix up.

mod files;

use std::fs;
use std::os::unix::fs::symlink;

use crate::stage::{Gateway, KEY, Project, Run, hex, manifest, rechained};

const MANIFEST: &str = "variables: {region: {type: text}}\ninstances:\n  - {name: 'shop-{var.region}', type: whatsapp}\n";
const OTHER_KEY: &str = "Other0key0of0another0account";

/// `dev` on the emulator, `staging` and `prod` at addresses.
fn project(staging: &str, prod: &str) -> Project {
    let project = Project::new(MANIFEST).with("CHATAPI_API_KEY", KEY);
    let text = format!(
        "version: 1\nenvironments:\n  dev: {{gateway: emulator, var_files: [vars/dev.yaml]}}\n  staging: {{gateway: '{staging}', \
         var_files: [vars/staging.yaml]}}\n  prod: {{gateway: '{prod}', state: kept/prod, var_files: [vars/prod.yaml]}}\n"
    );
    project.write("chatapi.yaml", text);
    fs::create_dir(project.path("vars")).unwrap();
    for name in ["dev", "staging", "prod"] {
        project.write(&format!("vars/{name}.yaml"), format!("region: {name}\n"));
    }
    project
}

#[test]
fn each_environment_has_a_state_a_lock_file_and_values_of_its_own() {
    let (staging, prod) = (Gateway::start(&[]), Gateway::start(&[]));
    let project = project(&staging.url(), &prod.url());
    project.run("apply --env dev").exits(0).prints("shop-dev").warns("environment dev: state in state/dev, on the emulator");
    let at = |env: &str, url: &str| {
        project.call(["apply", "--env", env]).env("CHATAPI_URL", url).env("CHATAPI_API_KEY", env.repeat(4))
    };
    at("staging", &staging.url()).run().exits(0).prints("shop-staging");
    at("prod", &prod.url()).run().exits(0).prints("shop-prod");
    assert_eq!((staging.creates(), prod.creates()), (1, 1));
    for file in ["state/dev/journal.jsonl", "state/staging/journal.jsonl", "kept/prod/journal.jsonl"] {
        assert!(project.path(file).exists(), "{file}");
    }
    for (env, name) in [("dev", "shop-dev"), ("staging", "shop-staging"), ("prod", "shop-prod")] {
        assert!(project.read(&format!("chatapi.{env}.lock")).contains(name));
        let listed = project.run(&format!("--env {env} state list --names")).exits(0);
        assert_eq!(listed.stdout.trim(), name);
    }
    assert!(!project.lock_file().exists());
    // A bound state knows its gateway: the file may say where it is from now on.
    let again = project.call(["apply", "--env", "prod"]).env("CHATAPI_API_KEY", "prod".repeat(4)).run();
    again.exits(0).prints("Nothing to do");
}

#[test]
fn p1_nothing_is_done_until_it_is_said_which_one_is_meant() {
    let prod = Gateway::start(&[]);
    let project = project("https://gateway.example/", &prod.url()).with("CHATAPI_URL", prod.url());
    for line in ["apply", "plan", "state list", "output", "doubts", "init", "destroy a", "doctor"] {
        let run = project.run(line).exits(1).warns("which environment is meant is not said").warns("dev, prod, staging");
        run.warns("--env NAME");
    }
    project.run("apply --env prd").exits(1).warns("`prd` is no environment of chatapi.yaml").warns("dev, prod, staging");
    let elsewhere = project.run("apply --env prod --state other").exits(1);
    elsewhere.warns("`prod` has its state in kept/prod, and `--state` or CHATAPI_STATE names other");
    assert!(!project.path("state").exists() && !project.path("other").exists());
    assert_eq!(prod.requests(), 0);
    // A default is said for everybody.
    project.write("chatapi.yaml", format!("default: dev\n{}", project.read("chatapi.yaml")));
    project.run("plan").exits(0).prints("shop-dev");
    // What names a state says which one is meant.
    project.run("--state other plan --var region=x").exits(0).prints("shop-x");
    project.run("validate --env prod").exits(0).prints("Valid: 1 instance");
    for free in ["version", "schema", "key show --help", "completions bash"] {
        project.run(free).exits(0).done();
    }
}

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

#[test]
fn p1_the_key_of_another_environment_begins_none() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    let before = gateway.requests();
    let mixed = project.run("apply --env staging").exits(6).warns("the key opens the account of the state in kept/prod");
    mixed.warns("same_account_as: [prod]").warns("nothing was sent");
    assert_eq!(gateway.requests(), before);
    let other = project.call(["apply", "--env", "staging"]).env("CHATAPI_API_KEY", OTHER_KEY).run();
    other.exits(0).prints("Apply: 1 created, 0 unchanged.");
    // And a state that is bound takes no other key.
    project.call(["apply", "--env", "prod"]).env("CHATAPI_API_KEY", OTHER_KEY).run().exits(1).warns("the API key differs");
}

/// P1: where nobody can tell whether another environment has the account, none begins on it.
#[test]
fn p1_no_environment_begins_beside_a_state_that_cannot_be_read() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    let (before, journal) = (gateway.requests(), project.read("kept/prod/journal.jsonl"));
    let begin = || project.run("apply --env staging");
    for damaged in [journal.replace("\"id\"", "\"is\""), journal.replacen('{', "[", 1), String::new()] {
        project.write("kept/prod/journal.jsonl", damaged);
        fs::remove_dir_all(project.path("kept/prod/index")).unwrap_or_default();
        let run = begin().exits(8).warns("the state of `prod` cannot be read, and the key may be of its account");
        run.done_with("would be paid for twice");
    }
    // It is elsewhere: the lock file tells of it.
    fs::rename(project.path("kept"), project.path("away")).unwrap();
    let run = begin().exits(6).warns("whether the key opens the account of environment `prod` is not known");
    run.warns("by chatapi.prod.lock it has instances on that server").done_with("same_account_as: [prod]");
    assert_eq!(gateway.requests(), before);
    let text = project.read("chatapi.yaml");
    project.write(
        "chatapi.yaml",
        text.replace("var_files: [vars/staging.yaml]", "same_account_as: [prod], var_files: [vars/staging.yaml]"),
    );
    begin().exits(0).done();
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn environments_that_share_an_account_say_so() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    project.write(
        "chatapi.yaml",
        project
            .read("chatapi.yaml")
            .replace("var_files: [vars/staging.yaml]", "same_account_as: [prod], var_files: [vars/staging.yaml]"),
    );
    // The instance of the other environment is unknown to this one, and that is told as ever.
    project.run("apply --env staging").exits(0).prints("Apply: 1 created, 0 unchanged.");
    assert_eq!(gateway.creates(), 2);
}

/// Whoever had one state before and declares environments does not create everything anew.
#[test]
fn p1_a_state_from_before_is_moved_and_not_begun_again() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").exits(0).done();
    project.write("chatapi.yaml", "environments: {prod: }\n");
    let run = project.run("apply --env prod").exits(6).warns("the key opens the account of the state in state");
    run.warns("`state: state` and `lock_file: chatapi.lock` under `prod`");
    project.write("chatapi.yaml", "environments: {prod: {state: state, lock_file: chatapi.lock}}\n");
    project.run("apply --env prod").exits(0).prints("Nothing to do");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn an_environment_brings_a_manifest_to_the_emulator_and_none_away_from_it() {
    let gateway = Gateway::start(&[]);
    let project = project("https://gateway.example/", &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.declare(&format!("provider: {{kind: chatapi}}\n{MANIFEST}"));
    project.run("apply --env dev").exits(0).prints("Apply: 1 created, 0 unchanged.");
    project.declare(&format!("provider: {{kind: emulator}}\n{MANIFEST}"));
    for verb in ["plan", "apply", "validate"] {
        let run = project
            .run(&format!("{verb} --env prod"))
            .exits(1)
            .warns("the manifest is for the emulator, and environment `prod` is on");
        run.warns("gateway: emulator");
    }
    assert_eq!(gateway.requests(), 0);
}

#[test]
fn a_saved_plan_is_of_its_environment() {
    let gateway = Gateway::start(&[]);
    let project = project("https://gateway.example/", &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env dev").exits(0).done();
    project.run("init --env prod").exits(0).done();
    project.run("plan --env prod --out plan.json").exits(0).done();
    project.run("apply plan.json").exits(1).warns("which environment is meant is not said");
    project.run("apply --env dev plan.json").exits(7).warns("hint");
    assert_eq!(gateway.creates(), 0);
    project.run("apply --env prod plan.json").exits(0).prints("Apply: 1 created, 0 unchanged.");
    project.run("apply --env prod plan.json").exits(7).warns("hint");
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn the_file_is_found_beside_the_manifest_and_hints_name_the_environment() {
    let project = Project::new("");
    fs::create_dir(project.path("team")).unwrap();
    project.write("team/chatapi.yaml", "environments: {dev: {gateway: emulator}}\n");
    project.write("team/instances.yaml", "instances: [{name: a, type: whatsapp}]\n");
    project.run("apply team/instances.yaml --env dev").exits(0).done();
    // A directory's manifests are not its environments.
    project.run("plan team --env dev").exits(0).prints("Nothing to do");
    assert!(project.path("team/state/dev/journal.jsonl").exists() && project.path("team/chatapi.dev.lock").exists());
    project.run("state list --env dev").exits(1).warns("there is no chatapi.yaml").warns("--environments FILE");
    let listed = project.run("state list --names --env dev --environments team/chatapi.yaml").exits(0);
    assert_eq!(listed.stdout, "a\n");
    let gone = project.run("token get b --env dev --environments team/chatapi.yaml").exits(1);
    gone.warns("chatapi --env dev --environments team/chatapi.yaml state list");
}

#[test]
fn a_wrong_file_is_told_with_its_place() {
    let project = Project::new(MANIFEST);
    project.write("chatapi.yaml", "environments:\n  dev: {gatway: emulator}\n");
    project.run("plan --env dev").exits(1).warns("chatapi.yaml:2:9").warns("did you mean `gateway`?");
    project.write("chatapi.yaml", "environments:\n  dev: {api_key: canary-0123456789}\n");
    let run = project.run("plan --env dev").exits(1).warns("a secret is never read from it");
    assert!(!run.stderr.contains("canary"), "{run}");
    project.write("chatapi.yaml", "environments:\n  dev: {gateway: 'ftp://x'}\n");
    project.run("plan --env dev").exits(1).warns("the gateway of `dev` in chatapi.yaml is not usable");
}

/// A command is typed as it is printed: without its environment it would be about another one's instances.
#[test]
fn every_command_that_is_told_names_the_environment() {
    let gateway = Gateway::start(&["create:nth=1=no-token", "create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: '{}'}}, next: }}\n", gateway.url()));
    project.run("apply --env prod --parallelism 1").exits(3).done_or_doubtful();
    let mut told = Vec::new();
    for line in ["status", "status --format json", "plan", "qr a --print", "qr b --print", "doubts", "token get a"] {
        told.push((line, project.call(line.split(' ').chain(["--env", "prod"])).run()));
    }
    let settled = "resolutions: [{name: b, attempt: a-aaaaaaaaaa, created: '7'}]\n";
    project.declare(&(crate::stage::manifest("{kind: chatapi}", &["a", "b"]) + settled));
    told.push(("plan with a wrong entry", project.run("plan --env prod").exits(1)));
    for (line, run) in told {
        let text = format!("{}{}", run.stdout, run.stderr);
        let commands: Vec<&str> = text.split("chatapi ").skip(1).collect();
        assert!(!commands.is_empty(), "{line}: {run}");
        assert!(commands.iter().all(|rest| rest.starts_with("--env prod ")), "{line}: {run}");
    }
    let first = project.call(["apply", "--env", "next"]).env("CI", "true").run().exits(8);
    first.warns("`chatapi --env next apply --init …`");
}

#[test]
fn p1_what_another_environment_has_is_not_taken_in() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    project.run("apply --env prod").exits(0).done();
    let shared = project.read("chatapi.yaml").replace("staging.yaml]", "staging.yaml], same_account_as: [prod]");
    project.write("chatapi.yaml", shared);
    // It is no stranger, and in CI nobody has to allow it.
    let apply = project.call(["apply", "--init", "--env", "staging"]).env("CI", "true").run();
    apply.exits(0).prints("Apply: 1 created, 0 unchanged.");
    let listed = project.run("--env prod state list --format json").exits(0).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let theirs = format!("{id} belongs to environment `prod`, as `shop-prod`");
    let import = format!("import x --id {id} --env staging");
    project.run(&import).exits(6).warns(&theirs).warns("`chatapi --env prod release shop-prod`");
    let found = project.run("import --discover --env staging").exits(0).prints("instances: []");
    found.prints(&format!("# {id} is left out: it belongs to environment prod."));
    let entry = format!("{MANIFEST}  - {{name: x, type: whatsapp}}\nimport: [{{name: x, id: '{id}', type: whatsapp}}]\n");
    project.declare(&entry);
    // A plan foretells it, and none is saved that an apply would refuse.
    let plan = project.run("plan --env staging").exits(0).warns("an apply will stop").warns(&theirs).warns("`x` is not taken in");
    plan.warns("`chatapi --env prod release shop-prod`").done();
    project.run("plan --env staging --out plan.json").exits(6).warns(&theirs).warns("the plan was not saved");
    assert!(!project.path("plan.json").exists());
    project.run("apply --env staging").exits(6).warns(&theirs).warns("`x` is not taken in");
    // What it has let go is free.
    project.run("release shop-prod --env prod").exits(0).done();
    project.run("plan --env staging").exits(0).prints("1 to import").done();
    project.run(&import).exits(0).prints("from now on");
    // And it is not taken back while the other one has it.
    let back = project.run("release --undo shop-prod --env prod").exits(6);
    back.warns(&format!("{id} belongs to environment `staging`, as `x`")).done_with("nothing was changed");
    project.run("release x --env staging").exits(0).done();
    project.run("release --undo shop-prod --env prod").exits(0).done();
    assert_eq!(gateway.creates(), 2);
}

/// `staging` and `prod`, which share an account and have created one instance each; and the id of each.
fn sharing(gateway: &Gateway) -> (Project, [String; 2]) {
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    let shared = project.read("chatapi.yaml").replace("staging.yaml]", "staging.yaml], same_account_as: [prod]");
    project.write("chatapi.yaml", shared);
    let ids = ["staging", "prod"].map(|env| {
        project.run(&format!("apply --env {env}")).exits(0).done();
        let listed = project.run(&format!("--env {env} state list --format json")).exits(0).json();
        listed[0]["id"].as_str().unwrap().to_owned()
    });
    (project, ids)
}

#[test]
fn drift_tells_which_environment_has_what_is_not_here() {
    let gateway = Gateway::start(&[]);
    let (project, [ours, theirs]) = sharing(&gateway);
    let told = format!("environment `prod` has {theirs} (`shop-prod`)");
    let run = project.run("drift --env staging --detailed-exitcode").exits(0).prints("No drift: 1 instance checked");
    assert!(!run.stdout.contains(&theirs), "{run}");
    run.warns(&told).done();
    let document = project.run("drift --env staging --format json").exits(0).json();
    assert_eq!(document["elsewhere"], serde_json::json!([{"id": theirs, "environment": "prod", "name": "shop-prod"}]));
    assert_eq!((&document["summary"]["elsewhere"], &document["summary"]["unknown"]), (&1.into(), &0.into()));
    project.run("plan --verify --env staging --detailed-exitcode").exits(0).warns(&told).done();
    let document = project.run("plan --verify --env staging --format json").exits(0).json();
    assert_eq!(document["drift"]["elsewhere"][0]["environment"], "prod");
    project.run("drift --env prod").exits(0).warns(&format!("environment `staging` has {ours} (`shop-staging`)")).done();
    // What it has let go is nobody's, as far as this one knows.
    project.run("release shop-prod --env prod").exits(0).done();
    project
        .run("drift --env staging --detailed-exitcode")
        .exits(2)
        .prints("1 unknown")
        .warns("import NAME --id")
        .done_with(&theirs);
}

/// A state that was bound by no key, or by another, can be made up: it explains nothing away.
#[test]
fn p1_drift_believes_no_environment_that_another_key_has_bound() {
    let gateway = Gateway::start(&[]);
    let (project, [_, theirs]) = sharing(&gateway);
    fs::rename(project.path("kept/prod"), project.path("kept/lost")).unwrap();
    project.run("state rebuild --from lock --env prod").exits(0).done();
    let run = project.run("drift --env staging --detailed-exitcode").exits(2).prints("1 unknown").prints(&theirs);
    assert!(!run.stderr.contains("environment `prod` has"), "{run}");
}

/// A doubt is not settled by what another environment has created, in whatever way that is said.
#[test]
fn p1_a_doubt_did_not_create_what_another_environment_has() {
    let gateway = Gateway::start(&["create:nth=2=drop-before"]);
    let project = project(&gateway.url(), &gateway.url()).with("CHATAPI_URL", gateway.url());
    let shared = project.read("chatapi.yaml").replace("staging.yaml]", "staging.yaml], same_account_as: [prod]");
    project.write("chatapi.yaml", shared);
    project.declare(&format!("{MANIFEST}  - {{name: second, type: whatsapp}}\n"));
    project.run("apply --env staging --parallelism 1").exits(3).done_with("1 in doubt");
    project.declare(MANIFEST);
    project.run("apply --env prod").exits(0).done();
    let listed = project.run("--env prod state list --format json").exits(0).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let doubts = project.run("doubts --format json --env staging").exits(3).json();
    let (name, attempt) = (doubts[0]["name"].as_str().unwrap(), doubts[0]["attempt"].as_str().unwrap());
    let theirs = format!("{id} belongs to environment `prod`, as `shop-prod`");
    let resolve = format!("resolve {name} --attempt {attempt} --created {id} --env staging");
    for more in ["", " --offline", " --despite-list --reason x"] {
        project.run(&format!("{resolve}{more}")).exits(6).warns(&theirs).done_with("nothing was changed");
    }
    let shown = project.run("doubts --refresh --env staging").exits(3).prints("environment `prod` (as `shop-prod`) has it");
    assert!(!shown.stdout.contains("--created"), "{shown}");
    let said = format!("resolutions: [{{name: {name}, attempt: {attempt}, created: '{id}'}}]\n");
    project.declare(&format!("{MANIFEST}  - {{name: second, type: whatsapp}}\n{said}"));
    project.run("plan --env staging").exits(0).warns("an apply will stop").warns(&theirs).done();
    project.run("apply --env staging").exits(6).warns(&theirs).done_with("is not settled that way");
    assert_eq!(gateway.creates(), 3);
}

/// The emulator numbers its instances anew in each state: its ids are nobody else's.
#[test]
fn ids_of_the_emulator_are_of_one_state() {
    let project = Project::new("");
    project.write("chatapi.yaml", "environments: {one: {gateway: emulator}, two: {gateway: emulator}}\n");
    let declared = "instances: [{name: a, type: whatsapp}]\n";
    project.declare(declared);
    for env in ["one", "two"] {
        project.run(&format!("apply --env {env}")).exits(0).done();
    }
    let listed = project.run("--env one state list --format json").exits(0).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    for line in ["release a", "state rm a"] {
        project.run(&format!("{line} --env one")).exits(0).done();
    }
    project.run("drift --env one").exits(0).prints("1 unknown").done();
    project.declare(&format!("{declared}import: [{{name: a, id: '{id}', type: whatsapp}}]\n"));
    project.run("apply --env one").exits(3).prints("1 imported").done_with("token set a");
}

/// A state without a key can be made up by a pull request: it explains nothing of what the account has away.
#[test]
fn p1_p5_a_made_up_environment_hides_no_lost_run() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    fs::rename(project.path("state"), project.path("lost")).unwrap();
    project.run("state rebuild --from lock").exits(0).done();
    fs::rename(project.path("state"), project.path("made-up")).unwrap();
    fs::remove_file(project.lock_file()).unwrap();
    let prod = format!("prod: {{gateway: '{}', same_account_as: [fake]}}", gateway.url());
    for state in ["nowhere", "made-up", "lost"] {
        project.write("chatapi.yaml", format!("environments: {{{prod}, fake: {{state: {state}}}}}\n"));
        let run = project.call(["apply", "--init", "--env", "prod"]).env("CI", "true").run();
        if state == "lost" {
            // It was bound by the very key.
            run.exits(0).done();
        } else {
            run.exits(6).warns("the account has 1 instance that this state does not know");
            assert_eq!(gateway.creates(), 1, "{state}");
        }
    }
}

/// The state that was there before is an environment's by now: the others may share its account as any other's.
#[test]
fn a_state_from_before_may_share_its_account_once_it_is_an_environments() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let declare = |next: &str| {
        let prod = "prod: {state: ./state, lock_file: chatapi.lock}";
        project.write("chatapi.yaml", format!("environments: {{{prod}, next: {{state: next-state, {next}}}}}\n"));
    };
    declare("var_files: []");
    project
        .run("apply --env next")
        .exits(6)
        .warns("the key opens the account of the state in")
        .done_with("same_account_as: [prod]");
    declare("same_account_as: [prod]");
    project.run("apply --env next").exits(0).prints("Apply: 1 created, 0 unchanged.").done();
    assert_eq!(gateway.creates(), 2);
}

/// CI systems set what nobody has defined to the empty text.
#[test]
fn an_empty_variable_names_nothing() {
    let prod = Gateway::start(&[]);
    let project = project("https://gateway.example/", &prod.url()).with("CHATAPI_URL", prod.url());
    let project = project.with("CHATAPI_ENV", "").with("CHATAPI_STATE", "").with("CHATAPI_ENVIRONMENTS", "");
    project.run("plan").exits(1).warns("which environment is meant is not said");
    project.run("plan --env prod").exits(0).prints("shop-prod");
    project.call(["plan"]).env("CHATAPI_ENV", "dev").run().exits(0).prints("shop-dev");
    fs::remove_file(project.path("chatapi.yaml")).unwrap();
    project.run("apply --var region=x").exits(0).prints("shop-x created");
    project.run("plan --env prod").exits(1).warns("there is no chatapi.yaml");
}
