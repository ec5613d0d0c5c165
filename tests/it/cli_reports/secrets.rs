//! No report shows the key or a token, whatever the server does (P11).

use super::Step;
use crate::stage::{Gateway, OtherGateway, Project, Reply, is_free_of};

const CANARY: &str = "CanaryKey7Zq0Zq1Zq2Zq3Zq4Zq5Z";
const INTO: &str =
    "--json-into out/a.json --markdown-into out/a.md --junit-into out/a.xml --gitlab-into out/a.gl --dotenv-into out/a.env";

/// Every report of plan and apply, in every format, as a GitHub job and as an Azure one.
fn every_report_is_silent(project: &Project, tokens: impl Fn() -> Vec<String>) {
    std::fs::create_dir(project.path("out")).unwrap();
    for line in ["plan", "apply --init", "apply", "plan --detailed-exitcode", "validate"] {
        for format in ["--events", "--format markdown", "--format json", "-vvv"] {
            if line == "validate" && format.contains("markdown") {
                continue;
            }
            let step = Step::new(project);
            let into = if line == "validate" { "" } else { INTO };
            let words = format!("{line} {format} {into}");
            let call = step.call(project, words.trim_end()).env("CHATAPI_LOG", "trace").env("TF_BUILD", "True");
            let run = call.run();
            let secrets = [vec![CANARY.to_owned()], tokens()].concat();
            is_free_of(&secrets, &run.stdout, &words);
            is_free_of(&secrets, &run.stderr, &words);
            is_free_of(&secrets, &step.summary(), &words);
            is_free_of(&secrets, &format!("{:?}", step.outputs()), &words);
            for (path, bytes) in Project::files(&project.path("out")) {
                assert!(!bytes.is_empty(), "{}", path.display());
                is_free_of(&secrets, &String::from_utf8_lossy(&bytes), &path.display().to_string());
            }
        }
    }
}

#[test]
fn p11_no_report_shows_a_secret_whatever_the_server_does() {
    let refuse = format!("create=refuse:no such uid {CANARY} here");
    for rules in [&[][..], &["create:nth=2=drop-after"], &[refuse.as_str()], &["create=no-token"], &["create:nth=1=garbage"]] {
        let gateway = Gateway::start(rules);
        let project = Project::at(&gateway.url(), &["a", "b", "c"]).with("CHATAPI_API_KEY", CANARY);
        every_report_is_silent(&project, || gateway.tokens().into_values().collect());
        assert!(gateway.requests() > 0, "{rules:?}");
    }
    let server = OtherGateway::start(|asked| Reply::new(400, format!("{{\"error\":{:?}}}", asked.echo())));
    let project = Project::at(&server.url(), &["a", "b", "c"]).with("CHATAPI_API_KEY", CANARY);
    let project = project.with("CHATAPI_ALLOW_UNKNOWN", "all");
    every_report_is_silent(&project, Vec::new);
    assert!(server.creates() > 0);
}
