//! Looking needs no key, no network and no right to write, works beside an apply, and leaves every byte as it was (P12).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::stage::{Call, Gateway, OtherGateway, Project, Run};

/// The verbs that look, and their exit codes on a state with a doubt.
const LOOKING: [(&str, i32); 11] = [
    ("plan", 3),
    ("plan --format json -vvv", 3),
    ("validate", 0),
    ("state list", 0),
    ("state list --format json", 0),
    ("state show", 0),
    ("state show b", 0),
    ("doubts", 3),
    ("token get a", 0),
    ("output", 3),
    ("output a --reveal --format shell", 0),
];

/// `a` is created, `b` in doubt.
fn doubtful() -> (Gateway, Project) {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    (gateway, project)
}

/// Everything below the project: bytes, and when they were last written. The database of the index is looked at for its bytes
/// alone: opening it writes the zeros after its end once more.
fn everything(project: &Project) -> Files {
    let stamped = |(path, bytes): (PathBuf, Vec<u8>)| {
        let is_database = path.ends_with("index/db");
        let modified = path.metadata().unwrap().modified().unwrap();
        (path, (bytes, if is_database { SystemTime::UNIX_EPOCH } else { modified }))
    };
    Project::files(project.dir()).into_iter().map(stamped).collect()
}

type Files = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

/// The files that differ.
fn changes(before: &Files, after: &Files) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    paths.cloned().collect()
}

/// Runs `line` without a key and without an address.
fn look(project: &Project, line: &str) -> Run {
    project.call(line.split(' ')).without("CHATAPI_API_KEY").without("CHATAPI_URL").run()
}

#[test]
fn p12_looking_needs_no_key_and_no_network_and_changes_no_byte() {
    let (gateway, project) = doubtful();
    let before = (everything(&project), gateway.requests());
    for (line, code) in LOOKING {
        look(&project, line).exits(code);
        project.run(line).exits(code);
        assert_eq!(changes(&before.0, &everything(&project)), [] as [PathBuf; 0], "{line} wrote");
    }
    assert_eq!(gateway.requests(), before.1);
    let _ = gateway.stop();
    for (line, code) in LOOKING {
        project.run(line).exits(code);
    }
}

#[test]
fn p12_looking_where_nothing_is_makes_nothing() {
    let project = Project::at("http://127.0.0.1:1/", &["a"]);
    for (line, code) in [
        ("plan", 0),
        ("validate", 0),
        ("state list", 8),
        ("state show", 8),
        ("state history", 8),
        ("doubts", 8),
        ("token get a", 8),
        ("output", 8),
        ("output a --reveal --format dotenv --out made", 8),
    ] {
        look(&project, line).exits(code);
    }
    for line in ["state mv a b", "token set a", "resolve a --attempt x --not-created --offline"] {
        project.call(line.split(' ')).input("token").run().exits(8);
    }
    assert!(!project.state().exists() && !project.lock_file().exists() && !project.path("made").exists());
}

#[test]
fn p12_looking_works_while_an_apply_runs() {
    let (server, _) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a"]);
    project.run("apply").done();
    project.declare(&crate::stage::manifest("{kind: chatapi}", &["a", "b"]));
    server.hold();
    let apply = project.call(["apply"]).start();
    server.sees_creates(2);
    for (line, code) in LOOKING {
        look(&project, line).exits(code);
    }
    // It is in doubt for whoever looks, and somebody is at work on it: nothing is to be settled yet.
    let writer = format!("`chatapi apply` (process {}", apply.pid());
    let plan = project.run("plan").exits(3).prints("1 in doubt").warns(&format!("hint: {writer}"));
    plan.done_with("plan again when it has ended");
    let doubts = project.run("doubts").exits(3).prints(&format!("settle    not yet: {writer}"));
    assert!(!doubts.stdout.contains("resolve"), "{doubts}");
    let doubts = project.run("doubts --json").exits(3).json();
    assert!(doubts[0]["at_work"].as_str().unwrap().starts_with(&writer), "{doubts}");
    project.run("drift").exits(0).warns(&format!("hint: {writer}")).done_with("ask again when it has ended");
    let refused = project.run("apply").exits(5).warns(&format!("is locked by {writer}"));
    assert!(!refused.stderr.contains("waiting for"), "{refused}");
    server.release();
    apply.wait().exits(0).prints("1 created, 1 unchanged");
    project.run("plan").exits(0).prints("Nothing to do: 2");
    let drift = project.run("drift").exits(0);
    assert!(!drift.stderr.contains("at work"), "{drift}");
}

#[test]
fn p12_a_state_without_its_index_is_read_from_the_journal() {
    let (_gateway, project) = doubtful();
    let from_index: Vec<String> = LOOKING.map(|(line, code)| look(&project, line).exits(code).stdout).to_vec();
    std::fs::remove_dir_all(project.state().join("index")).unwrap();
    let before = everything(&project);
    let from_journal: Vec<String> = LOOKING.map(|(line, code)| look(&project, line).exits(code).stdout).to_vec();
    for (index, journal) in from_index.iter().zip(&from_journal) {
        assert_eq!(index.replace("read from   index", ""), journal.replace("read from   journal", ""));
    }
    assert_eq!(changes(&before, &everything(&project)), [] as [PathBuf; 0]);
}

/// Runs `line` in a mount namespace of its own, where the project is mounted read-only; none: this system does not allow that.
fn on_a_read_only_disk(project: &Project, line: &str) -> Option<Run> {
    let script = format!(
        "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\" && ! touch probe 2>/dev/null && exec \"$0\" {line}"
    );
    let unshare = Path::new("/usr/bin/unshare");
    let is_allowed = Call::of("/bin/sh", project.dir().to_owned(), ["-c", "/usr/bin/unshare -m /bin/true"]).run().code == 0;
    if !unshare.exists() || !is_allowed {
        return None;
    }
    let words = ["-m", "/bin/sh", "-c", &script, env!("CARGO_BIN_EXE_chatapi")];
    Some(Call::of("/usr/bin/unshare", project.dir().to_owned(), words).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").run())
}

#[test]
fn p12_looking_works_on_a_read_only_disk() {
    let (_gateway, project) = doubtful();
    for (line, code) in LOOKING {
        match on_a_read_only_disk(&project, line) {
            Some(run) => drop(run.exits(code)),
            // Without the right to mount, read-only directories stand in for the disk: root may write there, others may not.
            None => look_in_closed_directories(&project, line, code),
        }
    }
    if let Some(run) = on_a_read_only_disk(&project, "state mv a z") {
        let run = run.exits(1).warns("error");
        assert!(run.stdout.is_empty(), "{run}");
    }
}

fn look_in_closed_directories(project: &Project, line: &str, code: i32) {
    use std::os::unix::fs::PermissionsExt as _;
    let set = |mode| {
        for directory in [project.state(), project.state().join("index")] {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o500);
    let run = look(project, line);
    set(0o700);
    run.exits(code);
}
