//! `import`: one instance at once, and what there is to take in.

use chatapi::instance::InstanceType;
use chatapi::seal::Identity;

use crate::stage::{Gateway, KEY, OtherGateway, Project, Reply, is_free_of, manifest};

const TOKEN: &str = "tok0ShtYqs9pVb3nWkXcR7LmZd2JfGh8";

/// `count` instances that somebody has created without us; their ids.
fn foreign(gateway: &Gateway, count: usize) -> Vec<String> {
    let settings = chatapi::Client::builder(gateway.url(), chatapi::secret::Secret::new(KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    let create = || client.create_instance(InstanceType::WhatsApp).unwrap().instance_parameters.id.to_string();
    (0..count).map(|_| create()).collect()
}

/// A project on an account with `count` instances of others, which it has met.
fn beside(gateway: &Gateway, count: usize) -> (Project, Vec<String>) {
    let ids = foreign(gateway, count);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run(&format!("apply --allow-unknown {count}")).exits(0).done();
    (project, ids)
}

#[test]
fn p11_an_instance_is_taken_in_with_its_token_which_nobody_sees() {
    let gateway = Gateway::start(&[]);
    let (project, ids) = beside(&gateway, 2);
    let run = project.call(["import", "desk", "--id", &ids[0], "--token-stdin"]).input(TOKEN).run().exits(0);
    let run = run.prints(&format!("`desk` is {} from now on, and its token is kept.", ids[0])).warns("declare it");
    is_free_of(&[TOKEN.to_owned()], &format!("{}{}", run.stdout, run.stderr), "import");
    assert_eq!(project.token("desk"), TOKEN);
    project.declare(&manifest("{kind: chatapi}", &["a", "desk"]));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances exist as declared.").done();
    let other = project.run(&format!("import other --id {} --type whatsapp", ids[1])).exits(0).prints("its token is missing");
    other.warns("token set other").done();
    assert_eq!(gateway.creates(), 3, "two of others, and ours");
    project.run("state verify").exits(0).done();
}

#[test]
fn a_token_is_sealed_as_token_set_seals_it() {
    let gateway = Gateway::start(&[]);
    let ids = foreign(&gateway, 1);
    let identity = Identity::generate().unwrap();
    let key = identity.recipient().unwrap().to_string();
    let project = Project::at(&gateway.url(), &[]).with("CHATAPI_SEAL_TO", key);
    project.run("init").exits(0).done();
    project.call(["import", "desk", "--id", &ids[0], "--token-stdin"]).input(TOKEN).run().exits(0).warns("sealed to").done();
    for (path, bytes) in project.copy_of_state() {
        is_free_of(&[TOKEN.to_owned()], &String::from_utf8_lossy(&bytes), &path.display().to_string());
    }
}

#[test]
fn what_is_recorded_or_not_listed_is_refused_and_nothing_is_written() {
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let (project, ids) = beside(&gateway, 1);
    project.run(&format!("import desk --id {}", ids[0])).exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "desk", "x"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    let doubtful = gateway.tokens().into_keys().find(|id| !project.ids().values().any(|known| known == id)).unwrap();
    let before = project.read("state/journal.jsonl");
    let (a, desk) = (project.ids()["a"].clone(), ids[0].clone());
    for (line, code, why) in [
        (format!("import desk --id {desk}"), 1, "is recorded already, as `desk`".to_owned()),
        (format!("import new --id {desk}"), 1, "state mv desk new".to_owned()),
        ("import a --id 999".to_owned(), 1, "the name `a` is taken: it is created".to_owned()),
        (format!("import x --id {doubtful}"), 1, format!("resolve x --attempt {}", project.attempt("x"))),
        (format!("import new --id {doubtful}"), 6, "it may have created that".to_owned()),
        ("import new --id 999".to_owned(), 6, "the server does not list 999".to_owned()),
        (format!("import new --id {doubtful} --type telegram"), 1, "telegram".to_owned()),
        ("import new".to_owned(), 1, "--id".to_owned()),
        (format!("import --discover --id {a}"), 1, "cannot be used with".to_owned()),
    ] {
        project.run(&line).exits(code).done_with(&why);
    }
    assert_eq!(project.read("state/journal.jsonl"), before);
    assert_eq!(gateway.creates(), 3);
}

/// What is proposed is a manifest: taken as it stands, it takes in everything, and nothing is created.
#[test]
fn what_is_discovered_is_taken_in_as_it_is_printed() {
    let gateway = Gateway::start(&[]);
    let (project, ids) = beside(&gateway, 2);
    let before = project.read("state/journal.jsonl");
    let found = project.run("import --discover").exits(0).prints("# 2 instances of the account that can be taken in");
    for id in &ids {
        assert!(found.stdout.contains(&format!("  - {{name: instance-{id}, id: \"{id}\", type: whatsapp}}")), "{found}");
    }
    assert_eq!(project.read("state/journal.jsonl"), before, "looking never writes");
    let document = project.run("import --discover instances.yaml --format json").exits(0).json();
    assert_eq!(document["instances"].as_array().map(Vec::len), Some(2), "{document}");
    project.write("adopted.yaml", &found.stdout);
    project.run("plan instances.yaml adopted.yaml").exits(0).prints("Plan: 0 to create, 1 unchanged, 2 to import.").done();
    project.run("apply instances.yaml adopted.yaml").exits(3).prints("2 imported, 2 without token").done_with("token set");
    assert_eq!(gateway.creates(), 3);
    project.run("import --discover").exits(0).prints("instances: []").done();
}

#[test]
fn the_manifest_beside_it_gets_its_variables() {
    let gateway = Gateway::start(&[]);
    let (project, ids) = beside(&gateway, 1);
    let text = "variables: {n: {type: number}}\ninstances: [{name: \"instance-{n}\", type: whatsapp, count: \"{var.n}\"}]\n";
    project.declare(text);
    project.run("import --discover").exits(1).done_with("the variable `n` has no value");
    let found = project.run("import --discover --var n=2").exits(0);
    assert!(found.stdout.contains(&format!("id: \"{}\"", ids[0])), "{found}");
}

/// What a state has let go is not proposed as if it were new: each with what brings it back.
#[test]
fn what_was_released_or_deleted_is_not_proposed() {
    let gateway = Gateway::start(&["delete:nth=2=drop-before"]);
    let (project, _) = beside(&gateway, 0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).done();
    let ids = project.ids();
    project.run("release a").exits(0).done();
    project.run("destroy b -y --max-deletes 1").exits(0).done();
    let found = project.run("import --discover").exits(0).prints("instances: []");
    let found = found.prints(&format!("# {} is left out: it was released as a.", ids["a"]));
    let found = found.prints("#   chatapi release --undo a\n");
    assert!(!found.stdout.contains(&ids["b"]), "it is listed no longer: {found}");
    // Nor does a plan take in what is on record as deleted, under whatever name.
    let entry = format!("import: [{{name: x, id: '{}', type: whatsapp}}]\n", ids["b"]);
    project.declare(&(manifest("{kind: chatapi}", &["x"]) + &entry));
    for verb in ["plan", "apply"] {
        let run = project.run(verb).exits(1).warns(&format!("{} was `b`, and is recorded as deleted", ids["b"]));
        run.done_with("instances.yaml:4:17");
    }
    assert_eq!(gateway.creates(), 2);
}

/// A list that lags shows what was deleted just now.
#[test]
fn what_was_deleted_and_is_listed_is_left_out_with_its_name() {
    let list = r#"{"result":[{"id":"7","name":"","type":"whatsapp","apiUrl":"https://h.example/7/"}]}"#;
    let other = OtherGateway::start(move |asked| match asked.function() {
        "deleteInstance" => Reply::new(200, r#"{"result":"deleted"}"#),
        _ => Reply::new(200, list),
    });
    let project = Project::at(&other.url(), &[]);
    project.run("init").exits(0).done();
    project.run("import desk --id 7").exits(0).done();
    project.run("destroy desk -y --max-deletes 1").exits(0).done();
    let found = project.run("import --discover").exits(0).prints("# 7 is left out: it was desk, and is recorded as deleted.");
    found.prints("#   chatapi import NAME --id 7\n").prints("instances: []").done();
    // Whoever names it has it again.
    project.run("import desk --id 7").exits(0).prints("`desk` is 7 from now on").done();
}

/// An instance that was taken in and replaced since: its entry was carried out, and stops nothing.
#[test]
fn the_entry_of_what_was_replaced_since_is_spent() {
    let gateway = Gateway::start(&[]);
    let (project, ids) = beside(&gateway, 1);
    let entry = format!("import: [{{name: desk, id: '{}', type: whatsapp}}]\n", ids[0]);
    project.declare(&(manifest("{kind: chatapi}", &["a", "desk"]) + &entry));
    project.run("apply").exits(3).prints("1 imported").done_with("token set desk");
    project.run("apply --replace desk").exits(3).prints("1 created").done_with("was replaced");
    let spent = format!("`desk` was {0}, which was replaced and is `desk.{0}`; the entry can be taken out", ids[0]);
    project.run("plan").exits(3).warns(&spent).done_with("orphaned");
    project.run(&format!("destroy desk.{} -y --max-deletes 1", ids[0])).exits(0).done();
    project.run("apply").exits(0).warns(&spent).prints("Nothing to do").done();
    assert_eq!(gateway.creates(), 3);
}

/// The server's ids are taken as they come: what is proposed can be declared, and typed.
#[test]
fn an_id_needs_no_digit() {
    let list = r#"{"result":[{"id":"north","name":"","type":"whatsapp","apiUrl":"https://h.example/n/"},
        {"id":"south_","name":"","type":"whatsapp","apiUrl":"https://h.example/s/"}]}"#;
    let other = OtherGateway::start(move |_| Reply::new(200, list));
    let project = Project::at(&other.url(), &[]);
    project.run("init").exits(0).done();
    project.run("import one --id ID").exits(1).done_with("ID stands for an id of the server");
    project.run("import one --id north").exits(0).prints("`one` is north from now on").done();
    let found = project.run("import --discover").exits(0).prints("{name: instance-south_, id: \"south_\", type: whatsapp}");
    project.write("found.yaml", &found.stdout);
    project.run("apply instances.yaml found.yaml").exits(3).prints("1 imported").done_with("token set");
    assert_eq!(project.ids()["instance-south_"], "south_");
}

/// As the README begins: everything here is played on this machine, and import too.
#[test]
fn what_the_embedded_emulator_has_is_taken_in() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("init").exits(0).done();
    let none = project.run("import b --id 100001").exits(6).warns("the embedded emulator has created nothing for this state");
    none.done_with("`chatapi apply` creates what is declared");
    project.run("apply").exits(0).done();
    let id = project.ids()["a"].clone();
    project.run(&format!("import b --id {id}")).exits(1).done_with("is recorded already, as `a`");
    project.run("import b --id 999").exits(6).done_with("the server does not list 999");
    for line in ["release a", "state rm a"] {
        project.run(line).exits(0).done();
    }
    project.run("import --discover").exits(0).prints(&format!("id: \"{id}\"")).done();
    project.call(["import", "b", "--id", &id, "--token-stdin"]).input(TOKEN).run().exits(0).done();
    assert_eq!((project.ids()["b"].as_str(), project.token("b").as_str()), (id.as_str(), TOKEN));
    // And of an environment that is on the emulator, whatever the manifest says.
    project.write("chatapi.yaml", "environments: {dev: {gateway: emulator}}\n");
    std::fs::remove_file(project.path("instances.yaml")).unwrap();
    project.run("init --env dev").exits(0).done();
    std::fs::remove_file(project.path("instances.yaml")).unwrap();
    project.run("import b --id 1 --env dev").exits(6).done_with("the embedded emulator has created nothing");
    project.run("import --discover --env dev").exits(0).prints("instances: []").done();
}

