//! Hints are typed as they are printed, and what they lead to is the end: no two of them undo each other, and none is circular.

use chatapi::instance::InstanceId;
use chatapi::secret::Secret;
use rustix::process::Signal;

use crate::stage::{Gateway, KEY, Project, Terminal, eventually, manifest};

fn project(gateway: &Gateway, names: &[&str]) -> Project {
    let project = Project::at(&gateway.url(), names);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

fn retype(project: &Project, kinds: &[(&str, &str)]) {
    let entries = kinds.iter().map(|(name, kind)| format!("  - {{name: {name}, type: {kind}}}\n")).collect::<Vec<_>>().concat();
    project.declare(&format!("instances:\n{entries}"));
}

/// A name alone is replaced once: whoever changes the type again is told what is exact, and why the name alone was not enough.
#[test]
fn a_type_that_is_changed_back_is_replaced_by_what_the_hint_says() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    retype(&project, &[("a", "whatsapp_dev")]);
    let first = format!("--replace a={}", project.ids()["a"]);
    project.run("apply").exits(6).warns(&format!("apply with `{first}`")).done_with("a type cannot be changed");
    project.run(&format!("apply {first} --yes --max-deletes 1")).exits(0).prints("1 created, 1 deleted").done();
    retype(&project, &[("a", "whatsapp")]);
    let second = format!("--replace a={}", project.ids()["a"]);
    let stopped = project.run("apply --replace a").exits(6).warns("`a` was replaced before").warns("a type cannot be changed");
    let _ = stopped.warns(&format!("apply with `{second}`"));
    project.run(&format!("apply --replace a {second}")).exits(1).done_with("is to be replaced in two ways");
    project.run(&format!("apply {second} --yes --max-deletes 1")).exits(0).prints("1 created, 1 deleted").done();
    assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 2));
}

/// Of several names each step is told with the ones before.
#[test]
fn what_several_names_need_is_told_in_one_command_with_what_was_said() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b", "c"]);
    let ids = project.ids();
    retype(&project, &[("a", "whatsapp_dev"), ("b", "whatsapp_dev"), ("c", "whatsapp_dev")]);
    let all = format!("--replace a={} --replace b={} --replace c={}", ids["a"], ids["b"], ids["c"]);
    let run = project.run("apply").exits(6).warns(&format!("apply with `{all}`"));
    assert_eq!(run.stderr.matches("hint:").count(), 1, "{run}");
    let two = format!("--replace a={} --replace c={}", ids["a"], ids["c"]);
    let b = format!("--replace b={}", ids["b"]);
    project.run(&format!("apply {two}")).exits(6).warns(&format!("apply with `{two} {b}`")).done_with("`b` is declared");
    assert_eq!(gateway.creates(), 3);
    let rest = manifest("{kind: chatapi}", &["a", "b", "c"]);
    project.declare(&rest);
    project.run("destroy a b --yes --max-deletes 2").exits(0).done();
    project.run("apply --recreate a").exits(6).warns("`--recreate a --recreate b`").done_with("`b` was deleted");
    project.run("apply --recreate b").exits(6).warns("`--recreate b --recreate a`").done_with("`a` was deleted");
    project.run("apply --recreate b --recreate a").exits(0).prints("2 created").done();
}

/// Nobody deletes by a number alone: what would go has a name.
#[test]
fn p9_what_would_be_deleted_is_named_where_nobody_is_asked() {
    let gateway = Gateway::start(&[]);
    let names: Vec<String> = (10..22).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let project = project(&gateway, &names);
    project.declare(&manifest("{kind: chatapi}", &names[..10]));
    for line in ["apply --prune", "apply --prune --yes --max-deletes 1"] {
        project.run(line).exits(6).warns("that would be `n20`, `n21`").done_with("would be deleted");
    }
    project.run("destroy n10 n11").exits(6).warns("that would be `n10`, `n11`").done_with("nobody is asked here");
    project.declare("instances: []\n");
    let run = project.run("apply --prune --yes").exits(6).warns("`n19` and 2 more, as `chatapi plan --prune` shows");
    assert!(!run.stderr.contains("`n20`") && gateway.deleted().is_empty(), "{run}");
    project.run("plan --prune").exits(0).prints("n21");
}

