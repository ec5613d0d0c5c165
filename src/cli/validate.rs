//! `chatapi validate`.

use super::args::Manifests;
use super::context::Context;
use super::error::{CliError, Content};
use super::exit::Exit;
use super::variables;
use crate::report::ValidateDocument;
use crate::text::counted;

pub(super) fn run(context: &Context, args: &Manifests) -> Result<Exit, CliError> {
    let given = variables::given(context, &args.variables)?;
    match context.manifest(&args.files, &given) {
        Ok(manifest) => {
            let count = manifest.declarations().len();
            if context.is_json() {
                context.document(&ValidateDocument::valid(count))?;
            } else if context.is_text() {
                context.console.line(format_args!("Valid: {} declared.", counted(count, "instance", "instances")));
            }
            Ok(Exit::Done)
        }
        Err(error @ CliError { content: Content::Problems(_), .. }) if context.is_json() => {
            context.note_error(&error);
            if let Content::Problems(problems) = &error.content {
                context.document(&ValidateDocument::invalid(problems))?;
            }
            Ok(Exit::Error)
        }
        Err(error) => Err(error),
    }
}
