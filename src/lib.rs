//! chatapi.
pub mod instance;
pub mod secret;
