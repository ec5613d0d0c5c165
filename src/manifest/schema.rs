//! The format as a JSON Schema, for editors: what a file may say, and what each word means.
//!
//! Made from the constants that the rules in `validate` use, so that the two cannot part. It never refuses what the rules accept. They
//! refuse more, for a schema sees neither quotes nor other entries: `name: no` without quotes, twins, a key with a wrong checksum.

mod repeated;
mod settled;

use serde_json::{Value, json};

use super::{ProviderKind, VERSION};
use crate::instance::{InstanceType, NAME_MAX};
use crate::seal::PUBLIC;

/// Device names, each alone or before a dot, in any case; a pattern has no switch for the case.
const RESERVED: &str = "^(?:[cC][oO][nN]|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL]|[cC][oO][mM][1-9]|[lL][pP][tT][1-9])(?:\\.|$)";

/// The JSON Schema (draft 2020-12) of one manifest file.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chatapi manifest",
        "description": "Which chat-gateway instances should exist. `chatapi plan` shows what is missing, `chatapi apply` creates it. \
            Addresses and secrets never stand in here: they come from the environment.",
        "type": "object",
        "additionalProperties": false,
        "required": ["instances"],
        "properties": {
            "version": version(),
            "provider": provider(),
            "prices": prices(),
            "seal_to": seal_to(),
            "variables": repeated::variables(),
            "defaults": defaults(),
            "instances": instances(),
            "import": settled::import(),
            "moved": settled::moved(),
            "resolutions": settled::resolutions(),
        },
        "if": {"required": ["defaults"], "properties": {"defaults": {"required": ["type"]}}},
        "else": {"properties": {"instances": {"items": {"required": ["type"]}}}},
        "examples": [{
            "version": VERSION,
            "provider": {"kind": ProviderKind::Emulator},
            "instances": [{"name": "support-eu", "type": InstanceType::WhatsApp}],
        }],
    })
}

fn version() -> Value {
    json!({
        "title": "Version of the format",
        "description": format!("Always {VERSION}, without quotes. May be left out."),
        "const": VERSION,
        "default": VERSION,
    })
}

fn provider() -> Value {
    json!({
        "title": "Provider",
        "description": "Who provides the instances. Say it in one file only, where there are several.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "kind": {
                "title": "Kind of provider",
                "description": "`chatapi`: the paid service at CHATAPI_URL. `emulator`: plays the server on this machine, costs nothing.",
                "enum": ProviderKind::ALL,
                "default": ProviderKind::default(),
            },
            "exclusive": {
                "title": "Nobody else creates on this account",
                "description": "`true`: then a create whose answer was lost can be settled from the server's list without asking you.",
                "type": "boolean",
                "default": false,
            },
        },
        "examples": [{"kind": ProviderKind::Emulator}, {"kind": ProviderKind::Chatapi, "exclusive": true}],
    })
}

fn prices() -> Value {
    let price = json!({
        "title": "Price of one a month",
        "description": "A decimal with up to four digits after the point; it is added up exactly.",
        "type": ["number", "string"],
        "minimum": 0,
        "exclusiveMaximum": 1_000_000_000_000_u64,
        "pattern": "^[0-9]{1,12}(?:\\.[0-9]{1,4})?$",
        "examples": [39.9],
    });
    let currency = json!({
        "title": "Currency",
        "description": "Three capital letters (ISO 4217).",
        "type": "string",
        "pattern": "^[A-Z]{3}$",
        "examples": ["EUR"],
    });
    let priced = InstanceType::ALL.into_iter().map(|kind| (kind.as_str().to_owned(), price.clone()));
    let properties: serde_json::Map<_, _> = std::iter::once(("currency".to_owned(), currency)).chain(priced).collect();
    json!({
        "title": "What an instance costs",
        "description": "A month, by type. Plan and apply show what it comes to; `--max-monthly-cost` stops a run that would cost more.",
        "type": "object",
        "additionalProperties": false,
        "required": ["currency"],
        "properties": properties,
    })
}

fn seal_to() -> Value {
    json!({
        "title": "Public keys that tokens are sealed to",
        "description": "As `chatapi key show` prints them. Whoever has the secret half of one can read the tokens; CI needs none. \
            At most 16 different ones. A change takes `chatapi state rekey`.",
        "type": "array",
        "minItems": 1,
        "items": {
            "title": "Public key",
            "description": "`chatapi key generate --output FILE` makes a pair and prints the public half.",
            "type": "string",
            "pattern": format!("^{PUBLIC}[A-Za-z0-9_-]{{48}}$"),
        },
    })
}

fn defaults() -> Value {
    json!({
        "title": "What every instance of this file has",
        "description": "Unless its entry says otherwise; labels are added to those of the entry.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "type": kind(),
            "labels": repeated::labels(),
            "owner": repeated::owner(),
            "protect": repeated::protect(),
        },
        "examples": [{"type": InstanceType::WhatsApp, "labels": {"team": "retail"}}],
    })
}

fn instances() -> Value {
    json!({
        "title": "Instances",
        "description": "What should exist, in any order. `[]` if nothing should.",
        "type": "array",
        "items": {
            "title": "Instance, or a pattern of many",
            "type": "object",
            "additionalProperties": false,
            "required": ["name"],
            "properties": {
                "name": name(),
                "type": kind(),
                "labels": repeated::labels(),
                "owner": repeated::owner(),
                "protect": repeated::protect(),
                "count": repeated::count(),
                "except": repeated::except(),
                "for_each": repeated::for_each(),
            },
            "not": {"required": ["count", "for_each"]},
            "dependentRequired": {"except": ["count"]},
        },
        "examples": [[
            {"name": "support-eu", "type": InstanceType::WhatsApp},
            {"name": "shop-{n:03}", "type": InstanceType::WhatsApp, "count": 20},
        ]],
    })
}

/// What a name is without placeholders.
fn plain_name() -> Value {
    let middle = NAME_MAX.saturating_sub(2);
    json!({
        "pattern": format!("^[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{middle}}}[A-Za-z0-9_-])?$"),
        "not": {"pattern": RESERVED},
    })
}

fn name() -> Value {
    json!({
        "title": "Name",
        "description": format!(
            "Yours, and how the instance is found again: a new name is a new instance. Letters, digits, `.`, `_` and `-`, at most \
             {NAME_MAX}; begins with a letter or digit, does not end with `.`; in quotes if it looks like a number, a date or `no`. \
             Names that differ only in case or in `.`, `_`, `-` are refused. Placeholders: `{{n}}` and `{{n:03}}` with `count`, `{{key}}` and \
             columns with `for_each`, `{{var.NAME}}`."
        ),
        "type": "string",
        "if": {"pattern": repeated::BRACE},
        "else": plain_name(),
        "examples": ["support-eu", "shop-{n:03}"],
    })
}

fn kind() -> Value {
    json!({
        "title": "Type",
        "description": "`whatsapp` (or `WhatsApp`): for production. `whatsapp_dev` (or `WhatsAppDev`): for development. \
            It cannot be changed later.",
        "anyOf": [
            {"enum": InstanceType::SPELLINGS.map(|(spelling, _)| spelling)},
            {"type": "string", "pattern": repeated::BRACE},
        ],
        "examples": InstanceType::ALL,
    })
}
