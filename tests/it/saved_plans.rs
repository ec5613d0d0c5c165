//! A saved plan is applied as it was reviewed, once, by the state that it was made against, or not at all (exit 7).

use std::fs;

use serde_json::Value;

use crate::stage::{Gateway, KEY, Project, manifest};

/// A project of `names` on `gateway` with a begun state and a saved plan.
fn planned(gateway: &Gateway, names: &[&str]) -> Project {
    let project = Project::at(&gateway.url(), names);
    project.run("init").exits(0).done();
    project.run("plan --out plan.json").exits(0).warns("good for one apply until").done();
    project
}

fn saved(project: &Project) -> Value {
    serde_json::from_str(&project.read("plan.json")).unwrap()
}

#[test]
fn p1_p8_a_reviewed_plan_is_applied_as_it_is_and_only_once() {
    let gateway = Gateway::start(&[]);
    let project = planned(&gateway, &["a", "b"]);
    let id = saved(&project)["id"].as_str().unwrap().to_owned();
    let shown = project.run("show plan.json").exits(0).prints("Plan: 2 to create, 0 unchanged.").warns(&id);
    assert!(shown.stderr.contains(gateway.url().trim_end_matches('/')), "{shown}");
    let document = project.run("show --format json plan.json").exits(0).json();
    assert_eq!((&document["saved"]["id"], &document["summary"]["create"]), (&id.as_str().into(), &2.into()));
    assert_eq!(project.run("plan --format json").exits(0).json()["plan_hash"], document["plan_hash"]);

    let applied = project.run("apply --format json plan.json").exits(0).json();
    assert_eq!((&applied["plan"], &applied["summary"]["created"]), (&id.as_str().into(), &2.into()));
    assert_eq!(applied["plan_hash"], document["plan_hash"]);
    project.run("state history").exits(0).prints(&format!("apply of {id}")).done();
    project.run("state verify").exits(0).done();

    let seen = gateway.requests();
    let _ =
        project.run("apply plan.json").exits(7).warns(&format!("the plan {id} is spent: it was applied at")).warns("plan --out");
    let _ = project.run("state compact").exits(0);
    let _ = project.run("apply plan.json").exits(7).warns("is spent");
    assert_eq!(gateway.requests(), seen, "nothing was sent");
    let _ = project.run("apply").exits(0).prints("Nothing to do: 2 instances exist as declared.");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p1_p6_two_applies_of_one_plan_at_the_same_time_create_once() {
    for _ in 0..8 {
        let gateway = Gateway::start(&[]);
        let project = planned(&gateway, &["a", "b", "c"]);
        let runs: Vec<_> = (0..3).map(|_| project.call(["apply", "--lock-timeout", "1m", "plan.json"]).start()).collect();
        let mut codes: Vec<_> = runs.into_iter().map(|run| run.wait().code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 7, 7]);
        assert_eq!(gateway.creates(), 3);
    }
}

/// The runner is a new one: whatever it has of the state and the lock file, nothing is created a second time.
#[test]
fn p1_p5_a_spent_plan_creates_nothing_on_another_runner() {
    for in_ci in [false, true] {
        let gateway = Gateway::start(&[]);
        let mut project = planned(&gateway, &["a", "b"]);
        if in_ci {
            project = project.with("CI", "true");
        }
        let before = project.copy_of_state();
        project.run("apply plan.json").exits(0).done();
        let after = project.copy_of_state();
        let lock = project.read("chatapi.lock");

        project.restore(&before);
        let _ = project.run("apply plan.json").exits(8).warns("older");
        fs::remove_file(project.lock_file()).unwrap();
        let run = project.run("apply plan.json").exits(6).warns("the account has 2 instances that this state does not know");
        assert!(run.stderr.contains("--allow-unknown 2") && run.stdout.contains("nothing was sent"), "{run}");
        let document = project.run("apply --format json plan.json").exits(6).json();
        assert_eq!((&document["guards"][0]["guard"], &document["exit_code"]), (&"unknown_instances".into(), &6.into()));
        assert_eq!(document["guards"][0]["ids"].as_array().map(Vec::len), Some(2), "{document}");

        fs::remove_dir_all(project.state()).unwrap();
        let _ = project.run("apply plan.json").exits(7).warns("the plan is for the state of lineage").warns("may be lost");
        assert!(!project.state().exists(), "nothing is begun for a plan");
        project.write("chatapi.lock", &lock);
        let _ = project.run("apply plan.json").exits(7).warns("there is none in state");
        fs::remove_file(project.lock_file()).unwrap();
        project.run("init").exits(0).done();
        let _ = project.run("apply plan.json").exits(7).warns("the plan is for another state");

        project.restore(&after);
        project.write("chatapi.lock", &lock);
        let _ = project.run("apply plan.json").exits(7).warns("is spent");
        assert_eq!(gateway.creates(), 2, "in CI: {in_ci}");
    }
}

