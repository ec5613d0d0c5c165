//! chatapi.
pub mod diagnostic;
pub mod instance;
pub mod secret;
pub mod text;
