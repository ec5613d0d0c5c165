//! Integration tests: one binary, a module for each command or promise.
// Always true here: it tells the lints that helpers beside `#[test]` functions are tests too.
#![cfg(test)]

mod architecture;
mod bad_inputs;
mod cli_bad_inputs;
mod cli_doubts;
mod cli_exit_codes;
mod cli_looking;
mod cli_main_job;
mod cli_outputs;
mod cli_secrets;
mod cli_signals;
mod clocks;
mod damage;
mod disk_full;
mod emulator;
mod kill_loop;
mod kill_verbs;
mod kills;
mod manifest;
mod manifest_bad_inputs;
mod manifest_files;
mod network;
mod raw_server;
mod signals_at_random;
mod soak;
mod stage;
mod syscalls;
mod two_applies;
