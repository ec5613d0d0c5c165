//! The examples, as the programs that they are.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

use chatapi::emulator::{Emulator, EmulatorConfig, LedgerOp};

use super::{GOOD, KEY, TOKEN, answer, assert_silent, runtime};
use crate::raw_server::{End, RawServer, Script};

const EXAMPLES: [&str; 2] = ["create_instance", "create_instance_blocking"];

/// Where `cargo test` has put the example: beside the folder of this program.
fn program(example: &str) -> PathBuf {
    let own = env::current_exe().unwrap();
    let path = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(example);
    assert!(path.exists(), "not built: `cargo test` or `cargo build --examples` makes {example}");
    path
}

/// Runs `example` with these variables and no others.
fn run(example: &str, variables: &[(&str, &str)]) -> Output {
    let output = Command::new(program(example)).env_clear().envs(variables.iter().copied()).output().unwrap();
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        assert_silent(&text);
        assert!(!text.contains("panicked"), "{text}");
    }
    output
}

#[test]
fn p11_the_examples_create_on_the_emulator_and_redact_the_token() {
    for example in EXAMPLES {
        let output = run(example, &[]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            (lines.len(), lines[0], lines[1], lines[3]),
            (4, "status:  created", "id:      100001", "token:   [redacted]")
        );
    }
}

#[test]
fn p1_the_examples_create_once_on_the_server_they_are_told() {
    let runtime = runtime();
    for example in EXAMPLES {
        let emulator = runtime.block_on(Emulator::start(EmulatorConfig::default())).unwrap();
        let output = run(example, &[("CHATAPI_URL", &emulator.base_url()), ("CHATAPI_API_KEY", KEY)]);
        assert!(output.status.success(), "{output:?}");
        let made: Vec<LedgerOp> = emulator.ledger().iter().map(|entry| entry.op).collect();
        assert_eq!((made.as_slice(), emulator.requests().len()), ([LedgerOp::Created].as_slice(), 1));
    }
}

#[test]
fn p11_the_examples_fail_without_a_panic_and_without_a_secret() {
    let runtime = runtime();
    for example in EXAMPLES {
        let cut = answer(200, "", GOOD);
        let cut = &cut[..cut.len() - 3];
        assert!(String::from_utf8_lossy(cut).contains(TOKEN));
        let server = runtime.block_on(RawServer::start(Script::new(cut, End::Fin)));
        let url = server.url();
        for variables in [
            vec![("CHATAPI_URL", url.as_str())],
            vec![("CHATAPI_URL", "http://gateway.example/"), ("CHATAPI_API_KEY", KEY)],
            vec![("CHATAPI_URL", url.as_str()), ("CHATAPI_API_KEY", KEY)],
        ] {
            assert_eq!(run(example, &variables).status.code(), Some(1), "{variables:?}");
        }
        assert_eq!(runtime.block_on(server.finish()).complete(), 1);
    }
}