#[test]
fn a_plan_is_stale_once_its_state_server_or_manifest_is_another() {
    let gateway = Gateway::start(&[]);
    let project = planned(&gateway, &["a", "b"]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c"]));
    let _ = project.run("apply plan.json").exits(7).warns("the manifest has changed since the plan was made");
    project.declare("# What is wanted.\ninstances: [{name: b, type: WhatsApp}, {type: whatsapp, name: a}]\n");
    let other = Gateway::start(&[]);
    let elsewhere = project.call(["apply", "plan.json"]).env("CHATAPI_URL", other.url()).run();
    let _ = elsewhere.exits(7).warns(&format!("the plan is for {}", gateway.url().trim_end_matches('/')));
    assert_eq!((gateway.requests(), other.requests()), (0, 0));

    project.write("other.yaml", manifest("{kind: chatapi}", &["z"]));
    project.run("apply --lock-file chatapi.lock other.yaml").exits(0).done();
    let _ = project.run("apply plan.json").exits(7).warns("the state has changed since the plan was made");
    assert_eq!(gateway.creates(), 1);

    // A part of the manifest is gone, or cannot be read.
    let gateway = Gateway::start(&[]);
    let project = planned(&gateway, &["a"]);
    project.write("more.yaml", manifest("{kind: chatapi}", &["m"]));
    project.run("plan --out plan.json instances.yaml more.yaml").exits(0).done();
    fs::remove_file(project.path("more.yaml")).unwrap();
    let _ = project.run("apply plan.json").exits(7).warns("more.yaml is gone");
    project.write("more.yaml", "instances: 1\n");
    let _ = project.run("apply plan.json").exits(7).warns("it is not valid now");
    assert_eq!(gateway.requests(), 0);

    // The same words in another order, and a comment: the same manifest. One that is not here is not asked.
    for is_here in [true, false] {
        let gateway = Gateway::start(&[]);
        let project = planned(&gateway, &["a", "b"]);
        project.declare("# What is wanted.\ninstances: [{name: b, type: WhatsApp}, {type: whatsapp, name: a}]\n");
        if !is_here {
            fs::remove_file(project.path("instances.yaml")).unwrap();
        }
        project.run("apply plan.json").exits(0).done();
        assert!(project.lock_file().exists());
        assert_eq!(gateway.creates(), 2);
    }
}

/// A run that stops before its first request leaves the plan as it is.
#[test]
fn p8_what_stops_a_run_before_it_sends_spends_no_plan() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]).with("CI", "true");
    let key = project.run("key generate --output key.txt").exits(0).stdout;
    let key = key.split_whitespace().find(|word| word.starts_with("chatapi-pub1-")).unwrap().to_owned();
    project.declare(&format!("seal_to: [{key}]\n{}", manifest("{kind: chatapi}", &["a"])));
    project.run("init").exits(0).done();
    project.run("plan --out plan.json").exits(0).done();
    Project::at(&gateway.url(), &["mine"]).run("apply").exits(0).done();
    let _ = project.run("apply plan.json").exits(6).warns("--allow-unknown 1");
    let _ = project.run("apply --allow-unknown 1 --lock-file missing/chatapi.lock plan.json").exits(1).warns("nothing was sent");
    let _ = project.run("apply --max-creates 0 plan.json").exits(6);
    project.run("apply --allow-unknown 1 plan.json").exits(0).done();
    assert_eq!(gateway.creates(), 2);
}

