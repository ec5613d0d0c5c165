//! What is printed, and where: the interface cannot change unseen.

use std::fs::File;
use std::path::Path;

use serde_json::Value;

use crate::stage::{Call, Gateway, KEY, Project, manifest, snapshot, steady};

const VERBS: [&str; 42] = [
    "",
    "plan",
    "show",
    "apply",
    "validate",
    "destroy",
    "release",
    "state",
    "state list",
    "state show",
    "state mv",
    "state rebind",
    "state rebuild",
    "state rm",
    "state verify",
    "state history",
    "state compact",
    "state export",
    "state import",
    "state rescue",
    "state rekey",
    "token answer",
    "key generate",
    "key show",
    "drift",
    "status",
    "qr",
    "doubts",
    "import",
    "resolve",
    "token",
    "token get",
    "token set",
    "output",
    "init",
    "doctor",
    "schema",
    "completions",
    "man",
    "emulator",
    "version",
    "plan --format json",
];

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// `a` is created and `b` is in doubt, on a server by address.
fn doubtful() -> (Gateway, Project) {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    (gateway, project)
}

#[test]
fn help_of_every_command() {
    let project = Project::new("");
    for verb in &VERBS[..41] {
        let words = verb.split(' ').filter(|word| !word.is_empty()).chain(["--help"]);
        let run = project.call(words).env("COLUMNS", "100").run().exits(0);
        assert!(run.stderr.is_empty(), "{run}");
        let name = if verb.is_empty() { "chatapi".to_owned() } else { verb.replace(' ', "-") };
        snapshot(&format!("help/{name}.txt"), &run.stdout);
    }
    let version = project.run("version").exits(0).stdout;
    snapshot("version.txt", &version.replace(std::env::consts::ARCH, "<ARCH>").replace(std::env::consts::OS, "<OS>"));
    project.run("--version").exits(0).prints(env!("CARGO_PKG_VERSION"));
    let version = project.run("version --format json").exits(0).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&version["manifest_version"], &version["state_format"]), (&1.into(), &3.into()));
    let features = if cfg!(feature = "failpoints") { serde_json::json!(["failpoints"]) } else { serde_json::json!([]) };
    assert_eq!(version["features"], features);
}

#[test]
fn plan_and_apply_of_every_example() {
    for (name, is_free) in [("quickstart.yaml", true), ("team", true), ("production.yaml", false)] {
        let gateway = Gateway::start(&[]);
        let project = Project::new("").with("CHATAPI_URL", gateway.url()).with("CHATAPI_API_KEY", KEY);
        if name == "team" {
            std::fs::create_dir(project.path("team")).unwrap();
            for file in ["team/sales.yaml", "team/support.yaml"] {
                project.write(file, example(file));
            }
        } else {
            project.write(name, example(name));
        }
        let label = name.trim_end_matches(".yaml");
        for (line, file) in [
            ("plan", "plan-1.txt"),
            ("plan --format json", "plan-1.json"),
            ("apply --parallelism 1", "apply-1.txt"),
            ("plan -v", "plan-2.txt"),
            ("plan --json", "plan-2.json"),
            ("apply", "apply-2.txt"),
            ("apply --json", "apply-2.json"),
            ("state list", "state-list.txt"),
            ("state list --json", "state-list.json"),
        ] {
            let words = if line.starts_with("state") { line.to_owned() } else { format!("{line} {name}") };
            let run = project.run(&words).exits(0);
            snapshot(&format!("{label}/{file}"), &steady(&run.stdout));
        }
        assert_eq!(gateway.creates() == 0, is_free, "{name}");
    }
}

#[test]
fn a_doubt_in_every_command_that_shows_it() {
    let (_gateway, project) = doubtful();
    for (line, file) in [
        ("plan", "plan.txt"),
        ("plan --json", "plan.json"),
        ("apply", "apply.txt"),
        ("apply --json", "apply.json"),
        ("doubts", "doubts.txt"),
        ("doubts --json", "doubts.json"),
        ("doubts --refresh", "doubts-refresh.txt"),
        ("doubts --refresh --json", "doubts-refresh.json"),
    ] {
        let run = project.run(line).exits(3);
        let text = format!("{}--- stderr\n{}", run.stdout, run.stderr);
        snapshot(&format!("doubt/{file}"), &without_host(&steady(&text)));
    }
    for (line, file) in [
        ("state list", "state-list.txt"),
        ("state show", "state-show.txt"),
        ("state show --json", "state-show.json"),
        ("state show a", "state-show-a.txt"),
        ("state show b", "state-show-b.txt"),
        ("state show b --json", "state-show-b.json"),
    ] {
        snapshot(&format!("doubt/{file}"), &steady(&project.run(line).exits(0).stdout));
    }
}

