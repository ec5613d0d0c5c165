//! `docs/quick-start.md`: its first session is run, and prints what stands there.

use super::{read, with_blocks};
use crate::stage::{Call, Project, kept, steady};

#[test]
fn the_session_of_the_quick_start_is_what_the_program_prints() {
    let project = Project::new("");
    std::fs::remove_file(project.path("instances.yaml")).unwrap();
    let mut seen = 0;
    let page = with_blocks(&read("docs/quick-start.md"), |block| {
        if !block.text.starts_with("$ chatapi init\n") {
            return None;
        }
        let mut session = String::new();
        for command in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let line = command.replacen("chatapi", "exec \"$0\"", 1) + " 2>&1";
            let call = Call::of("sh", project.dir().to_owned(), ["-c", &line, env!("CARGO_BIN_EXE_chatapi")]);
            let run = call.env("CHATAPI_PARALLELISM", "1").run().exits(0);
            session += &["$ ", command, "\n", &run.stdout].concat();
            seen += 1;
        }
        // An example of a port, a lineage and a duration stays as it is.
        let is_same = steady(&session) == steady(&block.text);
        (!is_same).then_some(session)
    });
    assert_eq!(seen, 3, "init, plan, apply");
    kept("docs/quick-start.md", &page);
}
