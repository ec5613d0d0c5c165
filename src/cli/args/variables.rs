//! The words that give a manifest's variables their values.

use std::path::PathBuf;

use clap::Args;

/// What the manifests' variables hold.
#[derive(Debug, Args)]
pub(in crate::cli) struct VariableArgs {
    /// A value for a variable of the manifest; may be repeated. It goes before `--var-file`, and that before `CHATAPI_VAR_NAME`.
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(in crate::cli) var: Vec<(String, String)>,
    /// A YAML file with values, as `NAME: VALUE`; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) var_file: Vec<PathBuf>,
}

/// `NAME=VALUE`.
fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
