//! One long session at trace level, with everything that can go wrong: no secret stands anywhere that it should not (T15, T16).

use std::collections::BTreeMap;

use crate::stage::{Gateway, Project, Run, is_free_of, manifest};

/// A key whose every escaped form differs from it.
const KEY: &str = "Canary\"Key\\7Zq0/Zq1+Zq2=Zq3&Zq4%Zq5Z";
/// A token that an operator gives.
const GIVEN: &str = "GivenByHand8Xw0/Xw1+Xw2=Xw3~Xw4";

/// The session, and what it has to keep to itself.
struct Session {
    project: Project,
    secrets: Vec<String>,
    /// What each command printed, until all secrets are known.
    printed: BTreeMap<String, String>,
}

impl Session {
    fn new(url: &str) -> Self {
        let project = Project::at(url, &["a", "b", "c", "d"]).with("CHATAPI_API_KEY", KEY);
        std::fs::create_dir(project.path("tmp")).unwrap();
        let project = ["TMPDIR", "TMP", "TEMP"].into_iter().fold(project, |project, name| {
            let tmp = project.path("tmp");
            project.with(name, tmp)
        });
        let project = project.with("CHATAPI_LOG", "trace").with("RUST_LOG", "trace").with("RUST_BACKTRACE", "full");
        Self { project, secrets: vec![KEY.to_owned(), GIVEN.to_owned()], printed: BTreeMap::new() }
    }

    /// Runs `line` in both formats of logs, the second time as it was left by the first.
    fn says(&mut self, line: &str) -> Run {
        self.input(line, "")
    }

    fn input(&mut self, line: &str, input: &str) -> Run {
        let format = if self.printed.len().is_multiple_of(2) { "text" } else { "json" };
        let words = line.split(' ').chain(["-vvv", "--log-format", format]);
        let run = self.project.call(words).input(input).run();
        self.printed.insert(format!("{:03} {line}", self.printed.len()), format!("{run}"));
        run
    }

    /// No output and no file has a secret; in the state itself, the journal alone has tokens, and the key is nowhere.
    fn is_clean(&self, tokens: impl Iterator<Item = String>) {
        let secrets: Vec<String> = self.secrets.iter().cloned().chain(tokens).collect();
        for (line, text) in &self.printed {
            is_free_of(&secrets, text, line);
        }
        for (path, bytes) in Project::files(self.project.dir()) {
            let may_have_tokens = path.ends_with("journal.jsonl");
            let looked_for = if may_have_tokens { &secrets[..1] } else { &secrets[..] };
            is_free_of(looked_for, &String::from_utf8_lossy(&bytes), &path.display().to_string());
        }
        assert_eq!(std::fs::read_dir(self.project.path("tmp")).unwrap().count(), 0, "nothing is left in the temporary directory");
    }
}

#[test]
fn t15_t16_a_whole_session_at_trace_level_shows_no_secret() {
    let refuse = format!("create:nth=4=refuse:no account {}", KEY.replace(['"', '\\', '%'], "x"));
    let rules = ["create:nth=2=drop-after", "create:nth=3=status-after:500", refuse.as_str(), "create:nth=5=truncate:150"];
    let gateway = Gateway::start(&rules);
    let mut session = Session::new(&gateway.url());
    session.says("init first.yaml").done();
    session.says("validate").done();
    session.says("plan").done();
    session.says("apply --parallelism 1 --timeout 2s").exits(3);
    session.says("doubts --format json").exits(3);
    session.says("doubts --refresh").exits(3);
    let attempt = session.project.attempt("b");
    let known = session.project.ids();
    let id = gateway.tokens().into_keys().find(|id| !known.values().any(|known| known == id)).unwrap();
    session.input(&format!("resolve b --attempt {attempt} --created {id} --token-stdin --reason seen"), GIVEN).done();
    let attempt = session.project.attempt("c");
    session.says(&format!("resolve c --attempt {attempt} --created 999999")).exits(6);
    session.says(&format!("resolve c --attempt {attempt} --not-created --despite-list --reason told")).done();
    session.says("apply --parallelism 1 --timeout 2s").exits(3);
    session.says("apply --format json").exits(3);
    session.input("token set a --replace", GIVEN).done();
    session.input("token set a", GIVEN).exits(0);
    session.input("token set a", &format!("{GIVEN}y")).exits(1);
    session.input("token set a --replace", &format!("{GIVEN} {GIVEN}")).exits(1);
    for line in ["state list", "state list --format json", "state show", "state show a --format json", "state mv a z", "plan"] {
        let _ = session.says(line);
    }
    session.says("state show nobody").exits(1);
    session.says("apply --state elsewhere --lock-file other.lock --parallelism 1").exits(0);
    // A manifest with the key in it, broken in several ways.
    let good = session.project.read("instances.yaml");
    let key = serde_json::to_string(KEY).unwrap();
    for text in [
        format!("api_key: {key}\n{good}"),
        format!("provider: {{kind: chatapi, uid: {key}}}\ninstances: []\n"),
        format!("token: {key}\n{good}\n  - [\n"),
    ] {
        session.project.declare(&text);
        session.says("plan").exits(1);
        session.says("validate --format json").exits(1);
        session.project.declare(&good);
    }
    // Nobody there, another account, a broken address with the key in it.
    let url = gateway.url();
    let wrong = [("CHATAPI_URL", "http://127.0.0.1:1/"), ("CHATAPI_URL", "https://127.0.0.1:1/"), ("CHATAPI_API_KEY", GIVEN)];
    let unusable = [format!("{url}?uid={KEY}"), format!("http://{KEY}@127.0.0.1/"), format!("ftp://x/{KEY}"), KEY.to_owned()];
    for (name, value) in wrong.into_iter().chain(unusable.iter().map(|url| ("CHATAPI_URL", url.as_str()))) {
        for line in ["apply", "doubts --refresh --format json"] {
            let run = session.project.call(line.split(' ').chain(["-vvv"])).env(name, value).run();
            session.printed.insert(format!("{line} with another {name}, {}", session.printed.len()), format!("{run}"));
        }
    }
    std::fs::rename(session.project.state(), session.project.path("lost")).unwrap();
    session.says("apply").exits(8);
    session.says("state rebuild --from-lock chatapi.lock").done();
    session.says("doubts --refresh").exits(3);
    session.says("state rebuild --from-lock chatapi.lock").exits(1);
    session.project.declare(&manifest("{kind: emulator}", &["e"]));
    session.says("apply --state emulated --lock-file emulated.lock").done();
    let emulated = Project::files(&session.project.path("emulated/emulator"));
    std::fs::remove_dir_all(session.project.path("emulated/emulator")).unwrap();
    assert!(emulated.len() >= 2, "the ledger has tokens, as a server does");
    assert!(session.printed.len() >= 40 && gateway.tokens().len() >= 6, "{}", gateway.tokens().len());
    session.is_clean(gateway.tokens().into_values());
}
