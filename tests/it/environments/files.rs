//! Where the states and lock files of environments lie, and what no other file may take the place of; also after one was renamed.

use super::*;

#[test]
fn p1_one_state_behind_a_link_is_no_second_one() {
    let project = Project::new(MANIFEST).with("CHATAPI_API_KEY", KEY);
    fs::create_dir_all(project.path("s/deep")).unwrap();
    symlink("s", project.path("link")).unwrap();
    let refused = |text: &str, why: &str| {
        project.write("chatapi.yaml", format!("environments: {text}\n"));
        for env in ["one", "two"] {
            project.run(&format!("apply --env {env} --var region=x")).exits(1).warns(why).warns("behind a symbolic link");
        }
    };
    refused("{one: {state: s/dev, gateway: emulator}, two: {state: link/dev, gateway: emulator}}", "keeps its state where");
    refused("{one: {state: s, gateway: emulator}, two: {state: link/deep/x, gateway: emulator}}", "keeps its state where");
    refused("{one: {lock_file: s/l, gateway: emulator}, two: {lock_file: link/l, gateway: emulator}}", "has the lock file of");
    assert!(!project.path("s/dev").exists() && !project.path("s/l").exists());
    project
        .write("chatapi.yaml", "environments: {one: {state: s/a, gateway: emulator}, two: {state: link/b, gateway: emulator}}\n");
    for env in ["one", "two"] {
        project.run(&format!("apply --env {env} --var region=x")).exits(0).prints("1 created");
    }
}

/// P5: the lock file would take the place of the journal, and of every token in it.
#[test]
fn p5_a_lock_file_lies_in_no_state() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let file =
        |lock: &str| format!("environments: {{prod: {{state: kept/prod, lock_file: {lock}}}, dev: {{lock_file: d.lock}}}}\n");
    project.write("chatapi.yaml", file("p.lock"));
    fs::create_dir(project.path("links")).unwrap();
    symlink("../kept/prod", project.path("links/dir")).unwrap();
    symlink("../kept/prod/journal.jsonl", project.path("links/file")).unwrap();
    let places = [
        "kept/prod/journal.jsonl",
        "kept/prod",
        "kept/prod/lock",
        "x/../kept/prod/index/db",
        "links/dir/journal.jsonl",
        "links/file",
        "state/dev/journal.jsonl",
    ];
    let refused =
        |run: Run| run.exits(1).warns("is in a state directory, where no lock file belongs").warns("nothing was written");
    for is_begun in [false, true] {
        for place in places {
            project.write("chatapi.yaml", file(place));
            for line in ["apply --env prod", "plan --env prod", "state list --env prod", "init --env prod"] {
                refused(project.run(line)).done_with(place);
            }
            project.write("chatapi.yaml", file("p.lock"));
            refused(project.run(&format!("apply --env prod --lock-file {place}"))).done_with(place);
            fs::rename(project.path("chatapi.yaml"), project.path("away")).unwrap();
            let set = project.call(["--state", "kept/prod", "apply"]).env("CHATAPI_LOCK_FILE", place);
            if !place.starts_with("state/") {
                refused(set.run()).done_with(place);
            }
            fs::rename(project.path("away"), project.path("chatapi.yaml")).unwrap();
        }
        assert_eq!(gateway.creates(), usize::from(is_begun));
        project.run("apply --env prod").exits(0).done();
    }
    assert!(project.run("--env prod token get a").exits(0).stdout.len() > 8);
}

/// P3: what other environments have is no place for an output either.
#[test]
fn p3_no_output_takes_the_place_of_what_another_environment_has() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let text = "environments: {prod: {state: kept, lock_file: p.lck, var_files: [v.txt]}, dev: {lock_file: d.lck, var_files: [w.txt]}}\n";
    project.write("chatapi.yaml", text);
    project.write("v.txt", "{}\n");
    project.write("w.txt", "{}\n");
    project.write("other.yml", text);
    project.run("apply --env prod").exits(0).done();
    fs::copy(project.path("p.lck"), project.path("copied")).unwrap();
    let before = |project: &Project| {
        let files = Project::files(project.dir()).into_iter();
        files
            .filter(|(path, _)| !path.ends_with("lock") && !path.components().any(|part| part.as_os_str() == "index"))
            .collect::<Vec<_>>()
    };
    let files = before(&project);
    let here = ["kept/journal.jsonl", "p.lck", "chatapi.yaml", "other.yml", "copied"];
    for target in here {
        project.run(&format!("schema --out {target}")).exits(1).done_with(target);
    }
    for target in here.into_iter().chain(["kept/new", "state/dev/new", "d.lck", "v.txt", "w.txt"]) {
        for line in [
            format!("apply --env prod --json-into {target}"),
            format!("apply --env prod --write-outputs json={target}"),
            format!("plan --env prod --out {target}"),
            format!("output --env prod --out {target}"),
            format!("qr a --env prod --png {target}"),
            format!("qr a --env prod --svg {target}"),
        ] {
            project.run(&line).exits(1).done_with(target);
        }
    }
    assert_eq!(before(&project), files);
    assert!(!project.path("d.lck").exists() && !project.path("state/dev/new").exists());
}

