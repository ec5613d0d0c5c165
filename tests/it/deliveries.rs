//! Outputs that an apply promises: it is a success only when they are there, and until then they are owed (P3, P8, P11).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::stage::{Gateway, Project, manifest};

const APPLY: &str = "apply --write-outputs dotenv=.env --write-outputs json=out/all.json";

fn project(gateway: &Gateway, names: &[&str]) -> Project {
    let project = Project::at(&gateway.url(), names);
    fs::create_dir(project.path("out")).unwrap();
    project
}

/// Both files hold every token of `gateway`, and nobody else can read them.
fn are_delivered(gateway: &Gateway, project: &Project) {
    for file in [".env", "out/all.json"] {
        let text = project.read(file);
        for token in gateway.tokens().values() {
            assert!(text.contains(token.as_str()), "{file}");
        }
        assert_eq!(fs::metadata(project.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let _ = project.run("output --retry").exits(0).prints("No output is owed.");
}

#[test]
fn p8_an_apply_delivers_what_it_promised_and_says_no_token() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let run = project.run(APPLY).exits(0).warns("wrote 2 instances to .env (dotenv)").warns("out/all.json (json)");
    assert!(gateway.tokens().values().all(|token| !run.to_string().contains(token.as_str())), "{run}");
    are_delivered(&gateway, &project);
    project.run("state verify").exits(0).done();
    // The next one has nothing to create, and delivers again: somebody may have taken the files away.
    fs::remove_file(project.path(".env")).unwrap();
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c"]));
    let document = project.run(&format!("{APPLY} --format json")).exits(0).json();
    assert_eq!(document["outputs_owed"], 0);
    are_delivered(&gateway, &project);
    assert_eq!(gateway.creates(), 3);
}

#[test]
fn p4_an_output_that_cannot_be_written_stops_the_run_before_it_sends() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    fs::create_dir(project.path("folder")).unwrap();
    for (words, told) in [
        ("json=missing/all.json", "the output missing/all.json cannot be written"),
        ("json=folder", "the output folder cannot be written"),
        ("json=state/all.json", "it is in the state's directory"),
        ("json=all.json --write-outputs dotenv=./all.json", "two outputs go to"),
        ("xml=all.xml", "known are json, yaml, dotenv"),
        ("all.json", "write FORMAT=FILE"),
        ("json=", "a file is missing behind"),
    ] {
        let _ = project.run(&format!("apply --write-outputs {words}")).exits(1).warns(told);
    }
    assert_eq!(gateway.requests(), 0);
    assert!(!project.path("all.json").exists());
}

#[test]
fn p11_sealed_tokens_need_a_key_before_anything_is_sent() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    let public = |name: &str| project.run(&format!("key generate --output {name}")).exits(0).stdout;
    let (key, _) = (public("key.txt"), public("other.txt"));
    let key = key.lines().find_map(|line| line.split_whitespace().find(|word| word.starts_with("chatapi-pub1-"))).unwrap();
    let project = project.with("CHATAPI_SEAL_TO", key);
    let _ = project.run(APPLY).exits(1).warns("tokens are sealed, and no key at hand opens them").warns("nothing was sent");
    let _ = project.run(&format!("{APPLY} --identity other.txt")).exits(1).warns("no key at hand opens them");
    assert_eq!(gateway.requests(), 0);
    project.run(&format!("{APPLY} --identity key.txt")).exits(0).done();
    are_delivered(&gateway, &project);
}

#[test]
fn p7_a_doubt_keeps_no_output_back() {
    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = project(&gateway, &["a", "b"]);
    let _ = project.run(&format!("{APPLY} --parallelism 1")).exits(3).warns("wrote 1 instance to .env");
    let text = project.read(".env");
    assert!(text.contains("CHATAPI_B_TOKEN=") && !text.contains("CHATAPI_A_"), "{text}");
}

#[test]
fn a_run_that_a_guard_stopped_owes_nothing() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a", "b"]);
    let _ = project.run(&format!("{APPLY} --max-creates 1")).exits(6);
    let _ = project.run("output --retry").exits(0).prints("No output is owed.");
    assert!(!project.path(".env").exists());
}

#[cfg(feature = "failpoints")]
mod failing {
    use super::{APPLY, are_delivered, project};
    use crate::stage::Gateway;

    #[test]
    fn p8_what_could_not_be_delivered_is_owed_and_the_run_is_no_success() {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a", "b"]);
        let run = project.call(APPLY.split(' ')).env("CHATAPI_FAILPOINT", "output-before=error").run().exits(4);
        let run = run.prints("Apply: 2 created").warns("it stays owed; `chatapi output --retry` writes it");
        assert!(run.stderr.contains("out/all.json (json)"), "one failure keeps no other back: {run}");
        let _ = project.run("output --retry").exits(0).prints("Delivered: 1 of 1 output.");
        are_delivered(&gateway, &project);
        let call = project.call(APPLY.split(' ')).env("CHATAPI_FAILPOINT", "output-before=error@2");
        let document = call.env("CHATAPI_FORMAT", "json").run().exits(4).json();
        assert_eq!((&document["outputs_owed"], &document["exit_code"]), (&1.into(), &4.into()));
        project.run(APPLY).exits(0).done();
        are_delivered(&gateway, &project);
        assert_eq!(gateway.creates(), 2);
    }

    #[test]
    fn p1_p8_a_run_that_dies_before_its_outputs_owes_them() {
        for point in ["outputs-owed", "output-before", "output-written"] {
            let gateway = Gateway::start(&[]);
            let project = project(&gateway, &["a", "b"]);
            let died = project.call(APPLY.split(' ')).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
            assert!(died.code > 1_000, "{point}: {died}");
            let _ = project.run("output --retry").exits(0).prints("Delivered: 2 of 2 outputs.");
            project.run("apply").exits(0).done();
            project.run(APPLY).exits(0).done();
            are_delivered(&gateway, &project);
            assert_eq!(gateway.creates(), 2, "{point}");
        }
    }
}
