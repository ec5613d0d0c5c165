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

/// What the page says to type after the session works in its directory, in its order.
#[test]
fn what_comes_after_the_session_works_as_typed() {
    let project = Project::new("");
    std::fs::remove_file(project.path("instances.yaml")).unwrap();
    let sh = |command: &str| {
        let script = format!("chatapi() {{ \"$0\" \"$@\"; }}; {command}");
        Call::of("sh", project.dir().to_owned(), ["-c", &script, env!("CARGO_BIN_EXE_chatapi")]).run()
    };
    let page = read("docs/quick-start.md");
    let of_server = page.find("## A real server").unwrap();
    let commands: Vec<_> = page[..of_server].lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(commands.len(), 6, "{commands:?}");
    for command in commands {
        let tell = if command.starts_with("eval") { "; test -n \"$CHATAPI_SUPPORT_EU_TOKEN\"" } else { "" };
        sh(&format!("{command}{tell}")).exits(0).done();
    }
    let sealing = page.lines().skip_while(|line| !line.starts_with("- Seal the tokens")).take(3).collect::<Vec<_>>().join(" ");
    let typed: Vec<_> = sealing.split('`').skip(1).step_by(2).filter(|text| text.starts_with("chatapi ")).collect();
    let [generate, rekey, get] = typed[..] else { panic!("{typed:?}") };
    let public = sh(generate).exits(0).stdout;
    project.declare(&format!("{}seal_to: [{}]\n", project.read("instances.yaml"), public.trim()));
    let _ = sh("chatapi apply").exits(6);
    sh(rekey).exits(0).done();
    sh("chatapi apply").exits(0).done();
    assert_eq!(sh(get).exits(0).stdout.trim().len(), 16);
}
