//! Scenario files: what somebody types, and all that comes out, held byte for byte; `CHATAPI_BLESS=1` writes what comes out anew.
//!
//! A file in `tests/scenarios` begins with what it shows, in lines with `#`; `# faults: RULE` among them has the emulator misbehave.
//! A line with `$ ` is typed into a shell in a new directory, and the lines with `> ` below belong to it. What stands below those comes
//! from the run: its standard output, its standard error behind `! `, and its exit code if that is not 0. All that differs from run to
//! run is written as `<WHAT>`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stage::{Call, Gateway, KEY, steady};

/// One command, with what came out.
struct Step {
    typed: Vec<String>,
    kept: String,
}

struct Scenario {
    head: Vec<String>,
    steps: Vec<Step>,
}

impl Scenario {
    fn read(text: &str) -> Self {
        let (mut head, mut steps) = (Vec::new(), Vec::<Step>::new());
        for line in text.lines() {
            match (line.strip_prefix("$ "), line.strip_prefix("> "), steps.last_mut()) {
                (Some(first), ..) => steps.push(Step { typed: vec![first.to_owned()], kept: String::new() }),
                (_, Some(more), Some(step)) if step.kept.is_empty() => step.typed.push(more.to_owned()),
                (.., Some(step)) => step.kept += &[line, "\n"].concat(),
                (.., None) => head.push(line.to_owned()),
            }
        }
        Self { head, steps }
    }

    /// The emulator that it asks for.
    fn gateway(&self) -> Gateway {
        let rules: Vec<&str> = self.head.iter().filter_map(|line| line.strip_prefix("# faults: ")).collect();
        Gateway::start(&rules)
    }

    /// All of it, with what comes out now.
    fn run(&self) -> String {
        let (place, gateway) = (tempfile::tempdir().unwrap(), self.gateway());
        let program = Path::new(env!("CARGO_BIN_EXE_chatapi")).parent().unwrap();
        let path = format!("{}:{}:/usr/local/bin:/usr/bin:/bin", program.display(), directory().display());
        let mut text: String = self.head.iter().flat_map(|line| [line, "\n"]).collect();
        for Step { typed, .. } in &self.steps {
            let call = Call::of("/bin/sh", place.path().to_owned(), ["-c", &typed.join("\n")]);
            let call = call.env("PATH", &path).env("CHATAPI_URL", gateway.url()).env("CHATAPI_API_KEY", KEY);
            let run = call.env("HOME", place.path()).run();
            text += &["$ ", &typed.join("\n> "), "\n"].concat();
            text += &run.stdout;
            text.extend(run.stderr.lines().map(|line| ["! ", line, "\n"].concat()));
            if run.code != 0 {
                text += &["[exit ", &run.code.to_string(), "]\n"].concat();
            }
            text.push('\n');
        }
        let text = text.replace(&place.path().display().to_string(), "<HERE>");
        format!("{}\n", steady(&text).trim_end())
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Runs the file `name` and compares.
#[track_caller]
fn scenario(name: &str) {
    let text = fs::read_to_string(directory().join(name)).unwrap();
    let scenario = Scenario::read(&text);
    assert!(!scenario.steps.is_empty(), "{name} types nothing");
    crate::stage::kept(&format!("tests/scenarios/{name}"), &scenario.run());
}

macro_rules! scenarios {
    ($($test:ident),*) => {
        const NAMES: &[&str] = &[$(stringify!($test)),*];
        $(#[test] fn $test() { scenario(concat!(stringify!($test), ".txt")); })*
    };
}

scenarios!(adopting, drift, environments, repetition, retiring, watching);

#[test]
fn every_file_is_run() {
    let mut found: Vec<_> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut names: Vec<_> = found.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, NAMES);
}
