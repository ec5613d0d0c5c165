//! Reports beside what is printed: files, Markdown, and what a CI system is told, by the real binary.

use std::path::PathBuf;

use crate::stage::{Call, Project, Run};

mod events;
mod files;
mod github;
mod junit;
mod markdown;
mod schemas;
mod secrets;

/// A call as a step of a GitHub job would make it, and where its files are.
struct Step {
    outputs: PathBuf,
    summary: PathBuf,
}

impl Step {
    fn new(project: &Project) -> Self {
        let step = Self { outputs: project.path("github-output"), summary: project.path("github-summary") };
        std::fs::write(&step.outputs, "").unwrap();
        std::fs::write(&step.summary, "").unwrap();
        step
    }

    fn call(&self, project: &Project, line: &str) -> Call {
        let call = project.call(line.split(' ')).env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &self.outputs);
        call.env("GITHUB_STEP_SUMMARY", &self.summary).env("GITHUB_WORKSPACE", project.dir())
    }

    /// The outputs, as the runner reads them.
    fn outputs(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(&self.outputs).unwrap();
        let mut lines = text.lines();
        let mut pairs = Vec::new();
        while let Some(line) = lines.next() {
            let (name, end) = line.split_once("<<").unwrap_or_else(|| panic!("{line} in {text}"));
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            pairs.push((name.to_owned(), value.join("\n")));
        }
        pairs
    }

    fn summary(&self) -> String {
        std::fs::read_to_string(&self.summary).unwrap()
    }
}

/// The lines that GitHub's runner obeys, of both streams.
fn commands(run: &Run) -> Vec<String> {
    let lines = run.stdout.lines().chain(run.stderr.lines());
    lines.filter(|line| line.trim_start().starts_with("::") || line.contains("##[")).map(str::to_owned).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
