//! Pipelines as two forges write them, reduced to what a doctor asks: which jobs run `chatapi apply`, who else may run beside them,
//! what is cached, and what is kept.
//!
//! A reading: nothing is fetched, and no shell is run. What is not understood is told as not known, never taken for good.

mod expression;
mod github;
mod gitlab;
mod gitlab_file;
mod gitlab_group;
mod paths;
mod script;
mod trigger;
mod yaml;

pub(super) use github::is_cache;
pub(super) use paths::{covers, holds, is_inside, joined};

pub use paths::Holds;
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
    /// What it takes from elsewhere, and was not read.
    pub unfollowed: Vec<String>,
}

/// What runs at once on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Who may run beside it.
    pub queue: Queue,
    /// Its steps; on GitLab the script, what comes after it, and the artifacts.
    pub steps: Vec<Step>,
    /// Paths that it takes from caches and puts there.
    pub caches: Vec<Files>,
    /// The container that it runs in.
    pub image: Option<String>,
    /// Whose machine it runs on.
    pub machine: Machine,
    /// Its variables, as they are written; the nearest comes first.
    pub variables: Vec<(String, String)>,
}

/// Whose machine a job runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// The forge's, and thrown away with the job.
    Hosted,
    /// The owner's.
    Own,
    /// Nobody can tell from the file.
    Unknown,
}

/// What holds runs of a job back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// The groups that it waits in.
    pub groups: Vec<Group>,
    /// Whether a later run stops one that has begun.
    pub cancels: Cancels,
    /// Whether another file that calls this one may hold it back.
    pub is_called: bool,
}

/// A group of which one runs at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As it is written.
    pub text: String,
    /// What it comes to.
    pub name: Name,
}

/// What the name of a group comes to in the runs of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// The same in each.
    Fixed(String),
    /// Not the same in all: why.
    Varies(&'static str),
    /// Nobody can tell from the file.
    Unknown,
}

/// Whether a run that has begun is stopped by the forge itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cancels {
    /// It is not.
    #[default]
    Never,
    /// Only a run knows; what is written there.
    Perhaps(String),
    /// It is; by what.
    Yes(&'static str),
}

/// What runs one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In their order.
    pub commands: Vec<Command>,
    /// What `CHATAPI_STATE` says there.
    pub state: Option<String>,
    /// Where it runs, from the repository's root.
    pub directory: Option<String>,
    /// An action, or what a job leaves behind.
    pub uses: Option<Uses>,
    /// When it comes to it.
    pub when: When,
}

/// When a step is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Also after a failure.
    Always,
    /// If nothing has failed before.
    Success,
    /// Under this condition.
    Condition(String),
}

/// An action and the files that it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uses {
    /// Without its version; [`ARTIFACTS`] for those of a GitLab job.
    pub name: String,
    /// The files.
    pub files: Files,
    /// Whether it fetches what an earlier run has left.
    pub is_of_earlier_run: bool,
}

/// The name of what a GitLab job leaves behind.
pub const ARTIFACTS: &str = "artifacts:";

/// Files as a pipeline names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Patterns.
    pub paths: Vec<String>,
    /// Whether all are meant that git does not know.
    pub is_untracked: bool,
}

impl Files {
    /// Whether some of `state` are among them.
    pub fn hold(&self, state: &str) -> Holds {
        match holds(&self.paths, state) {
            Holds::Yes(path) => Holds::Yes(path),
            _ if self.is_untracked && is_inside(state) => Holds::Yes("untracked: true".to_owned()),
            other => other,
        }
    }
}

impl Pipeline {
    /// Reads the text of `file`; nothing if it is no pipeline that can be read. `include` has the text of another file of the
    /// repository.
    pub fn read(forge: Forge, file: &str, text: &str, include: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let (jobs, unfollowed) = match forge {
            Forge::GitHub => github::jobs(yaml::documents(text)?.first()?, file)?,
            Forge::GitLab => gitlab::jobs(text, include)?,
        };
        Some(Self { file: file.to_owned(), forge, jobs, unfollowed })
    }

    /// What each command of the jobs that apply or plan names as its manifests, from the repository's root; other files, too.
    pub fn manifests(&self) -> Vec<Vec<String>> {
        let steps = self.jobs.iter().flat_map(|job| &job.steps);
        let commands = steps.flat_map(|step| step.commands.iter().map(move |command| (step, command)));
        let named = commands.filter_map(|(step, command)| Some((step.place_of(command), command.manifests()?)));
        named.map(|(place, words)| words.into_iter().map(|word| joined(place.as_deref(), word)).collect()).collect()
    }

    /// The files in the work tree that applies write credentials to, from the repository's root.
    pub fn outputs(&self) -> Vec<String> {
        let applies = self.jobs.iter().flat_map(Job::applies);
        let files = applies.flat_map(|(step, apply)| apply.outputs().map(move |file| (step.place_of(apply), file)));
        let files = files.map(|(place, file)| joined(place.as_deref(), file));
        files.filter(|file| is_inside(file) && !file.contains('$')).collect()
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
        let mut states: Vec<_> = self.applies().map(|(step, command)| step.state_of(command)).collect();
        states.sort();
        states.dedup();
        states
    }

    /// What a variable of the job says.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

impl Step {
    /// Where one of its commands runs, from the repository's root.
    pub fn place_of(&self, command: &Command) -> Option<String> {
        match (&self.directory, &command.directory) {
            (Some(directory), Some(inner)) => Some(joined(Some(directory), inner)),
            (directory, inner) => directory.clone().or_else(|| inner.clone()),
        }
    }

    fn state_of(&self, command: &Command) -> String {
        let named = command.value_of("--state").or(command.state.as_deref()).or(self.state.as_deref()).unwrap_or("state");
        joined(self.place_of(command).as_deref(), named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_files_are_no_pipeline_and_no_panic() {
        let circle = |_: &str| Some("include: a.yml\nx: {extends: x, script: [!reference [x, script]]}".to_owned());
        for text in
            ["", "[", "a: b: c", "- 1", "42", "jobs: 3", "jobs: {a: 1}", "\0", "a: &a [*a]", "include: a.yml", &"[".repeat(5_000)]
        {
            for forge in [Forge::GitHub, Forge::GitLab] {
                let read = Pipeline::read(forge, "f", text, &circle);
                assert!(read.is_none_or(|pipeline| pipeline.applying().count() == 0), "{text}");
            }
        }
        assert!(Pipeline::read(Forge::GitHub, "f", &" ".repeat(FILE_MAX + 1), &|_| None).is_none());
    }
}
