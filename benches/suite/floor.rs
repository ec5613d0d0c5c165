//! What no plan can do without, each alone in a process of its own: the YAML library reads the manifest, and the state is read.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::Result;
use super::project::Project;

/// Under these words the program does one of them.
const YAML: &str = "--yaml-alone";
const STATE: &str = "--state-alone";
const NOTHING: &str = "--nothing";

/// A manifest as a program without checks would read it.
#[derive(Deserialize)]
struct Document {
    instances: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Does what `words` say, if they are meant for it.
pub(super) fn is_done(words: &[String]) -> Result<bool> {
    match words {
        [word, file] if word == YAML => yaml(Path::new(file)).map(|()| true),
        [word, dir] if word == STATE => {
            let reading = chatapi::store::read(Path::new(dir), None)?;
            (!reading.state.records().is_empty()).then_some(true).ok_or_else(|| "an empty state".into())
        }
        [word] if word == NOTHING => Ok(true),
        _ => Ok(false),
    }
}

fn yaml(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let document: Document = serde_yaml::from_str_with_options(&text, serde_yaml::options! { budget: None })?;
    let is_whole = document.instances.iter().all(|entry| !entry.name.is_empty() && !entry.kind.is_empty());
    (is_whole && !document.instances.is_empty()).then_some(()).ok_or_else(|| "an empty entry".into())
}

/// The YAML library alone on the manifest.
pub(super) fn yaml_alone(project: &Project) -> Result<Command> {
    this(project, &[YAML, "instances.yaml"])
}

/// The state alone.
pub(super) fn state_alone(project: &Project) -> Result<Command> {
    this(project, &[STATE, "state"])
}

/// A Rust program that does nothing.
pub(super) fn nothing(project: &Project) -> Result<Command> {
    this(project, &[NOTHING])
}

fn this(project: &Project, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).current_dir(project.path());
    Ok(command)
}
