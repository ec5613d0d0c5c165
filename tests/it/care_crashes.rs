//! The care of a state, and answers that the journal does not take, with the program dying or failing in the middle.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use chatapi::instance::InstanceId;
use chatapi::state::{Event, Who};
use chatapi::store::{FileStore, Hold, Holder, StateStore as _};
use jiff::Timestamp;

use crate::stage::{Gateway, Project, manifest};

/// Points in the writing of a file that is put in another one's place, and what happens there.
const FAULTS: [&str; 4] = ["replace-written=kill", "replace-renamed=kill", "replace-written=full", "replace-renamed=error"];

/// A sealed project with two instances and a doubt, its gateway, and its public key.
fn scene() -> (Gateway, Project, String) {
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout.trim_end().to_owned();
    let sealed = format!("seal_to: [{public}]\n{}", project.read("instances.yaml"));
    project.declare(&sealed);
    project.run("apply --parallelism 1").exits(3);
    (gateway, project, public)
}

/// Everything that was known is known, and nothing is created again.
fn is_whole(gateway: &Gateway, project: &Project, told: &str) {
    let tokens = gateway.tokens();
    for name in ["a", "b"] {
        let run = project.run(&format!("token get {name} --identity key.txt"));
        assert_eq!(run.code, 0, "{told}: {run}");
        assert_eq!(run.stdout.trim_end(), tokens[&project.ids()[name]], "{told}: {name}");
    }
    let run = project.run("apply");
    assert_eq!((run.code, gateway.creates()), (3, 3), "{told}: {run}");
    let run = project.run("state verify");
    assert_eq!(run.code, 0, "{told}: {run}");
}

#[test]
fn p1_p3_a_crash_while_a_journal_is_replaced_leaves_the_old_one_or_the_new_one() {
    let (gateway, project, public) = scene();
    project.run("key generate --output second.txt").exits(0);
    for fault in FAULTS {
        for nth in 1..=2 {
            let told = format!("{fault}@{nth}");
            let run = project.call(["state", "compact"]).env("CHATAPI_FAILPOINT", &told).run();
            assert_ne!(run.code, 0, "{told}: {run}");
            is_whole(&gateway, &project, &told);
        }
    }
    // A rekey to another key that is cut off anywhere leaves each token to the old key or to the new one.
    let second = project.run("key show --identity second.txt").exits(0).stdout.trim_end().to_owned();
    project.declare(&project.read("instances.yaml").replace(&public, &second));
    project.write("both.txt", format!("{}\n{}", project.read("key.txt"), project.read("second.txt")));
    let (first, other) = (project.read("instances.yaml"), project.read("instances.yaml").replace(&second, &public));
    for fault in FAULTS {
        for nth in 1..=2 {
            // What stands to be done is there each time: all are sealed to the first key before.
            project.declare(&other);
            project.run("state rekey --identity both.txt").exits(0);
            project.declare(&first);
            let words = "state rekey --identity both.txt";
            let run = project.call(words.split(' ')).env("CHATAPI_FAILPOINT", format!("{fault}@{nth}")).run();
            assert_ne!(run.code, 0, "{fault}@{nth}: {run}");
            for name in ["a", "b"] {
                project.run(&format!("token get {name} --identity both.txt")).exits(0);
            }
        }
    }
    project.run("state rekey --identity both.txt").exits(0);
    project.run("token get a --identity second.txt").exits(0);
    project.run("token get a --identity key.txt").exits(1);
    project.run("apply").exits(3);
    assert_eq!(gateway.creates(), 3);
}

#[test]
fn p1_p5_a_crash_while_a_state_is_imported_or_rebuilt_creates_nothing() {
    let (gateway, project, _) = scene();
    project.write("state.json", project.run("state export").exits(0).stdout);
    let lock = project.read("chatapi.lock");
    for fault in FAULTS {
        for nth in 1..=3 {
            let told = format!("import, {fault}@{nth}");
            fs::remove_dir_all(project.state()).unwrap();
            project.write("chatapi.lock", &lock);
            let words = ["state", "import", "state.json"];
            let run = project.call(words).env("CHATAPI_FAILPOINT", format!("{fault}@{nth}")).run();
            if !project.path("state/journal.jsonl").exists() {
                let run = project.run("apply");
                assert_eq!((run.code, gateway.creates()), (8, 3), "{told}: {run}");
                project.run("state import state.json").exits(0);
            }
            assert!(run.code != 0 || nth == 3, "{told}: {run}");
            is_whole(&gateway, &project, &told);
        }
    }
    let journal = project.read("state/journal.jsonl");
    for fault in FAULTS {
        for nth in 1..=3 {
            let told = format!("rebuild, {fault}@{nth}");
            let broken = project.read("state/journal.jsonl").replacen("whatsapp", "whatsaqp", 1);
            project.write("state/journal.jsonl", &broken);
            let words = ["state", "rebuild", "--from", "journal"];
            let _ = project.call(words).env("CHATAPI_FAILPOINT", format!("{fault}@{nth}")).run();
            let run = project.run("apply");
            assert!(matches!(run.code, 3 | 8) && gateway.creates() == 3, "{told}: {run}");
            // The same again, whole.
            fs::remove_dir_all(project.state()).unwrap();
            fs::create_dir(project.state()).unwrap();
            fs::remove_file(project.lock_file()).unwrap();
            project.write("state/journal.jsonl", &journal);
            project.run("apply").exits(3);
        }
    }
    assert_eq!(gateway.creates(), 3);
}

