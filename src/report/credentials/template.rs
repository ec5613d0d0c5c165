//! The user's own format: a template in the language of Jinja, which reads no file and includes none.
//!
//! What is not known is not defined, and using what is not defined is an error: a token that was not revealed cannot become an empty
//! text in somebody's configuration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use zeroize::Zeroizing;

use super::lines::quote;
use super::{Credential, Rendered};
use crate::instance::ApiUrl;
use crate::text::{Printed, disarm};

/// How many steps a template may take, so that it ends.
const STEPS_MAX: u64 = 20_000_000;
/// The one template's name.
const NAME: &str = "template";

/// A template that can be rendered.
#[derive(Debug)]
pub struct Template(Environment<'static>);

/// What is wrong with a template. Says nothing of any value.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is none.
    #[error("line {line}: {why}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What was expected.
        why: String,
    },
    /// It uses what is not defined.
    #[error("line {0}: something is not defined there")]
    Undefined(usize),
    /// Anything else, while rendering.
    #[error("line {line}: {what}")]
    Failed {
        /// From 1; 0 where it is not known.
        line: usize,
        /// What kind of error it is.
        what: String,
    },
    /// A value that could do harm where the template's lines go.
    #[error("the address of `{0}` holds what a terminal or a CI system would act on")]
    Value(String),
}

impl Template {
    /// Reads `text`.
    pub fn parse(text: String) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(STEPS_MAX));
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| syntax_error(&error))?);
        environment.add_filter("shell", |text: String| in_shell(&text));
        environment.add_filter("base64", |text: String| STANDARD.encode(Zeroizing::new(text).as_bytes()));
        // Nothing secret is known yet: the error may quote what stands there.
        environment.add_template_owned(NAME, text).map_err(|error| syntax_error(&error))?;
        Ok(Self(environment))
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
        let template = self.0.get_template(NAME).map_err(|error| failure(&error))?;
        template.render_captured_to(context, &mut text).map_err(|error| failure(&error))?;
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

fn syntax_error(error: &minijinja::Error) -> TemplateError {
    let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError::Syntax { line: error.line().unwrap_or_default(), why }
}

/// Without its details: they may quote a value, and a value may be a token.
fn failure(error: &minijinja::Error) -> TemplateError {
    let line = error.line().unwrap_or_default();
    match error.kind() {
        ErrorKind::UndefinedError => TemplateError::Undefined(line),
        kind => TemplateError::Failed { line, what: kind.to_string() },
    }
}
