//! What a step of a GitHub job finds: annotations on the manifest's lines, outputs, a summary; and how that is switched off.

use std::fmt::Write as _;
use std::fs;

use super::{Step, commands, pairs};
use crate::stage::{Gateway, OtherGateway, Project, Reply, manifest};

#[test]
fn problems_are_annotated_on_their_lines_by_every_command_that_reads_manifests() {
    let project = Project::new("instances:\n  - {name: a, tpye: whatsapp}\n  - {name: ../b, type: whatsapp}\n");
    for verb in ["validate", "plan", "apply", "validate --format json", "plan --format json"] {
        let step = Step::new(&project);
        let run = step.call(&project, verb).run().exits(1);
        let commands = commands(&run);
        assert!(
            commands
                .iter()
                .any(|line| line.starts_with("::error file=instances.yaml,line=2,col=15,title=chatapi%3A manifest::unknown key")),
            "{run}"
        );
        assert!(commands.iter().any(|line| line.starts_with("::error file=instances.yaml,line=3,")), "{run}");
        assert!(!run.stdout.contains("::error"), "{run}");
        let outputs = if verb.starts_with("validate") { vec![] } else { pairs(&[("exit_code", "1")]) };
        assert_eq!(step.outputs(), outputs, "{verb}");
        assert_eq!(step.summary().is_empty(), verb.starts_with("validate"), "{verb}");
    }
}

#[test]
fn a_file_is_named_from_the_workspace() {
    let project = Project::new("");
    fs::create_dir_all(project.path("infra/eu")).unwrap();
    project.write("infra/eu/instances.yaml", "instances: 1\n");
    let step = Step::new(&project);
    let run = step.call(&project, "validate infra/eu/instances.yaml").run().exits(1);
    assert!(commands(&run)[0].starts_with("::error file=infra/eu/instances.yaml,line=1,"), "{run}");
    let words = ["-c", "cd infra/eu && \"$0\" validate; \"$0\" validate ../eu/instances.yaml", env!("CARGO_BIN_EXE_chatapi")];
    let call = crate::stage::Call::of("bash", project.dir().to_owned(), words).env("GITHUB_ACTIONS", "true");
    let run = call.env("GITHUB_WORKSPACE", project.dir()).run().exits(1);
    assert!(commands(&run)[0].starts_with("::error file=infra/eu/instances.yaml,line=1,"), "{run}");
}

#[test]
fn p7_a_job_hears_of_refused_and_doubtful_names_and_gets_numbers_and_a_summary() {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=refuse:limit reached"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    let step = Step::new(&project);
    step.call(&project, "plan").run().exits(0).done();
    let hash = project.run("plan --checksum").exits(0).stdout;
    let counts =
        [("changed", "true"), ("create_count", "3"), ("delete_count", "0"), ("in_doubt_count", "0"), ("refused_count", "0")];
    let rest = [("plan_hash", hash.trim_end()), ("exit_code", "0")];
    assert_eq!(step.outputs(), pairs(&[counts.as_slice(), rest.as_slice()].concat()));
    fs::write(&step.outputs, "").unwrap();
    let run = step.call(&project, "apply --init --parallelism 1").run().exits(3).prints("a created as");
    let commands = commands(&run);
    assert!(
        commands[0].starts_with("::error file=instances.yaml,line=5,col=12,title=chatapi::c refused: limit reached"),
        "{run}"
    );
    assert!(commands[1].starts_with("::warning file=instances.yaml,line=4,col=12,title=chatapi::b is in doubt since "), "{run}");
    assert_eq!(commands.len(), 2, "{run}");
    assert_eq!(
        step.outputs(),
        pairs(&[
            ("changed", "true"),
            ("create_count", "1"),
            ("delete_count", "0"),
            ("in_doubt_count", "1"),
            ("refused_count", "1"),
            ("plan_hash", hash.trim_end()),
            ("exit_code", "3")
        ])
    );
    // Both are in it, one below the other.
    let summary = step.summary();
    let (plan, apply) = (summary.find("<!-- chatapi-plan").unwrap(), summary.find("\n<!-- chatapi-apply").unwrap());
    assert!(plan < apply, "{summary}");
}

#[test]
fn a_guard_is_annotated_and_sends_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    let step = Step::new(&project);
    let run = step.call(&project, "apply --init --max-creates 1").run().exits(6);
    assert!(commands(&run)[0].starts_with("::error title=chatapi%3A stopped by a guard::2 instances would be created"), "{run}");
    assert!(step.outputs().contains(&("exit_code".to_owned(), "6".to_owned())));
    assert_eq!(gateway.requests(), 0);
}

