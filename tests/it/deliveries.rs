//! Outputs that an apply promises: it is a success only when they are there, and until then they are owed (P3, P8, P11).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::stage::{Gateway, OtherGateway, Project, Reply, eventually, manifest};

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
        ("json=state/all.json", "it is in a state's directory"),
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

/// Two names of which only one can have the variable: found out before either is paid for.
#[test]
fn p4_names_that_would_share_a_variable_stop_the_run_before_it_sends() {
    for rules in [&[][..], &["create:nth=1=drop-after"]] {
        let gateway = Gateway::start(rules);
        let project = project(&gateway, &["eu-1"]);
        let _ = project.run("apply");
        project.declare("instances: [{name: eu.1, type: whatsapp_dev}]");
        let requests = gateway.requests();
        for format in ["dotenv", "shell", "docker-env", "github-env", "k8s-secret"] {
            let words = format!("apply --write-outputs json=all.json --write-outputs {format}=x");
            let run = project.run(&words).exits(1).warns("`eu-1` and `eu.1` would both be written as CHATAPI_EU_1_");
            run.warns("nothing was sent").done_with("chatapi state mv");
        }
        assert_eq!(gateway.requests(), requests);
        let _ = project.run("output --retry").exits(0).prints("No output is owed.");
        assert!(!project.path("x").exists() && !project.path("all.json").exists());
        project.run("apply --write-outputs json=all.json --write-outputs yaml=all.yaml").done_or_doubtful();
        assert_eq!(gateway.creates(), 2);
        assert!(project.read("all.json").contains("eu.1"));
    }
}

#[test]
fn p4_a_value_that_a_format_cannot_hold_stops_the_run_before_it_sends() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    project.run("apply").done();
    let _ = project.call(["token", "set", "a", "--replace"]).input("a'b\"c#d").run().exits(0);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let requests = gateway.requests();
    let run = project.run(APPLY).exits(1).warns("the output .env cannot be written").warns("dotenv cannot hold the value of");
    assert!(!run.warns("nothing was sent").stderr.contains("a'b"));
    assert_eq!(gateway.requests(), requests);
    project.run("apply --write-outputs shell=vars.sh").done();
}

#[test]
fn p8_an_apply_without_outputs_tells_what_an_earlier_one_owes() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    project.run("apply").done();
    let owed =
        |file: &str| serde_json::json!({"version": 1, "outputs": {project.path(file).to_str().unwrap(): {"format": "json"}}});
    project.write("state/outputs.json", owed("owed.json").to_string());
    for line in ["apply", "apply --write-outputs dotenv=.env"] {
        let run = project.run(line).exits(0).warns("an earlier apply still owes outputs: owed.json");
        let _ = run.warns("`chatapi output --retry` writes them");
    }
    let document = project.run("apply --json-into report.json").exits(0);
    assert!(!document.stdout.contains("owes") && project.read("report.json").contains("\"exit_code\": 0"), "{document}");
    let run = project.run("apply --write-outputs json=./out/../owed.json").exits(0);
    assert!(!run.stderr.contains("still owes"), "{run}");
    assert!(!project.run("apply").exits(0).stderr.contains("still owes"));
}

