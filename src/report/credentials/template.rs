//! The user's own format: a template in the language of Jinja, which reads no file and includes none.
//!
//! What is not known is not defined, and using what is not defined is an error: a token that was not revealed cannot become an empty
//! text in somebody's configuration.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use zeroize::Zeroizing;

use super::lines::quote;
use super::{Credential, Rendered};
use crate::instance::ApiUrl;
use crate::text::{Printed, Untrusted, disarm};

/// How many steps a template may take, so that it ends.
const STEPS_MAX: u64 = 20_000_000;
/// The one template's name.
const NAME: &str = "template";

/// What stands at the top of every template.
pub const TOP: [&str; 3] = ["instances", "by_name", "format_version"];
/// What an instance has there; the last two only where they are known.
pub const FIELDS: [&str; 6] = ["name", "type", "id", "has_token", "api_url", "token"];

/// A template that can be rendered.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    label: String,
    text: String,
}

/// A point in a template, as `file:line:column`; the column is left out where it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file as the user named it, or what stands for it.
    pub label: String,
    /// From 1; 0 where it is not known.
    pub line: usize,
    /// From 1, in characters.
    pub column: Option<usize>,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Untrusted(&self.label), self.line)?;
        self.column.map_or(Ok(()), |column| write!(f, ":{column}"))
    }
}

/// What is wrong with a template. Says nothing of any value.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is none.
    #[error("{spot}: {why}")]
    Syntax {
        /// Where.
        spot: Spot,
        /// What was expected.
        why: String,
    },
    /// It uses what is not defined.
    #[error("{spot}: {} is not defined", .word.as_ref().map_or_else(|| "something".to_owned(), |word| format!("`{word}`")))]
    Undefined {
        /// Where.
        spot: Spot,
        /// What the template calls it.
        word: Option<String>,
    },
    /// Anything else, while rendering.
    #[error("{spot}: {what}")]
    Failed {
        /// Where.
        spot: Spot,
        /// What kind of error it is.
        what: String,
    },
    /// A value that could do harm where the template's lines go.
    #[error("the address of `{0}` holds what a terminal or a CI system would act on")]
    Value(String),
}

impl Template {
    /// Reads `text`, which people know as `label`.
    pub fn parse(label: &str, text: String) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // So that an error knows the words of what is not defined. It keeps values too then, and dies within this file.
        environment.set_debug(true);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(STEPS_MAX));
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| syntax_error(&error, (label, &text)))?);
        environment.add_filter("shell", |text: String| in_shell(&text));
        environment.add_filter("base64", |text: String| STANDARD.encode(Zeroizing::new(text).as_bytes()));
        // Nothing secret is known yet: the error may quote what stands there.
        environment.add_template_owned(NAME, text.clone()).map_err(|error| syntax_error(&error, (label, &text)))?;
        Ok(Self { environment, label: label.to_owned(), text })
    }

    /// `instances`, a list, and `by_name`, the same ones each under its name.
    pub(super) fn render(&self, credentials: &[Credential]) -> Result<Rendered, TemplateError> {
        let values = credentials.iter().map(value).collect::<Result<Vec<Value>, _>>()?;
        let by_name = credentials.iter().map(|credential| credential.name.as_str()).zip(values.iter().cloned());
        let context = Value::from_pairs([
            ("by_name", Value::from_pairs(by_name)),
            ("instances", values.iter().cloned().collect()),
            ("format_version", Value::from(crate::report::FORMAT_VERSION)),
        ]);
        let mut text = Rendered::default();
        let failed = |error: minijinja::Error| failure(&error, (&self.label, &self.text));
        let template = self.environment.get_template(NAME).map_err(failed)?;
        template.render_captured_to(context, &mut text).map_err(failed)?;
        Ok(text)
    }
}

fn value(credential: &Credential) -> Result<Value, TemplateError> {
    let is_tame = |url: &str| disarm(url, Printed::Json) == url;
    let mut fields = vec![
        ("name", Value::from(credential.name.as_str())),
        ("type", Value::from(credential.kind.as_str())),
        ("id", Value::from(credential.id.as_str())),
        ("has_token", Value::from(credential.token.is_kept())),
    ];
    if let Some(url) = credential.api_url.as_ref().map(ApiUrl::as_str) {
        if !is_tame(url) {
            return Err(TemplateError::Value(credential.name.to_string()));
        }
        fields.push(("api_url", Value::from(url)));
    }
    fields.extend(credential.token.text().map(|token| ("token", Value::from(token))));
    Ok(Value::from_pairs(fields))
}

fn in_shell(text: &str) -> String {
    let mut word = Rendered::default();
    quote(&mut word, text);
    word.expose().to_owned()
}

/// Where in the template `text` it went wrong.
fn spot(error: &minijinja::Error, (label, text): (&str, &str)) -> Spot {
    let before = error.range().and_then(|range| text.get(..range.start));
    let column = before.map(|before| before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
    let line = before.map(|before| before.matches('\n').count() + 1).or(error.line()).unwrap_or_default();
    Spot { label: label.to_owned(), line, column }
}

fn syntax_error(error: &minijinja::Error, source: (&str, &str)) -> TemplateError {
    let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError::Syntax { spot: spot(error, source), why }
}

/// Without its details: they may quote a value, and a value may be a token. What is not defined has none: it is named in the words
/// of the template.
fn failure(error: &minijinja::Error, source: (&str, &str)) -> TemplateError {
    let spot = spot(error, source);
    match error.kind() {
        ErrorKind::UndefinedError => {
            let word = error.detail().and_then(|detail| Some(detail.split_once('`')?.1.split_once('`')?.0.to_owned()));
            TemplateError::Undefined { spot, word }
        }
        kind => TemplateError::Failed { spot, what: kind.to_string() },
    }
}
