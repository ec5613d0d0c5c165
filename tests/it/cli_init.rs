//! `chatapi init` at a terminal, which is a real pseudo-terminal here, and where nobody is there to answer.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::stage::{Project, Run, eventually};

/// A project without a manifest, whose user has a home.
fn empty() -> Project {
    let project = Project::new("");
    fs::remove_file(project.path("instances.yaml")).unwrap();
    fs::create_dir(project.path("home")).unwrap();
    let home = project.path("home");
    project.with("HOME", home)
}

/// Runs `line` with somebody at the terminal who types `answers`. What the terminal showed is on standard error.
fn at_terminal(project: &Project, line: &str, answers: &str, env: &[(&str, &str)]) -> Run {
    let mut master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatapi"));
    command.args(line.split(' ')).current_dir(project.dir()).env_clear().envs(project.env().iter().cloned());
    command.envs(env.iter().copied()).env("NO_COLOR", "1");
    command.stdin(terminal.try_clone().unwrap()).stderr(terminal).stdout(Stdio::piped());
    let child = std::sync::Mutex::new(command.spawn().unwrap());
    // The command holds this side of the terminal; it has to go, so that reading ends with the program.
    drop(command);
    let mut stdout = child.lock().unwrap().stdout.take().unwrap();
    master.write_all(answers.as_bytes()).unwrap();
    let shown = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // The end of a terminal is an error.
        let _ = master.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).replace('\r', "")
    });
    eventually("it ends", || child.lock().unwrap().try_wait().unwrap().is_some());
    let code = child.lock().unwrap().wait().unwrap().code().unwrap();
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).unwrap();
    Run { code, stdout: printed, stderr: shown.join().unwrap() }
}

#[test]
fn two_empty_answers_are_the_manifest_that_nobody_is_asked_for() {
    let (asked, unasked) = (empty(), empty());
    let run = at_terminal(&asked, "init", "\n\n", &[]).exits(0).prints("Manifest in instances.yaml.");
    assert_eq!(run.stderr.matches("? ").count() + run.stderr.matches("another path").count(), 3, "two questions: {run}");
    unasked.run("init").exits(0).prints("Schema for editors in chatapi.schema.json.");
    assert_eq!(asked.read("instances.yaml"), unasked.read("instances.yaml"));
    assert!(asked.read("instances.yaml").starts_with("# yaml-language-server: $schema=./chatapi.schema.json\n"));
    assert_eq!(asked.read("chatapi.schema.json"), asked.run("schema").exits(0).stdout);
    assert!(!asked.path("home/.config").exists(), "no key was asked for");
    asked.run("apply").exits(0).prints("2 created");
}

#[test]
fn p11_a_real_server_is_offered_a_key_which_is_made_once_and_never_written_over() {
    let project = empty();
    let run = at_terminal(&project, "init", "server\n\n", &[]).exits(0);
    assert!(run.stderr.contains("export CHATAPI_URL"), "{run}");
    let key = project.path("home/.config/chatapi/key.txt");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let secret = fs::read_to_string(&key).unwrap();
    let word = secret.lines().find(|line| !line.starts_with('#')).unwrap();
    assert!(!run.to_string().contains(word), "the secret half is shown");
    let public =
        project.call(["key", "show", "--identity"].map(Into::into).into_iter().chain([key.clone().into_os_string()])).run();
    let public = public.exits(0).stdout;
    let manifest = project.read("instances.yaml");
    assert!(manifest.contains("kind: chatapi") && manifest.contains(public.trim()), "{manifest}");
    project.run("validate").exits(0).prints("Valid: 0 instances");

    at_terminal(&project, "init other/second.yaml", "r\ny\n", &[]).exits(1);
    fs::create_dir(project.path("other")).unwrap();
    let run = at_terminal(&project, "init other/second.yaml", "r\ny\n", &[]).exits(0);
    assert!(run.stderr.contains("The one in"), "{run}");
    assert_eq!(fs::read_to_string(&key).unwrap(), secret, "it is used, and not written over");
    assert!(project.read("other/second.yaml").contains(public.trim()));
    assert!(project.path("other/chatapi.schema.json").exists());
}

#[test]
fn another_place_for_the_key_can_be_named() {
    let project = empty();
    at_terminal(&project, "init", "emulator\n./keys/mine.txt\n", &[]).exits(0).done();
    assert_eq!(project.path("keys/mine.txt").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    project.run("apply").exits(0).prints("2 created");
    project.run("token get sandbox").exits(1).warns("sealed");
    project.run("token get sandbox --identity keys/mine.txt").exits(0).done();
}

#[test]
fn an_end_of_input_and_answers_that_mean_nothing_write_nothing() {
    for answers in ["\u{4}", "x\ny\nz\n", "server\n\u{4}"] {
        let project = empty();
        let run = at_terminal(&project, "init", answers, &[]).exits(1);
        assert!(run.stderr.contains("hint: nothing was written"), "{run}");
        assert!(run.stderr.contains("hint: `chatapi init --no-input` asks nothing"), "{run}");
        assert_eq!(Project::files(project.dir()).len(), 0, "{answers:?}");
    }
}

#[test]
fn nobody_is_asked_in_ci_or_where_it_was_said_not_to() {
    let ways: [(&str, &[(&str, &str)]); 7] = [
        ("init --yes", &[]),
        ("init -y", &[]),
        ("init --no-input", &[]),
        ("init --input=false", &[]),
        ("init", &[("CHATAPI_INPUT", "false")]),
        ("init", &[("CI", "true")]),
        ("init", &[("GITHUB_ACTIONS", "true")]),
    ];
    for (line, env) in ways {
        let project = empty();
        let run = at_terminal(&project, line, "", env).exits(0);
        assert!(!run.stderr.contains('?'), "{line}: {run}");
        assert!(project.read("instances.yaml").contains("kind: emulator"));
    }
    let project = empty();
    project.run("init").exits(0).done();
    let run = at_terminal(&project, "init", "", &[]).exits(0).prints("instances.yaml is there already.");
    assert!(!run.stderr.contains('?'), "nothing is to be asked about a manifest that is there: {run}");
}

#[test]
fn a_schema_that_is_there_stays_and_none_is_written_if_none_is_wanted() {
    let project = empty();
    project.write("chatapi.schema.json", "mine");
    let run = project.run("init").exits(0);
    assert!(!run.stdout.contains("Schema"), "{run}");
    assert_eq!(project.read("chatapi.schema.json"), "mine");
    let project = empty();
    project.run("init --no-schema").exits(0).done();
    assert!(!project.path("chatapi.schema.json").exists());
    assert!(project.read("instances.yaml").starts_with("# What should exist."));
}
