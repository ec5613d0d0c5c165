//! A program without the feature `failpoints` has none: it ignores the variable, and does not even know its name.
// Always true here, where the feature is absent: it tells the lints that all of it is a test.
#![cfg(all(test, not(feature = "failpoints")))]

use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chatapi");

#[test]
fn p1_without_the_feature_no_environment_makes_the_program_fail() {
    let place = tempfile::tempdir().unwrap();
    let manifest = "provider: {kind: emulator}\ninstances: [{name: a, type: whatsapp}]\n";
    std::fs::write(place.path().join("instances.yaml"), manifest).unwrap();
    let mut apply = Command::new(PROGRAM);
    apply.current_dir(place.path()).args(["apply", "instances.yaml"]).env_clear();
    let ended = apply.env("CHATAPI_FAILPOINT", "lock-taken=kill,no such rule").output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("Apply: 1 created"), "{ended:?}");
    let program = std::fs::read(PROGRAM).unwrap();
    for name in ["CHATAPI_FAILPOINT", "journal-before-"] {
        assert!(!program.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is compiled in");
    }
}
