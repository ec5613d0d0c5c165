//! The published JSON Schemas (draft 2020-12) of what is printed as JSON, as they stand in `docs/schema/`.
//!
//! They leave further members open, for a minor version adds some; a test holds that no member of today is missing in them.

/// Each document's name and its schema.
pub const SCHEMAS: [(&str, &str); 21] = [
    ("apply", include_str!("../../docs/schema/apply.json")),
    ("destroy", include_str!("../../docs/schema/destroy.json")),
    ("doctor", include_str!("../../docs/schema/doctor.json")),
    ("doubts", include_str!("../../docs/schema/doubts.json")),
    ("drift", include_str!("../../docs/schema/drift.json")),
    ("event", include_str!("../../docs/schema/event.json")),
    ("failure", include_str!("../../docs/schema/failure.json")),
    ("import-discover", include_str!("../../docs/schema/import-discover.json")),
    ("init", include_str!("../../docs/schema/init.json")),
    ("key", include_str!("../../docs/schema/key.json")),
    ("message", include_str!("../../docs/schema/message.json")),
    ("output", include_str!("../../docs/schema/output.json")),
    ("plan", include_str!("../../docs/schema/plan.json")),
    ("state-history", include_str!("../../docs/schema/state-history.json")),
    ("state-list", include_str!("../../docs/schema/state-list.json")),
    ("state-show", include_str!("../../docs/schema/state-show.json")),
    ("state-show-name", include_str!("../../docs/schema/state-show-name.json")),
    ("state-verify", include_str!("../../docs/schema/state-verify.json")),
    ("status", include_str!("../../docs/schema/status.json")),
    ("validate", include_str!("../../docs/schema/validate.json")),
    ("version", include_str!("../../docs/schema/version.json")),
];

/// The schema of `document`.
pub fn schema(document: &str) -> Option<&'static str> {
    SCHEMAS.iter().find(|(name, _)| *name == document).map(|(_, text)| *text)
}
