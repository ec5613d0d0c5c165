//! Where the values of a manifest's variables come from: flags, files and the environment.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use super::args::VariableArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::manifest::{Given, Loaded, Source, Stdin, load_beside, load_guarded};

/// What the variables of the environment begin with.
const PREFIX: &str = "CHATAPI_VAR_";

impl VariableArgs {
    /// The first flag that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let flags = [("--var", self.var.is_empty()), ("--var-file", self.var_file.is_empty())];
        flags.into_iter().find(|(_, is_empty)| !is_empty).map(|(flag, _)| flag)
    }
}

/// Everything that is said.
pub(super) fn given(context: &Context, args: &VariableArgs) -> Result<Given, CliError> {
    let mut given = surrounding(context)?;
    given.files.extend(read(load_guarded(&args.var_file, Stdin::Terminal, &context.confidential))?);
    Ok(Given { flags: args.var.clone(), ..given })
}

/// What is said around the command line: by the process's environment, and by the files of the environment that was chosen.
pub(super) fn surrounding(context: &Context) -> Result<Given, CliError> {
    let mut environment = BTreeMap::new();
    for (name, value) in env::vars_os() {
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if name.chars().any(|character| character.is_ascii_lowercase()) {
            continue;
        }
        let value = value.into_string();
        let value = value.map_err(|_| CliError::message(Exit::Error, format!("{PREFIX}{name} is not UTF-8")))?;
        environment.insert(name.to_ascii_lowercase(), value);
    }
    let files = context.environment.as_ref().map_or(Ok(Vec::new()), |chosen| {
        let own: Vec<PathBuf> = chosen.var_files().collect();
        read(load_beside(&chosen.home(), &own, &context.confidential))
    })?;
    Ok(Given { environment, files, confidential: context.confidential.clone(), ..Given::default() })
}

fn read(Loaded { sources, problems }: Loaded) -> Result<Vec<Source>, CliError> {
    if problems.is_empty() { Ok(sources) } else { Err(problems.into()) }
}
