//! Whatever is wrong with manifests, flags or environment: exit 1 with a place or a name, no request, nothing unbounded (P4, P13).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use chatapi::text::is_hidden;

use crate::bad_inputs::{self, BadInput};
use crate::stage::{Call, Gateway, Project, Run, manifest, rechained};

/// Stands in the table where a secret would stand.
const SENTINEL: &str = "SENTINEL";
/// More than any refusal may print.
const OUTPUT_MAX: usize = 200_000;

fn check(input: &BadInput, run: &Run) {
    let BadInput { category, why, place, problem, .. } = input;
    let context = format!("{category}: {why}: {run}");
    assert_eq!(run.code, 1, "{context}");
    assert!(run.stdout.is_empty(), "{context}");
    assert!(run.stderr.starts_with("error") && run.stderr.len() < OUTPUT_MAX, "{context}");
    assert!(run.stderr.contains(problem), "{context}");
    assert!(run.stderr.contains(&format!("instances.yaml:{place}")) || place.is_empty(), "{context}");
    assert!(!run.stderr.contains(SENTINEL), "{context}");
    assert!(run.stderr.chars().all(|c| c == '\n' || !is_hidden(c)), "{context}");
    assert!(!run.stderr.lines().any(|line| line.trim_start().starts_with("::")), "{context}");
}

#[test]
fn p4_p11_p13_every_bad_manifest_is_refused_by_the_binary_in_its_place() {
    let inputs = bad_inputs::all();
    let next = AtomicUsize::new(0);
    let work = || {
        let project = Project::new("");
        while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
            project.write("instances.yaml", &input.bytes);
            check(input, &project.run("validate"));
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    println!("{} bad manifests", inputs.len());
    assert!(inputs.len() >= 300, "{}", inputs.len());
}

#[test]
fn p4_a_bad_manifest_is_applied_to_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let inputs = bad_inputs::all();
    let sample: Vec<_> = inputs.iter().step_by(inputs.len() / 35).collect();
    for input in &sample {
        project.write("instances.yaml", &input.bytes);
        check(input, &project.run("apply"));
        assert!(!project.state().exists() && !project.lock_file().exists(), "{}: {}", input.category, input.why);
    }
    project.write("good.yaml", manifest("{kind: chatapi}", &["a"]));
    project.run("apply good.yaml instances.yaml").exits(1);
    assert!(sample.len() >= 30 && gateway.requests() == 0);
}

/// One thing that is wrong beside a good manifest: what, the words, a change of the environment, and a part of the message.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a [u8])], &'a str);

const LONG: &[u8] = &[b'k'; 600];

