//! `docs/session.svg`, the picture in the README: what the program really prints, in colour, on a light page and on a dark one.

use anstyle_svg::Term;

use super::{read, root};
use crate::stage::{Call, Project, kept, steady};

const SESSION: [&str; 3] =
    ["chatapi plan examples/quickstart.yaml", "chatapi apply examples/quickstart.yaml", "chatapi apply examples/quickstart.yaml"];

/// For a dark page, and for a light one; on both, dimmed words stay readable. `opacity` does nothing to a part of a text.
const COLOURS: &str = "    .dimmed { opacity: 1; fill-opacity: 0.7 }
    .fg { fill: #e6edf3 }
    .bg { fill: #0d1117 }
    .fg-green { fill: #3fb950 }
    @media (prefers-color-scheme: light) {
      .fg { fill: #1f2328 }
      .bg { fill: #f6f8fa }
      .fg-green { fill: #116329 }
    }
  </style>";

/// Prompts, commands and what they print, both streams as a terminal mixes them.
fn session() -> String {
    let project = Project::new("");
    std::fs::create_dir(project.path("examples")).unwrap();
    project.write("examples/quickstart.yaml", read("examples/quickstart.yaml"));
    let mut session = String::new();
    for command in SESSION {
        // One create after the other, so that they are told in one order.
        let words = command.strip_prefix("chatapi ").unwrap();
        let line = format!("exec \"$0\" --color always {words} 2>&1");
        let call = Call::of("sh", project.dir().to_owned(), ["-c", &line, env!("CARGO_BIN_EXE_chatapi")]);
        let run = call.env("CHATAPI_PARALLELISM", "1").coloured().run().exits(0);
        session += &["\u{1b}[2m$\u{1b}[0m \u{1b}[1m", command, "\u{1b}[0m\n", &run.stdout].concat();
    }
    let unstable = [("<PORT>", "41073"), ("<TOOK>", "10 ms")];
    unstable.iter().fold(steady(&session), |session, (mark, example)| session.replace(mark, example))
}

#[test]
fn the_picture_of_a_session_is_what_the_program_prints() {
    let session = session();
    for part in ["Plan: 3 to create", "Apply: 3 created", "Nothing to do: 3 instances"] {
        assert!(session.contains(part), "{session}");
    }
    assert!(!session.contains('<'), "something that differs from run to run has no example: {session}");
    let drawn = Term::new().render_svg(&session);
    assert!(drawn.matches(".fg-").count() == 1, "a colour is new here: say it for both pages: {drawn}");
    for class in ["fg", "bg", "fg-green", "dimmed"] {
        assert!(drawn.contains(&format!(".{class} {{")), "its colours have other names here: {drawn}");
    }
    let named = drawn.replacen(
        "<svg ",
        "<svg role=\"img\" aria-label=\"chatapi plans, applies, and has nothing to do the second time\" ",
        1,
    );
    kept("docs/session.svg", &named.replacen("  </style>", COLOURS, 1));
}

#[test]
fn the_readme_shows_it() {
    assert!(root().join("docs/session.svg").exists());
    let first_part = read("README.md").split("\n## A session").next().unwrap().to_owned();
    assert!(first_part.contains("](docs/session.svg)"), "the picture is not near the top of the README");
}
