//! Every mistake is found, in its place, without a panic, and without showing what must not be shown (P4, P11, P13).

use std::collections::BTreeMap;

use chatapi::diagnostic::{Colour, Diagnostics};
use chatapi::manifest::{Manifest, Source};
use chatapi::text::is_hidden;

use crate::bad_inputs::{self, BadInput};

/// Stands in the table where a secret would stand.
const SENTINEL: &str = "SENTINEL";

const GOOD: &str = "\
version: 1
provider: {kind: \"emulator\", exclusive: false} # both may be left out
instances:
  - name: support-eu
    type: whatsapp
  - {name: 'two', type: WhatsAppDev}
";

fn parse(bytes: &[u8]) -> Result<Manifest, Diagnostics> {
    Manifest::parse(&[Source::new("instances.yaml", bytes)])
}

fn found(problems: &Diagnostics) -> Vec<(String, &str)> {
    let place = |span: chatapi::diagnostic::Span| format!("{}:{}", span.start.line, span.start.column);
    problems.iter().map(|problem| (problem.span().map_or(String::new(), place), problem.summary())).collect()
}

fn check(input: &BadInput) {
    let BadInput { category, why, bytes, place, problem, count } = input;
    let Err(problems) = parse(bytes) else { panic!("{category}: {why}: accepted") };
    let found = found(&problems);
    let is_found = found.iter().any(|(at, summary)| at == place && summary.contains(problem));
    assert!(is_found, "{category}: {why}: `{problem}` at {place} is not among {found:?}");
    assert_eq!(problems.len(), *count, "{category}: {why}: {found:?}");
    let shown = problems.render(Colour::Plain);
    let data = serde_json::to_string(&problems.to_data()).unwrap();
    for text in [&shown, &data] {
        assert!(!text.contains(SENTINEL), "{category}: {why}: {text}");
        assert!(text.chars().all(|c| c == '\n' || !is_hidden(c)), "{category}: {why}: {text}");
        assert!(!text.contains("##vso[") && !text.contains("##teamcity["), "{category}: {why}: {text}");
    }
    assert!(!shown.lines().any(|line| line.trim_start().starts_with("::")), "{category}: {why}: {shown}");
    assert!(shown.len() < 200_000 && data.len() < 1_000_000, "{category}: {why}: what is shown is bounded");
}

#[test]
fn p4_p11_p13_every_bad_input_is_refused_in_its_place() {
    let inputs = bad_inputs::all();
    inputs.iter().for_each(check);
    let mut categories: BTreeMap<&str, usize> = BTreeMap::new();
    for input in &inputs {
        *categories.entry(input.category).or_default() += 1;
    }
    for (category, least) in [
        ("encoding", 20),
        ("syntax", 40),
        ("duplicate keys and names", 15),
        ("aliases and bombs", 20),
        ("tags and includes", 12),
        ("types", 30),
        ("unknown and misspelt keys", 15),
        ("keys that never stand in a manifest", 15),
        ("names: path", 25),
        ("names: text", 25),
        ("instance types", 15),
        ("patterns", 12),
        ("counts and lists", 20),
        ("attributes and variables", 20),
    ] {
        assert!(categories.get(category).is_some_and(|count| *count >= least), "{category}: {categories:?}");
    }
}

const QUOTE_IT: &str = "if a placeholder is meant, put the whole value in quotes, as in `name: \"shop-{n:03}\"`";

#[test]
fn a_bad_input_says_what_to_do() {
    for (text, help) in [
        ("instances:\n  - {name: a, tpye: whatsapp}\n", "did you mean `type`?"),
        ("instances:\n  - {Name: a, type: whatsapp}\n", "did you mean `name`?"),
        ("instances:\n  - {name: a, type: watsapp}\n", "did you mean `whatsapp`?"),
        ("instances:\n  - {name: a, type: WHATSAPP}\n", "did you mean `whatsapp`?"),
        ("instances:\n  - {name: a, type: whatsapp-dev}\n", "did you mean `whatsapp_dev`?"),
        ("instances:\n  - {name: 012, type: whatsapp}\n", "write it in quotes: \"012\""),
        ("instances:\n  - {name: no, type: whatsapp}\n", "write it in quotes: \"no\""),
        ("instances:\n", "write `instances: []` if none is wanted"),
        ("instances:\n  - support-eu\n", "write `- name: support-eu` and its `type` below"),
        ("instances: []\nurl: https://h\n", "remove it and set the environment variable CHATAPI_URL"),
        ("instances: []\nexclusive: true\n", "`exclusive` belongs under `provider`"),
        ("instances: []\nprovider: {kind: emulater}\n", "did you mean `emulator`?"),
        ("instances:\n  - {name: shop-{n:03}, type: whatsapp, count: 3}\n", QUOTE_IT),
        ("instances:\n  - {name: {n}, type: whatsapp, count: 3}\n", QUOTE_IT),
        ("instances:\n  - {name: {n}-x-{n:03}, type: whatsapp, count: 3}\n", QUOTE_IT),
        (
            "instances:\n  - {name: shop, type: whatsapp}\n  - {name: w-2, type: whatsapp}\nimport:\n  \
             - {name: w-1, id: \"1\", type: whatsapp}\n  - {name: w-2, id: \"2\", type: whatsapp}\n",
            "declare it under `instances`, or say here what it is called there; if it is wanted no longer, take this entry out",
        ),
        (
            "instances:\n  - {name: shop-1, type: whatsapp}\n  - {name: shop-2, type: whatsapp}\nimport:\n  \
             - {name: shap-1, id: \"1\", type: whatsapp}\n  - {name: shop-2, id: \"2\", type: whatsapp}\n",
            "did you mean `shop-1`?",
        ),
    ] {
        let problems = parse(text.as_bytes()).unwrap_err();
        let advice: Vec<_> = problems.iter().filter_map(chatapi::diagnostic::Diagnostic::advice).collect();
        assert_eq!(advice, [help], "{text}");
    }
}

#[test]
fn all_problems_of_all_files_come_in_one_run_in_order() {
    let sources = [
        Source::new("b.yaml", "instances:\n  - {name: one, tpye: whatsapp}\n  - {name: two, type: x}\nfoo: 1\n"),
        Source::new("a.yaml", "instances: [\n"),
        Source::new("c.yaml", &b"\xff"[..]),
    ];
    let problems = Manifest::parse(&sources).unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .map(|problem| {
            let start = problem.span().unwrap().start;
            format!("{}:{}:{}", problem.file().unwrap(), start.line, start.column)
        })
        .collect();
    assert_eq!(places, ["b.yaml:2:17", "b.yaml:3:23", "b.yaml:4:1", "a.yaml:1:12", "c.yaml:1:1"]);
}

#[test]
fn a_name_in_two_files_is_reported_with_both_places() {
    let one = Source::new("a.yaml", "instances:\n  - name: shop.eu\n    type: whatsapp\n");
    for (name, summary) in [("shop.eu", "duplicate name `shop.eu`"), ("Shop-EU", "the names `shop.eu` and `Shop-EU` are twins")] {
        let two = Source::new("b.yaml", format!("\u{feff}instances:\r\n- type: whatsapp\r\n  name: {name}\r\n"));
        let problems = Manifest::parse(&[one.clone(), two]).unwrap_err();
        let shown = problems.render(Colour::Plain);
        assert_eq!(problems.iter().next().unwrap().summary(), summary);
        assert!(shown.contains("--> b.yaml:3:9\n") && shown.contains("first declared at a.yaml:2:11"), "{shown}");
        assert!(shown.contains(&format!("3 |   name: {name}\n")), "{shown}");
    }
}

#[test]
fn providers_that_differ_between_files_are_refused() {
    let file = |label, provider| Source::new(label, format!("{provider}instances: []\n"));
    let emulator = file("a.yaml", "provider: {kind: emulator}\n");
    for (provider, is_accepted) in [
        ("", true),
        ("provider: {kind: emulator}\n", true),
        ("provider: {kind: emulator, exclusive: false}\n", true),
        ("provider: {kind: chatapi}\n", false),
        ("provider: {kind: emulator, exclusive: true}\n", false),
    ] {
        let outcome = Manifest::parse(&[emulator.clone(), file("b.yaml", provider)]);
        assert_eq!(outcome.is_ok(), is_accepted, "{provider}");
        if let Err(problems) = outcome {
            assert!(problems.render(Colour::Plain).contains("first said at a.yaml:1:1"), "{provider}");
        }
    }
}

#[test]
fn p13_no_prefix_and_no_changed_byte_makes_it_panic() {
    let good = GOOD.as_bytes();
    assert!(parse(good).is_ok());
    for end in 0..good.len() {
        let _ = parse(&good[..end]).map_err(|problems| problems.render(Colour::Plain));
    }
    for at in 0..good.len() {
        for byte in *b"\0\t\n\r !\"#%&'*,-:<>?@[]{}|\\`~0a\x80\xe2\xff" {
            let mut changed = good.to_vec();
            changed[at] = byte;
            if let Err(problems) = parse(&changed) {
                assert!(!problems.is_empty() && !problems.render(Colour::Ansi).is_empty());
            }
        }
        let mut shorter = good.to_vec();
        shorter.remove(at);
        let _ = parse(&shorter).map_err(|problems| problems.render(Colour::Plain));
    }
}

#[test]
fn p11_a_secret_stays_hidden_wherever_the_file_is_cut_or_broken() {
    let text = format!("instances:\n  - name: a\n    type: whatsapp\n    api_key: \"{SENTINEL}\"\nprovider:\n  kind: emulator\n");
    let secret = text.find(SENTINEL).unwrap()..text.find(SENTINEL).unwrap() + SENTINEL.len();
    let key = text.find("api_key").unwrap()..text.find("api_key").unwrap() + "api_key:".len();
    for at in (0..text.len()).filter(|at| !secret.contains(at) && !key.contains(at)) {
        for part in ["", "\"", "[", "{", ": ", "\t", "\n", "&", "*", "!", "#", "|"] {
            let broken = format!("{}{part}{}", &text[..at], &text[at..]);
            if let Err(problems) = parse(broken.as_bytes()) {
                let shown = problems.render(Colour::Plain);
                assert!(!shown.contains(SENTINEL), "{part:?} at {at}: {shown}");
            }
        }
    }
}
