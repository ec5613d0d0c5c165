//! Credentials of created instances, in the grammar of whoever reads them next: a shell, a container, a cluster, a program. Pure.
//!
//! A value is arbitrary text as far as this module knows. A grammar that has a word for exactly that value gets it; a grammar
//! that has none refuses it, and then nothing at all is rendered. What none of the line-based grammars takes: hidden characters, and
//! what a CI system that reads the lines in a log would obey. Documents (JSON, YAML, base64) take every value.
//!
//! The one exception of [`crate::report`] to "no secret in a document": tokens are in here when they were asked for.

mod document;
mod lines;
mod rendered;
mod template;
mod variables;

use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::secret::Secret;

pub use document::{SecretPlace, SecretPlaceError};
pub use lines::Grammar;
pub use rendered::Rendered;
pub use template::{FIELDS, Spot, TOP, Template, TemplateError};
pub use variables::{PREFIX, PREFIX_MAX, Prefix, PrefixError, check_names};

/// What is known of one instance that exists.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Our name.
    pub name: InstanceName,
    /// Its type.
    pub kind: InstanceType,
    /// The server's id.
    pub id: InstanceId,
    /// Its address, where known.
    pub api_url: Option<ApiUrl>,
    /// Its token.
    pub token: Token,
}

/// A token, as far as it is to be shown.
#[derive(Debug, Clone)]
pub enum Token {
    /// Nobody has it.
    Missing,
    /// It is kept, and was not asked for.
    Hidden,
    /// It was asked for.
    Revealed(Secret),
}

impl Token {
    /// The text, if it was asked for.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Revealed(secret) => Some(secret.expose()),
            Self::Missing | Self::Hidden => None,
        }
    }

    const fn is_kept(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}

/// What is written.
#[derive(Debug)]
pub enum Shape<'a> {
    /// A JSON document.
    Json,
    /// The same document as YAML.
    Yaml,
    /// Variables, one after the other.
    Lines(Grammar<'a>, Prefix),
    /// A Secret for Kubernetes, its keys named like the variables.
    KubernetesSecret(SecretPlace, Prefix),
    /// What a template of the user's says.
    Template(&'a Template),
}

/// Why nothing is rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Two names would share a variable.
    #[error("`{one}` and `{other}` would both be written as {stem}_…")]
    Collision {
        /// The one.
        one: InstanceName,
        /// The other.
        other: InstanceName,
        /// What their variables begin with.
        stem: String,
    },
    /// The grammar has no word for a value.
    #[error("{format} cannot hold the value of {variable}: {why}")]
    Value {
        /// The grammar.
        format: &'static str,
        /// The variable; its value is not shown.
        variable: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than the reader takes.
    #[error("a Secret holds at most 1 MiB, and this one would have {0} bytes")]
    TooBig(usize),
    /// The template failed.
    #[error("the template cannot be rendered")]
    Template(#[from] TemplateError),
}

/// Renders `credentials`, all of them or none.
pub fn render(credentials: &[Credential], shape: &Shape<'_>) -> Result<Rendered, RenderError> {
    match shape {
        Shape::Json => Ok(document::json(credentials)),
        Shape::Yaml => Ok(document::yaml(credentials)),
        Shape::Lines(grammar, prefix) => lines::render(&variables::of(credentials, prefix)?, *grammar),
        Shape::KubernetesSecret(place, prefix) => document::kubernetes(&variables::of(credentials, prefix)?, place),
        Shape::Template(template) => Ok(template.render(credentials)?),
    }
}

/// The lines that make GitHub's runner hide each revealed token from then on, wherever it would stand in a log.
pub fn masks(credentials: &[Credential]) -> Rendered {
    let mut lines = Rendered::default();
    for token in credentials.iter().filter_map(|credential| credential.token.text()) {
        lines.push("::add-mask::");
        for character in token.chars() {
            match character {
                '%' => lines.push("%25"),
                '\r' => lines.push("%0D"),
                '\n' => lines.push("%0A"),
                plain => lines.push(plain.encode_utf8(&mut [0; 4])),
            }
        }
        lines.push("\n");
    }
    lines
}