#[test]
fn p3_an_answer_that_the_journal_does_not_take_is_rescued_and_brought_back() {
    for (point, named) in [("before", false), ("written", false), ("before", true)] {
        let gateway = Gateway::start(&[]);
        let project = Project::at(&gateway.url(), &["a", "b"]);
        let public = project.run("key generate --output key.txt").exits(0).stdout.trim_end().to_owned();
        project.declare(&format!("seal_to: [{public}]\n{}", project.read("instances.yaml")));
        let mut call = project.call(["apply", "--parallelism", "1"]);
        call = call.env("CHATAPI_FAILPOINT", format!("journal-{point}-received=full"));
        if named {
            fs::create_dir(project.path("elsewhere")).unwrap();
            call = call.env("CHATAPI_RESCUE_DIR", project.path("elsewhere"));
        }
        let run = call.run().exits(3).warns("it is kept in").warns("state rescue");
        assert_eq!(gateway.creates(), 1, "nothing is begun after a write that failed: {run}");
        let dir = if named { project.path("elsewhere") } else { project.dir().to_owned() };
        let files: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|file| file.path()).collect();
        let file = files.iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("chatapi-rescue-")).unwrap();
        let token = gateway.tokens().into_values().next().unwrap();
        assert!(!fs::read_to_string(file).unwrap().contains(&token));
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let run = project.call(["state".as_ref(), "rescue".as_ref(), file.as_os_str()]).run();
        run.exits(0).prints("its token is kept");
        assert_eq!(project.run("token get a --identity key.txt").exits(0).stdout.trim_end(), token);
        project.run("apply").exits(0).prints("1 created, 1 unchanged");
        assert_eq!(gateway.creates(), 2);
    }
}

#[test]
fn p3_p11_where_no_second_place_takes_it_the_sealed_answer_is_in_the_log_and_a_clear_one_nowhere() {
    let full = ("CHATAPI_FAILPOINT", "journal-before-received=full");
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout.trim_end().to_owned();
    let nowhere = project.path("missing/dir");
    let apply = |project: &Project| project.call(["apply"]).env(full.0, full.1).env("CHATAPI_RESCUE_DIR", &nowhere);
    let run = apply(&project).env("CHATAPI_SEAL_TO", &public).run().exits(3).warns("chatapi-rescue: ");
    let token = gateway.tokens().into_values().next().unwrap();
    assert!(!run.stderr.contains(&token));
    project.call(["state", "rescue", "-"]).input(run.stderr.clone()).run().exits(0).prints("its token is kept");
    assert_eq!(project.run("token get a --identity key.txt").exits(0).stdout.trim_end(), token);
    // Without keys: a file only where one was asked for, and never the log.
    let unsealed = Project::at(&gateway.url(), &["b"]);
    let run = unsealed.call(["apply"]).env(full.0, full.1).run().exits(3);
    assert!(!run.stderr.contains("chatapi-rescue:") && !run.stderr.contains("it is kept in"), "{run}");
    let names = |project: &Project| Project::files(project.dir()).into_keys().collect::<Vec<_>>();
    assert!(names(&unsealed).iter().all(|path| !path.to_string_lossy().contains("rescue")), "{:?}", names(&unsealed));
    unsealed.run("apply").exits(3).warns("b is in doubt");
    let pointed = Project::new(&manifest("{kind: chatapi}", &["c"])).with("CHATAPI_URL", gateway.url());
    let pointed = pointed.with("CHATAPI_API_KEY", "key-of-these-tests").with("CHATAPI_RESCUE_DIR", ".");
    pointed.call(["apply"]).env(full.0, full.1).run().exits(3).warns("it is kept in");
    assert_eq!(gateway.creates(), 3);
}

/// A journal that has grown so far that the next command rotates it.
fn grow(project: &Project) {
    let me = Holder { pid: 1, verb: "test".into(), since: Timestamp::UNIX_EPOCH, who: Who::default() };
    let hold = Hold::acquire(&project.state(), &me, Duration::from_secs(5), &mut |_| {}).unwrap();
    let mut store = FileStore::open(&project.state(), hold, None).unwrap();
    let ids: Vec<_> = (1_000_000..1_040_000).map(|id| InstanceId::parse(&id.to_string()).unwrap()).collect();
    while fs::metadata(project.path("state/journal.jsonl")).unwrap().len() < 9 << 20 {
        store.append(Event::Listed { ids: ids.clone() }, Timestamp::UNIX_EPOCH).unwrap();
    }
    Box::new(store).close().unwrap();
}

#[test]
fn p3_a_run_goes_on_in_the_journal_that_has_the_name_whatever_became_of_a_rotation() {
    for fault in ["replace-written=full@1", "replace-renamed=error@1", "replace-written=full@2", "replace-renamed=error@2"] {
        let gateway = Gateway::start(&[]);
        let project = Project::at(&gateway.url(), &["a"]);
        project.run("apply").exits(0);
        grow(&project);
        project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
        let run = project.call(["apply"]).env("CHATAPI_FAILPOINT", fault).run();
        run.exits(0).prints("1 created, 1 unchanged").warns("has grown and could not be compacted in full");
        for (name, id) in project.ids() {
            assert_eq!(project.token(&name), gateway.tokens()[&id], "{fault}");
        }
        project.run("apply").exits(0).prints("Nothing to do: 2 instances");
        assert!(fs::metadata(project.path("state/journal.jsonl")).unwrap().len() < 9 << 20, "the next run rotates");
        project.run("state verify").exits(0);
        assert_eq!(gateway.creates(), 2, "{fault}");
    }
}
