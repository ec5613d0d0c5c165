//! F12: values in the grammars of whoever reads them next.

use chatapi::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use chatapi::report::credentials::{Credential, Grammar, Prefix, RenderError, Shape, Template, Token, masks, render};
use chatapi::secret::Secret;
use serde_json::Value;

use super::readers::{self, Variables};

/// A delimiter as the program draws them; no value can hold it by chance.
const DELIMITER: &str = "chatapi_0123456789abcdef0123456789abcdef";
/// What parts the values: no text that a person or a server gives has it.
const SEPARATOR: char = '\u{1c}';
const API_URL: &str = "https://eu.example/instance100001/?a=b&c=$d#e";

/// Up to eight values, together in one text, are read back as they were by whoever the grammar is for, or all are refused; an
/// ordinary token never is. No line of the text is a command of a CI system, and none of its characters is hidden.
pub(super) fn f12_values(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let values: Vec<&str> = text.split(SEPARATOR).take(8).collect();
    let credentials: Vec<Credential> = values.iter().enumerate().map(|(number, value)| credential(number, value)).collect();
    let github = Grammar::GithubEnv { delimiter: DELIMITER };
    lines(Grammar::Shell, &[readers::shell], &credentials, &values);
    lines(Grammar::Dotenv, &[readers::python_dotenv, readers::node_dotenv], &credentials, &values);
    lines(Grammar::DockerEnv, &[readers::docker], &credentials, &values);
    if !text.contains(DELIMITER) {
        lines(github, &[readers::github], &credentials, &values);
    }
    documents(&credentials, &values);
    let masks = masks(&credentials);
    let masked = masks.expose().split_terminator('\n').map(|line| line.strip_prefix("::add-mask::").expect("a mask"));
    let masked: Vec<String> = masked.map(unescaped).collect();
    assert_eq!(masked, values);
}

fn credential(number: usize, token: &str) -> Credential {
    Credential {
        name: InstanceName::parse(&format!("v{number}")).unwrap(),
        kind: InstanceType::WhatsApp,
        id: InstanceId::parse("100001").unwrap(),
        api_url: Some(ApiUrl::parse(API_URL).unwrap()),
        token: Token::Revealed(Secret::new(token.to_owned())),
    }
}

fn lines(grammar: Grammar<'_>, readers: &[fn(&str) -> Variables], credentials: &[Credential], values: &[&str]) {
    let rendered = match render(credentials, &Shape::Lines(grammar, Prefix::default())) {
        Ok(rendered) => rendered,
        Err(RenderError::Value { variable, .. }) => {
            assert!(variable.ends_with("_TOKEN"), "{variable}");
            assert!(!values.iter().all(|value| is_ordinary(value)), "{grammar:?} refuses {values:?}");
            return;
        }
        Err(error) => panic!("{grammar:?}: {error}"),
    };
    let text = rendered.expose();
    assert!(text.chars().all(|c| c == '\n' || !chatapi::text::is_hidden(c)), "{grammar:?}: {text:?}");
    assert!(!text.contains("##vso[") && !text.lines().any(|line| line.trim_start().starts_with("::")), "{grammar:?}: {text:?}");
    for read in readers {
        let got = read(text);
        assert_eq!(got.len(), 4 * values.len(), "{grammar:?}: {text:?}");
        for (number, value) in values.iter().enumerate() {
            let variable = |field: &str| got.get(&format!("CHATAPI_V{number}_{field}")).map(String::as_str);
            assert_eq!(variable("TOKEN"), Some(*value), "{grammar:?}: {text:?}");
            assert_eq!((variable("ID"), variable("API_URL")), (Some("100001"), Some(API_URL)), "{grammar:?}: {text:?}");
        }
    }
}

/// As a gateway draws its tokens.
fn is_ordinary(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn documents(credentials: &[Credential], values: &[&str]) {
    let json = render(credentials, &Shape::Json).unwrap();
    let json: Value = serde_json::from_str(json.expose()).unwrap();
    let yaml = render(credentials, &Shape::Yaml).unwrap();
    let yaml: Value = serde_yaml::from_str(yaml.expose()).unwrap_or_else(|error| panic!("{error}: {}", yaml.expose()));
    assert_eq!(json, yaml);
    let template = Template::parse("it", "{{ instances | map(attribute='token') | list | tojson }}".to_owned()).unwrap();
    let told = render(credentials, &Shape::Template(&template)).unwrap();
    let told: Vec<String> = serde_json::from_str(told.expose().trim()).unwrap();
    assert_eq!(told, values);
    for (number, value) in values.iter().enumerate() {
        assert_eq!(json["instances"][format!("v{number}")]["token"], *value);
    }
}

/// As GitHub's runner reads the data of a command.
fn unescaped(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}