/// P1: under another name everything would be created again.
#[test]
fn p1_an_environment_that_was_renamed_begins_nothing_anew() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let file = |of: &str| project.write("chatapi.yaml", format!("environments: {{{of}}}\n"));
    file("prod: ");
    project.run("apply --env prod").exits(0).done();
    file("production: ");
    let told = "`production` was never used, and there is what no environment of chatapi.yaml names: `prod`";
    for is_ci in ["true", "false"] {
        let before = gateway.requests();
        let run = project.call(["apply", "--env", "production"]).env("CI", is_ci).env("CHATAPI_API_KEY", OTHER_KEY).run();
        run.exits(6)
            .warns(told)
            .warns("`state: state/prod` and `lock_file: chatapi.prod.lock` under `production`")
            .done_with("--init");
        let plan = project.call(["plan", "--env", "production"]).env("CI", is_ci).run().exits(0).warns("an apply will stop");
        plan.done_with(told);
        assert_eq!((gateway.requests(), gateway.creates()), (before, 1));
    }
    // A runner has the lock files alone.
    fs::rename(project.path("state"), project.path("away")).unwrap();
    project.run("apply --env production").exits(6).done_with(told);
    fs::rename(project.path("away"), project.path("state")).unwrap();
    file("production: {state: state/prod, lock_file: chatapi.prod.lock}");
    project.run("apply --env production").exits(1).done_with("`chatapi --env production state rebind`");
    project.run("--env production state rebind").exits(0).done();
    project.run("apply --env production").exits(0).prints("Nothing to do").done();
    // What is called otherwise by now is hinted at as it is called now.
    let beside = project.run("apply --state other").exits(6).warns("what belongs to environments: `prod`");
    beside.done_with("`--env production` in the place of `--state`");
    // On the emulator nothing costs money, and another server has none of it.
    file("dev: {gateway: emulator}, other: {gateway: 'https://other.example/'}");
    project.run("apply --env dev").exits(0).done();
    let other = project.call(["plan", "--env", "other"]).without("CHATAPI_URL").run().exits(0);
    assert!(!other.stderr.contains("was never used"), "{other}");
    // One that is new says so.
    file("fresh: ");
    project.run("apply --env fresh").exits(6).done_with("`fresh` was never used");
    let fresh = project.call(["apply", "--env", "fresh", "--init"]).env("CHATAPI_API_KEY", OTHER_KEY).run();
    fresh.exits(0).prints("1 created").done();
    assert_eq!(gateway.creates(), 2);
    // And without the file nothing is of any environment.
    fs::remove_file(project.path("chatapi.yaml")).unwrap();
    let run = project.run("apply").exits(6).warns("no state was begun in state, and there is what belongs to environments: ");
    run.warns("`--env fresh`").done_with("`prod`");
    assert_eq!(gateway.creates(), 2);
}

/// The last one would be taken, and nobody has said which one is meant.
#[test]
fn p15_two_environments_are_one_too_many() {
    let project = Project::at("http://127.0.0.1:9/", &["a"]);
    project.write("chatapi.yaml", "environments: {prod: {}, dev: {}}\n");
    for line in ["--env dev plan --env prod", "--env=dev plan --env=prod", "plan --env dev --env prod"] {
        project.run(line).exits(1).done_with("'--env");
    }
    project.run("--state x state list --state y").exits(1).done_with("the argument '--state' cannot be used multiple times");
}

/// P1: nobody would see that none of its environments is used.
#[test]
fn p1_a_file_of_environments_that_is_misspelt_is_told() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    fs::create_dir(project.path("team")).unwrap();
    project.write("team/instances.yaml", manifest("{kind: chatapi}", &["a"]));
    for (name, line) in
        [("chatapi.yml", "apply"), ("chatapi.yml", "state list"), ("team/chatapi.yml", "apply team/instances.yaml")]
    {
        project.write(name, "default: prod\nenvironments:\n  prod: {}\n");
        let meant = name.replace(".yml", ".yaml");
        for line in [line.to_owned(), format!("{line} --env prod")] {
            let run = project.run(&line).exits(1).warns(&format!("{name} declares environments"));
            run.done_with(&format!("`mv {name} {meant}`; or name it: `--environments {name}`"));
        }
        project.run(&format!("plan --environments {name}")).exits(0).done_with("environment prod");
        fs::remove_file(project.path(name)).unwrap();
    }
    assert_eq!(gateway.requests(), 0);
    // A manifest may have that name.
    project.write("chatapi.yml", manifest("{kind: chatapi}", &["a"]));
    project.run("plan chatapi.yml").exits(0).prints("1 to create").done();
}

/// P5: another lock file would be asked what is lost, and would say nothing.
#[test]
fn p5_a_lock_file_that_is_named_is_the_environments() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("chatapi.yaml", "environments: {prod: {lock_file: p.lock}}\n");
    let (told, before) =
        ("the environment's lock file is p.lock, and `--lock-file` or CHATAPI_LOCK_FILE names other.lock", "other.lock");
    for line in ["apply", "plan", "state list", "init", "token get a"] {
        let run = project.call(line.split(' ').chain(["--env", "prod"])).env("CHATAPI_LOCK_FILE", before).run();
        run.exits(1).warns(told).done_with("say one of the two");
        if !line.contains("get") {
            project.run(&format!("{line} --env prod --lock-file other.lock")).exits(1).done_with(told);
        }
    }
    assert!(!project.path(before).exists() && gateway.requests() == 0);
    let same = project.path("./p.lock");
    project.call(["apply", "--env", "prod"]).env("CHATAPI_LOCK_FILE", same).run().exits(0).done();
    assert!(project.path("p.lock").exists());
}
