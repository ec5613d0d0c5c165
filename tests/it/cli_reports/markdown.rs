//! `--format markdown`.

use std::fmt::Write as _;

use crate::stage::{Gateway, Project, manifest, snapshot, steady};

#[test]
fn plan_and_apply_print_markdown_and_nothing_else_on_stdout() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    for (line, code, file) in [
        ("plan --format markdown", 0, "plan-1.md"),
        ("apply --parallelism 1 --format markdown --title production", 3, "apply-1.md"),
        ("plan --format markdown", 3, "plan-2.md"),
    ] {
        let run = project.run(line).exits(code);
        assert!(run.stdout.starts_with("<!-- chatapi-"), "{run}");
        snapshot(&format!("reports/{file}"), &steady(&run.stdout));
    }
    project.declare("instances: [\n");
    let run = project.run("plan --format markdown").exits(1);
    snapshot("reports/plan-bad.md", &run.stdout);
}

#[test]
fn the_marker_stays_from_run_to_run_and_differs_from_state_to_state() {
    let marker = |project: &Project, words: &str| {
        let run = project.run(format!("plan --format markdown {words}").trim_end()).exits(0);
        run.stdout.lines().next().unwrap().to_owned()
    };
    let projects = ["a", "b"].map(|name| Project::new(&manifest("{kind: emulator}", &[name])));
    for project in &projects {
        project.run("apply").exits(0).done();
    }
    let [one, other] = &projects;
    assert_ne!(marker(one, ""), marker(other, ""));
    let before = marker(one, "");
    one.declare(&manifest("{kind: emulator}", &["a", "b"]));
    assert_eq!(marker(one, ""), before);
    assert_eq!(marker(one, "--title eu"), marker(other, "--title eu"));
    assert_ne!(marker(one, "--title eu"), marker(one, "--title us"));
}

#[test]
fn a_plan_of_five_thousand_is_within_its_budget() {
    let mut text = manifest("{kind: emulator}", &[]).replace(" []", "");
    for number in 0..5_000 {
        writeln!(text, "  - {{name: customer-support-number-{number:05}, type: whatsapp}}").unwrap();
    }
    let project = Project::new(&text);
    let run =
        project.run("plan --format markdown --json-into all.json").exits(0).prints("**Plan: 5000 to create, 0 unchanged.**");
    let rows = run.stdout.lines().filter(|line| line.contains("customer-support-number-")).count();
    assert!(run.stdout.chars().count() <= 60_000 && rows > 300, "{rows}");
    let run = run.prints(&format!("_{} more names do not fit here", 5_000 - rows));
    assert!(run.stdout.ends_with("exit code 0\n"));
    let document: serde_json::Value = serde_json::from_str(&project.read("all.json")).unwrap();
    assert_eq!(document["changes"].as_array().unwrap().len(), 5_000);
}

#[test]
fn other_commands_have_no_markdown_and_say_so() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    for line in ["validate", "state list", "doubts", "version", "init", "token get a"] {
        let run =
            project.run(&format!("{line} --format markdown")).exits(1).warns("only plan, show and apply").warns("--format json");
        assert!(run.stdout.is_empty(), "{run}");
    }
    project.run("plan --log-format markdown").exits(1).done_with("possible values: text, json");
    assert!(!project.state().exists());
}
