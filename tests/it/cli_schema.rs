//! `chatapi schema`: what editors check manifests by, held against the program's own reading by a validator that is not ours.

use std::path::Path;

use chatapi::instance::InstanceName;
use chatapi::manifest::{Manifest, Source};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::bad_inputs;
use crate::stage::Project;

/// Mistakes that a schema cannot see, for it is shown values and not the text: quotes, spellings of one value, other entries.
const UNSEEN: [&str; 1] = ["version 1.0"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    let schema = chatapi::manifest::schema();
    jsonschema::meta::validate(&schema).expect("it is a schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

/// The value of a file, as an editor has it; nothing where the file is no YAML.
fn value(text: &[u8]) -> Option<Value> {
    serde_yaml::from_slice(text).ok()
}

fn is_read(text: &[u8]) -> bool {
    Manifest::parse(&[Source::new("a.yaml", text)]).is_ok()
}

#[test]
fn the_committed_schema_is_the_programs() {
    let printed = Project::new("").run("schema").exits(0).stdout;
    let path = root().join("docs/schema/manifest.json");
    if std::env::var_os("CHATAPI_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &printed).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == printed, "docs/schema/manifest.json differs; if that is wanted: CHATAPI_BLESS=1");
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document, chatapi::manifest::schema());
    assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn it_is_written_to_a_file_that_anyone_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::new("");
    project.write("s.json", "old");
    project.run("schema manifest --out s.json").exits(0).prints("Schema in s.json.");
    assert_eq!(project.read("s.json"), project.run("schema").exits(0).stdout);
    assert_eq!(project.path("s.json").metadata().unwrap().permissions().mode() & 0o777, 0o644);
    project.run("schema --out no/such/dir/s.json").exits(1).warns("cannot write no/such/dir/s.json");
    project.run("schema nonsense").exits(1).warns("manifest");
}

#[test]
fn every_example_is_valid() {
    let validator = validator();
    for file in ["quickstart.yaml", "production.yaml", "team/sales.yaml", "team/support.yaml"] {
        let text = std::fs::read(root().join("examples").join(file)).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value(&text).unwrap()).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{file}");
    }
    for example in chatapi::manifest::schema()["examples"].as_array().unwrap() {
        assert!(validator.is_valid(example) && is_read(example.to_string().as_bytes()), "{example}");
    }
}

#[test]
fn what_the_program_refuses_for_its_shape_the_schema_refuses() {
    let validator = validator();
    let shapes = ["types", "unknown and misspelt keys", "keys that never stand in a manifest", "names", "what is settled, alone"];
    let mut refused = 0;
    for input in bad_inputs::all().iter().filter(|input| shapes.contains(&input.category)) {
        let Some(value) = value(&input.bytes) else { continue };
        if validator.is_valid(&value) {
            // Read again from the values alone, the program has nothing against it either: quotes and places were the mistake.
            let again = is_read(value.to_string().as_bytes());
            assert!(again || UNSEEN.contains(&input.why), "{}: {}: {value}", input.category, input.why);
        } else {
            refused += 1;
        }
    }
    assert!(refused > 90, "{refused}");
}

#[test]
fn what_the_schema_refuses_the_program_refuses() {
    let validator = validator();
    let key = chatapi::seal::Identity::generate().unwrap().recipient().unwrap().to_string();
    let instance = json!({"name": "a", "type": "whatsapp"});
    let mut values = vec![json!({}), json!([]), json!({"instances": null}), json!({"instances": [instance, 1]})];
    for version in [json!(1), json!(0), json!(2), json!("1"), json!(null), json!(true)] {
        values.push(json!({"version": version, "instances": []}));
    }
    for provider in [
        json!({}),
        json!({"kind": "chatapi"}),
        json!({"kind": "emulator", "exclusive": true}),
        json!({"exclusive": "true"}),
        json!({"kind": null}),
        json!({"kind": "x"}),
        json!(null),
        json!("emulator"),
        json!({"url": "x"}),
    ] {
        values.push(json!({"provider": provider, "instances": []}));
    }
    for keys in [json!([key]), json!([key, key]), json!([]), json!(null), json!(key), json!(["x"]), json!([1])] {
        values.push(json!({"seal_to": keys, "instances": []}));
    }
    for kind in ["whatsapp", "whatsapp_dev", "WhatsApp", "WhatsAppDev", "WHATSAPP", "telegram", ""] {
        values.push(json!({"instances": [{"name": "a", "type": kind}]}));
    }
    let (mut accepted, mut refused) = (0, 0);
    for value in &values {
        let is_valid = validator.is_valid(value);
        assert_eq!(is_valid, is_read(value.to_string().as_bytes()), "{value}");
        *(if is_valid { &mut accepted } else { &mut refused }) += 1;
    }
    assert!(accepted >= 10 && refused >= 20, "{accepted} {refused}");
}

#[test]
fn names_are_the_same_to_both() {
    let validator = validator();
    let devices = ["con", "prn", "aux", "nul", "com1", "com9", "lpt1", "lpt9", "com0", "com10", "console"];
    let mut names: Vec<String> =
        devices.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase(), format!("{name}.a")]).collect();
    names.extend([1, 2, 62, 63, 64].map(|length| "x".repeat(length)));
    names.extend(
        ["", "a.", "a..b", ".a", "-a", "_a", "a-", "a_", "é", "aé", "a b", "a\n", "a/b", "A.b_c-9", "2027", "nul-1"]
            .map(str::to_owned),
    );
    for name in names {
        let value = json!({"instances": [{"name": name, "type": "whatsapp"}]});
        assert_eq!(validator.is_valid(&value), InstanceName::parse(&name).is_ok(), "{name:?}");
    }
}
