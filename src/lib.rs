//! chatapi.
pub mod diagnostic;
pub mod instance;
pub mod manifest;
pub mod secret;
pub mod text;
