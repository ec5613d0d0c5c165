//! What people read when they mistype, look, or forget something.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::stage::{Gateway, Project, manifest};

fn two() -> Project {
    let project = Project::new(&manifest("{kind: emulator}", &["sandbox", "support-eu"]));
    project.run("apply").done();
    project
}

/// What `line` prints at a terminal of so many columns.
fn at_terminal(project: &Project, columns: u16, line: &str) -> String {
    ends_at_terminal(project, columns, line, 0)
}

/// The same of a command that ends with `code`.
fn ends_at_terminal(project: &Project, columns: u16, line: &str, code: i32) -> String {
    let mut master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let call = project.call(line.split(' ')).env("NO_COLOR", "1").stdout_to(terminal);
    let reader = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // The end of a terminal is an error.
        let _ = master.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).replace('\r', "")
    });
    assert_eq!(call.run().code, code);
    reader.join().unwrap()
}

#[test]
fn every_command_that_takes_a_name_says_which_was_meant() {
    let project = two();
    for line in [
        "state show suport-eu",
        "state mv suport-eu other",
        "state rm suport-eu",
        "destroy suport-eu",
        "release suport-eu",
        "release --undo suport-eu",
        "state history suport-eu",
        "token get suport-eu",
        "token answer suport-eu",
        "output suport-eu",
        "output sandbox suport-eu",
        "resolve suport-eu --attempt a-k3jx7q2mfa --not-created --offline",
    ] {
        project.run(line).exits(1).warns("nothing is recorded under `suport-eu`").done_with("did you mean `support-eu`?");
    }
    project.run("destroy suport-eu").exits(1).done_with("nothing was sent");
    let set = project.call(["token", "set", "suport-eu"]).input("token").run();
    set.exits(1).done_with("did you mean `support-eu`?");
    let far = project.run("state show billing").exits(1).warns("`chatapi state list` shows every name");
    assert!(!far.stderr.contains("did you mean"), "{far}");
}

#[test]
fn a_move_of_what_is_not_there_leaves_no_trace() {
    let project = two();
    let before = project.read("state/journal.jsonl");
    project.run("state mv suport-eu other").exits(1).done_with("nothing is recorded");
    assert_eq!(project.read("state/journal.jsonl"), before);
}

#[test]
fn a_file_that_is_not_there_is_told_with_the_one_that_is() {
    let project = two();
    fs::create_dir(project.path("team")).unwrap();
    project.run("plan --out plan.json").done();
    for (line, meant) in [
        ("plan instance.yaml", "instances.yaml"),
        ("validate instances.yml", "instances.yaml"),
        ("apply ./instances.yam", "./instances.yaml"),
        ("apply plann.json", "plan.json"),
        ("show plan.jsn", "plan.json"),
        ("validate teams", "team"),
    ] {
        project.run(line).exits(1).done_with(&format!("did you mean `{meant}`?"));
    }
    let far = project.run("plan elsewhere/other.yaml").exits(1).warns("no such file");
    assert!(!far.stderr.contains("did you mean"), "{far}");
}

#[test]
fn a_plan_that_foresees_a_stop_says_it_in_one_warning() {
    let project = two();
    project.run("key generate --output key.txt").done();
    let public = project.run("key show --identity key.txt").exits(0).stdout;
    project.declare(&format!(
        "seal_to: [{}]\n{}",
        public.trim(),
        manifest("{kind: emulator}", &["sandbox", "support-eu", "new"])
    ));
    let plan = project.run("plan").exits(0).warns("warning: an apply will stop: the keys to seal to have changed");
    assert!(!plan.stderr.contains("error"), "{plan}");
    assert_eq!(plan.stderr.matches("warning").count(), 1, "{plan}");
    project.run("apply").exits(6).warns("error: the keys to seal to have changed").done_with("state rekey");
    project.run("state rekey").done();
    project.run("apply").exits(0).done_with("1 created");
}

