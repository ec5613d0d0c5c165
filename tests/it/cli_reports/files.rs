//! `--…-into`: written whole, also when the run fails; seen to be writable before anything is sent; never hiding a worse end.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::{Step, commands, pairs};
use crate::stage::{Gateway, Project, manifest};

const ALL: &str = "--json-into out.json --markdown-into out.md --dotenv-into out.env";

fn json(project: &Project) -> Value {
    serde_json::from_str(&project.read("out.json")).unwrap()
}

#[test]
fn the_files_hold_what_is_printed_in_their_format_and_text_is_printed_beside_them() {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=refuse:limit reached"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    let printed = project.run("plan --format json").exits(0).json();
    project.run(&format!("plan {ALL}")).exits(0).prints("Plan: 3 to create, 0 unchanged.");
    assert_eq!(json(&project), printed);
    assert!(project.read("out.md").contains("**Plan: 3 to create, 0 unchanged.**"));
    let counts = "CHATAPI_CHANGED=true\nCHATAPI_CREATE_COUNT=3\nCHATAPI_DELETE_COUNT=0\nCHATAPI_IN_DOUBT_COUNT=0\nCHATAPI_REFUSED_COUNT=0\n";
    let hash = printed["plan_hash"].as_str().unwrap();
    assert_eq!(project.read("out.env"), format!("{counts}CHATAPI_PLAN_HASH={hash}\nCHATAPI_EXIT_CODE=0\n"));
    assert!(project.read("out.md").contains(hash));
    project.run(&format!("apply --parallelism 1 {ALL}")).exits(3).prints("a created as");
    let document = json(&project);
    assert_eq!((&document["exit_code"], &document["summary"]["refused"]), (&3.into(), &1.into()));
    let markdown = project.read("out.md");
    let attempt = project.attempt("b");
    for part in ["b is in doubt", &format!("chatapi resolve b --attempt {attempt} --not-created"), "limit reached", "exit code 3"]
    {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    assert!(project.read("out.env").contains(
        "CREATE_COUNT=1\nCHATAPI_DELETE_COUNT=0\nCHATAPI_IN_DOUBT_COUNT=1\nCHATAPI_REFUSED_COUNT=1\nCHATAPI_PLAN_HASH="
    ));
    assert_eq!(
        fs::read_dir(project.dir())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "new"))
            .count(),
        0
    );
}

#[test]
fn a_run_that_fails_early_writes_its_files_too() {
    let project = Project::new("instances:\n  - {name: a, type: whatsap}\n");
    project.run(&format!("plan {ALL}")).exits(1);
    let document = json(&project);
    assert_eq!((&document["exit_code"], &document["diagnostics"][0]["range"]["start"]["line"]), (&1.into(), &2.into()));
    let markdown = project.read("out.md");
    assert!(
        markdown.contains("**Stopped with exit code 1.**") && markdown.contains("error: instances.yaml:2:21: "),
        "{markdown}"
    );
    assert_eq!(project.read("out.env"), "CHATAPI_EXIT_CODE=1\n");

    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run(&format!("apply {ALL}")).exits(1);
    assert_eq!(json(&project)["notices"][0]["message"], "the server's address is not set");
    project
        .call(format!("apply {ALL}").split(' '))
        .env("CI", "true")
        .env("CHATAPI_URL", "http://127.0.0.1:1/")
        .env("CHATAPI_API_KEY", "KeyKeyKeyKey")
        .run()
        .exits(8);
    let document = json(&project);
    assert_eq!(document["exit_code"], 8);
    assert!(document["notices"][0]["hints"].as_array().unwrap().len() >= 2, "{document}");
}

#[test]
fn a_guard_that_stops_a_run_stands_at_the_top() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run(&format!("apply --max-creates 1 {ALL}")).exits(6);
    let markdown = project.read("out.md");
    assert!(markdown.contains("**Stopped: nothing was sent.**") && markdown.contains("--max-creates 2"), "{markdown}");
    assert!(markdown.find("error: ").unwrap() < markdown.find("`a`").unwrap(), "{markdown}");
    assert_eq!((&json(&project)["exit_code"], gateway.requests()), (&6.into(), 0));
    assert!(project.read("out.env").starts_with("CHATAPI_CHANGED=false\nCHATAPI_CREATE_COUNT=0\n"));
}

#[test]
fn p4_a_file_that_cannot_be_written_stops_a_run_before_it_sends() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    fs::create_dir(project.path("directory")).unwrap();
    project.run("apply --max-creates 0").exits(6);
    project.write("chatapi.lock", project.read("chatapi.lock"));
    symlink("instances.yaml", project.path("link")).unwrap();
    for (words, why) in [
        ("--json-into missing/out.json", "cannot write the report missing/out.json"),
        ("--markdown-into directory", "cannot write the report directory"),
        ("--json-into state/journal.jsonl", "in a state's directory"),
        ("--dotenv-into state/new", "in a state's directory"),
        ("--json-into instances.yaml", "read by this very run"),
        ("--json-into ./directory/../instances.yaml", "read by this very run"),
        ("--json-into link", "read by this very run"),
        ("--json-into chatapi.lock", "that is a lock file's name"),
        ("--json-into same --markdown-into ./same", "another report goes there"),
    ] {
        let before = (project.copy_of_state(), project.read("instances.yaml"), project.read("chatapi.lock"));
        for verb in ["plan", "apply"] {
            project.run(&format!("{verb} {words}")).exits(1).warns(why).done_with(if verb == "apply" {
                "nothing was sent"
            } else {
                why
            });
        }
        assert_eq!(before, (project.copy_of_state(), project.read("instances.yaml"), project.read("chatapi.lock")), "{words}");
    }
    assert_eq!(gateway.requests(), 0);
}