const ROWS: &[Row<'_>] = &[
    ("an empty key", "apply", &[("CHATAPI_API_KEY", b"")], "the API key is empty"),
    ("a key of spaces", "apply", &[("CHATAPI_API_KEY", b"  \t ")], "the API key is empty"),
    ("a short key", "apply", &[("CHATAPI_API_KEY", b"SENTINEL")], "fewer than 9 characters"),
    ("a key with a line feed inside", "apply", &[("CHATAPI_API_KEY", b"SENT\nINEL")], "CHATAPI_API_KEY is not usable"),
    ("a key that would be a header", "apply", &[("CHATAPI_API_KEY", b"SENT\r\nX-Evil: INEL")], "CHATAPI_API_KEY is not usable"),
    ("a key beyond ASCII", "apply", &[("CHATAPI_API_KEY", "SENTINEL\u{e9}".as_bytes())], "CHATAPI_API_KEY is not usable"),
    ("a key that is no UTF-8", "apply", &[("CHATAPI_API_KEY", b"SENTINEL\xff")], "CHATAPI_API_KEY is not UTF-8"),
    ("a key without end", "apply", &[("CHATAPI_API_KEY", LONG)], "longer than 512"),
    ("a key file that is missing", "apply", &[("CHATAPI_API_KEY_FILE", b"missing")], "CHATAPI_API_KEY_FILE"),
    ("a key file that is a directory", "apply", &[("CHATAPI_API_KEY_FILE", b".")], "it is not a file"),
    ("a key file without end", "apply", &[("CHATAPI_API_KEY_FILE", b"/dev/zero")], "it is not a file"),
    ("an empty key file", "apply", &[("CHATAPI_API_KEY_FILE", b"empty")], "the API key is empty"),
    ("a key file of bytes", "apply", &[("CHATAPI_API_KEY_FILE", b"bytes")], "CHATAPI_API_KEY_FILE"),
    ("plain http to another machine", "apply", &[("CHATAPI_URL", b"http://gateway.invalid/")], "plain http would show"),
    (
        "plain http to a name like this machine's",
        "apply",
        &[("CHATAPI_URL", b"http://127.0.0.1.invalid/")],
        "plain http would show",
    ),
    (
        "credentials in the address",
        "apply",
        &[("CHATAPI_URL", b"https://user:SENTINEL@gateway.invalid/")],
        "a user name or password",
    ),
    ("a query in the address", "apply", &[("CHATAPI_URL", b"http://127.0.0.1:1/?uid=SENTINEL")], "ends with its path"),
    ("another scheme", "apply", &[("CHATAPI_URL", b"file:///etc/passwd")], "must begin with https://"),
    ("no address", "apply", &[("CHATAPI_URL", b"SENTINEL")], "is not a URL"),
    ("an empty address", "apply", &[("CHATAPI_URL", b"")], "CHATAPI_URL is not usable"),
    ("an address that is no UTF-8", "apply", &[("CHATAPI_URL", b"http://127.0.0.1/\xff")], "the server's address"),
    ("a key on the command line", "apply --api-key SENTINEL", &[], "--api-key"),
    ("a key on the command line with =", "apply --api-key=SENTINEL", &[], "--api-key"),
    ("no creates at once", "apply --parallelism 0", &[], "--parallelism"),
    ("negative creates at once", "apply --parallelism=-1", &[], "--parallelism"),
    ("too many creates at once", "apply --parallelism 99999999999999999999", &[], "--parallelism"),
    ("parts of creates at once", "apply --parallelism 1.5", &[], "--parallelism"),
    ("a negative time", "apply --timeout=-1s", &[], "at most a day"),
    ("a time without a unit", "apply --timeout 10", &[], "expected a duration"),
    ("a time without end", "apply --lock-timeout 99999999999h", &[], "at most a day"),
    ("a time of two days", "apply --settle-after 48h", &[], "at most a day"),
    ("a time in the environment", "apply", &[("CHATAPI_TIMEOUT", b"soon")], "expected a duration"),
    ("a typed time beside that of the environment", "apply --timeout 10", &[("CHATAPI_TIMEOUT", b"5s")], "for '--timeout"),
    ("an empty switch", "apply", &[("CHATAPI_REQUIRE_SEAL", b"")], "for 'CHATAPI_REQUIRE_SEAL': value was not a boolean"),
    (
        "an empty switch, what to do",
        "apply",
        &[("CHATAPI_INIT", b"")],
        "stands for '--init', and is empty: give it another value, or unset",
    ),
    ("a switch that says neither", "apply", &[("CHATAPI_EVENTS", b"perhaps")], "for 'CHATAPI_EVENTS': value was not a boolean"),
    ("a switch of every command", "state list", &[("CHATAPI_UNSAFE_FS", b"")], "for 'CHATAPI_UNSAFE_FS'"),
    ("a switch below token", "token set a", &[("CHATAPI_UNSAFE_FS", b"")], "invalid value for 'CHATAPI_UNSAFE_FS'"),
    ("a switch of a plan", "plan", &[("CHATAPI_VERIFY", b"")], "for 'CHATAPI_VERIFY'"),
    ("an exit code's switch", "drift", &[("CHATAPI_DETAILED_EXITCODE", b"")], "for 'CHATAPI_DETAILED_EXITCODE'"),
    ("a switch of init", "init", &[("CHATAPI_INPUT", b"perhaps")], "for 'CHATAPI_INPUT'"),
    ("an empty number", "apply", &[("CHATAPI_MAX_CREATES", b"")], "for 'CHATAPI_MAX_CREATES'"),
    ("an empty choice", "apply", &[("CHATAPI_COLOR", b"")], "'CHATAPI_COLOR'"),
    ("a format that does not exist", "apply", &[("CHATAPI_FORMAT", b"yaml")], "--format"),
    ("an environment that is no UTF-8", "apply", &[("CHATAPI_FORMAT", b"\xff")], "--format"),
    ("quiet and verbose", "apply -q -v", &[], "cannot be used with"),
    ("an unknown verb", "aply", &[], "apply"),
    ("a missing manifest", "apply nowhere.yaml", &[], "nowhere.yaml"),
    ("a missing manifest among good ones", "apply instances.yaml nowhere.yaml", &[], "nowhere.yaml"),
    ("an endless manifest", "apply /dev/zero", &[], "/dev/zero"),
    ("an empty directory", "apply hollow", &[], "hollow"),
    ("a name that is none", "apply --not-a-rename ../a", &[], "--not-a-rename"),
    ("a name that is none to show", "state show a/b", &[], "a/b"),
    ("nobody's name", "state show nobody", &[], "nothing is recorded under `nobody`"),
    ("resolve without a verdict", "resolve a --attempt a-1", &[], "--created"),
    ("resolve with two verdicts", "resolve a --attempt a-1 --created 1 --not-created", &[], "cannot be used with"),
    ("resolve without an attempt", "resolve a --not-created", &[], "--attempt"),
    ("resolve to an id that is none", "resolve a --attempt a-1 --created 1/2", &[], "--created"),
    ("resolve to an address that is none", "resolve a --attempt a-1 --created 1 --api-url file:///x", &[], "--api-url"),
    ("a token for what was not created", "resolve a --attempt a-1 --not-created --token-stdin", &[], "cannot be used with"),
    (
        "an address for what was not created",
        "resolve a --attempt a-1 --not-created --api-url https://h/",
        &[],
        "cannot be used with",
    ),
    ("a token on the command line", "token set a SENTINEL", &[], "unexpected argument"),
    ("an emulator for other machines", "emulator --listen 0.0.0.0:0", &[], "loopback only"),
    ("an emulator with a fault that does not exist", "emulator --fault create=explode", &[], "unknown fault"),
    ("an emulator with a plan that is none", "emulator --faults empty", &[], "fault plan"),
    ("an empty state path", "--state= state list", &[], ""),
];