#[test]
fn a_saved_plan_that_is_shown_says_how_it_stands() {
    let project = two();
    project.declare(&manifest("{kind: emulator}", &["sandbox", "support-eu", "new"]));
    project.run("plan --out plan.json").done();
    project.run("show plan.json").exits(0).done_with("now     good");
    project.run("--state elsewhere show plan.json").exits(0).done_with("not known: its state is not in elsewhere");
    assert!(!project.path("elsewhere").exists());
    project.declare(&manifest("{kind: emulator}", &["sandbox", "support-eu", "newer"]));
    let changed = project.run("show plan.json").exits(0).warns("an apply of it will stop: the manifest");
    assert!(!changed.stderr.contains("now     good"), "{changed}");
    project.declare(&manifest("{kind: emulator}", &["sandbox", "support-eu", "new"]));
    project.run("apply plan.json").done();
    project.run("show plan.json").exits(0).warns("is spent: it was applied at").done_with("makes a new one");
    project.write("state/journal.jsonl", "damaged");
    fs::remove_dir_all(project.path("state/index")).unwrap();
    project.run("show plan.json").exits(0).done_with("not known: its state is not in state");
}

#[test]
fn a_state_of_a_server_names_it_where_no_address_is_set() {
    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(3).done_or_doubtful();
    let attempt = project.attempt("a");
    let forgotten = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        project.call(words).without("CHATAPI_URL").without("CHATAPI_API_KEY").run()
    };
    let hint = format!("export CHATAPI_URL={}", gateway.url());
    for line in [format!("resolve a --attempt {attempt} --not-created"), "doubts --refresh".to_owned()] {
        forgotten(&line).exits(1).warns("the server's address is not set").warns(&hint).done_with("CHATAPI_API_KEY_FILE");
    }
}

#[test]
fn init_tells_programs_what_there_is_now() {
    let project = Project::new("");
    let first = project.run("init first.yaml --json").exits(0).json();
    assert_eq!(first["manifest"], serde_json::json!({"path": "first.yaml", "is_new": true}));
    assert_eq!(first["schema"], serde_json::json!({"path": "chatapi.schema.json", "is_new": true}));
    assert_eq!((&first["state"]["path"], &first["state"]["names"]), (&"state".into(), &0.into()));
    let second = project.run("init first.yaml --json").exits(0).json();
    assert_eq!(second["state"]["lineage"], first["state"]["lineage"]);
    assert_eq!((&second["manifest"]["is_new"], &second["schema"]), (&false.into(), &serde_json::Value::Null));
}

/// The other kind may cost money.
#[test]
fn the_provider_that_was_typed_is_the_one_that_is_proposed() {
    for (typed, proposed) in [("emulator", "emulator"), ("chatapi", "chatapi"), ("other", "chatapi")] {
        let project = Project::new(&format!("provider: {typed}\ninstances: []\n"));
        project.run("validate").exits(1).done_with(&format!("write `provider: {{kind: {proposed}}}`"));
    }
}

/// Before anything was created a state knows no server, and the manifest names none that is a real one.
#[test]
fn a_drift_without_a_manifest_and_without_a_server_says_what_to_name() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("init").exits(0).done();
    project.run("drift").exits(1).warns("the server's address is not set").done_with("`chatapi drift instances.yaml`");
    project.run("drift instances.yaml").exits(0).prints("No drift").done_or_doubtful();
    project.run("import --discover").exits(0).prints("# The account has nothing that can be taken in.").done();
}

/// A command that is broken cannot be copied.
#[test]
fn what_settles_a_doubt_is_one_line_in_a_narrow_terminal_too() {
    let gateway = Gateway::start(&["create=drop-after"]);
    let long = "branch-office-00-with-a-longer-name";
    let project = Project::at(&gateway.url(), &[long]);
    project.run("apply").exits(3).done_or_doubtful();
    let attempt = project.attempt(long);
    for line in ["doubts", "doubts --refresh"] {
        let shown = ends_at_terminal(&project, 60, line, 3);
        assert!(shown.contains(&format!("    settle    chatapi resolve {long} --attempt {attempt} --created ")), "{shown}");
    }
}