/// Nothing was promised, so nothing is said to be owed.
#[test]
fn p8_a_signal_before_the_run_is_on_record_delivers_nothing_and_owes_nothing() {
    let (listed, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (tell, end) = (Arc::clone(&listed), Arc::clone(&is_over));
    let server = OtherGateway::start(move |asked| {
        assert!(!asked.is_create());
        tell.store(true, Ordering::SeqCst);
        eventually("the run is over", || end.load(Ordering::SeqCst));
        Reply::new(404, "")
    });
    let project = Project::at(&server.url(), &["a"]);
    fs::create_dir(project.path("out")).unwrap();
    // A delivery would fail, and be told.
    let rule = if cfg!(feature = "failpoints") { "output-before=error" } else { "" };
    let apply = project.call(APPLY.split(' ')).env("CHATAPI_FAILPOINT", rule).start();
    eventually("the account is listed", || listed.load(Ordering::SeqCst));
    apply.signal(Signal::TERM);
    let run = apply.wait().exits(143).warns("stopped by SIGTERM before any output was promised: none was written");
    is_over.store(true, Ordering::SeqCst);
    assert!(!run.stderr.contains("stays owed"), "{run}");
    let _ = project.run("output --retry").exits(0).prints("No output is owed.");
    assert!(!project.path(".env").exists() && server.creates() == 0);
}

/// What is owed is not known then: that is told, and waits for nobody.
#[test]
fn p8_a_damaged_list_of_what_is_owed_is_no_empty_one() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, &["a"]);
    project.run(APPLY).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let list = project.path("state/outputs.json");
    let requests = gateway.requests();
    let is_told = |told: &str| {
        let _ = project.run("output --retry").exits(1).warns(told).warns("then remove it: `rm -r ");
        let _ = project.run(APPLY).exits(1).warns(told).warns("nothing was sent");
        let _ = project.run("apply --max-creates 0").exits(6).warns(told).warns("warning");
        assert_eq!(gateway.requests(), requests, "{told}");
    };
    for (content, told) in [
        ("", "cannot be used: it is damaged"),
        ("{}", "cannot be used: it is damaged"),
        ("{\"version\":1,\"outputs\":{", "cannot be used: it is damaged"),
        ("{\"version\":1,\"outputs\":{},\"more\":1}", "cannot be used: it is damaged"),
        ("{\"version\":2,\"owed\":[]}", "cannot be used: a newer version of chatapi wrote it"),
    ] {
        fs::write(&list, content).unwrap();
        is_told(told);
    }
    fs::write(&list, " ".repeat(2 << 20)).unwrap();
    is_told("cannot be used: it is too long");
    fs::remove_file(&list).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &list, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    is_told("cannot be used: it is no file");
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    is_told("cannot be used: it is no file");
    fs::remove_dir(&list).unwrap();
    symlink("../instances.yaml", &list).unwrap();
    let _ = project.run("output --retry").exits(1).warns("cannot read state/outputs.json");
    fs::remove_file(&list).unwrap();
    project.run(APPLY).done();
    are_delivered(&gateway, &project);
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

    /// What no output can hold is told by whoever writes it.
    #[test]
    fn p7_p8_a_retry_is_no_success_while_something_is_in_doubt() {
        let gateway = Gateway::start(&["create:nth=2=drop-after"]);
        let project = project(&gateway, &["a", "b"]);
        let line = "apply --parallelism 1 --write-outputs json=all.json";
        let _ = project.call(line.split(' ')).env("CHATAPI_FAILPOINT", "output-before=error").run().exits(3);
        let run = project.run("output --retry").exits(3).prints("Delivered: 1 of 1 output.");
        let _ = run.warns("in doubt, and left out: b");
        let _ = project.run("output --retry").exits(0).prints("No output is owed.");
    }

    #[test]
    fn p8_one_place_that_is_gone_keeps_no_other_output_back() {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a"]);
        std::fs::create_dir(project.path("sub")).unwrap();
        let line = "apply --write-outputs json=sub/all.json --write-outputs yaml=all.yaml";
        let faults = "output-before=error,output-before=error";
        let _ = project.call(line.split(' ')).env("CHATAPI_FAILPOINT", faults).run().exits(4);
        std::fs::remove_dir(project.path("sub")).unwrap();
        let run = project.run("output --retry").exits(4).prints("Delivered: 1 of 2 outputs.");
        let _ = run.warns("sub/all.json cannot be written");
        assert!(project.read("all.yaml").contains("token"));
        std::fs::create_dir(project.path("sub")).unwrap();
        let _ = project.run("output --retry").exits(0).prints("Delivered: 1 of 1 output.");
    }

    /// With tokens in them, and where git would take them.
    #[test]
    fn p11_what_a_killed_run_has_left_beside_an_output_is_gone_after_the_next() {
        let gateway = Gateway::start(&[]);
        let project = project(&gateway, &["a"]);
        project.run("apply").exits(0).done();
        let left = project.path(".chatapi-0.new");
        let killed = |_| {
            let died =
                project.call(["output", "--reveal", "--out", "o.json"]).env("CHATAPI_FAILPOINT", "replace-written=kill").run();
            assert!(died.code > 1_000, "{died}");
        };
        killed(0);
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
        std::fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
        killed(1);
        assert!(left.exists() && !project.path(".chatapi-1.new").exists(), "its name is used again");
        std::fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
        project.run("output --reveal --out o.json").exits(0).done();
        assert!(!left.exists() && project.read("o.json").contains("token"));
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
