//! chatapi.
pub mod emulator;
pub mod instance;
pub mod secret;
