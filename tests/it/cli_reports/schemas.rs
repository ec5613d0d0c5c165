//! Every JSON document of the binary, held against its published schema by a validator that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use chatapi::report::schema::{SCHEMAS, schema};
use jsonschema::Validator;
use serde_json::Value;

use crate::stage::{Gateway, OtherGateway, Project, Reply, manifest};

/// What was printed, by schema.
#[derive(Default)]
struct Printed(BTreeMap<&'static str, Vec<Value>>);

impl Printed {
    fn push(&mut self, name: &'static str, document: Value) {
        self.0.entry(name).or_default().push(document);
    }

    fn run(&mut self, project: &Project, name: &'static str, line: &str) {
        let run = project.run(&format!("{line} --format json"));
        self.push(name, run.json());
    }

    fn events(&mut self, project: &Project, line: &str) {
        let run = project.run(&format!("{line} --events"));
        assert!(!run.stdout.is_empty(), "{run}");
        run.stdout.lines().for_each(|line| self.push("event", serde_json::from_str(line).unwrap()));
    }

    fn beside(&mut self, project: &Project, name: &'static str, line: &str) {
        let run = project.run(&format!("{line} --json-into out.json"));
        let text = project.read("out.json");
        self.push(name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {run}")));
    }
}

/// One of everything.
fn printed() -> Printed {
    let mut printed = Printed::default();
    doubts(&mut printed);
    deletes(&mut printed);
    guards(&mut printed);
    failures(&mut printed);
    saved_plan(&mut printed);
    settled(&mut printed);
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    printed.run(&project, "version", "version");
    printed.run(&project, "init", "init");
    printed.run(&project, "init", "init second.yaml");
    printed.run(&project, "key", "key generate --output key");
    // Before and after there is something to see, with and without tokens.
    for line in ["doctor", "doctor no-such-file.yaml"] {
        printed.run(&project, "doctor", line);
    }
    printed.run(&project, "output", "output");
    project.run("apply").exits(0).done();
    printed.run(&project, "doctor", "doctor");
    for line in ["output", "output a", "output --reveal"] {
        printed.run(&project, "output", line);
    }
    printed.run(&project, "message", "state mv a b");
    printed
}

fn doubts(printed: &mut Printed) {
    let rules = ["create:nth=2=drop-after", "create:nth=3=refuse:no", "create:nth=4=too-many:0", "create:nth=6=no-token"];
    let gateway = Gateway::start(&rules);
    let project = Project::at(&gateway.url(), &["a", "b", "c", "d", "e"]);
    printed.run(&project, "plan", "plan");
    printed.events(&project, "apply --parallelism 1");
    for (name, line) in [
        ("plan", "plan"),
        ("apply", "apply"),
        ("doubts", "doubts"),
        ("doubts", "doubts --refresh"),
        ("state-list", "state list"),
        ("state-show", "state show"),
        ("state-show-name", "state show a"),
        ("state-show-name", "state show b"),
        ("state-verify", "state verify"),
        ("state-history", "state history"),
    ] {
        printed.run(&project, name, line);
    }
    printed.events(&project, "plan");
    drifts(printed);
    let unsettled = OtherGateway::start(|_| Reply::new(503, ""));
    let project = Project::at(&unsettled.url(), &["x1", "x2"]);
    printed.beside(&project, "apply", "apply");
    printed.events(&project, "apply");
    let refusing = OtherGateway::start(|_| Reply::new(401, r#"{"error":"not you"}"#));
    let project = Project::at(&refusing.url(), &["a", "b", "c", "d", "e", "f"]);
    printed.beside(&project, "apply", "apply --parallelism 1");
    printed.events(&project, "apply");
}

/// One in doubt, one deleted by somebody else, and one that the server says is about to expire; each with what is declared.
fn drifts(printed: &mut Printed) {
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let project = Project::at(&gateway.url(), &[]);
    let entry = |name: &str| format!("{{name: {name}, type: whatsapp, labels: {{l: m}}, owner: o, protect: true}}");
    project.declare(&format!("instances: [{}, {}, {}]\n", entry("a"), entry("b"), entry("c")));
    project.run("apply --parallelism 1").exits(3).done_or_doubtful();
    let settings = chatapi::Client::builder(gateway.url(), chatapi::secret::Secret::new(crate::stage::KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    client.delete_instance(&chatapi::instance::InstanceId::parse(&project.ids()["a"]).unwrap()).unwrap();
    printed.run(&project, "drift", "drift --expiring-within 60d instances.yaml");
    project.with_neighbour();
    printed.run(&project, "drift", "drift");
    printed.run(&project, "plan", "plan --verify --expiring-within 60d");
    printed.events(&project, "plan --verify");
    // One is deleted, one shows a code, one is not concluded.
    printed.run(&project, "status", "status");
}

fn deletes(printed: &mut Printed) {
    let gateway = Gateway::start(&["delete:nth=1=refuse:no", "delete:nth=3=drop-before", "delete:nth=4=drop-before"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").done();
    printed.run(&project, "destroy", "destroy -y --max-deletes 3 --parallelism 1 a b c");
    printed.run(&project, "doubts", "doubts");
    printed.run(&project, "state-list", "state list");
    for name in ["a", "b", "c"] {
        printed.run(&project, "state-show-name", &format!("state show {name}"));
    }
    let gateway = Gateway::start(&["delete=drop-before"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    printed.run(&project, "destroy", "destroy -y --max-deletes 1 a");
    printed.run(&project, "doubts", "doubts");
    let gateway = Gateway::start(&["delete=too-many:300"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    let run = project.call("destroy -y --max-deletes 2 --parallelism 1 a b --format json".split(' ')).start();
    run.says("the server asks to wait");
    run.signal(rustix::process::Signal::TERM);
    printed.push("destroy", run.wait().exits(143).json());
    let gateway = Gateway::start(&["delete:nth=2=refuse:no"]);
    let project = Project::at(&gateway.url(), &[]);
    project.declare("instances: [{name: a, type: whatsapp, protect: true}, {name: b, type: whatsapp}, {name: c, type: whatsapp}, {name: d, type: whatsapp}]\n");
    project.run("apply").done();
    printed.run(&project, "plan", "plan --replace b");
    printed.events(&project, "plan --replace b");
    printed.run(&project, "apply", "apply --replace b");
    for name in ["state-list", "state-show-name"] {
        let line = if name == "state-list" { "state list".to_owned() } else { format!("state show {}", replaced(&project)) };
        printed.run(&project, name, &line);
    }
    printed.run(&project, "state-show-name", "state show a");
    project.declare("instances: [{name: b, type: whatsapp}]\n");
    printed.beside(&project, "plan", "plan --prune --max-deletes 1");
    printed.beside(&project, "apply", "apply --prune");
    project.declare("instances: [{name: a, type: whatsapp}, {name: b, type: whatsapp}]\n");
    printed.beside(&project, "plan", "plan --prune --target a");
    printed.beside(&project, "apply", "apply --prune --yes --max-deletes 3");
    printed.events(&project, "apply --prune --yes --max-deletes 3");
}

/// The name that a replaced instance has now.
fn replaced(project: &Project) -> String {
    project.ids().into_keys().find(|name| name.starts_with("b.")).unwrap()
}

fn guards(printed: &mut Printed) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    project.declare(
        &manifest("{kind: chatapi}", &["b", "c", "d"]).replace("{name: b, type: whatsapp}", "{name: b, type: whatsapp_dev}"),
    );
    printed.beside(&project, "plan", "plan");
    printed.beside(&project, "apply", "apply --max-creates 1");
    let elsewhere = Project::at(&gateway.url(), &["z"]).with("CI", "true");
    printed.beside(&elsewhere, "apply", "apply --init");
    printed.events(&project, "plan --max-creates 1");
    printed.events(&project, "apply --max-creates 1");
}

/// Of a pipeline's job, with prices, one of them missing.
fn saved_plan(printed: &mut Printed) {
    let gateway = Gateway::start(&[]);
    let job = ["a person", "https://forge.example", "team/gateways", "4711", "0123abc"];
    let names = ["GITHUB_ACTOR", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_SHA"];
    let project = Project::at(&gateway.url(), &[]);
    let project = names.into_iter().zip(job).fold(project, |project, (name, value)| project.with(name, value));
    project
        .declare("prices: {currency: EUR, whatsapp: 1}\ninstances: [{name: a, type: whatsapp, labels: {l: m}, owner: o, protect: true}, {name: b, type: whatsapp_dev}]\n");
    project.run("init").done();
    printed.run(&project, "plan", "plan --out plan.json");
    printed.run(&project, "plan", "show plan.json");
    printed.run(&project, "apply", "apply --write-outputs json=credentials.json plan.json");
    printed.beside(&project, "failure", "apply plan.json");
}

/// What exists already, on an account with instances of others.
fn settled(printed: &mut Printed) {
    let stranger = r#"{"result": {"6": {"type": "telegram"}, "7": {"type": "whatsapp", "apiUrl": "https://h.example/7/"}}}"#;
    let other = OtherGateway::start(move |_| Reply::new(200, stranger));
    printed.run(&Project::at(&other.url(), &[]), "import-discover", "import --discover");
    let gateway = Gateway::start(&["create:nth=3=drop-after"]);
    let settings = chatapi::Client::builder(gateway.url(), chatapi::secret::Secret::new(crate::stage::KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    let stray = client.create_instance(chatapi::instance::InstanceType::WhatsApp).unwrap().instance_parameters.id;
    let project = Project::at(&gateway.url(), &["old", "x"]);
    project.run("apply --parallelism 1 --allow-unknown 1").exits(3).done_or_doubtful();
    printed.run(&project, "import-discover", "import --discover");
    let ids = project.ids();
    let made = gateway.tokens().into_keys().find(|id| *id != stray.as_str() && *id != ids["old"]).unwrap();
    let sections = format!(
        "import: [{{name: desk, id: \"{stray}\", type: whatsapp}}]\nmoved: [{{from: old, to: new}}]\n\
         resolutions: [{{name: x, attempt: {}, created: \"{made}\"}}]\n",
        project.attempt("x")
    );
    project.declare(&(manifest("{kind: chatapi}", &["desk", "new", "x"]) + &sections));
    printed.run(&project, "plan", "plan");
    printed.events(&project, "plan");
    let copy = project.copy_of_state();
    printed.events(&project, "apply");
    project.restore(&copy);
    std::fs::remove_file(project.lock_file()).unwrap();
    printed.run(&project, "apply", "apply");
}

fn failures(printed: &mut Printed) {
    let project =
        Project::new("instances:\n  - {name: a, tpye: whatsapp}\n  - {name: b, type: whatsapp}\n  - {name: B, type: whatsapp}\n");
    printed.run(&project, "validate", "validate");
    printed.beside(&project, "failure", "plan");
    printed.events(&project, "validate");
    printed.events(&project, "plan");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    printed.run(&project, "validate", "validate");
    printed.events(&project, "validate");
    printed.beside(&project, "failure", "apply");
    printed.events(&project, "apply");
}

/// `schema` with no member left open: what it does not describe is an error then.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut members: serde_json::Map<_, _> = members.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            if members.get("properties").is_some_and(Value::is_object) && members.contains_key("required") {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            Value::Object(members)
        }
        Value::Array(items) => items.iter().map(closed).collect(),
        other => other.clone(),
    }
}

fn validator(schema: &Value) -> Validator {
    jsonschema::validator_for(schema).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn check(name: &str, schema: &Value, documents: &[Value]) {
    let validator = validator(schema);
    for document in documents {
        let errors: Vec<String> =
            validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}\n{document:#}");
    }
}

/// The members that `schema` describes.
fn described(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                into.extend(properties.keys().cloned());
            }
            members.values().for_each(|value| described(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| described(item, into)),
        _ => {}
    }
}

/// The members that stand in `document`.
fn seen(document: &Value, into: &mut BTreeSet<String>) {
    match document {
        Value::Object(members) => {
            into.extend(members.keys().cloned());
            members.values().for_each(|value| seen(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| seen(item, into)),
        _ => {}
    }
}

#[test]
fn every_document_is_as_its_schema_says_and_the_schema_says_all_and_no_more() {
    let Printed(printed) = printed();
    let names: Vec<&str> = SCHEMAS.iter().map(|(name, _)| *name).collect();
    assert_eq!(printed.keys().copied().collect::<Vec<_>>(), names, "each schema has a document");
    for (name, documents) in &printed {
        let schema: Value = serde_json::from_str(schema(name).unwrap()).unwrap();
        assert_eq!(schema["$id"], format!("urn:chatapi:schema:1:{name}"));
        check(name, &schema, documents);
        check(name, &closed(&schema), documents);
        let (mut members, mut met) = (BTreeSet::new(), BTreeSet::new());
        described(&schema, &mut members);
        for document in documents {
            seen(document, &mut met);
        }
        assert_eq!(members.difference(&met).collect::<Vec<_>>(), Vec::<&String>::new(), "{name}: described and never printed");
    }
}

#[test]
fn every_type_of_event_is_met_and_a_wrong_document_is_found() {
    let Printed(printed) = printed();
    let types: BTreeSet<&str> = printed["event"].iter().map(|event| event["type"].as_str().unwrap()).collect();
    let schema: Value = serde_json::from_str(schema("event").unwrap()).unwrap();
    let known = schema["oneOf"].as_array().unwrap().iter();
    let known: BTreeSet<&str> = known.map(|event| event["properties"]["type"]["const"].as_str().unwrap()).collect();
    assert_eq!(types, known);
    for (name, documents) in &printed {
        let schema: Value = serde_json::from_str(chatapi::report::schema::schema(name).unwrap()).unwrap();
        let mut wrong = documents[0].clone();
        match &mut wrong {
            Value::Object(members) => *members.values_mut().next().unwrap() = Value::from(-1.5),
            Value::Array(items) => items[0]["name"] = Value::from("../x"),
            _ => unreachable!("no document is bare"),
        }
        assert!(!validator(&schema).is_valid(&wrong), "{name}: {wrong}");
    }
}
