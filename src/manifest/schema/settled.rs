//! The part of the schema that is about instances which exist already.

use serde_json::{Value, json};

use super::plain_name;
use crate::instance::{ID_MAX, InstanceType};

fn name(title: &str, description: &str) -> Value {
    let mut name = plain_name();
    if let Some(members) = name.as_object_mut() {
        members.extend([
            ("type".to_owned(), json!("string")),
            ("title".to_owned(), json!(title)),
            ("description".to_owned(), json!(description)),
        ]);
    }
    name
}

fn id(description: &str) -> Value {
    json!({
        "title": "The server's id",
        "description": description,
        "type": "string",
        "pattern": format!("^[A-Za-z0-9_-]{{1,{ID_MAX}}}$"),
        "examples": ["100234"],
    })
}

pub(super) fn import() -> Value {
    json!({
        "title": "Instances that exist already",
        "description": "Each is taken in once, under a name that is declared, if the server lists it with this type. Nothing is created for it. \
            `chatapi import --discover` proposes entries.",
        "type": "array",
        "items": {
            "title": "Instance that exists",
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "id", "type"],
            "properties": {
                "name": name("Name", "Its name from now on; an instance of that name is declared."),
                "id": id("As the server lists it, in quotes."),
                "type": {
                    "title": "Type",
                    "description": "What exists, and what is declared.",
                    "enum": InstanceType::SPELLINGS.map(|(spelling, _)| spelling),
                },
            },
        },
        "examples": [[{"name": "old-desk", "id": "100234", "type": InstanceType::WhatsApp}]],
    })
}

pub(super) fn moved() -> Value {
    json!({
        "title": "Instances with a new name",
        "description": "Each is renamed once in the state. The old name is not declared any more, the new one is. Nothing is created for it.",
        "type": "array",
        "items": {
            "title": "Instance with a new name",
            "type": "object",
            "additionalProperties": false,
            "required": ["from", "to"],
            "properties": {
                "from": name("Old name", "As the state has it."),
                "to": name("New name", "As it is declared."),
            },
        },
        "examples": [[{"from": "support", "to": "support-eu"}]],
    })
}

pub(super) fn resolutions() -> Value {
    json!({
        "title": "Doubts that are settled",
        "description": "Each settles one attempt once, if the server's list does not speak against it. `chatapi doubts --refresh` shows attempt and evidence.",
        "type": "array",
        "items": {
            "title": "Doubt that is settled",
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "attempt"],
            "properties": {
                "name": name("Name", "The name in doubt."),
                "attempt": {
                    "title": "Attempt",
                    "description": "The open one, as `chatapi doubts` shows it: another one is not meant.",
                    "type": "string",
                    "pattern": "^[A-Za-z0-9._][A-Za-z0-9._-]{0,127}$",
                    "examples": ["a-k3jx7q2mfa"],
                },
                "created": id("It was created, with this id."),
                "not-created": {"title": "Not created", "description": "Nothing was created: it is tried again.", "const": true},
            },
            "oneOf": [{"required": ["created"]}, {"required": ["not-created"]}],
        },
        "examples": [[{"name": "support-us", "attempt": "a-k3jx7q2mfa", "created": "100235"}]],
    })
}