/// A doubt may have made one instance; it does not hide what a lost run made.
#[test]
fn p1_a_plan_is_not_applied_again_behind_a_doubt() {
    for in_ci in [false, true] {
        let gateway = Gateway::start(&["create:nth=1=drop-before"]);
        let project = Project::at(&gateway.url(), &["a"]);
        let project = if in_ci { project.with("CI", "true") } else { project };
        let _ = project.run("apply --init").exits(3);
        project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
        let _ = project.run("plan --out plan.json").exits(3);
        let (before, lock) = (project.copy_of_state(), project.read("chatapi.lock"));
        let _ = project.run("apply plan.json").exits(3).prints("b created");
        project.restore(&before);
        project.write("chatapi.lock", &lock);
        let _ = project.run("apply plan.json").exits(3).warns("the account has 1 instance that this state does not know");
        let _ = project.run("apply").exits(3).warns("the account has 1 instance that this state does not know");
        assert_eq!(gateway.tokens().len(), 1, "in CI: {in_ci}");
    }
}

/// A list without what is known to exist may lack anything.
#[test]
fn p1_a_plan_is_not_applied_again_behind_a_list_that_cannot_be_believed() {
    let gateway = Gateway::start(&["list:nth=3=empty-list"]);
    let project = Project::at(&gateway.url(), &["a"]).with("CI", "true");
    project.run("apply --init").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("plan --out plan.json").exits(0).done();
    let (before, lock) = (project.copy_of_state(), project.read("chatapi.lock"));
    project.run("apply plan.json").exits(0).done();
    project.restore(&before);
    project.write("chatapi.lock", &lock);
    let run = project.run("apply plan.json").exits(1).warns("its list cannot be believed");
    assert!(run.stderr.contains("(`a`)") && run.stderr.contains("chatapi destroy a`"), "{run}");
    let _ = project.run("apply plan.json").exits(6);
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn a_plan_expires() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("init").exits(0).done();
    project.run("plan --out plan.json --valid-for 0s").exits(0).done();
    let _ = project.run("show plan.json").exits(0).warns("the plan has expired");
    let _ = project.run("apply plan.json").exits(7).warns("the plan has expired").warns("nothing was sent");
    let _ = project.run("plan --out plan.json --valid-for 721h").exits(1).warns("at most 720h");
    project.run("plan --out plan.json --valid-for 720h").exits(0).done();
    assert_eq!(gateway.requests(), 0);
    project.run("apply plan.json").exits(0).done();
}

#[test]
fn a_plan_that_was_changed_or_cut_is_refused() {
    let gateway = Gateway::start(&[]);
    let project = planned(&gateway, &["a", "b"]);
    let whole = project.read("plan.json");
    let lines: Vec<&str> = whole.lines().collect();
    for at in 1..lines.len() {
        let without: Vec<&str> = lines.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, line)| *line).collect();
        project.write("plan.json", without.join("\n"));
        let run = project.run("apply plan.json");
        // Without its first member it is no plan, and no manifest either.
        assert!(run.code == 7 || at == 1 && run.code == 1, "without line {at}: {run}");
    }
    for (old, new) in [
        ("\"a\"", "\"z\""),
        ("\"type\": \"whatsapp\"", "\"type\": \"whatsapp_dev\""),
        ("\"expires\": \"2", "\"expires\": \"3"),
        ("\"consent\": {}", "\"consent\": {\"max_creates\": 9}"),
        ("\"exclusive\": false", "\"exclusive\": true"),
        ("\"consent\": {}", "\"consent\": {}, \"more\": 1"),
        ("\"chatapi_plan\": \"1.0\"", "\"chatapi_plan\": \"2.0\""),
    ] {
        assert!(whole.contains(old), "{old}");
        project.write("plan.json", whole.replacen(old, new, 1));
        let _ = project.run("apply plan.json").exits(7).warns("cannot use the saved plan plan.json");
        let _ = project.run("show plan.json").exits(7);
    }
    for cut in (2..whole.len() - 1).step_by(97) {
        project.write("plan.json", &whole[..cut]);
        let run = project.run("apply plan.json");
        assert!(matches!(run.code, 1 | 7), "cut at {cut}: {run}");
    }
    assert_eq!(gateway.requests(), 0);
    // White space is nobody's business.
    let compact: Value = serde_json::from_str(&whole).unwrap();
    project.write("plan.json", format!("\n {compact}\n"));
    let run = project.run("apply plan.json");
    assert!(run.code == 7 || run.code == 0, "{run}");
}

