//! The key and the tokens are where they belong and nowhere else, whatever goes wrong and however much is logged (P11, T10 to T17).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::stage::{Asked, Gateway, OtherGateway, Project, Reply, Run, eventually, is_free_of, manifest};

/// What a server does, and how.
type Row = (&'static str, fn(&Asked) -> Reply);

/// A key that cannot stand anywhere by chance.
const CANARY: &str = "CanaryKey7Zq0Zq1Zq2Zq3Zq4Zq5Z";

/// Verbs that neither read a token nor print one.
const VERBS: [&str; 21] = [
    "plan instances.yaml",
    "plan --format json",
    "apply --timeout 1s --parallelism 1 --settle-after 0s",
    "apply --timeout 1s --format json",
    "validate",
    "state list",
    "state list --format json",
    "state show --format json",
    "state show a --format json",
    "doubts",
    "doubts --refresh --timeout 1s --format json",
    "doubts --refresh --timeout 1s",
    "drift --timeout 1s",
    "status --timeout 1s",
    "status --timeout 1s --format json",
    "qr a --timeout 1s --interval 100ms --wait-for 200ms --png qr.png",
    "plan --verify --timeout 1s --format json",
    "output",
    "output --format shell",
    "output --format k8s-secret --out written.json",
    "version",
];

fn project(url: &str) -> Project {
    Project::at(url, &["a", "b", "c"]).with("CHATAPI_API_KEY", CANARY)
}

/// Runs `line` as loud as it gets, in both log formats in turn, and looks at everything that came out.
fn loud(project: &Project, secrets: &[String], line: &str) -> Run {
    let format = if line.contains("json") { "text" } else { "json" };
    let words = line.split(' ').chain(["-vvv", "--log-format", format]);
    let run = project.call(words).env("CHATAPI_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").run();
    is_free_of(secrets, &run.stdout, line);
    is_free_of(secrets, &run.stderr, line);
    run
}

/// Every verb, and then every file outside the state; inside it, the key.
fn every_verb_is_silent(project: &Project, tokens: impl Fn() -> Vec<String>) {
    let secrets = || [vec![CANARY.to_owned()], tokens()].concat();
    for line in VERBS {
        // The tokens that a run brings to be are secrets of that run already.
        let run = loud(project, &[CANARY.to_owned()], line);
        is_free_of(&secrets(), &run.stdout, line);
        is_free_of(&secrets(), &run.stderr, line);
    }
    for (path, bytes) in Project::files(project.dir()) {
        let is_kept = path.starts_with(project.state());
        let guarded = if is_kept { vec![CANARY.to_owned()] } else { secrets() };
        is_free_of(&guarded, &String::from_utf8_lossy(&bytes), &path.display().to_string());
    }
    is_private(&project.state());
}

fn is_private(path: &Path) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path), 0o700, "{}", path.display());
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            is_private(&path);
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[test]
fn p11_no_verb_shows_a_secret_whatever_the_emulator_does() {
    let refuse = format!("create=refuse:no such uid {CANARY} here");
    let list_refuse = format!("list=refuse:no such uid {CANARY} here");
    for rules in [
        &[][..],
        &["create:nth=2=drop-after"],
        &["create:nth=1=drop-before"],
        &["create:nth=2=reset-after", "list:nth=2=empty-list"],
        &["create:nth=1=stall"],
        &[refuse.as_str()],
        &["create:nth=1=status-before:401"],
        &["create:nth=2=status-after:500"],
        &["create:nth=1=too-many:1"],
        &["create:nth=2=garbage"],
        &["create:nth=1=truncate:150", "create:nth=2=truncate-reset:200"],
        &["create=no-token"],
        &["create=exists"],
        &["list=drop-before", "create:nth=1=drop-after"],
        &["list=status-before:500", "create:nth=1=drop-after"],
        &[list_refuse.as_str(), "create:nth=1=drop-after"],
        &["list=garbage", "create:nth=1=drop-after"],
    ] {
        let gateway = Gateway::start(rules);
        let project = project(&gateway.url());
        every_verb_is_silent(&project, || gateway.tokens().into_values().collect());
        assert!(gateway.requests() > 0, "{rules:?}");
    }
}

#[test]
fn p11_the_embedded_emulator_shows_no_token_either() {
    let project = Project::new(&manifest("{kind: emulator}", &["a", "b", "c"])).with("CHATAPI_API_KEY", CANARY);
    project.run("apply").done();
    let tokens = || ["a", "b", "c"].map(|name| project.token(name)).to_vec();
    every_verb_is_silent(&project, tokens);
}

