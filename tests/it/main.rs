//! Integration tests: one binary, a module for each command or promise.
// Always true here: it tells the lints that helpers beside `#[test]` functions are tests too.
#![cfg(test)]

mod adoption;
mod architecture;
mod bad_inputs;
mod book;
#[cfg(feature = "failpoints")]
mod care_crashes;
mod cli_bad_inputs;
mod cli_completions;
mod cli_doctor;
mod cli_doubts;
mod cli_exit_codes;
mod cli_init;
mod cli_looking;
mod cli_main_job;
mod cli_man;
mod cli_outputs;
mod cli_reports;
mod cli_schema;
mod cli_sealing;
mod cli_secrets;
mod cli_signals;
mod cli_state_care;
mod cli_words;
mod clocks;
mod confidential;
mod costs;
#[cfg(feature = "failpoints")]
mod crash_points;
mod credentials;
mod damage;
mod deliveries;
#[cfg(feature = "failpoints")]
mod destroy;
mod disk_full;
mod drift;
mod emulator;
mod environments;
mod environments_apart;
mod evidence;
mod fuzz;
mod gone;
mod hardening;
mod import;
mod kept_files;
#[cfg(feature = "failpoints")]
mod kill_life;
mod kill_loop;
mod kill_verbs;
mod kills;
#[cfg(feature = "failpoints")]
mod leaving;
mod lost_states;
mod manifest;
mod manifest_bad_inputs;
mod manifest_files;
mod money;
mod mutants;
mod network;
mod pace;
#[cfg(feature = "failpoints")]
mod power_cuts;
mod properties;
mod qr;
mod questions;
mod raw_server;
mod recipes;
mod repetition;
#[cfg(feature = "failpoints")]
mod replacing;
#[cfg(feature = "failpoints")]
mod retiring;
mod saved_plans;
mod scenarios;
mod signals_at_random;
mod soak;
mod stage;
mod status;
mod supply_chain;
mod syscalls;
mod token_set;
mod two_applies;
mod unread;
mod ways_out;