/// What a replacement has left is paid for until somebody deletes it: every plan says so, and with which command.
#[test]
fn a_remainder_is_told_by_every_plan_and_apply_until_it_is_deleted() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let old = format!("a.{}", project.ids()["a"]);
    project.run("apply --replace a --yes").exits(0).warns("still paid for").done();
    let told = format!("`{old}` was replaced by what is `a` now, and still exists: it is still paid for");
    let destroy = format!("`chatapi destroy {old}` deletes it");
    for line in ["plan", "apply"] {
        let run = project.run(line).exits(0).warns(&told).warns(&destroy);
        assert_eq!(run.stderr.matches("still paid for").count(), 1, "{run}");
    }
    project.run("plan").exits(0).prints("replaced by what is a now; exists as").done();
    // Whoever declares it wants it.
    project.declare(&manifest("{kind: chatapi}", &["a", "b", &old]));
    let run = project.run("plan").exits(0);
    assert!(!run.stderr.contains("paid for"), "{run}");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run(&format!("destroy {old} --yes --max-deletes 1")).exits(0).done();
    let run = project.run("plan").exits(0).prints("Nothing to do");
    assert!(!run.stderr.contains("paid for"), "{run}");
}

/// Neither is deleted on a hint while the new one cannot be used.
#[test]
fn the_old_one_is_kept_as_long_as_the_new_one_has_no_token() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = project(&gateway, &["a"]);
    let old = format!("a.{}", project.ids()["a"]);
    project.run("apply --replace a --yes").exits(3).prints("1 in doubt").done_with("doubt");
    let new = gateway.tokens().into_keys().find(|id| !old.ends_with(id.as_str())).unwrap();
    let attempt = project.attempt("a");
    project.run(&format!("resolve a --attempt {attempt} --created {new}")).exits(0).done();
    for line in ["plan", "apply", "apply --replace a", "apply --prune --yes --max-deletes 1"] {
        let run =
            project.run(line).exits(3).warns(&format!("keep `{old}`, for `a` cannot be used yet: first `chatapi token set a"));
        assert!(!run.stderr.contains(&format!("`chatapi destroy {old}` deletes that one")), "{run}");
    }
    assert!(gateway.deleted().is_empty());
}

/// P10: whoever has stopped a run is not asked about deletes, and goes on with the words that the run was given.
#[test]
fn p10_what_was_interrupted_goes_on_with_the_same_flags() {
    let gateway = Gateway::start(&["create:nth=3=delay:600ms"]);
    let project = project(&gateway, &["x", "z"]);
    let (screen, terminal) = Terminal::open(200);
    let running = project.call(["apply", "--replace", "x"]).env("TERM", "dumb").at(&terminal).start();
    drop(terminal);
    eventually("the create", || gateway.creates() == 3);
    running.signal(Signal::INT);
    let (run, shown) = (running.wait(), screen.end());
    assert!(!shown.contains("will be deleted") && shown.contains("apply again with `--replace x` to go on"), "{run}\n{shown}");
    project.declare(&manifest("{kind: chatapi}", &["z"]));
    let (screen, terminal) = Terminal::open(200);
    let running = project.call(["apply", "--prune"]).env("TERM", "dumb").at(&terminal).start();
    drop(terminal);
    screen.shows("to delete, or no to keep");
    running.signal(Signal::INT);
    let (run, shown) = (running.wait(), screen.end());
    assert!(shown.contains("nothing was sent; apply again with `--prune` to begin"), "{run}\n{shown}");
    assert!(gateway.deleted().is_empty());
}

/// What the list shows is the first thing to say of a doubt.
#[test]
fn a_resolution_that_the_list_speaks_against_is_told_what_is_listed() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = project(&gateway, &["a"]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(3).done_with("doubt");
    let entry = |verdict: &str| {
        let entry = format!("resolutions: [{{name: b, attempt: {}, {verdict}}}]\n", project.attempt("b"));
        project.declare(&(manifest("{kind: chatapi}", &["a", "b"]) + &entry));
    };
    entry("not-created: true");
    let listed = gateway.tokens().into_keys().find(|id| *id != project.ids()["a"]).unwrap();
    let run = project.run("apply").exits(6).warns(&format!("`created: \"{listed}\"`"));
    let (first, despite) = (run.stderr.find("created: \""), run.stderr.find("--despite-list"));
    assert!(first < despite, "{run}");
    entry(&format!("created: \"{listed}\""));
    project.run("apply").exits(3).prints("1 settled").done_with("token");
    assert_eq!(gateway.creates(), 2);
}

