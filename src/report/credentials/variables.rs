//! The variables of the credentials: `CHATAPI_SUPPORT_EU_ID` and its like, each name's its own.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Credential, RenderError, Token};
use crate::instance::InstanceName;

/// What the variables begin with if nothing else was said.
pub const PREFIX: &str = "CHATAPI_";
/// Longest prefix, in bytes: a variable stays a fit key of a Kubernetes Secret, which has at most 253.
pub const PREFIX_MAX: usize = 100;

/// What every variable begins with: `[A-Za-z_][A-Za-z0-9_]*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// The text is no [`Prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prefix has 1 to {PREFIX_MAX} letters, digits or `_`, and does not begin with a digit")]
pub struct PrefixError;

impl Default for Prefix {
    fn default() -> Self {
        Self(PREFIX.to_owned())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let begins_well = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if is_word && begins_well && text.len() <= PREFIX_MAX { Ok(Self(text.to_owned())) } else { Err(PrefixError) }
    }
}

/// One variable.
pub(super) struct Variable<'a> {
    pub(super) name: String,
    pub(super) value: Value<'a>,
}

/// Its value.
pub(super) enum Value<'a> {
    Known(&'a str),
    /// It is left out, and this says why.
    Absent(&'static str),
}

/// Refuses two of `names` that would share a variable.
pub fn check_names<'a>(names: impl IntoIterator<Item = &'a InstanceName>, prefix: &Prefix) -> Result<(), RenderError> {
    let mut taken: BTreeMap<String, &InstanceName> = BTreeMap::new();
    for name in names {
        let stem = stem(name, prefix);
        match taken.insert(stem.clone(), name) {
            Some(other) if other != name => {
                return Err(RenderError::Collision { one: other.clone(), other: name.clone(), stem });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The variables of `credentials`, four of each.
pub(super) fn of<'a>(credentials: &'a [Credential], prefix: &Prefix) -> Result<Vec<Variable<'a>>, RenderError> {
    check_names(credentials.iter().map(|credential| &credential.name), prefix)?;
    let mut variables = Vec::with_capacity(credentials.len() * 4);
    for credential in credentials {
        let stem = stem(&credential.name, prefix);
        let values = [
            ("TYPE", Value::Known(credential.kind.as_str())),
            ("ID", Value::Known(credential.id.as_str())),
            ("API_URL", credential.api_url.as_ref().map_or(Value::Absent("not known"), |url| Value::Known(url.as_str()))),
            ("TOKEN", token(&credential.token)),
        ];
        variables.extend(values.map(|(field, value)| Variable { name: format!("{stem}_{field}"), value }));
    }
    Ok(variables)
}

fn token(token: &Token) -> Value<'_> {
    match token {
        Token::Missing => Value::Absent("missing"),
        Token::Hidden => Value::Absent("not revealed"),
        Token::Revealed(secret) => Value::Known(secret.expose()),
    }
}

/// Two names have the same one exactly if they are twins. No field's word is the end of another's, so that nothing else can meet.
fn stem(name: &InstanceName, prefix: &Prefix) -> String {
    let word = name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    prefix.0.chars().chain(word).collect()
}
