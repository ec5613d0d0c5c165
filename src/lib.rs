//! chatapi.
pub mod apply;
pub mod client;
pub mod diagnostic;
pub mod emulator;
pub mod instance;
pub mod manifest;
pub mod plan;
pub mod provider;
pub mod secret;
pub mod state;
pub mod store;
pub mod text;
pub use client::Client;