#[test]
fn a_plan_that_would_stop_is_not_saved_and_what_was_said_goes_with_it() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["shop"]);
    let _ = project.run("plan --out plan.json").exits(8).warns("init");
    assert!(!project.path("plan.json").exists());
    project.run("apply").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["shop-eu", "x"]));
    let _ =
        project.run("plan --out plan.json").exits(6).warns("the plan was not saved").warns("plan with `--not-a-rename shop-eu`");
    let _ = project.run("plan --out plan.json --not-a-rename shop-eu --max-creates 1").exits(6).warns("this run may create 1");
    assert!(!project.path("plan.json").exists());
    project.run("plan --out plan.json --not-a-rename shop-eu --max-creates 2").exits(0).done();
    let _ = project.run("apply plan.json --max-creates 1").exits(6).warns("this run may create 1");
    let _ = project.run("apply --not-a-rename=x plan.json").exits(1).warns("does not go with a saved plan");
    // A guard that stops sends nothing; the plan may be applied afterwards.
    project.run("apply plan.json").exits(0).done();
    assert_eq!(gateway.creates(), 3);
}

#[test]
fn p12_saving_and_showing_leave_the_state_as_it_is() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let journal = fs::read(project.state().join("journal.jsonl")).unwrap();
    let seen = gateway.requests();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let call = project.call(["plan", "--out", "plan.json"]).without("CHATAPI_API_KEY").without("CHATAPI_URL");
    call.run().exits(0).done();
    project.run("show plan.json").exits(0).done();
    assert_eq!((fs::read(project.state().join("journal.jsonl")).unwrap(), gateway.requests()), (journal, seen));
    assert!(!project.read("plan.json").contains(KEY));

    let first = Project::at(&gateway.url(), &["a"]);
    first.run("init").exits(0).done();
    let _ = first.call(["plan", "--out", "plan.json"]).without("CHATAPI_URL").run().exits(1).warns("CHATAPI_URL");
    let manifest_before = first.read("instances.yaml");
    fs::write(first.path("notes.txt"), "mine").unwrap();
    for (file, why) in [
        ("instances.yaml", "that is a manifest's name"),
        ("other.YML", "that is a manifest's name"),
        ("-", "that is a manifest's name"),
        ("chatapi.lock", "that is a lock file's name"),
        ("./chatapi.lock", "that is a lock file's name"),
        ("notes.txt", "it is not overwritten"),
        ("state", "it is not overwritten"),
    ] {
        let _ = first.run(&format!("plan --out {file}")).exits(1).warns(&format!("the plan cannot go to {file}: ")).warns(why);
    }
    assert_eq!((first.read("instances.yaml"), first.read("notes.txt")), (manifest_before, "mine".to_owned()));
}

#[test]
fn an_instance_in_place_of_a_plan_is_shown_by_another_command() {
    let gateway = Gateway::start(&[]);
    let project = planned(&gateway, &["a"]);
    let missing = project.run("show a").exits(1).warns("there is no file a").warns("`chatapi plan --out FILE` saves a plan");
    assert!(!missing.stderr.contains("state show"), "{missing}");
    project.run("apply plan.json").exits(0).done();
    let _ = project.run("show a").exits(1).warns("there is no file a").warns("`chatapi state show a` shows the instance");
    let elsewhere = project.run("--state none show a").exits(1);
    assert!(!elsewhere.stderr.contains("state show"), "that state knows no such name: {elsewhere}");
}