/// Where a delete needs two flags, each hint keeps the one that was given.
#[test]
fn what_an_empty_list_leaves_in_doubt_is_settled_by_the_hints_of_the_way() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let settings = chatapi::Client::builder(gateway.url(), Secret::new(KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    client.delete_instance(&InstanceId::parse(&project.ids()["a"]).unwrap()).unwrap();
    for given in ["--despite-list", "--settle-after 0s"] {
        let run = project.run(&format!("destroy a {given} --yes --max-deletes 1")).exits(3);
        let _ = run.warns("`chatapi destroy a --despite-list --settle-after 0s`");
    }
    project.run("destroy a --yes --max-deletes 1").exits(3).done_with("`chatapi destroy a --settle-after 0s`");
    let run = project.run("destroy a --settle-after 0s --yes --max-deletes 1").exits(3).warns("settles nothing by itself");
    assert!(!run.stderr.contains("`chatapi destroy a --settle-after 0s`"), "{run}");
    project.run("destroy a --despite-list --settle-after 0s --yes --max-deletes 1").exits(0).prints("1 deleted").done();
}

/// What was reviewed is what goes: a second replacement of a name deletes one of the two, and it is the one that the plan shows.
#[test]
fn p9_a_second_replacement_deletes_what_the_plan_shows_and_nothing_else() {
    for how in ["", " --prune"] {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a", "b"]);
        let first = project.ids()["a"].clone();
        project.run("apply --replace a --yes").exits(0).done_or_doubtful();
        let second = project.ids()["a"].clone();
        project.run(&format!("plan --replace a={second}{how} --out p.plan")).exits(0).done_or_doubtful();
        let plan = project.run("show p.plan --format json").exits(0).json();
        let changes = plan["changes"].as_array().unwrap();
        let change = |name: &str| changes.iter().find(|change| change["name"] == name).unwrap();
        assert_eq!(change("a")["set_aside_as"], format!("a.{second}"));
        let shown = change(&format!("a.{first}"))["action"].as_str().unwrap();
        // The plan's own summary says how many go.
        let going = usize::from(!how.is_empty());
        assert_eq!(plan["summary"]["delete"], going);
        let run =
            project.run("apply p.plan --yes --max-deletes 9").exits(0).warns(&format!("`a.{second}` was replaced, and still"));
        run.warns(&format!("`chatapi destroy a.{second}`")).done_or_doubtful();
        let expected = if how.is_empty() { ("orphan", vec![]) } else { ("delete", vec![first]) };
        assert_eq!((shown, gateway.deleted()), expected, "{how}");
        project.run(&format!("destroy a.{second} --yes --max-deletes 1")).exits(0).prints("1 deleted").done();
    }
}

/// What was reviewed shows no delete: none is sent, and nobody is asked, whatever is said of deletes.
#[test]
fn p9_what_a_reviewed_run_itself_replaces_stays() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let ids = project.ids();
    let told = |name: &str| format!("`chatapi destroy {name}.{}` deletes it", ids[name]);
    let hash = project.run("plan --checksum --replace a").exits(0).stdout;
    let reviewed = format!("apply --replace a --yes --max-deletes 9 --checksum {}", hash.trim());
    let run = project.run(&reviewed).exits(0).prints("1 created").warns(&told("a"));
    assert!(!run.stdout.contains("deleted"), "{run}");
    // The next plan shows it, and then it goes.
    project.run("plan --replace a --out q.plan").exits(0).prints("1 to delete").done_with("replaced before");
    project.run("plan --replace b --out p.plan").exits(0).prints("1 to create").done();
    let (screen, terminal) = Terminal::open(200);
    project.call(["apply", "p.plan"]).at(&terminal).run().done();
    eventually("the way on", || screen.text().contains("still paid for"));
    assert!(!screen.text().contains("to delete, or no"), "{}", screen.text());
    drop(terminal);
    let _ = screen.end();
    assert_eq!((gateway.creates(), gateway.deleted().len()), (4, 0));
    project.run("plan --replace a --out q.plan").exits(0).prints("1 to delete").done_with("replaced before");
    project.run("apply q.plan --yes --max-deletes 1").exits(0).prints("1 deleted").done_or_doubtful();
    assert_eq!(gateway.deleted(), [ids["a"].clone()]);
    // The plain form is asked, or told, as ever.
    let anew = project.ids()["b"].clone();
    project.run(&format!("apply --replace b={anew} --yes --max-deletes 1")).exits(0).prints("1 created, 1 deleted").done();
    assert_eq!(gateway.deleted(), [ids["a"].clone(), anew]);
}