#[test]
fn p4_p11_bad_flags_and_environments_send_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.write("empty", "");
    project.write("bytes", [0xff, 0xfe, 0, 1]);
    std::fs::create_dir(project.path("hollow")).unwrap();
    let before = (gateway.requests(), project.copy_of_state(), project.read("chatapi.lock"));
    for (what, words, env, message) in ROWS {
        let call = |call: Call, (name, value): &(&str, &[u8])| call.env(name, OsStr::from_bytes(value));
        let run = env.iter().fold(project.call(words.split(' ')), call).run();
        assert_ne!(run.code, 2, "{what}: {run}");
        let is_told = run.code == 1 || (message.is_empty() && run.code == 8);
        assert!(is_told && run.stdout.is_empty() && run.stderr.contains(message), "{what}: {run}");
        let is_typed = words.contains(SENTINEL);
        assert!(is_typed || !(run.stderr.contains("SENT") || run.stderr.contains("INEL")), "{what}: {run}");
        assert!(run.stderr.len() < 10_000, "{what}: {run}");
    }
    assert_eq!((gateway.requests(), project.copy_of_state(), project.read("chatapi.lock")), before);
    project.run("apply").exits(0).prints("1 created, 1 unchanged");
}

#[test]
fn p4_bad_lock_files_and_states_send_nothing() {
    let gateway = Gateway::start(&[]);
    let good = Project::at(&gateway.url(), &["a"]);
    good.run("apply").done();
    let lock = good.read("chatapi.lock");
    let before = gateway.requests();
    good.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let huge = format!("{lock}{}", " ".repeat(65 * 1_024 * 1_024));
    for (what, content, message) in [
        ("garbage", "{\"version\":".to_owned(), "is not a lock file"),
        ("nothing", String::new(), "is not a lock file"),
        ("a list", "[]".to_owned(), "is not a lock file"),
        ("a merge conflict", format!("<<<<<<< HEAD\n{lock}"), "is not a lock file"),
        ("a newer one", lock.replacen("\"version\": 3", "\"version\": 99", 1), "newer version"),
        ("an unknown member", lock.replacen('{', "{\"more\": 1,", 1), "is not a lock file"),
        ("a huge one", huge, "reasonable size"),
    ] {
        good.write("chatapi.lock", content);
        for line in ["apply", "plan"] {
            let run = good.run(line);
            assert!(run.code == 8 && run.stderr.contains(message) && run.stderr.len() < 10_000, "{what}: {run}");
        }
    }
    good.write("chatapi.lock", &lock);
    for words in ["apply --lock-file team", "plan --lock-file team"] {
        std::fs::create_dir_all(good.path("team")).unwrap();
        good.run(words).exits(8).warns("team");
    }
    good.write("file", "not a directory");
    for words in ["apply --state file", "apply --state file/below", "state list --state file", "apply --state /proc/nowhere"] {
        let run = good.run(words);
        assert!((run.code == 1 || run.code == 8) && run.stderr.contains("error"), "{words}: {run}");
    }
    assert_eq!((gateway.requests(), good.read("file").as_str()), (before, "not a directory"));
}

#[test]
fn p15_a_newer_state_is_refused_and_left_as_it_is() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").done();
    let newer = rechained(&project.read("state/journal.jsonl").replacen("\"format\":3", "\"format\":99", 1));
    std::fs::remove_dir_all(project.state().join("index")).unwrap();
    project.write("state/journal.jsonl", &newer);
    for line in ["apply", "plan", "state list", "doubts", "token get a", "state mv a b", "init"] {
        project.run(line).exits(8).warns("newer version").warns("the state was left as it is");
    }
    assert_eq!(project.read("state/journal.jsonl"), newer);
}

#[test]
fn p13_a_pipe_without_writer_as_manifest_does_not_hang() {
    let project = Project::new("");
    let made = Call::of("/usr/bin/mkfifo", project.dir().to_owned(), ["pipe.yaml"]).run();
    made.done();
    project.run("validate pipe.yaml").exits(1).warns("pipe.yaml");
    std::os::unix::fs::symlink("loop.yaml", project.path("loop.yaml")).unwrap();
    project.run("validate loop.yaml").exits(1).warns("loop.yaml");
}

#[test]
fn t12_a_key_file_is_read_and_one_that_others_can_read_is_warned_of() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.write("key", format!("{}\r\n", crate::stage::KEY));
    for (mode, is_warned) in [(0o600, false), (0o644, true)] {
        std::fs::set_permissions(project.path("key"), std::fs::Permissions::from_mode(mode)).unwrap();
        let run = project.call(["apply"]).without("CHATAPI_API_KEY").env("CHATAPI_API_KEY_FILE", "key").run().exits(0);
        assert_eq!(run.stderr.contains("can be read by others"), is_warned, "{run}");
    }
    project.run("apply").exits(0).prints("Nothing to do");
}
