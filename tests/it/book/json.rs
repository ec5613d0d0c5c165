//! `docs/json.md`: each document with an example that the program has printed, and a table with exactly the members that real
//! documents have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{read, sections, with_blocks};
use crate::stage::{Gateway, KEY, OtherGateway, Project, Reply, kept, steady};

const MANIFEST: &str = "prices: {currency: EUR, whatsapp: 39.90}
instances:
  - {name: sandbox, type: whatsapp_dev}
  - {name: support-eu, type: whatsapp, labels: {tier: gold}, owner: retail, protect: true}
  - {name: support-us, type: whatsapp}
";
/// What differs from run to run, and what stands in its place in an example.
const EXAMPLES: [(&str, &str); 6] = [
    ("<TIME>", "2026-11-22T19:00:22.104512Z"),
    ("<ATTEMPT>", "a-2idhgzr74s"),
    ("<LINEAGE>", "2ac0b0d04e4b2a1d0d6ed8b0d7ffb3d4"),
    ("<HASH>", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("<PORT>", "8080"),
    ("<PLAN>", "p-fa4tiphijo"),
];

/// What commands have printed, by the heading of the page; the first of each is the example.
type Documents = BTreeMap<&'static str, Vec<String>>;

struct Collection {
    documents: Documents,
}

impl Collection {
    /// Runs `line` with `--format json` and keeps what it prints.
    #[track_caller]
    fn add(&mut self, title: &'static str, project: &Project, line: &str, code: i32) {
        let run = project.run(&format!("{line} --format json")).exits(code);
        let _ = run.json();
        self.documents.entry(title).or_default().push(run.stdout);
    }
}

fn in_ci(project: Project) -> Project {
    let job = [("GITHUB_SERVER_URL", "https://forge.example"), ("GITHUB_REPOSITORY", "team/gateways"), ("GITHUB_RUN_ID", "4711")];
    let project = job.iter().fold(project, |project, (name, value)| project.with(name, value));
    project.with("GITHUB_ACTOR", "deploy").with("GITHUB_SHA", "89bbf28e0c1f6c1cbd7a1e4c1a1fd2b0a9ad1a6b")
}

/// A saved plan, an apply of it that ends in doubt, and everything that looks at the state then.
fn common(all: &mut Collection) {
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let project = in_ci(Project::new(MANIFEST).with("CHATAPI_URL", gateway.url()).with("CHATAPI_API_KEY", KEY));
    all.add("init", &project, "init first.yaml", 0);
    all.add("init", &project, "init", 0);
    all.add("plan, show", &project, "plan --out plan.json", 0);
    all.add("plan, show", &project, "show plan.json", 0);
    all.add("apply", &project, "apply --parallelism 1 plan.json", 3);
    all.add("state list, state show NAME", &project, "state list", 0);
    all.add("state list, state show NAME", &project, "state show support-us", 0);
    all.add("state show", &project, "state show", 0);
    all.add("state history", &project, "state history sandbox", 0);
    all.add("state history", &project, "state history", 0);
    all.add("state verify", &project, "state verify", 0);
    all.add("doubts", &project, "doubts --refresh", 3);
    all.add("doubts", &project, "doubts", 3);
    all.add("token get", &project, "token get support-eu", 0);
    all.add("output", &project, "output support-eu", 0);
    all.add("output", &project, "output sandbox --reveal", 0);
    // Where temporary directories are, is an error to it or not.
    let run = project.run("doctor --format json");
    assert!(matches!(run.code, 0 | 1), "{run}");
    all.documents.entry("doctor").or_default().push(run.stdout);
    all.add("version", &project, "version", 0);
    all.add("Messages", &project, "state mv sandbox playground", 0);
}

/// What a run that is refused, stopped or guarded has besides.
fn stopped(all: &mut Collection) {
    let refusing = OtherGateway::start(|_| Reply::new(401, r#"{"error":"not you"}"#));
    let project = Project::at(&refusing.url(), &["a", "b"]);
    all.add("apply", &project, "apply --parallelism 1", 1);
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    all.add("apply", &project, "apply", 0);
    drifted(all);
    project.declare("instances:\n  - {name: a, type: whatsapp_dev}\n  - {name: b, type: whatsapp}\n");
    all.add("plan, show", &project, "plan --max-creates 0", 0);
    all.add("apply", &project, "apply --max-creates 0", 6);
    project.declare("instances:\n  - {name: b, type: whatsapp}\n");
    all.add("plan, show", &project, "plan", 0);
}

/// One in doubt, and one that somebody else has deleted.
fn drifted(all: &mut Collection) {
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let project = Project::new(MANIFEST).with("CHATAPI_URL", gateway.url()).with("CHATAPI_API_KEY", KEY);
    project.run("apply --parallelism 1").exits(3).done_or_doubtful();
    let settings = chatapi::Client::builder(gateway.url(), chatapi::secret::Secret::new(KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    client.delete_instance(&chatapi::instance::InstanceId::parse(&project.ids()["support-eu"]).unwrap()).unwrap();
    all.add("drift", &project, "drift instances.yaml", 0);
    all.add("drift", &project, "drift --expiring-within 60d", 0);
    let ids = project.ids();
    gateway.instance(&ids["sandbox"], "emulatorLink");
    all.add("status", &project, "status", 3);
    project.with_neighbour();
    all.add("drift", &project, "drift", 0);
    all.add("plan, show", &project, "plan --verify", 3);
}

fn manifests(all: &mut Collection) {
    let project = Project::new(
        "instances:\n  - {name: one, tpye: whatsapp}\n  - {name: two, type: whatsapp}\n  - {name: two, type: whatsapp}\n",
    );
    all.add("validate", &project, "validate", 1);
    project.declare(MANIFEST);
    all.add("validate", &project, "validate", 0);
}

/// One token is sealed to a key that is given, another to one that is not.
fn sealed(all: &mut Collection) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    all.add("key generate, key show", &project, "key generate --output one.txt", 0);
    all.add("key generate, key show", &project, "key generate --output two.txt", 0);
    let public = |file: &str| project.run(&format!("key show --identity {file}")).exits(0).stdout.trim().to_owned();
    let declare = |names: &str, key: String| project.declare(&format!("seal_to: [{key}]\ninstances: [{names}]\n"));
    declare("{name: support-eu, type: whatsapp}", public("one.txt"));
    project.run("apply").done();
    declare("{name: support-eu, type: whatsapp}, {name: support-us, type: whatsapp}", public("two.txt"));
    project.run("state rekey --only-new").done();
    project.run("apply").done();
    all.add("state export --reveal", &project, "state export --reveal --identity one.txt", 4);
}

/// An account with what is somebody else's, a doubt's and of no known type; and what a manifest settles there.
fn settled(all: &mut Collection) {
    let stranger = r#"{"result": {"6": {"type": "telegram"}, "100234": {"name": "Old desk", "type": "whatsapp", "apiUrl": "https://gateway.example/100234/"}}}"#;
    let other = OtherGateway::start(move |_| Reply::new(200, stranger));
    all.add("import --discover", &Project::at(&other.url(), &[]), "import --discover", 0);
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["old", "x"]);
    project.run("apply --parallelism 1").done_or_doubtful();
    all.add("import --discover", &project, "import --discover", 0);
    let made = gateway.tokens().into_keys().find(|id| *id != project.ids()["old"]).unwrap();
    let resolution = format!("resolutions: [{{name: x, attempt: {}, created: \"{made}\"}}]\n", project.attempt("x"));
    let text = crate::stage::manifest("{kind: chatapi}", &["new", "x"]) + "moved: [{from: old, to: new}]\n" + &resolution;
    project.declare(&text);
    all.add("plan, show", &project, "plan", 0);
    all.add("apply", &project, "apply", 3);
}

/// One that is gone, one that is kept, and one of which nobody knows.
fn deleted(all: &mut Collection) {
    let gateway = Gateway::start(&["delete:nth=2=refuse:not-yours", "delete:every=3=drop-before", "delete:nth=4=drop-before"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").done();
    all.add("destroy", &project, "destroy -y --max-deletes 3 --parallelism 1 a b c", 3);
    all.add("destroy", &project, "destroy b", 6);
    all.add("doubts", &project, "doubts", 3);
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    all.add("plan, show", &project, "plan --replace a", 0);
    project.run("apply --replace a").done();
    all.add("state list, state show NAME", &project, "state list", 0);
}

fn documents() -> Documents {
    let mut all = Collection { documents: Documents::new() };
    common(&mut all);
    stopped(&mut all);
    deleted(&mut all);
    manifests(&mut all);
    sealed(&mut all);
    settled(&mut all);
    all.documents
}

/// The members of a document, as the page writes them: `changes[].name`. Of a list at the top it is the members of its items.
fn members(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                // Members that are names of instances, or keys of labels.
                let key = match path {
                    "instances" => "NAME",
                    "changes[].labels" | "findings[].labels" | "drift.findings[].labels" => "KEY",
                    _ => key,
                };
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                members(value, &path, into);
                into.insert(path);
            }
        }
        Value::Array(items) => {
            let path = if path.is_empty() { String::new() } else { format!("{path}[]") };
            for item in items {
                members(item, &path, into);
            }
        }
        _ => {}
    }
}

/// A document as the page shows it: what differs from run to run and from machine to machine has its example.
fn example(text: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let line = |line: &str| {
        let line = match line.split_once("\": \"") {
            Some((key, _)) if key.ends_with("\"host") => format!("{key}\": \"runner\","),
            Some((key, value)) if key.ends_with("\"by") => {
                format!("{key}\": \"{}", value.replace(&format!(", {host},"), ", runner,"))
            }
            Some((key, _)) if key.ends_with("\"expires") => format!("{key}\": \"2026-11-23T19:00:22.104512Z\","),
            Some((key, _)) if key.ends_with("\"platform") => format!("{key}\": \"x86_64-linux\","),
            Some((key, value)) if key.ends_with("\"public") => format!(
                "{key}\": \"chatapi-pub1-hrTasuH9A7F1_pnW7H9Wc3AiU2J00h7q64pEasM25B2WBIJF{}",
                &value[value.find('"').unwrap()..]
            ),
            Some((key, value)) if key.ends_with("\"token") => {
                format!("{key}\": \"ioytl6ccc5r50fim{}", &value[value.find('"').unwrap()..])
            }
            _ => line.to_owned(),
        };
        line + "\n"
    };
    // The tests' build has what a release has not.
    let text: String = text.replace("[\n    \"failpoints\"\n  ]", "[]").lines().map(line).collect();
    EXAMPLES.iter().fold(without_ids(&steady(&text)), |text, (mark, example)| text.replace(mark, example))
}

/// The doctor's document with the checks alone that end alike on every machine.
fn alike(text: &str) -> String {
    let (head, checks) = text.split_once("    {\n").unwrap();
    let checks = checks.split("    {\n").map(|check| check.split_once("\n    }").unwrap().0);
    let is_kept = |check: &&str| ["manifest", "state", "sealing"].iter().any(|id| check.contains(&format!("\"id\": \"{id}\"")));
    let kept: Vec<&str> = checks.filter(is_kept).collect();
    let count = |status: &str| kept.iter().filter(|check| check.contains(&format!("\"status\": \"{status}\""))).count();
    let counted = head.lines().map(|line| match line.split_once("\": ") {
        Some((key, _)) if key.starts_with("    \"") => {
            let comma = if line.ends_with(',') { "," } else { "" };
            format!("{key}\": {}{comma}\n", count(key.trim_start_matches("    \"")))
        }
        _ => format!("{line}\n"),
    });
    let checks: Vec<String> = kept.iter().map(|check| format!("    {{\n{check}\n    }}")).collect();
    format!("{}{}\n  ]\n}}\n", counted.collect::<String>(), checks.join(",\n"))
}

/// The ids of plans and keys, which are drawn.
fn without_ids(text: &str) -> String {
    let is_drawn =
        |word: &str| word.len() == 12 && word.starts_with("p-") && word[2..].bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_key = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pieces = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let piece = |piece: &str| {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        match word {
            _ if is_drawn(word) => piece.replace(word, "<PLAN>"),
            _ if is_key(word) => piece.replace(word, "2cdb149b"),
            _ => piece.to_owned(),
        }
    };
    pieces.map(piece).collect()
}

#[test]
fn every_document_is_on_the_page_with_its_members_and_a_real_example() {
    let documents = documents();
    let page = read("docs/json.md");
    let sections = sections(&page);
    for (title, texts) in &documents {
        let section =
            sections.iter().find(|section| section.title == *title).unwrap_or_else(|| panic!("`## {title}` is missing"));
        let mut seen = BTreeSet::new();
        for text in texts {
            members(&serde_json::from_str(text).unwrap(), "", &mut seen);
        }
        if *title == "version" {
            // Only who builds a release says it.
            seen.insert("commit".to_owned());
        }
        let listed: BTreeSet<String> = section.first_cells.iter().flat_map(|cell| cell.split(", ")).map(str::to_owned).collect();
        let missing: Vec<_> = seen.difference(&listed).collect();
        let unseen: Vec<_> = listed.difference(&seen).collect();
        assert!(missing.is_empty() && unseen.is_empty(), "{title}: the page lacks {missing:?}; no document has {unseen:?}");
    }
    let mut shown = BTreeSet::new();
    let page = with_blocks(&page, |block| {
        let texts = documents.get(block.title.as_str()).filter(|_| block.words == "json")?;
        assert!(shown.insert(block.title.clone()), "{} has two examples", block.title);
        let text = if block.title == "doctor" { alike(&texts[0]) } else { texts[0].clone() };
        Some(example(&text))
    });
    assert_eq!(shown.len(), documents.len(), "each has an example: {shown:?}");
    kept("docs/json.md", &page);
}