#[test]
fn where_there_is_no_state_everything_is_discovered() {
    let gateway = Gateway::start(&[]);
    let ids = foreign(&gateway, 1);
    let project = Project::at(&gateway.url(), &["desk"]);
    let found = project.run("import --discover").exits(0).prints(&ids[0]);
    assert!(!project.state().exists(), "{found}");
    // A shell makes the file before anything is written to it.
    project.write("instances.yaml", "");
    project.run("import --discover").exits(0).prints(&ids[0]).done();
    project.run("import --discover nowhere.yaml").exits(1).done_with("nowhere.yaml");
}

#[test]
fn what_a_doubt_may_have_created_is_left_out_with_the_command_that_settles_it() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let (project, ids) = beside(&gateway, 0);
    assert!(ids.is_empty());
    project.declare(&manifest("{kind: chatapi}", &["a", "x"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    let attempt = project.attempt("x");
    let found = project.run("import --discover").exits(0).prints("is left out: attempt");
    let _ = found.prints(&format!("chatapi resolve x --attempt {attempt} --created")).prints("instances: []");
    let document = project.run("import --discover --format json").exits(0).json();
    assert_eq!(document["doubtful"][0]["attempt"], attempt.as_str());
}

/// T10, T20: what a server calls an instance reaches neither YAML nor a terminal as it is.
#[test]
fn names_that_a_server_gives_do_no_harm() {
    let body = r#"{"result":[
        {"id":"7","name":"x\n- {name: evil, type: whatsapp}\u001b[31m","type":"whatsapp","apiUrl":"https://h.example/7"},
        {"id":"8","name":"y","type":"tele\ngram: x","apiUrl":"https://h.example/8"}]}"#;
    let other = OtherGateway::start(move |_| Reply::new(200, body));
    let project = Project::at(&other.url(), &[]);
    let found = project.run("import --discover").exits(0).prints("{name: x-name-evil-type-whatsapp-31m, type: whatsapp}");
    assert!(!found.stdout.contains("\n- {name: evil") && !found.stdout.contains('\u{1b}'), "{found}");
    let found = found.prints("# 8 is left out: its type, ");
    project.write("found.yaml", &found.stdout);
    project.run("validate found.yaml").exits(0).done();
}