/// No flag that forces anything is told for what nobody has named.
#[test]
fn p9_what_is_protected_and_not_named_is_forced_by_no_hint() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let entry = |name: &str, protect: bool| format!("  - {{name: {name}, type: whatsapp, protect: {protect}}}\n");
    let declare = |all: &[String]| project.declare(&format!("instances:\n{}", all.concat()));
    let a = entry("a", false);
    declare(&[a.clone(), entry("b", true), entry("c", true)]);
    project.run("apply").exits(0).done();
    declare(std::slice::from_ref(&a));
    for line in ["plan --prune --out p.plan", "apply --prune --yes --max-deletes 2"] {
        let run = project.run(line);
        assert!(!run.stderr.contains("--unprotect"), "{line}: {run}");
    }
    let run = project.run("apply --prune --yes --max-deletes 2").exits(6);
    run.warns("declare `b` once more with `protect: false`").done_with("declare `c` once more with `protect: false`");
    let run = project.run("apply --prune --target c --yes --max-deletes 2").exits(6);
    run.done_with("`chatapi destroy --unprotect c` deletes it by hand");
    // What the hint says is the way.
    declare(&[a.clone(), entry("b", false)]);
    project.run("apply").exits(0).prints("1 protected no longer").done_or_doubtful();
    declare(&[a]);
    project.run("apply --prune --target b --yes --max-deletes 1").exits(0).prints("1 deleted").done_or_doubtful();
    assert_eq!(gateway.deleted().len(), 1);
}

/// Where a delete of what is protected is in doubt, every place that names a command names one that works.
#[cfg(feature = "failpoints")]
#[test]
fn p7_what_finishes_the_delete_of_a_protected_one_is_told_with_its_flag() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    project.declare("instances:\n  - {name: c, type: whatsapp, protect: true}\n  - {name: d, type: whatsapp}\n");
    project.run("apply").exits(0).done();
    for (name, more) in [("c", " --unprotect"), ("d", "")] {
        let words = format!("destroy {name} --yes --max-deletes 1{more}");
        let died = project.call(words.split(' ')).env("CHATAPI_FAILPOINT", "journal-after-retire_sent=kill").run();
        assert!(died.code > 1_000, "{died}");
        let way_on = format!("chatapi destroy {name}{more}");
        let shown = project.run("doubts").exits(3);
        assert!(shown.stdout.lines().any(|line| line == format!("    settle    {way_on}")), "{shown}");
        for line in ["drift".to_owned(), format!("state rm {name}"), format!("release {name}")] {
            let run = project.run(&line);
            assert!(run.stderr.contains(&format!("`{way_on}`")) || run.stdout.contains(&format!("`{way_on}`")), "{line}: {run}");
        }
        project.run(&words).exits(0).prints("1 deleted").done();
        project.run("doubts").exits(0).done();
    }
}

/// A hint is typed as it stands, and what a label says stays one word.
#[test]
fn p4_what_was_said_is_told_in_quotes() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let declared =
        |kind: &str| format!("provider: {{kind: chatapi}}\ninstances: [{{name: a, type: {kind}, owner: 'B; touch it'}}]\n");
    project.declare(&declared("whatsapp_dev"));
    let run = project.call(["apply", "--target", "owner=B; touch it"]).run().exits(6);
    run.warns("--target 'owner=B; touch it' --replace a=").done_with("a type cannot be changed");
    assert_eq!(gateway.creates(), 1);
}
