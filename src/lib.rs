//! chatapi.
pub mod instance;
pub mod secret;
pub mod state;
pub mod store;