/// The keys are pinned with the first instance, be its token there or not: the apply that follows finds them as they should be.
#[test]
fn an_import_without_its_token_pins_the_keys_too() {
    let gateway = Gateway::start(&[]);
    let ids = foreign(&gateway, 1);
    let key = Identity::generate().unwrap().recipient().unwrap().to_string();
    let project = Project::at(&gateway.url(), &["desk", "new"]).with("CHATAPI_SEAL_TO", key);
    project.run("init").exits(0).done();
    let run = project.run(&format!("import desk --id {}", ids[0])).exits(0).warns("sealed to");
    assert!(!run.stderr.contains("in the clear"), "{run}");
    project
        .run("apply --not-a-rename new")
        .exits(3)
        .prints("1 created, 1 unchanged, 1 without token")
        .done_with("token set desk");
    project.call(["token", "set", "desk"]).input(TOKEN).run().exits(0).done();
    for (path, bytes) in project.copy_of_state() {
        is_free_of(&[TOKEN.to_owned()], &String::from_utf8_lossy(&bytes), &path.display().to_string());
    }
}

/// A run that dies has taken it in or has not; the token is set by the next command then, and nothing is taken in twice.
#[cfg(feature = "failpoints")]
#[test]
fn p3_an_import_that_dies_anywhere_loses_no_id() {
    for point in [
        "journal-before-adopted",
        "journal-written-adopted",
        "journal-after-adopted",
        "journal-written-token_set",
        "journal-after-token_set",
        "lockfile-before",
    ] {
        let gateway = Gateway::start(&[]);
        let (project, ids) = beside(&gateway, 1);
        let import = ["import", "desk", "--id", &ids[0], "--token-stdin"];
        let died = project.call(import).input(TOKEN).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
        assert!(died.code > 1_000, "{point}: {died}");
        let again = project.call(import).input(TOKEN).run();
        let set = project.call(["token", "set", "desk"]).input(TOKEN).run();
        let told = format!("{point}: {again}\n{set}");
        assert!(again.code == 0 || again.stderr.contains("is recorded already, as `desk`"), "{told}");
        assert!(set.code == 0 || set.stderr.contains("is kept already"), "{told}");
        assert_eq!((project.ids()["desk"].as_str(), project.token("desk").as_str()), (ids[0].as_str(), TOKEN), "{told}");
        project.declare(&manifest("{kind: chatapi}", &["a", "desk"]));
        project.run("apply").exits(0).prints("Nothing to do: 2 instances exist as declared.").done();
        assert_eq!(gateway.creates(), 2, "{told}");
        project.run("state verify").exits(0).done();
    }
}