/// The machine's name stands in the evidence.
fn without_host(text: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let line = |line: &str| {
        if line.contains("by ") || line.contains("\"by\"") { line.replace(&host, "<HOST>") } else { line.to_owned() }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn problems_of_a_manifest_as_text_and_json() {
    let project = Project::new("instances:\n  - {name: one, tpye: whatsapp}\n  - {name: ../two, type: x}\nfoo: 1\n");
    let run = project.run("validate").exits(1);
    assert!(run.stdout.is_empty(), "{run}");
    snapshot("validate-bad.txt", &run.stderr);
    let run = project.run("validate --format json").exits(1);
    assert!(run.stderr.is_empty(), "{run}");
    let document = run.json();
    assert_eq!(
        (&document["valid"], &document["error_count"]),
        (&false.into(), &document["diagnostics"].as_array().unwrap().len().into())
    );
    snapshot("validate-bad.json", &run.stdout);
    project.declare(&manifest("{kind: emulator}", &["a"]));
    snapshot("validate-good.txt", &project.run("validate").exits(0).stdout);
    snapshot("validate-good.json", &project.run("validate --format json").exits(0).stdout);
}

#[test]
fn stdout_holds_one_json_document_or_nothing() {
    let (_gateway, project) = doubtful();
    for (line, code) in [
        ("plan --format json", 3),
        ("--format json apply -vvv", 3),
        ("apply --json --quiet", 3),
        ("state list --json -v", 0),
        ("state show --json", 0),
        ("state show a --json", 0),
        ("doubts --json", 3),
        ("validate --json", 0),
        ("version --json", 0),
    ] {
        let document: Value = project.run(line).exits(code).json();
        assert!(document.is_object() || document.is_array(), "{line}");
    }
    let run = project.call(["plan"]).env("CHATAPI_FORMAT", "json").run().exits(3);
    assert_eq!(run.json()["format_version"], "1.0");
    for line in ["state show nobody --json", "plan --json no-such-file.yaml", "token get nobody --json"] {
        let run = project.run(line).exits(1);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("error"), "{run}");
    }
}

#[test]
fn flags_stand_before_or_after_the_verb_and_unknown_ones_are_errors_never_2() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let before = project.run("--format json --state elsewhere plan instances.yaml").exits(0).stdout;
    assert_eq!(project.run("plan instances.yaml --format json --state elsewhere").exits(0).stdout, before);
    for line in ["plan --nonsense", "--nonsense plan", "frobnicate", "apply -z", "state", "token", "resolve", "plan --format xml"]
    {
        let run = project.run(line).exits(1);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run}");
    }
    project.run("plan --detailed-exitcod").exits(1).warns("--detailed-exitcode");
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let colour = |words: &str, env: &[(&str, &str)]| {
        let call = env.iter().fold(project.call(words.split(' ')), |call, (name, value)| call.env(name, value));
        let run = call.env("TERM", "xterm").coloured().run().exits(0);
        (run.stdout.contains('\u{1b}'), run.stderr.contains('\u{1b}'))
    };
    for (words, env, expected) in [
        ("plan", &[][..], false),
        ("plan --color always", &[], true),
        ("--color always plan", &[("NO_COLOR", "1")], true),
        ("plan --color never", &[("CLICOLOR_FORCE", "1")], false),
        ("plan --no-color", &[("CLICOLOR_FORCE", "1")], false),
        ("plan", &[("CLICOLOR_FORCE", "1")], true),
        ("plan", &[("FORCE_COLOR", "1")], true),
        ("plan", &[("FORCE_COLOR", "0")], false),
        ("plan", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        ("plan", &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")], false),
        ("plan", &[("CHATAPI_COLOR", "always")], true),
        ("plan --json", &[("CLICOLOR_FORCE", "1")], false),
    ] {
        assert_eq!(colour(words, env).0, expected, "{words} {env:?}");
    }
    project.declare("instances: [");
    let run = project.call(["validate", "--color", "always"]).coloured().run().exits(1);
    assert!(run.stderr.contains('\u{1b}'), "{run}");
}

#[test]
fn quiet_says_only_results_and_errors() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let run = project.run("apply --quiet").exits(0);
    assert!(run.stderr.is_empty() && run.stdout.contains("1 created"), "{run}");
    project.run("plan --quiet --verbose").exits(1);
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let (_gateway, project) = doubtful();
    for (line, code) in [("plan --json", 3), ("state list", 0), ("apply", 3), ("--help", 0), ("doubts", 3)] {
        let script = format!("\"$0\" {line} | true; exit ${{PIPESTATUS[0]}}");
        let words = ["-c", &script, env!("CARGO_BIN_EXE_chatapi")];
        let run = Call::of("bash", project.dir().to_owned(), words).envs(project.env()).run().exits(code);
        assert!(!run.stderr.contains("roken pipe"), "{line}: {run}");
    }
}

#[test]
fn p1_a_stdout_that_takes_nothing_is_told_and_the_state_is_whole() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for words in [&["plan"][..], &["apply"], &["apply"], &["state", "list"], &["version"], &["token", "get", "a"]] {
        let has_created = gateway.creates();
        let run = project.call(words).stdout_to(full()).run();
        // "Nothing was created by this run" must be true of exit code 1.
        let code = if gateway.creates() > has_created { 4 } else { 1 };
        run.exits(code).warns("cannot write the result to standard output");
    }
    project.run("apply").exits(0).prints("Nothing to do");
    assert_eq!(gateway.creates(), 1);
    assert_eq!(Some(&project.token("a")), gateway.tokens().values().next());
}

#[test]
fn the_first_commands_of_a_newcomer_work_in_an_empty_directory() {
    let project = Project::new("");
    std::fs::remove_file(project.path("instances.yaml")).unwrap();
    project.run("plan").exits(1).warns("instances.yaml");
    project.run("init").exits(0).prints("Manifest in instances.yaml.");
    project.run("init").exits(0).prints("instances.yaml is there already.");
    project.run("plan").exits(0).prints("Plan: 2 to create, 0 unchanged.");
    project.run("apply").exits(0).prints("Apply: 2 created");
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    project.run("init").exits(0).prints("records 2 names; it stays as it is");
}
