//! What is selected: a name, a label, or an owner. Labels and owners are the manifest's; a state knows names alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Declaration;
use crate::instance::InstanceName;

/// One selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The instance of this name.
    Name(InstanceName),
    /// Every one with this label.
    Label {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Every one that belongs to them.
    Owner(String),
}

/// The text is no [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a name, `label=KEY=VALUE` or `owner=WHO`")]
pub struct TargetError;

impl Target {
    /// Whether it selects `declaration`.
    pub fn selects(&self, declaration: &Declaration) -> bool {
        match self {
            Self::Name(name) => declaration.name == *name,
            Self::Label { key, value } => declaration.labels.get(key) == Some(value),
            Self::Owner(who) => declaration.owner.as_ref() == Some(who),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        // No name has an equals sign in it.
        match text.split_once('=') {
            None => text.parse().map(Self::Name).map_err(|_| TargetError),
            Some(("label", label)) => match label.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok(Self::Label { key: key.to_owned(), value: value.to_owned() }),
                _ => Err(TargetError),
            },
            Some(("owner", who)) if !who.is_empty() => Ok(Self::Owner(who.to_owned())),
            Some(_) => Err(TargetError),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Label { key, value } => write!(f, "label={key}={value}"),
            Self::Owner(who) => write!(f, "owner={who}"),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_they_are_written() {
        for text in ["support-eu", "label=team=retail", "label=team=", "label=a=b=c", "owner=ops", "owner=a=b"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "../x", "label=team", "label==x", "owner=", "tier=gold", "=x"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }
}