#[test]
fn a_saved_plan_is_told_from_a_manifest() {
    let gateway = Gateway::start(&[]);
    let project = planned(&gateway, &["a"]);
    for line in ["plan plan.json", "validate plan.json", "apply plan.json instances.yaml"] {
        let _ = project.run(line).exits(1).warns("plan.json is a saved plan").warns("chatapi show plan.json");
    }
    let _ = project.run("show instances.yaml").exits(1).warns("is no saved plan");
    // What comes with a pull request is a manifest or nothing: its guards cannot be answered by a file of another kind.
    let plan = project.read("plan.json");
    for name in ["disguised.yaml", "disguised.YML"] {
        project.write(name, &plan);
        let _ = project.run(&format!("apply {name}")).exits(1).warns("is a saved plan, and a manifest is meant here");
    }
    project.write("-", &plan);
    let piped = project.call(["plan", "-"]).input("instances: [{name: z, type: whatsapp}]\n").run();
    let _ = piped.exits(0).prints("+ z  whatsapp");
    let piped = project.call(["apply", "--lock-file", "chatapi.lock", "-"]).input("instances: []\n").run();
    let _ = piped.exits(0);
    assert_eq!(gateway.creates(), 0);
    let _ = project.run("show nothing.json").exits(1);
    // YAML in braces is a manifest.
    project.write("flow.yaml", "{instances: [{name: a, type: whatsapp}]}\n");
    let _ = project.run("plan flow.yaml").exits(0).prints("1 to create");
}

#[test]
fn a_lock_file_elsewhere_has_to_be_named_again() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    for dir in ["work", "team"] {
        fs::create_dir(project.path(dir)).unwrap();
    }
    fs::rename(project.path("instances.yaml"), project.path("team/instances.yaml")).unwrap();
    let inside = |words: &[&str]| project.call(["--state", "../state"].iter().chain(words)).in_dir("work").run();
    inside(&["init", "unused.yaml"]).exits(0).done();
    inside(&["plan", "--out", "plan.json", "../team/instances.yaml"]).exits(0).done();
    let _ = inside(&["apply", "plan.json"]).exits(1).warns("--lock-file ../team/chatapi.lock");
    inside(&["apply", "--lock-file", "../team/chatapi.lock", "plan.json"]).exits(0).done();
    assert!(project.path("team/chatapi.lock").exists() && !project.lock_file().exists());
}

#[test]
fn the_light_form_applies_only_what_was_reviewed() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    let reviewed = project.run("plan --checksum").exits(0).stdout.trim_end().to_owned();
    assert_eq!(reviewed.len(), 64);
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c"]));
    let run = project.run(&format!("apply --checksum {reviewed}")).exits(7).warns("the plan is not the reviewed one");
    assert!(run.stderr.contains("nothing was sent"), "{run}");
    let _ = project.run("apply --checksum 12").exits(1);
    assert_eq!(gateway.creates(), 0);
    project.declare(&manifest("{kind: chatapi}", &["b", "a"]));
    project.run(&format!("apply --checksum {reviewed}")).exits(0).done();
    let _ = project.run(&format!("apply --checksum {reviewed}")).exits(7);
    assert_eq!(gateway.creates(), 2);

    // Of another state the same creates are another plan.
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "d"]));
    let here = project.run("plan --checksum").exits(0).stdout;
    let other = Project::at(&gateway.url(), &["d"]);
    assert_ne!(other.run("plan --checksum").exits(0).stdout, here);
}

#[cfg(feature = "failpoints")]
mod dying {
    use super::planned;
    use crate::stage::Gateway;

    /// Wherever a run dies, its plan is spent if anything was sent; and planning again finishes the work.
    #[test]
    fn p1_p8_a_run_that_dies_spends_its_plan_before_its_first_request() {
        for (point, code_of_the_next, created) in
            [("guards-passed", 0, 0), ("lockfile-before", 7, 0), ("lockfile-written", 7, 0), ("listed", 7, 0), ("told", 7, 2)]
        {
            let gateway = Gateway::start(&[]);
            let project = planned(&gateway, &["a", "b"]);
            let died = project.call(["apply", "plan.json"]).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
            assert!(died.code > 1_000, "{point}: {died}");
            assert_eq!(gateway.creates(), created, "{point}");
            let _ = project.run("apply plan.json").exits(code_of_the_next);
            project.run("plan --out plan.json").exits(0).done();
            project.run("apply plan.json").exits(0).done();
            assert_eq!(gateway.creates(), 2, "{point}");
        }
    }
}