/// Where a reason stands below its change, the name above it has the room.
#[test]
fn no_name_is_cut_for_a_reason_that_stands_below_it() {
    let long = "branch-office-00-with-a-longer-name";
    let project = Project::new(&manifest("{kind: emulator}", &[long]));
    project.run("apply").done();
    project.run(&format!("release {long}")).exits(0).done_or_doubtful();
    let shown = at_terminal(&project, 80, "plan");
    assert!(shown.contains(&format!("{long}  whatsapp  conflict\n      released; exists as")), "{shown}");
}

#[test]
fn one_is_told_as_one() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("validate").exits(0).prints("Valid: 1 instance declared.").done();
    project.run("apply --max-creates 0").exits(6).done_with("1 instance would be created");
    project.run("apply").done();
    project.run("init").exits(0).prints("records 1 name;").done();
    project.run("output --out out.json").exits(0).done_with("wrote 1 instance to out.json");
    project.run("apply --write-outputs json=written.json").exits(0).done_with("wrote 1 instance to written.json");
}

#[test]
fn tables_fit_the_terminal_and_stand_in_full_in_a_pipe() {
    let long = "customer-support-of-the-northern-region-production";
    let project = Project::new(&manifest("{kind: emulator}", &[long, "gone-tomorrow"]));
    project.run("apply").done();
    project.declare(&manifest("{kind: emulator}", &[long, "another-rather-long-name-for-the-south"]));
    for line in ["plan", "state list", "state history"] {
        let piped = project.run(line).exits(0).stdout;
        assert!(!piped.contains('…'), "{piped}");
        assert!(piped.contains(long) || line == "plan", "{piped}");
        let narrow = at_terminal(&project, 80, line);
        assert!(narrow != piped, "{narrow}");
        // The reason of a change is cut nowhere.
        assert_eq!(narrow.contains("renamed from gone-tomorrow?"), line == "plan", "{narrow}");
        for row in narrow.lines() {
            assert!(row.chars().count() <= 80, "{row}");
        }
        assert_eq!(at_terminal(&project, 200, line), piped, "{line}");
    }
    let orphan = project.run("plan").exits(0).stdout;
    assert!(orphan.contains("  o gone-tomorrow"), "{orphan}");
}

/// A pattern that has got another name is one thing to look at.
#[test]
fn many_renames_are_told_as_one_with_the_entries_that_answer_them() {
    let pattern =
        |of: &str| format!("provider: {{kind: emulator}}\ninstances: [{{name: \"{of}-{{n:02}}\", type: whatsapp, count: 12}}]\n");
    let project = Project::new(&pattern("shop"));
    project.run("apply").exits(0).done();
    project.declare(&pattern("store"));
    for verb in ["plan", "apply"] {
        let run = project.run(verb);
        assert_eq!(run.code, if verb == "plan" { 0 } else { 6 }, "{run}");
        let told = run.stderr.matches("12 names are new, and 12 of their types have left").count();
        assert!(told == 1 && run.stderr.lines().count() < 8, "{run}");
        assert!(run.stderr.contains("--not-a-rename store-12`"), "{run}");
        assert!(run.stderr.contains("which was which is a guess, by how alike the names are: check each pair"), "{run}");
    }
    // As it is proposed, it is a manifest.
    let proposed = project.run("plan").stderr;
    let (_, from) = proposed.split_once("`moved: [").unwrap();
    let moved = format!("moved: [{}]\n", from.split_once("]`").unwrap().0);
    assert!(moved.contains("{from: shop-01, to: store-01}, {from: shop-02, to: store-02}"), "{moved}");
    project.declare(&(pattern("store") + &moved));
    project.run("apply").exits(0).prints("Apply: 0 created").done_with("12 moved");
}
