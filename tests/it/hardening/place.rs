//! The state's place: whose it is, links in it, and file systems without locks (T17, T18, T26).

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::is_root;
use crate::stage::{Call, Gateway, Project};

/// Writers and readers alike.
const VERBS: [&str; 10] = [
    "plan",
    "apply",
    "state list",
    "state show",
    "doubts",
    "token get a",
    "token set a --replace",
    "state mv a z",
    "init",
    "apply --format json",
];

/// `a` exists and `b` is to be created.
fn begun() -> (Gateway, Project) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "b"]));
    (gateway, project)
}

/// Every verb refuses with these words, sends nothing and changes nothing.
#[track_caller]
fn every_verb_refuses(gateway: &Gateway, project: &Project, words: &[&str]) {
    let before = (gateway.requests(), project.copy_of_state());
    for line in VERBS {
        let run = project.call(line.split(' ')).input("given-by-hand").run().exits(1);
        assert!(words.iter().all(|word| run.stderr.contains(word)), "{line}, {words:?}: {run}");
    }
    assert!((gateway.requests(), project.copy_of_state()) == before);
}

#[test]
fn t17_a_state_that_others_may_write_to_is_used_by_no_verb() {
    let (gateway, project) = begun();
    for mode in [0o777, 0o770, 0o1777] {
        fs::set_permissions(project.state(), Permissions::from_mode(mode)).unwrap();
        every_verb_refuses(&gateway, &project, &["others may write there", "chmod -R go-rwx state"]);
    }
    fs::set_permissions(project.state(), Permissions::from_mode(0o755)).unwrap();
    project.run("apply").exits(0).prints("1 created, 1 unchanged");
    assert_eq!(project.state().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn t18_a_link_in_the_state_is_followed_by_no_verb() {
    let (gateway, project) = begun();
    for name in ["journal.jsonl", "lock", "index/db", "index"] {
        let (path, aside) = (project.state().join(name), project.path("aside"));
        fs::rename(&path, &aside).unwrap();
        symlink(&aside, &path).unwrap();
        every_verb_refuses(&gateway, &project, &[&format!("state/{name} is not safe"), "symbolic link"]);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    for name in ["journal.jsonl", "lock", "index/db"] {
        fs::hard_link(project.state().join(name), project.path("second")).unwrap();
        every_verb_refuses(&gateway, &project, &[&format!("state/{name} is not safe"), "2 names (hard links)", "cp -p"]);
        fs::remove_file(project.path("second")).unwrap();
    }
    project.run("apply").exits(0).prints("1 created, 1 unchanged");
}

#[test]
fn t18_a_link_in_the_place_of_an_output_is_replaced_and_not_written_through() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    for name in ["chatapi.lock.new", "instances.yaml.new"] {
        project.write(&format!("{name}.target"), "mine");
        symlink(format!("{name}.target"), project.path(name)).unwrap();
    }
    project.run("apply").done();
    fs::remove_file(project.path("instances.yaml")).unwrap();
    project.run("init").done();
    for name in ["chatapi.lock.new", "instances.yaml.new"] {
        assert_eq!(project.read(&format!("{name}.target")), "mine");
    }
    let emulated = Project::new(&crate::stage::manifest("{kind: emulator}", &["a"]));
    fs::DirBuilder::new().mode(0o700).recursive(true).create(emulated.state().join("emulator")).unwrap();
    emulated.write("target", "mine");
    symlink("../../target", emulated.state().join("emulator/ledger.jsonl")).unwrap();
    emulated.run("apply").exits(1).warns("symbolic link");
    assert_eq!(emulated.read("target"), "mine");
}

#[test]
fn t17_root_looks_at_anybodys_state_and_writes_to_its_own_only() {
    if !is_root() {
        return eprintln!("skipped: only root may give files away");
    }
    let (gateway, project) = begun();
    let entries = fs::read_dir(project.state()).unwrap().chain(fs::read_dir(project.state().join("index")).unwrap());
    for path in entries.map(|entry| entry.unwrap().path()).chain([project.state()]) {
        std::os::unix::fs::chown(path, Some(4_242), Some(4_242)).unwrap();
    }
    let before = (gateway.requests(), project.copy_of_state());
    for line in ["plan", "state list", "token get a"] {
        project.run(line).done();
    }
    for line in ["apply", "init", "state mv a z"] {
        project.run(line).exits(1).warns("belongs to another user (id 4242)").warns("chown -R");
    }
    std::os::unix::fs::chown(project.state(), Some(0), Some(0)).unwrap();
    for line in ["plan", "apply"] {
        project.run(line).exits(1).warns("belongs to another user (id 4242)");
    }
    assert!((gateway.requests(), project.copy_of_state()) == before);
}

/// Runs `line` where `disk` is a FUSE file system whose program never answers; none: this machine does not allow that.
fn on_fuse(project: &Project, line: &str) -> Option<crate::stage::Run> {
    let script = format!(
        "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=65534,group_id=65534 nothing disk \
         && exec \"$0\" {line}"
    );
    if !is_root() || !Path::new("/dev/fuse").exists() {
        return None;
    }
    fs::create_dir_all(project.path("disk")).unwrap();
    let words = ["-m", "/bin/sh", "-c", &script, env!("CARGO_BIN_EXE_chatapi")];
    let call = Call::of("unshare", project.dir().to_owned(), words).envs(project.env());
    let run = call.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").run();
    (run.stderr.contains("error: ") || run.stderr.contains("warning: ")).then_some(run)
}

#[test]
fn t26_a_lock_that_may_not_hold_is_refused_unless_it_is_asked_for() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    for line in ["apply --state disk", "apply --state disk/below/state", "init --state disk"] {
        let Some(run) = on_fuse(&project, line) else {
            return eprintln!("skipped: no FUSE file system can be mounted here; the numbers are tested in store::place");
        };
        let run = run.exits(1).warns("it is on FUSE").warns("--unsafe-fs");
        assert!(run.stdout.is_empty(), "{run}");
    }
    // It is let through then, and fails because nothing answers behind that mount.
    let run = on_fuse(&project, "apply --unsafe-fs --state disk").unwrap();
    run.exits(1).warns("warning: disk is not safe to use: it is on FUSE").warns("error: cannot");
    let told = project.with("CHATAPI_UNSAFE_FS", "1");
    on_fuse(&told, "apply --state disk").unwrap().exits(1).warns("warning: disk is not safe to use: it is on FUSE");
    assert_eq!(gateway.requests(), 0);
}