#[test]
fn p11_a_server_that_repeats_the_request_does_not_make_the_key_seen() {
    let answers: [Row; 9] = [
        ("an error with 200", |asked| Reply::new(200, error(&asked.echo()))),
        ("an error with 400", |asked| Reply::new(400, error(&asked.echo()))),
        ("an error with 401", |asked| Reply::new(401, error(&asked.echo()))),
        ("an error that is an object", |asked| Reply::new(200, format!(r#"{{"error":{{"got":{:?}}}}}"#, asked.echo()))),
        ("a page", |asked| Reply::new(500, asked.echo())),
        ("an error that is cut inside the key", |asked| Reply::new(400, error(&format!("{}{}", "x".repeat(185), key_in(asked))))),
        ("a status word", |asked| Reply::new(200, format!(r#"{{"result":{{"status":{:?}}}}}"#, asked.echo()))),
        ("an error beside a result", |asked| Reply::new(200, format!(r#"{{"error":{:?},"result":{{}}}}"#, asked.echo()))),
        ("an id and an address", |asked| {
            if asked.is_create() {
                return Reply::new(200, created(&key_in(asked), "https://h/?uid="));
            }
            Reply::new(200, format!(r#"{{"result":[{{"id":"{}","type":"whatsapp"}}]}}"#, key_in(asked)))
        }),
    ];
    for (what, answer) in answers {
        let server = OtherGateway::start(answer);
        let project = project(&server.url());
        for line in VERBS {
            let run = loud(&project, &[CANARY.to_owned()], line);
            assert!(!run.stderr.contains("stack backtrace"), "{what}: {run}");
        }
        for (path, bytes) in Project::files(project.dir()) {
            // An answer that may hold a token is kept as it came, in base64. Nothing else has the key.
            let is_kept = |line: &&str| what != "an id and an address" || !line.contains("\"received\"");
            let text: String = String::from_utf8_lossy(&bytes).lines().filter(is_kept).collect();
            is_free_of(&[CANARY.to_owned()], &text, &format!("{what}: {}", path.display()));
        }
        assert!(server.creates() > 0);
    }
}

fn error(text: &str) -> String {
    format!("{{\"error\":{text:?}}}")
}

fn created(id: &str, address: &str) -> String {
    format!(r#"{{"result":{{"status":"created","instance":{{"id":"{id}","apiUrl":"{address}{id}","token":"Tk0"}}}}}}"#)
}

/// The key as the request carried it.
fn key_in(asked: &Asked) -> String {
    assert!(asked.echo().contains(CANARY));
    CANARY.to_owned()
}

#[test]
fn p11_t12_a_running_apply_has_no_secret_among_its_arguments_and_files() {
    let (server, made) = OtherGateway::healthy(true);
    let project = project(&server.url());
    server.hold();
    let apply = project.call(["apply", "-vvv"]).start();
    server.sees_creates(3);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", apply.pid())).unwrap();
    is_free_of(&[CANARY.to_owned()], &String::from_utf8_lossy(&arguments), "cmdline");
    assert!(String::from_utf8_lossy(&arguments).contains("apply"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", apply.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().filter(|word| *word == "0").count() == 2, "T14: {core}");
    server.release();
    apply.wait().done();
    every_verb_is_silent(&project, || made.lock().unwrap().iter().map(|made| made.token.clone()).collect());
}

#[test]
fn p11_only_token_get_prints_a_token_and_only_its_own() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url());
    project.run("apply").done();
    let (ids, tokens) = (project.ids(), gateway.tokens());
    for (name, id) in &ids {
        let run = loud(&project, &[CANARY.to_owned()], "version");
        assert!(!run.stdout.is_empty());
        let run = project.call(["token", "get", name, "-vvv"]).env("CHATAPI_LOG", "trace").run().exits(0);
        assert_eq!(run.stdout, format!("{}\n", tokens[id]));
        let all: Vec<String> = tokens.values().cloned().collect();
        is_free_of(&all, &run.stderr, "token get");
    }
    let given = "GivenByHand8Xw0Xw1Xw2Xw3";
    let run = project.call(["token", "set", "a", "--replace", "-vvv"]).env("CHATAPI_LOG", "trace").input(given).run().exits(0);
    is_free_of(&[given.to_owned()], &format!("{run}"), "token set");
    for (brought, code) in [(given.to_owned(), 0), (format!("{given}y"), 1)] {
        let compared = project.call(["token", "set", "a", "-vvv"]).env("CHATAPI_LOG", "trace").input(brought).run().exits(code);
        is_free_of(&[given.to_owned()], &format!("{compared}"), "token set");
    }
    let broken = project.call(["token", "set", "a", "--replace"]).input(format!("{given} {given}")).run().exits(1);
    is_free_of(&[given.to_owned()], &format!("{broken}"), "token set");
}

#[test]
fn p11_t4_a_redirect_is_not_followed_and_the_other_host_sees_nothing() {
    let elsewhere = OtherGateway::start(|_| Reply::new(200, "{}"));
    for (status, code) in [(301, 3), (302, 3), (303, 3), (307, 1), (308, 1)] {
        let there = elsewhere.url();
        let server = OtherGateway::start(move |_| Reply::new(status, "").to(&format!("{there}/newInstance")));
        let project = project(&server.url());
        let run = loud(&project, &[CANARY.to_owned()], "apply");
        assert_eq!(run.code, code, "{status}: {run}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn p11_a_state_directory_that_others_could_read_is_closed() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway.url());
    std::fs::create_dir(project.state()).unwrap();
    std::fs::set_permissions(project.state(), std::fs::Permissions::from_mode(0o777)).unwrap();
    project.run("apply").done();
    is_private(&project.state());
}

#[test]
fn t10_t11_a_servers_words_cannot_steer_a_terminal_or_a_ci_system() {
    let evil = "\\n::set-output name=x::y\\r\\n##vso[task.x]\\u001b[2J\\u202e\\u0007";
    for (status, code) in [(200, 1), (400, 1), (401, 1)] {
        let server = OtherGateway::start(move |_| Reply::new(status, format!(r#"{{"error":"{evil}"}}"#)));
        let project = project(&server.url());
        let run = project.run("apply -vvv").exits(code);
        for text in [&run.stdout, &run.stderr] {
            assert!(text.chars().all(|c| c == '\n' || !chatapi::text::is_hidden(c)), "{run}");
            assert!(!text.contains("##vso[") && !text.lines().any(|line| line.trim_start().starts_with("::")), "{run}");
        }
    }
}

#[test]
fn p11_the_emulator_verb_shows_neither_key_nor_token() {
    let project = project("http://127.0.0.1:1/");
    let emulator = project.call(["emulator", "--data", "gateway", "-vvv"]).env("CHATAPI_LOG", "trace").start();
    emulator.says("CHATAPI_URL=");
    let said = emulator.stderr();
    let url = said.split("CHATAPI_URL=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    project.call(["apply"]).env("CHATAPI_URL", &url).run().done();
    let ledger = || std::fs::read_to_string(project.path("gateway/ledger.jsonl")).unwrap_or_default();
    eventually("three are made", || ledger().lines().count() == 4);
    emulator.signal(rustix::process::Signal::INT);
    let run = emulator.wait().exits(0).prints("listening on http://127.0.0.1:");
    let tokens = ["a", "b", "c"].map(|name| project.token(name)).to_vec();
    is_free_of(&[tokens, vec![CANARY.to_owned()]].concat(), &format!("{run}"), "the emulator");
    is_free_of(&[CANARY.to_owned()], &ledger(), "the ledger");
    is_private(&project.path("gateway"));
}

/// A token that was typed by mistake stands in a shell's history already, and comes into no log besides.
#[test]
fn p11_below_token_and_resolve_no_typed_word_is_said_again() {
    const TYPED: &str = "Typed0by0mistake0secret";
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0);
    for line in [
        "token set a TYPED",
        "token set a --replace=TYPED",
        "token set a --TYPED",
        "token set a --lock-timeout=TYPED",
        "token set a --color TYPED",
        "token set a!TYPED",
        "token TYPED",
        "token get a TYPED",
        "resolve a TYPED --attempt a-x --not-created",
        "resolve a --attempt a-x --created 1 --token-stdin=TYPED",
        "resolve a --attempt a-x --created 1 --api-url TYPED",
    ] {
        let run = project.call(line.replace("TYPED", TYPED).split(' ')).input("token").run().exits(1);
        is_free_of(&[TYPED.to_owned()], &format!("{}{}", run.stdout, run.stderr), line);
        run.warns("it is not repeated").done_with("read from standard input");
    }
    let run = project.call(["resolve", "a", "--attempt", "a-x", "--not-created", "--settle-after", "5"]).run().exits(1);
    run.warns("invalid value for '--settle-after <DURATION>'").done_with("it is not repeated");
    // A name is one, whatever it looks like; but it is said where a token belongs.
    let run = project.call(["token", "set", "unheard-of"]).input(TYPED).run().exits(1);
    run.warns("nothing is recorded under `unheard-of`").done_with("the token itself is read from standard input");
}
