//! chatapi.
pub mod apply;
pub mod cli;
pub mod client;
pub mod diagnostic;
pub mod emulator;
pub mod instance;
pub mod manifest;
pub mod plan;
pub mod provider;
pub mod report;
pub mod secret;
pub mod state;
pub mod store;
pub mod text;
pub use client::Client;