/// Whoever adopts a hundred is not told a hundred times that a token is missing, and sets them with one command.
#[test]
fn many_missing_tokens_are_told_in_one_and_set_from_a_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let gateway = Gateway::start(&[]);
    let ids = foreign(&gateway, 8);
    let names: Vec<String> = (1..=8).map(|number| format!("desk-{number}")).collect();
    let project = Project::at(&gateway.url(), &[]);
    project.run("init").exits(0).done();
    let entry = |(name, id): (&String, &String)| format!("  - {{name: {name}, id: '{id}', type: whatsapp}}\n");
    let entries: String = names.iter().zip(&ids).map(entry).collect();
    let declared = manifest("{kind: chatapi}", &names.iter().map(String::as_str).collect::<Vec<_>>());
    project.declare(&format!("{declared}import:\n{entries}"));
    let run = project.run("apply").exits(3).prints("8 imported");
    let run = run.warns("8 instances exist and their tokens are missing: desk-1, desk-2, desk-3, desk-4, desk-5, …");
    assert_eq!(run.stderr.matches("token is missing").count(), 0, "{run}");
    run.done_with("chatapi token set --from FILE");
    let token = |number: usize| format!("{TOKEN}{number}");
    let before = project.read("state/journal.jsonl");
    let rows = |numbers: &[usize]| numbers.iter().map(|it| format!("desk-{it},{}\n", token(*it))).collect::<Vec<_>>().concat();
    let set = |text: &str| {
        project.write("tokens.csv", text);
        std::fs::set_permissions(project.path("tokens.csv"), std::fs::Permissions::from_mode(0o600)).unwrap();
        project.run("token set --from tokens.csv")
    };
    let (one, two) = (token(1), token(2));
    for (text, why) in [
        (format!("name,token\n{}desk-3\n", rows(&[1, 2])), "line 4 of tokens.csv is not taken: it is no name and no token"),
        (format!("{}{}", rows(&[1, 2]), rows(&[1])), "line 3 of tokens.csv is not taken: it has a name that another one has too"),
        (format!("{}desk-9,{two}\n", rows(&[1])), "nothing is recorded under the name that stands there"),
        (format!("desk-1,{one} {two}\n"), "line 1 of tokens.csv is not taken: it has no token"),
        (format!("{{\"desk-1\": [\"{one}\"]}}"), "tokens.csv is JSON of another shape, at line 1"),
        (
            format!("{{\"desk-1\": \"{one}\", \"desk-1\": \"{two}\"}}"),
            "item 2 of tokens.csv is not taken: it has a name that another one has too",
        ),
        (String::new(), "there are no tokens in tokens.csv"),
    ] {
        let run = set(&text).exits(1);
        is_free_of(&[TOKEN.to_owned()], &format!("{}{}", run.stdout, run.stderr), why);
        run.done_with(why);
    }
    std::fs::set_permissions(project.path("tokens.csv"), std::fs::Permissions::from_mode(0o644)).unwrap();
    project.run("token set --from tokens.csv").exits(1).warns("others can read it").done_with("chmod 600 tokens.csv");
    project.run("token set").exits(1).done_with("<NAME>");
    assert_eq!(project.read("state/journal.jsonl"), before, "all or nothing");
    let run = set(&format!("name,token\n{}", rows(&[1, 2, 3]))).exits(0).prints("The tokens of 3 instances are kept.");
    is_free_of(&[TOKEN.to_owned()], &format!("{}{}", run.stdout, run.stderr), "from a file");
    set(&rows(&[3, 4]).replace(&token(3), &token(5))).exits(1).done_with("the token of `desk-3` is kept already");
    let piped = |text: String| project.call(["token", "set", "--from", "-"]).input(text).run().exits(0);
    piped(format!("{{\"desk-4\": \"{}\", \"desk-5\": \"{}\"}}", token(4), token(5))).prints("of 2 instances").done();
    let items: Vec<_> = (6..=8).map(|it| format!("{{\"name\": \"desk-{it}\", \"token\": \"{}\"}}", token(it))).collect();
    piped(format!("[{}]", items.join(","))).prints("of 3 instances").done();
    for number in 1..=8 {
        assert_eq!(project.token(&format!("desk-{number}")), token(number));
    }
    project.run("apply").exits(0).prints("Nothing to do: 8 instances").done();
    project.run("state verify").exits(0).done();
}

/// What no manifest may declare beside another name is no name for anything.
#[test]
fn twins_of_a_recorded_name_are_refused() {
    let gateway = Gateway::start(&[]);
    let (project, ids) = beside(&gateway, 1);
    let own = project.ids().into_keys().next().unwrap();
    let twin = own.to_uppercase();
    for line in [format!("import {twin} --id {}", ids[0]), format!("import x --id {}", ids[0])] {
        let run = project.run(&line);
        if line.contains(&twin) {
            run.exits(1).warns("are twins").done_with("nothing was changed");
        } else {
            run.exits(0).done();
        }
    }
    project.run(&format!("state mv x {twin}")).exits(1).warns("are twins").done_with("nothing was changed");
    // The same name in another case is no twin of what it was.
    project.run(&format!("state mv {own} {twin}")).exits(0).done();
    assert_eq!(project.ids().len(), 2);
}
