//! Every value in every format: read back as it was, or refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatapi::report::credentials::{Credential, Grammar, Prefix, RenderError, SecretPlace, Shape, masks, render};
use serde::Deserialize;

use super::values::{all, credential, tokens};
use crate::properties::readers::{self, Variables};

/// A delimiter as the program draws them.
pub(super) const DELIMITER: &str = "chatapi_0123456789abcdef0123456789abcdef";

/// The line formats by name, and who reads each.
type Row = (&'static str, Grammar<'static>, &'static [fn(&str) -> Variables]);
const LINES: [Row; 4] = [
    ("shell", Grammar::Shell, &[readers::shell]),
    ("dotenv", Grammar::Dotenv, &[readers::python_dotenv, readers::node_dotenv]),
    ("docker-env", Grammar::DockerEnv, &[readers::docker]),
    ("github-env", Grammar::GithubEnv { delimiter: DELIMITER }, &[readers::github]),
];

/// The variables that `credentials` are.
pub(super) fn expected(credentials: &[Credential], tokens: &[String]) -> Variables {
    let of = |(credential, token): (&Credential, &String)| {
        let stem = format!("CHATAPI_{}", credential.name.as_str().to_ascii_uppercase());
        let url = credential.api_url.as_ref().unwrap().to_string();
        let values =
            [("TYPE", "whatsapp".to_owned()), ("ID", credential.id.to_string()), ("API_URL", url), ("TOKEN", token.clone())];
        values.map(|(field, value)| (format!("{stem}_{field}"), value))
    };
    credentials.iter().zip(tokens).flat_map(of).collect()
}

/// Those of `values` that `grammar` takes, in one text: one of them could reach into its neighbours.
pub(super) fn accepted(grammar: Grammar<'_>, values: &[String]) -> (String, Variables, usize) {
    let shape = Shape::Lines(grammar, Prefix::default());
    let numbered = values.iter().enumerate().map(|(number, value)| (credential(&format!("v{number}"), value), value.clone()));
    let (credentials, taken): (Vec<_>, Vec<_>) = numbered.filter(|(one, _)| is_taken(one, &shape)).unzip();
    let text = render(&credentials, &shape).unwrap().expose().to_owned();
    (text, expected(&credentials, &taken), taken.len())
}

fn is_taken(credential: &Credential, shape: &Shape<'_>) -> bool {
    match render(std::slice::from_ref(credential), shape) {
        Ok(_) => true,
        Err(RenderError::Value { variable, .. }) => {
            assert!(variable.ends_with("_TOKEN"), "{variable}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_value_is_read_back_as_it_was_or_refused() {
    for (what, grammar, readers) in LINES {
        for values in [all(1_500), tokens(1_500)] {
            let (text, expected, count) = accepted(grammar, &values);
            assert!(count > 500, "{what} takes only {count}");
            for read in readers {
                let got = read(&text);
                let wrong: Vec<_> = expected.iter().filter(|(name, value)| got.get(*name) != Some(value)).take(3).collect();
                assert!(
                    wrong.is_empty() && got.len() == expected.len(),
                    "{what}: {wrong:?}, {} of {}",
                    got.len(),
                    expected.len()
                );
            }
            assert!(!text.contains("##vso[") && !text.lines().any(|line| line.starts_with("::")), "{what}");
            assert!(text.chars().all(|c| c == '\n' || !chatapi::text::is_hidden(c)), "{what}");
        }
    }
}

#[test]
fn what_each_grammar_refuses_and_nothing_more() {
    let refused = |grammar: Grammar<'_>| {
        let shape = Shape::Lines(grammar, Prefix::default());
        let values = tokens(5_000);
        values.into_iter().filter(|value| !is_taken(&credential("a", value), &shape)).collect::<Vec<_>>()
    };
    for (what, grammar, _) in LINES {
        for value in refused(grammar) {
            let is_command = value.contains("##[") || value.starts_with("::");
            let is_ambiguous = value.contains("${") || value.contains(['\'', '"', '`', '#']) && value.contains(['\'', '\\', '"']);
            assert!(is_command || what == "dotenv" && is_ambiguous, "{what} refuses `{value}`");
        }
    }
    for (grammar, value, is_good) in [
        (Grammar::Dotenv, "a'b\"c\\d$e", true),
        (Grammar::Dotenv, "C:\\dir\\name", true),
        (Grammar::Dotenv, "a'b #c\nd", true),
        (Grammar::Dotenv, "a'b\"c#d", false),
        (Grammar::Dotenv, "a\\\\ b", false),
        (Grammar::Dotenv, "a${b}", false),
        (Grammar::Shell, "a${b}\n'`\\", true),
        (Grammar::Shell, "a\0b", false),
        (Grammar::Shell, "a\n::debug::b", false),
        (Grammar::DockerEnv, " # '\"${x} ", true),
        (Grammar::DockerEnv, "a\nb", false),
        (Grammar::DockerEnv, "a\r", false),
        (Grammar::GithubEnv { delimiter: DELIMITER }, "a\nCHATAPI_X=b\n", true),
        (Grammar::GithubEnv { delimiter: DELIMITER }, DELIMITER, false),
        (Grammar::GithubEnv { delimiter: DELIMITER }, "a\r\nb", false),
    ] {
        let shape = Shape::Lines(grammar, Prefix::default());
        assert_eq!(is_taken(&credential("a", value), &shape), is_good, "{grammar:?}: {value:?}");
    }
    let long = "x".repeat(64 * 1_024);
    assert!(!is_taken(&credential("a", &long), &Shape::Lines(Grammar::DockerEnv, Prefix::default())));
}

#[test]
fn p11_a_refusal_does_not_show_the_value() {
    let shape = Shape::Lines(Grammar::DockerEnv, Prefix::default());
    let error = render(&[credential("a", "canary\ncanary")], &shape).unwrap_err();
    assert_eq!(
        error.to_string(),
        "docker-env cannot hold the value of CHATAPI_A_TOKEN: it has a line break, and docker reads one line for each variable"
    );
    assert!(!format!("{error:?} {:?}", credential("a", "canary")).contains("canary"));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format_version: String,
    pub(super) instances: BTreeMap<String, Instance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instance {
    name: String,
    r#type: String,
    id: String,
    api_url: Option<String>,
    has_token: bool,
    pub(super) token: Option<String>,
}

#[test]
fn documents_hold_every_value() {
    let values = [all(2_000), tokens(500)].concat();
    let numbered = values.iter().enumerate();
    let credentials: Vec<_> = numbered.map(|(number, value)| credential(&format!("v{number}"), value)).collect();
    let json = render(&credentials, &Shape::Json).unwrap();
    let yaml = render(&credentials, &Shape::Yaml).unwrap();
    assert!(yaml.expose().is_ascii());
    let documents: [Document; 2] = [serde_json::from_str(json.expose()).unwrap(), serde_yaml::from_str(yaml.expose()).unwrap()];
    for document in documents {
        assert_eq!((document.format_version.as_str(), document.instances.len()), ("1.0", values.len()));
        for (number, value) in values.iter().enumerate() {
            let one = &document.instances[&format!("v{number}")];
            assert_eq!(one.token.as_ref(), Some(value));
            assert_eq!((one.name.as_str(), one.id.as_str(), one.r#type.as_str()), (&*format!("v{number}"), "100001", "whatsapp"));
            assert!(one.has_token && one.api_url.as_deref().is_some_and(|url| url.starts_with("https://eu.example/")));
        }
    }
    for text in [json.expose(), yaml.expose()] {
        assert!(!text.contains("##vso[") && text.chars().all(|c| c == '\n' || !chatapi::text::is_hidden(c)));
    }
    let empty: Document = serde_yaml::from_str(render(&[], &Shape::Yaml).unwrap().expose()).unwrap();
    assert!(empty.instances.is_empty());
}

#[derive(Deserialize)]
pub(super) struct Secret {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    metadata: BTreeMap<String, String>,
    r#type: String,
    pub(super) data: BTreeMap<String, String>,
}

/// The decoded data of a Secret's text.
pub(super) fn secret(text: &str) -> (BTreeMap<String, String>, Variables) {
    let secret: Secret = serde_yaml::from_str(text).unwrap();
    assert_eq!((secret.api_version.as_str(), secret.kind.as_str(), secret.r#type.as_str()), ("v1", "Secret", "Opaque"));
    let decode = |(key, value): (String, String)| (key, String::from_utf8(STANDARD.decode(value).unwrap()).unwrap());
    (secret.metadata, secret.data.into_iter().map(decode).collect())
}

#[test]
fn a_secret_holds_every_value_under_keys_that_kubernetes_takes() {
    let values = [all(1_000), tokens(500)].concat();
    let numbered = values.iter().enumerate();
    let credentials: Vec<_> = numbered.map(|(number, value)| credential(&format!("v{number}"), value)).collect();
    let place = SecretPlace::new("gateway.tokens", Some("team-1")).unwrap();
    let text = render(&credentials, &Shape::KubernetesSecret(place, Prefix::default())).unwrap();
    let (metadata, data) = secret(text.expose());
    assert_eq!((metadata["name"].as_str(), metadata["namespace"].as_str()), ("gateway.tokens", "team-1"));
    assert_eq!(data, expected(&credentials, &values));
    let is_key = |key: &String| key.len() <= 253 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    assert!(data.keys().all(is_key));
    // The longest name and the longest prefix there are.
    let long = credential(&"n".repeat(63), "t");
    let prefix: Prefix = "P".repeat(100).parse().unwrap();
    let place = || SecretPlace::new("a", None).unwrap();
    let text = render(&[long], &Shape::KubernetesSecret(place(), prefix)).unwrap();
    assert!(secret(text.expose()).1.keys().all(is_key));
    let big: Vec<_> = (0..2).map(|number| credential(&format!("v{number}"), &"x".repeat(600_000))).collect();
    let refused = render(&big, &Shape::KubernetesSecret(place(), Prefix::default())).unwrap_err();
    assert!(matches!(refused, RenderError::TooBig(1_048_577..)), "{refused}");
}

#[test]
fn names_that_meet_in_a_variable_are_refused_where_there_are_variables() {
    let both = [credential("eu-1", "a"), credential("EU.1", "b")];
    for (_, grammar, _) in LINES {
        let error = render(&both, &Shape::Lines(grammar, Prefix::default())).unwrap_err();
        assert_eq!(error.to_string(), "`eu-1` and `EU.1` would both be written as CHATAPI_EU_1_…");
    }
    assert!(render(&both, &Shape::Json).is_ok() && render(&both, &Shape::Yaml).is_ok());
    // A name that ends like a field does not.
    let near = [credential("a", "1"), credential("a-api", "2"), credential("a-token", "3"), credential("a-api-url", "4")];
    let text = render(&near, &Shape::Lines(Grammar::Shell, Prefix::default())).unwrap();
    assert_eq!(readers::shell(text.expose()).len(), 16);
}

#[test]
fn prefixes_are_the_beginning_of_an_identifier() {
    for good in ["A", "_", "my_app_", "X9", &"P".repeat(100)] {
        assert!(good.parse::<Prefix>().is_ok(), "{good}");
    }
    for bad in ["", "9A", "A-", "A B", "A=", "é", "A\n", "$A", &"P".repeat(101)] {
        assert!(bad.parse::<Prefix>().is_err(), "{bad}");
    }
}

#[test]
fn masks_are_one_line_for_each_token_as_the_runner_reads_them() {
    let lines = masks(&[credential("a", "50%\r\nx"), credential("b", "plain")]);
    assert_eq!(lines.expose(), "::add-mask::50%25%0D%0Ax\n::add-mask::plain\n");
}
