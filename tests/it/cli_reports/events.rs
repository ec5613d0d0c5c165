//! `--events`: what happens, as it happens, one JSON object a line.

use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Call, Gateway, OtherGateway, Project, Run, manifest};

fn events(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn types(run: &Run) -> Vec<String> {
    events(run).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn p7_a_run_is_told_from_version_to_end() {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=refuse:limit reached"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    let run = project.run("plan --events").exits(0);
    assert_eq!(types(&run), ["version", "planned_change", "planned_change", "planned_change", "change_summary", "end"]);
    let run = project.run("apply --events --parallelism 1").exits(3).warns("b is in doubt");
    let expected = [
        "version",
        "planned_change",
        "planned_change",
        "planned_change",
        "apply_start",
        "apply_complete",
        "apply_start",
        "apply_in_doubt",
        "apply_start",
        "apply_errored",
        "change_summary",
        "diagnostic",
        "end",
    ];
    assert_eq!(types(&run), expected);
    let events = events(&run);
    for event in &events {
        assert!(event["@message"].is_string() && event["@level"].is_string(), "{event}");
        event["@timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    assert_eq!((&events[5]["name"], &events[5]["id"]), (&"a".into(), &project.ids()["a"].clone().into()));
    assert_eq!((&events[7]["@level"], &events[7]["attempt"]), (&"error".into(), &project.attempt("b").into()));
    assert_eq!((&events[9]["result"], &events[10]["changes"]["refused"]), (&"refused".into(), &1.into()));
    assert_eq!(events[12]["exit_code"], 3);
    let run = project.run("plan --events --max-creates 0").exits(3);
    assert!(types(&run).contains(&"guard".to_owned()), "{run}");
}

#[test]
fn each_line_is_there_when_it_happens() {
    let (server, _made) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a", "b"]);
    server.hold();
    let apply = project.call(["apply", "--events", "--parallelism", "1"]).start();
    server.sees_creates(1);
    apply.prints_so_far("\"type\":\"apply_start\",\"name\":\"a\"");
    apply.signal(Signal::INT);
    apply.prints_so_far("\"progress\":\"stopping\"");
    server.release();
    let run = apply.wait();
    assert_eq!(types(&run).iter().filter(|word| *word == "apply_complete").count(), 1, "{run}");
    assert_eq!(events(&run).last().unwrap()["exit_code"], run.code);
}

#[test]
fn p1_a_reader_that_goes_away_does_not_break_an_apply() {
    let gateway = Gateway::start(&[]);
    let names = ["a", "b", "c", "d", "e", "f"];
    let project = Project::at(&gateway.url(), &names);
    let script = "\"$0\" apply --events --parallelism 1 | head -n 1; exit ${PIPESTATUS[0]}";
    let words = ["-c", script, env!("CARGO_BIN_EXE_chatapi")];
    let run = Call::of("bash", project.dir().to_owned(), words).envs(project.env()).run().exits(0);
    assert_eq!((types(&run), run.stderr.contains("roken pipe")), (vec!["version".to_owned()], false), "{run}");
    assert_eq!((gateway.creates(), project.ids().len()), (6, 6));
}

#[test]
fn problems_are_events_and_a_document_goes_elsewhere() {
    let project = Project::new("instances:\n  - {name: a, tpye: whatsapp}\n");
    for verb in ["validate", "plan", "apply"] {
        let run = project.run(&format!("{verb} --events")).exits(1);
        let events = events(&run);
        assert_eq!(events[1]["diagnostic"]["range"]["start"]["line"], 2, "{run}");
        assert_eq!(events.last().unwrap()["exit_code"], 1);
    }
    project.declare(&manifest("{kind: emulator}", &["a"]));
    for format in ["json", "markdown"] {
        project.run(&format!("apply --events --format {format}")).exits(1).done_with("--json-into FILE");
    }
    let run = project.call(["apply", "--json-into", "out.json"]).env("CHATAPI_EVENTS", "true").run().exits(0);
    assert_eq!(types(&run).last().unwrap(), "end");
    assert!(project.read("out.json").contains("\"created\": 1"));
}
