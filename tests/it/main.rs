//! Integration tests: one binary, a module for each command or promise.

mod bad_inputs;
mod manifest;
mod manifest_bad_inputs;
mod manifest_files;
