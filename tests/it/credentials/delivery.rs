//! Where it goes: a file that is whole, private and not somebody else's; a log that is warned of; masks that come first.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use crate::stage::{Call, Gateway, Project, Run, manifest};

/// `a`, with this token.
fn project(token: &str) -> Project {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").done();
    project.call(["token", "set", "a", "--replace"]).input(token).run().exits(0);
    project
}

fn mode(project: &Project, name: &str) -> u32 {
    fs::symlink_metadata(project.path(name)).unwrap().permissions().mode() & 0o7777
}

/// Nothing is left lying about.
fn is_tidy(project: &Project) {
    let names = fs::read_dir(project.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let odd: Vec<_> = names.filter(|name| name.contains(".new")).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn p11_a_file_is_private_whatever_stood_there_and_whatever_the_umask() {
    let project = project("Token1");
    project.run("output --reveal --format shell --out new.sh").exits(0).warns("wrote 1 instance to new.sh");
    assert_eq!(mode(&project, "new.sh"), 0o600);
    project.write("old.sh", "old");
    fs::set_permissions(project.path("old.sh"), fs::Permissions::from_mode(0o666)).unwrap();
    let old = fs::metadata(project.path("old.sh")).unwrap().ino();
    let held = File::open(project.path("old.sh")).unwrap();
    let run = project.run("output --reveal --format shell --out old.sh").exits(0);
    assert!(run.stdout.is_empty(), "{run}");
    assert_eq!((mode(&project, "old.sh"), project.read("old.sh")), (0o600, project.read("new.sh")));
    // Whoever had it open before sees what it was.
    assert_ne!(fs::metadata(project.path("old.sh")).unwrap().ino(), old);
    assert_eq!(held.metadata().unwrap().len(), 3);
    project.run("output --reveal --format shell --out -").exits(0).prints("export CHATAPI_A_TOKEN='Token1'");
    is_tidy(&project);
}

#[test]
fn p11_a_link_is_replaced_and_what_it_leads_to_is_not_touched() {
    let project = project("Token1");
    project.write("target", "theirs");
    symlink("target", project.path("link")).unwrap();
    symlink("nowhere", project.path("dangling")).unwrap();
    for name in ["link", "dangling"] {
        project.run(&format!("output --reveal --format shell --out {name}")).exits(0);
        assert!(fs::symlink_metadata(project.path(name)).unwrap().is_file());
        assert_eq!(mode(&project, name), 0o600);
    }
    assert_eq!(project.read("target"), "theirs");
    assert!(!project.path("nowhere").exists());
    is_tidy(&project);
}

#[test]
fn what_is_no_file_is_never_replaced() {
    let project = project("Token1");
    fs::create_dir(project.path("directory")).unwrap();
    symlink("/dev/null", project.path("null")).unwrap();
    symlink("/dev/stdout", project.path("stdout")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for path in [
        "directory",
        "null",
        "pipe",
        "stdout",
        "/dev/null",
        "/dev/stdout",
        "/dev/new-file",
        "/proc/self/new",
        "missing/file",
        "instances.yaml/x",
    ] {
        let run = project.run(&format!("output --reveal --out {path}")).exits(1).warns(&format!("cannot write {path}"));
        assert!(run.stdout.is_empty() && !run.stderr.contains("Token1"), "{run}");
    }
    // A shell may have led it into a file, which makes it none.
    let file = File::create(project.path("printed")).unwrap();
    let run = project.call(["output", "--reveal", "--out", "stdout"]).stdout_to(file).run().exits(1);
    assert!(!run.stderr.contains("Token1") && project.read("printed").is_empty(), "{run}");
    assert!(fs::symlink_metadata(project.path("stdout")).unwrap().is_symlink());
    assert!(project.path("directory").is_dir());
    assert!(fs::symlink_metadata(project.path("null")).unwrap().is_symlink());
    assert!(fs::metadata(project.path("pipe")).unwrap().file_type().is_fifo());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    is_tidy(&project);
}

#[test]
fn a_value_that_cannot_be_written_leaves_everything_as_it_was() {
    let project = project("a'b\"c#d");
    project.write("kept", "kept");
    for line in ["output --reveal --format dotenv", "output --reveal --format dotenv --out kept"] {
        let run =
            project.run(line).exits(1).warns("dotenv cannot hold the value of CHATAPI_A_TOKEN").warns("nothing was written");
        assert!(run.stdout.is_empty() && !run.stderr.contains("a'b"), "{run}");
    }
    assert_eq!(project.read("kept"), "kept");
    project.run("output --format dotenv").exits(0);
    for format in ["shell", "docker-env", "github-env", "json", "yaml", "k8s-secret"] {
        project.run(&format!("output --reveal --format {format}")).exits(0);
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_kill_between_writing_and_renaming_leaves_the_old_file_whole() {
    let project = project("Token1");
    project.write("out.json", "old");
    let words = ["output", "--reveal", "--out", "out.json"];
    let killed = project.call(words).env("CHATAPI_FAILPOINT", "replace-written=kill").run();
    assert_ne!(killed.code, 0);
    assert_eq!(project.read("out.json"), "old");
    let left = fs::read_dir(project.dir()).unwrap().map(|entry| entry.unwrap().path());
    for path in left.filter(|path| path.to_string_lossy().contains(".new")) {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let failed = project.call(words).env("CHATAPI_FAILPOINT", "replace-written=error").run().exits(1);
    assert!(failed.stderr.contains("cannot write out.json"), "{failed}");
    assert_eq!(project.read("out.json"), "old");
    project.run("output --reveal --out out.json").exits(0);
    assert!(project.read("out.json").contains("Token1"));
}

#[test]
fn p11_ci_is_warned_of_its_log_and_of_nothing_else() {
    let project = project("Token1");
    let warning = "keeps that in its log";
    let run = |words: &[&str]| project.call([&["output"], words].concat()).env("CI", "true").run().exits(0);
    assert!(run(&["--reveal"]).stderr.contains(warning));
    assert!(!run(&[]).stderr.contains(warning));
    assert!(!run(&["--reveal", "--out", "x"]).stderr.contains(warning));
    assert!(!project.run("output --reveal").exits(0).stderr.contains(warning));
    let file = File::create(project.path("appended")).unwrap();
    let filed = project.call(["output", "--reveal"]).env("CI", "true").stdout_to(file).run().exits(0);
    assert!(!filed.stderr.contains(warning), "{filed}");
    assert!(project.read("appended").contains("Token1"));
}

#[test]
fn p11_masks_come_first_and_only_where_somebody_reads_them() {
    let project = project("50%Token");
    let words = ["output", "--reveal", "--format", "github-env", "--mask"];
    for other in [None, Some("false")] {
        let call = other.into_iter().fold(project.call(words), |call, value| call.env("GITHUB_ACTIONS", value));
        let run = call.run().exits(1).warns("none runs this");
        assert!(run.stdout.is_empty() && !run.stderr.contains("50%"), "{run}");
    }
    let file = File::options().append(true).create(true).open(project.path("env")).unwrap();
    let call = project.call([&words[..], &["-vvv"]].concat()).env("GITHUB_ACTIONS", "true").env("CHATAPI_STATE", "state");
    let run = call.stdout_to(file).run().exits(0);
    let mask = run.stderr.lines().position(|line| line == "::add-mask::50%25Token");
    let first = run.stderr.lines().position(|line| line.contains("50%"));
    assert!(mask.is_some() && mask == first, "{run}");
    let read = crate::properties::readers::github(&project.read("env"));
    assert_eq!(read["CHATAPI_A_TOKEN"], "50%Token");
    let plain = project.call(&words[..4]).env("GITHUB_ACTIONS", "true").run().exits(0);
    assert!(!plain.stderr.contains("add-mask"), "{plain}");
    let quiet = project.call([&words[..], &["--out", "file"]].concat()).env("GITHUB_ACTIONS", "true").run().exits(0);
    assert!(quiet.stderr.starts_with("::add-mask::50%25Token\n") && quiet.stdout.is_empty(), "{quiet}");
}

/// A token that the runner was not told to hide goes nowhere.
#[test]
fn p11_a_mask_that_nobody_hears_keeps_the_token_back() {
    let project = project("Token1");
    for way in ["2>/dev/null", "2>&-", "2>/dev/full"] {
        for out in ["", "--out kept.env"] {
            let script = format!("exec \"$0\" output --reveal --format github-env --mask {out} {way}");
            let run = unheard(&project, &script);
            assert!(run.stdout.is_empty() && !project.path("kept.env").exists(), "{script}: {run}");
        }
    }
    let script = "exec 3> >(:); wait $!; exec \"$0\" output --reveal --format github-env --mask 2>&3";
    assert!(unheard(&project, script).stdout.is_empty());
}

fn unheard(project: &Project, script: &str) -> Run {
    let call = Call::of("bash", project.dir().to_owned(), ["-c", script, env!("CARGO_BIN_EXE_chatapi")]);
    call.env("GITHUB_ACTIONS", "true").run().exits(1)
}

#[test]
fn each_run_draws_its_own_delimiter() {
    let project = project("Token1");
    let first_line = || project.run("output --format github-env").exits(0).stdout.lines().next().unwrap().to_owned();
    let (one, other) = (first_line(), first_line());
    assert!(one != other && one.starts_with("CHATAPI_A_TYPE<<chatapi_"), "{one} {other}");
}

#[test]
fn a_stdout_that_takes_nothing_is_an_error() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    for words in [&["output"][..], &["output", "--format", "template", "--template-text", "no line feed"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        project.call(words).stdout_to(full).run().exits(1).warns("cannot write the result to standard output");
    }
}
