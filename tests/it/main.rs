//! Integration tests: one binary, a module for each command or promise.
#![cfg(test)]

mod bad_inputs;
mod manifest;
mod manifest_bad_inputs;
mod manifest_files;
