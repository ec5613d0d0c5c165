//! The properties, as the ordinary tests have them.

#[path = "../../tests/it/properties/mod.rs"]
mod properties;

/// Calls the property of `target`; a panic says that it does not hold for `data`.
pub fn hold(target: &str, data: &[u8]) {
    let (_, property) = properties::ALL.iter().find(|(name, _)| *name == target).expect("a target");
    property(data);
}
