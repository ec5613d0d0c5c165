//! Pipelines as two forges write them, reduced to what a doctor asks: which jobs run `chatapi apply`, who else may run beside them,
//! what is cached, and what is kept.
//!
//! A reading, no evaluation: included files, expressions and conditions are not followed. What is not understood is left out.

mod github;
mod gitlab;
mod script;
mod yaml;

pub use script::Command;
pub use yaml::FILE_MAX;

/// Who runs a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its path from the repository's root.
    pub file: String,
    /// Who runs it.
    pub forge: Forge,
    /// Its jobs, by name.
    pub jobs: Vec<Job>,
}

/// What runs at once on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Who may run beside it.
    pub queue: Queue,
    /// Its steps; on GitLab one.
    pub steps: Vec<Step>,
    /// Paths that it takes from a cache and puts there.
    pub caches: Vec<String>,
    /// Paths and words of steps that may keep files: uploads, commits.
    pub keeps: Vec<String>,
    /// The container that it runs in.
    pub image: Option<String>,
    /// Whether it asks for a machine of its owner.
    pub is_own_machine: bool,
}

/// Whether runs of a job wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Two may run at the same time.
    Missing,
    /// They wait.
    Waits,
    /// A later one stops an earlier one.
    Cancels,
}

/// Commands of one shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// In their order.
    pub commands: Vec<Command>,
    /// What `CHATAPI_STATE` says there.
    pub state: Option<String>,
    /// Where it runs, from the repository's root.
    pub directory: Option<String>,
}

impl Pipeline {
    /// Reads the text of `file`; nothing if it is no pipeline that can be read.
    pub fn read(forge: Forge, file: &str, text: &str) -> Option<Self> {
        let documents = yaml::documents(text)?;
        let jobs = match forge {
            Forge::GitHub => github::jobs(documents.first()?),
            Forge::GitLab => gitlab::jobs(&documents),
        };
        Some(Self { file: file.to_owned(), forge, jobs: jobs? })
    }

    /// The jobs that run `chatapi apply`.
    pub fn applying(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.applies().next().is_some())
    }
}

impl Job {
    /// Each `chatapi apply`, with its step.
    pub fn applies(&self) -> impl Iterator<Item = (&Step, &Command)> {
        self.steps
            .iter()
            .flat_map(|step| step.commands.iter().filter(|command| command.is_apply()).map(move |command| (step, command)))
    }

    /// The state directory of each apply, as far as it is known, from the repository's root.
    pub fn states(&self) -> Vec<String> {
        let state = |(step, command): (&Step, &Command)| {
            let named = command.value_of("--state").or(step.state.as_deref()).unwrap_or("state");
            joined(step.directory.as_deref(), named)
        };
        let mut states: Vec<_> = self.applies().map(state).collect();
        states.sort();
        states.dedup();
        states
    }
}

/// What stands for the repository's root at the beginning of a path.
const ROOTS: [&str; 6] = [
    "${{github.workspace}}",
    "${{env.GITHUB_WORKSPACE}}",
    "$GITHUB_WORKSPACE",
    "${GITHUB_WORKSPACE}",
    "$CI_PROJECT_DIR",
    "${CI_PROJECT_DIR}",
];

/// A path without the ways to say the repository's root, and without what ends it.
fn plain(path: &str) -> String {
    let path: String = script::without_blanks_in_expressions(path.trim());
    let path = ROOTS.iter().find_map(|root| path.strip_prefix(root)).map_or(path.as_str(), |rest| rest.trim_start_matches('/'));
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    let path = path.trim_end_matches("/**").trim_end_matches("/*").trim_end_matches('/');
    if path == "." { String::new() } else { path.to_owned() }
}

fn joined(directory: Option<&str>, path: &str) -> String {
    let path = plain(path);
    match directory.map(plain).filter(|directory| !directory.is_empty()) {
        Some(directory) if !path.starts_with(['/', '$', '~']) => format!("{directory}/{path}"),
        _ => path,
    }
}

/// Whether the files that `pattern` names have some of the directory `state` among them.
pub(super) fn covers(pattern: &str, state: &str) -> bool {
    if pattern.trim_start().starts_with('!') {
        return false;
    }
    let pattern = plain(pattern);
    let is_below =
        |inner: &str, outer: &str| inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    if let Some(tail) = pattern.strip_prefix("**/") {
        return state == tail || state.ends_with(&format!("/{tail}"));
    }
    if matches!(pattern.as_str(), "" | "*" | "**") {
        return !state.starts_with(['/', '~', '$']);
    }
    is_below(state, &pattern) || is_below(&pattern, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_paths_meet_however_the_root_is_said() {
        for (pattern, state, expected) in [
            ("state", "state", true),
            ("./state/", "state", true),
            ("state/**", "state", true),
            ("${{ github.workspace }}/state", "state", true),
            ("$CI_PROJECT_DIR/infra", "infra/state", true),
            ("state/journal.jsonl", "state", true),
            (".", "state", true),
            ("**/state", "infra/state", true),
            ("~/.cargo", "state", false),
            ("states", "state", false),
            ("!state", "state", false),
            ("target", "state", false),
            (".", "/srv/state", false),
        ] {
            assert_eq!(covers(pattern, state), expected, "{pattern} {state}");
        }
        assert_eq!(joined(Some("infra/"), "./state"), "infra/state");
        assert_eq!(joined(Some("infra"), "/srv/state"), "/srv/state");
    }

    #[test]
    fn strange_files_are_no_pipeline_and_no_panic() {
        for text in ["", "[", "a: b: c", "- 1", "42", "jobs: 3", "jobs: {a: 1}", "\0", "a: &a [*a]", &"[".repeat(5_000)] {
            for forge in [Forge::GitHub, Forge::GitLab] {
                let read = Pipeline::read(forge, "f", text);
                assert!(read.is_none_or(|pipeline| pipeline.applying().count() == 0), "{text}");
            }
        }
        assert!(Pipeline::read(Forge::GitHub, "f", &" ".repeat(FILE_MAX + 1)).is_none());
    }
}
