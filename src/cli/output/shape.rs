//! The form that credentials get: a format with its prefix, a Secret, or a template, and what is told when that cannot be.

use std::fs;
use std::path::Path;

use crate::cli::args::{OutputArgs, OutputFormat};
use crate::cli::context::draw_seed;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::report::credentials::{
    Credential, FIELDS, Grammar, Prefix, RenderError, Rendered, SecretPlace, Shape, TOP, Template, TemplateError, render,
};
use crate::text::closest;

/// Longest template that is read, in bytes.
const TEMPLATE_MAX: u64 = 1 << 20;

/// What `args` ask for, of `credentials`.
pub(super) fn shaped(args: &OutputArgs, format: OutputFormat, credentials: &[Credential]) -> Result<Rendered, CliError> {
    let prefix = args.prefix.clone().unwrap_or_default();
    let delimiter = delimiter();
    let template;
    let shape = match format {
        OutputFormat::Template => {
            template = self::template(args)?;
            Shape::Template(&template)
        }
        _ => match plain(format, prefix.clone(), &delimiter) {
            Some(shape) => shape,
            None => Shape::KubernetesSecret(secret_place(args.k8s_name.as_deref(), args.k8s_namespace.as_deref())?, prefix),
        },
    };
    render(credentials, &shape).map_err(|error| refused(&error, args.reveal))
}

/// The shape of a format that needs nothing but a prefix.
pub(super) fn plain(format: OutputFormat, prefix: Prefix, delimiter: &str) -> Option<Shape<'_>> {
    Some(match format {
        OutputFormat::Json => Shape::Json,
        OutputFormat::Yaml => Shape::Yaml,
        OutputFormat::Dotenv => Shape::Lines(Grammar::Dotenv, prefix),
        OutputFormat::Shell => Shape::Lines(Grammar::Shell, prefix),
        OutputFormat::DockerEnv => Shape::Lines(Grammar::DockerEnv, prefix),
        OutputFormat::GithubEnv => Shape::Lines(Grammar::GithubEnv { delimiter }, prefix),
        OutputFormat::K8sSecret | OutputFormat::Template => return None,
    })
}

/// A line that stands in no value.
pub(super) fn delimiter() -> String {
    format!("chatapi_{:016x}{:016x}", draw_seed(), draw_seed())
}

/// Where a Secret of Kubernetes goes, by name and namespace.
pub(super) fn secret_place(name: Option<&str>, namespace: Option<&str>) -> Result<SecretPlace, CliError> {
    SecretPlace::new(name.unwrap_or("chatapi"), namespace).map_err(|error| CliError::new(Exit::Error, &error))
}

fn template(args: &OutputArgs) -> Result<Template, CliError> {
    let (label, text) = match (&args.template_text, &args.template) {
        (Some(text), _) => ("--template-text".into(), text.clone()),
        (None, Some(path)) => {
            let text = read_template(path)
                .map_err(|error| CliError::new(Exit::Error, &error).context(format!("cannot read {}", path.display())))?;
            (path.to_string_lossy(), text)
        }
        (None, None) => {
            return Err(
                CliError::message(Exit::Error, "no template was named").hint("`--template FILE`, or `--template-text TEXT`")
            );
        }
    };
    Template::parse(&label, text).map_err(|error| CliError::new(Exit::Error, &error).context("the template cannot be read"))
}

fn read_template(path: &Path) -> std::io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > TEMPLATE_MAX {
        return Err(std::io::Error::other("it is not a file of at most 1 MiB"));
    }
    fs::read_to_string(path)
}

/// Why nothing is rendered, and what to do.
pub(super) fn refused(error: &RenderError, is_revealed: bool) -> CliError {
    let shown = CliError::new(Exit::Error, error);
    match error {
        RenderError::Collision { .. } => {
            shown.hint("ask for one of them at a time, or give one another name: `chatapi state mv`")
        }
        RenderError::Value { .. } => shown.hint("nothing was written; `--format json`, `yaml` and `k8s-secret` hold every value"),
        RenderError::TooBig(_) => shown.hint("ask for fewer names at a time, each with a `--k8s-name` of its own"),
        RenderError::Template(TemplateError::Undefined { word, .. }) => undefined(shown, word.as_deref(), is_revealed),
        RenderError::Template(_) => shown,
    }
}

/// What there is in the place of `word`, which is not defined.
fn undefined(error: CliError, word: Option<&str>, is_revealed: bool) -> CliError {
    let last = word.and_then(|word| word.rsplit(['.', '[', ']', '"', '\'']).find(|part| !part.is_empty())).unwrap_or_default();
    let is_known = FIELDS.contains(&last);
    let error = match closest(last, FIELDS.into_iter().chain(TOP)).filter(|_| !is_known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    };
    let quoted = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let error = error.hint(format!("at the top there are {}; an instance has {}", quoted(&TOP), quoted(&FIELDS)));
    if is_revealed {
        error.hint("`token` and `api_url` are defined only where they are known: `{% if instance.token is defined %}`")
    } else {
        error.hint("`token` is defined only with `--reveal`, and `api_url` only where it is known")
    }
}
