//! A program without the feature `failpoints` has none: it ignores the variable, and does not even know its name.

use super::kill_loop::project::{Project, Run, binary};

#[test]
fn p1_without_the_feature_no_environment_makes_the_program_fail() {
    let place = tempfile::tempdir().unwrap();
    let mut project = Project::new(place.path(), None);
    project.declare(1);
    let mut command = project.command(&["apply"]);
    command.env("CHATAPI_FAILPOINT", "lock-taken=kill,no such rule");
    let ended = Run::start(command).end();
    assert_eq!(ended.code(), Some(0), "{:?}: {}", ended.status, ended.stderr);
    let program = std::fs::read(binary()).unwrap();
    for name in ["CHATAPI_FAILPOINT", "journal-before-"] {
        assert!(!program.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is compiled in");
    }
}