#[test]
fn a_file_that_fails_at_the_end_is_told_and_hides_nothing_worse() {
    // A device that takes no byte is found out only by writing.
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a"]);
    let failing = |words: &str, code: i32| {
        project.run(&format!("{words} --json-into /dev/full")).exits(code).warns("cannot write the report /dev/full")
    };
    failing("plan", 1).done_with("Plan: 1 to create");
    failing("plan --detailed-exitcode", 1).done_with("Plan: 1 to create");
    failing("apply", 4).done_with("1 created");
    failing("apply", 1).done_with("Nothing to do");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    failing("apply", 3).done_with("1 in doubt");
    project.run("plan --json-into /dev/null --markdown-into /dev/stdout").exits(3).prints("<!-- chatapi-plan ");
}

#[test]
fn a_link_is_replaced_and_not_followed_and_an_old_report_goes() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.write("precious", "mine");
    symlink("precious", project.path("out.json")).unwrap();
    project.write("out.md", "x".repeat(100_000));
    project.run(&format!("plan {ALL}")).exits(0).done();
    assert_eq!((project.read("precious").as_str(), json(&project)["summary"]["create"].as_u64()), ("mine", Some(1)));
    assert!(project.read("out.md").len() < 2_000);
}

/// What can still be written tells that the rest cannot.
#[test]
fn p8_a_report_that_is_refused_at_the_start_is_told_by_all_others() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let step = Step::new(&project);
    let run =
        step.call(&project, "apply --init --json-into missing/x --markdown-into out.md --junit-into out.xml").run().exits(1);
    assert!(commands(&run)[0].starts_with("::error title=chatapi::cannot write the report missing/x"), "{run}");
    assert_eq!(step.outputs(), pairs(&[("exit_code", "1")]));
    for text in [project.read("out.md"), project.read("out.xml"), step.summary()] {
        assert!(text.contains("cannot write the report missing/x"), "{text}");
    }
    let step = Step::new(&project);
    let run = step.call(&project, "apply --init --events --format json").run().exits(1);
    assert_eq!((step.outputs(), run.stdout.as_str()), (pairs(&[("exit_code", "1")]), ""));
    assert_eq!(gateway.requests(), 0);
}

/// A device is written through, and after what stands there already; the link to it stays what it is.
#[test]
fn a_link_to_standard_output_is_written_through_also_into_a_file() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    symlink("/dev/stdout", project.path("link")).unwrap();
    symlink("link", project.path("further")).unwrap();
    for target in ["further", "link", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let printed = project.path("printed");
        let call = project.call(["plan", "--markdown-into", target]).stdout_to(File::create(&printed).unwrap());
        let run = call.run().exits(0);
        let text = fs::read_to_string(&printed).unwrap();
        let (plain, markdown) = (text.find("Plan: 1 to create, 0 unchanged.\n"), text.find("<!-- chatapi-plan "));
        assert!(plain.is_some() && plain < markdown, "{target}: {text} {run}");
        assert!(["link", "further"].iter().all(|name| fs::symlink_metadata(project.path(name)).unwrap().is_symlink()));
    }
    project.run("plan --markdown-into link").exits(0).prints("<!-- chatapi-plan ").done();
}

#[test]
fn p5_no_neighbour_of_a_file_that_is_written_is_touched() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let mine = ["out.json.new", "out.md.new", "chatapi.lock.new", ".env.new", "schema.json.new", "plan.json.new"];
    let mine = mine.into_iter().chain([".chatapi-0.new", ".chatapi-2.new", "manual.new"]);
    mine.clone().for_each(|name| project.write(name, name));
    symlink("out.json.new", project.path(".chatapi-1.new")).unwrap();
    project.run(&format!("apply {ALL} --write-outputs dotenv=.env")).done();
    project.run("schema --out schema.json").done();
    project.run("output --out out.json").done();
    project.run("plan --out plan.json").done();
    fs::rename(project.path("instances.yaml"), project.path("before.yaml")).unwrap();
    project.write("instances.yaml.new", "instances.yaml.new");
    project.run("init").done();
    for name in mine.chain(["instances.yaml.new"]) {
        assert_eq!(project.read(name), name);
    }
    assert!(fs::symlink_metadata(project.path(".chatapi-1.new")).unwrap().is_symlink());
    assert!(!project.path(".chatapi-3.new").exists());
}