#[test]
fn t10_t11_only_our_own_commands_reach_the_runner() {
    let evil = "x\\n::set-output name=a::b\\n##[group]y ::error::z ##vso[task.x] ";
    let server = OtherGateway::start(move |_| Reply::new(400, format!(r#"{{"error":"{evil}"}}"#)));
    let names: Vec<String> = (0..40).map(|number| format!("n{number:02}")).collect();
    let project = Project::at(&server.url(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let step = Step::new(&project);
    let run = step.call(&project, "apply --init --allow-unknown all").run().exits(1);
    let commands = commands(&run);
    assert_eq!(commands.len(), 10, "{run}");
    assert!(commands.iter().all(|line| line.starts_with("::error ")), "{run}");
    assert_eq!(commands[9], "::error title=chatapi::31 more, told in the log");
    assert!(!run.stderr.contains("##vso[") && !run.stdout.contains("##vso["), "{run}");
    assert!(!step.summary().lines().any(|line| line.trim_start().starts_with("::")), "{}", step.summary());
    assert_eq!(step.outputs().len(), 7, "{:?}", step.outputs());

    let run = project.call(["apply", "--allow-unknown", "all"]).env("TF_BUILD", "True").run().exits(1);
    let issues = run.stderr.lines().filter(|line| line.contains("##vso[")).collect::<Vec<_>>();
    assert_eq!(issues.len(), 10, "{run}");
    assert!(
        issues.iter().all(|line| line.starts_with("##vso[task.logissue type=error") && line.matches("##vso[").count() == 1),
        "{run}"
    );
}

#[test]
fn json_on_stdout_stays_json_and_never_means_never() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let step = Step::new(&project);
    assert_eq!(step.call(&project, "plan --format json").run().exits(0).json()["summary"]["create"], 1);
    assert_eq!(step.outputs()[0], ("changed".to_owned(), "true".to_owned()));
    project.declare("instances: 1\n");
    for line in ["plan --ci-reports never", "validate --ci-reports never", "apply --ci-reports never"] {
        let step = Step::new(&project);
        let run = step.call(&project, line).run().exits(1);
        assert!(commands(&run).is_empty() && step.outputs().is_empty() && step.summary().is_empty(), "{run}");
    }
    let step = Step::new(&project);
    let run = step.call(&project, "plan").env("CHATAPI_CI_REPORTS", "never").run().exits(1);
    assert!(commands(&run).is_empty() && step.outputs().is_empty(), "{run}");
    let run = step.call(&project, "plan").without("GITHUB_ACTIONS").run().exits(1);
    assert!(commands(&run).is_empty() && step.outputs().is_empty(), "outside GitHub: {run}");
}

#[test]
fn a_summary_keeps_within_what_is_shown_and_outputs_that_fail_are_an_error() {
    let mut text = manifest("{kind: emulator}", &[]).replace(" []", "");
    for number in 0..2_000 {
        writeln!(text, "  - {{name: customer-support-number-{number:05}, type: whatsapp}}").unwrap();
    }
    let project = Project::new(&text);
    for (present, has_room) in
        [(0, true), (1_000_000, true), (1_048_576 - 20_000, true), (1_048_576 - 2_000, false), (2_000_000, false)]
    {
        let step = Step::new(&project);
        fs::write(&step.summary, "x".repeat(present)).unwrap();
        let run = step.call(&project, "plan").run().exits(0);
        let length = step.summary().len();
        assert_eq!(run.stderr.contains("the job's summary cannot be written"), !has_room, "{present}: {run}");
        assert_eq!(length > present, has_room, "{present}");
        assert!(length <= present.max(1_048_576), "{present}: {length}");
    }
    let step = Step::new(&project);
    let run = step.call(&project, "plan").env("GITHUB_OUTPUT", project.path("missing/file")).run().exits(1);
    run.warns("GITHUB_OUTPUT").done_with("--ci-reports never");
    step.call(&project, "plan").env("GITHUB_STEP_SUMMARY", project.path("missing/file")).run().exits(0).done_with("summary");
}

/// Later steps decide by the outputs: without them nothing is begun. A summary is a pity.
#[test]
fn p4_what_github_named_is_looked_at_before_anything_is_sent() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    fs::create_dir(project.path("folder")).unwrap();
    let pipe = project.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let reader = || rustix::fs::open(&pipe, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK, rustix::fs::Mode::empty());
    let mut places = vec![project.path("missing/file"), project.path("folder"), pipe.clone()];
    for _ in 0..2 {
        for place in &places {
            let step = Step::new(&project);
            let run = step.call(&project, "apply --init --json-into out.json").env("GITHUB_OUTPUT", place).run().exits(1);
            let run = run.warns("GITHUB_OUTPUT").warns("nothing was sent").warns("--ci-reports never");
            assert!(commands(&run)[0].starts_with("::error title=chatapi::cannot write the step"), "{run}");
            assert!(step.summary().contains("exit code 1") && project.read("out.json").contains("\"exit_code\": 1"), "{run}");
            let run = step.call(&project, "plan").env("GITHUB_STEP_SUMMARY", place).run().exits(0);
            assert_eq!(run.stderr.matches("the job's summary cannot be written").count(), 1, "{run}");
            assert!(step.outputs().contains(&("exit_code".to_owned(), "0".to_owned())));
        }
        // With a reader it can be opened, and is a pipe still.
        let _reader = reader().unwrap();
        places = vec![pipe.clone()];
    }
    assert_eq!(gateway.requests(), 0);
    // What takes no byte is found out only by writing: the run's own result stands.
    let step = Step::new(&project);
    let run = step.call(&project, "apply --init --json-into out.json").env("GITHUB_OUTPUT", "/dev/full").run().exits(4);
    run.prints("Apply: 1 created").warns("GITHUB_OUTPUT").done_with("a created as");
    assert!(step.summary().contains("1 created") && project.read("out.json").contains("\"created\": 1"));
}
