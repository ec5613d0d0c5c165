//! The part of the schema that is about many instances at once, and about what they carry beside name and type.

use serde_json::{Value, json};

use crate::manifest::INSTANCES_MAX;
use crate::manifest::attributes::{KEY_MAX, LABELS_MAX, TEXT_MAX};
use crate::manifest::variables::{Kind, NAME_MAX, VALUE_MAX};

/// What has a placeholder, or looks like it.
pub(super) const BRACE: &str = "[{}]";

/// Exactly one placeholder of a variable.
const ONE_VARIABLE: &str = "^\\{var\\.[a-z][a-z0-9_]*\\}$";

pub(super) fn variables() -> Value {
    let variable = |kind: Kind, default: Value| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["type"],
            "properties": {
                "type": {"title": "Type", "const": kind.as_str()},
                "default": default,
            },
        })
    };
    json!({
        "title": "Variables",
        "description": "Put in where `{var.NAME}` stands. Values come from `--var`, `--var-file`, CHATAPI_VAR_NAME or `default`, in this order. \
            They are no secrets.",
        "type": "object",
        "propertyNames": {"pattern": format!("^[a-z][a-z0-9_]{{0,{}}}$", NAME_MAX.saturating_sub(1))},
        "additionalProperties": {
            "title": "Variable",
            "description": "Without `default` it has to be given.",
            "oneOf": [
                variable(Kind::Text, json!({"type": "string", "maxLength": VALUE_MAX})),
                variable(Kind::Number, json!({"type": "integer"})),
                variable(Kind::Boolean, json!({"type": "boolean"})),
            ],
        },
        "examples": [{"region": {"type": "text", "default": "eu"}, "shops": {"type": "number"}}],
    })
}

pub(super) fn labels() -> Value {
    json!({
        "title": "Labels",
        "description": format!("By which instances are selected; at most {LABELS_MAX}. They are no secrets."),
        "type": "object",
        "maxProperties": LABELS_MAX,
        "propertyNames": {"pattern": format!("^[A-Za-z0-9][A-Za-z0-9._/-]{{0,{}}}$", KEY_MAX.saturating_sub(1))},
        "additionalProperties": {"type": "string", "maxLength": TEXT_MAX},
        "examples": [{"team": "retail", "tier": "gold"}],
    })
}

pub(super) fn owner() -> Value {
    json!({
        "title": "Owner",
        "description": "Who answers for it: a team, a person, an address.",
        "type": "string",
        "minLength": 1,
        "maxLength": TEXT_MAX,
        "examples": ["retail"],
    })
}

pub(super) fn protect() -> Value {
    json!({
        "title": "Protected",
        "description": "`true`: it is not deleted until this says `false`.",
        "anyOf": [{"type": "boolean"}, {"type": "string", "pattern": BRACE}],
        "default": false,
    })
}

pub(super) fn count() -> Value {
    json!({
        "title": "How many",
        "description": "Numbered from 1; the name holds `{n}`, or `{n:03}` for 001. A number, or a variable as \"{var.shops}\".",
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": INSTANCES_MAX},
            {"type": "string", "pattern": ONE_VARIABLE},
        ],
        "examples": [20],
    })
}

pub(super) fn except() -> Value {
    json!({
        "title": "Numbers that are left out",
        "description": "The others keep theirs.",
        "type": "array",
        "uniqueItems": true,
        "items": {"type": "integer", "minimum": 1, "maximum": INSTANCES_MAX},
        "examples": [[7]],
    })
}

pub(super) fn for_each() -> Value {
    json!({
        "title": "One for each of these",
        "description": "A list: `{key}` is the item. A map: `{key}`, and the fields of each item. `{file: stores.csv}`, or a `.json`, beside this \
            file: its columns.",
        "anyOf": [
            {"type": "array", "items": {"type": "string"}},
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["file"],
                "properties": {"file": {"type": "string", "pattern": "\\.(?:csv|json)$"}},
            },
            {"type": "object", "additionalProperties": {"type": ["object", "null"], "additionalProperties": {"type": "string"}}},
        ],
        "examples": [["berlin", "paris"], {"file": "stores.csv"}],
    })
}
