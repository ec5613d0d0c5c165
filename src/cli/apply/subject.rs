//! What an apply was given: manifests, or a saved plan that stands for them.

use crate::cli::args::ApplyArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::witness::Witness;
use crate::cli::{saved, variables};
use crate::manifest::Manifest;
use crate::plan::Limits;
use crate::saved::{Consent, SavedPlan};

/// What is to be applied, and what goes with it.
pub(super) struct Subject {
    pub(super) manifest: Manifest,
    pub(super) witness: Witness,
    /// None: the manifests themselves.
    pub(super) saved: Option<SavedPlan>,
    /// What answers the guards: what was said when the plan was saved, or now.
    pub(super) consent: Consent,
}

impl Subject {
    /// Reads what the command line names.
    pub(super) fn read(context: &Context, args: &ApplyArgs) -> Result<Self, CliError> {
        let typed = args.lock_file.lock_file.as_ref();
        match args.manifests.files.as_slice() {
            [path] if saved::is_one(path) => {
                refuse_what_belongs_to_the_plan(args)?;
                let saved = saved::read(path)?;
                let witness = saved::witness(context, &saved, typed)?;
                Ok(Self { manifest: saved.manifest.manifest(), witness, consent: saved.consent.clone(), saved: Some(saved) })
            }
            files => {
                let manifest = context.manifest(files, &variables::given(context, &args.manifests.variables)?)?;
                let witness = Witness::of_manifests(context, files, typed)?;
                Ok(Self { manifest, witness, consent: args.answers.consent(args.budget.max_creates), saved: None })
            }
        }
    }

    /// What limits the run. What was said when a plan was saved holds, and what is said now holds too.
    pub(super) fn limits(&self, args: &ApplyArgs, is_unattended: bool) -> Limits {
        let limits = args.budget.limits(is_unattended);
        let consented = self.saved.as_ref().and_then(|saved| saved.consent.max_creates);
        // Where nobody looks, a file alone does not say that many are meant: it may come with a pull request.
        let consented = consented.filter(|_| !is_unattended || limits.max_creates.is_some());
        let max_creates = match (limits.max_creates, consented) {
            (Some(now), Some(then)) => Some(now.min(then)),
            (now, then) => now.or(then),
        };
        let is_nothing_declared = self.manifest.declarations().is_empty();
        Limits { max_creates, is_nothing_declared, ..limits }
    }
}

/// A saved plan is applied as it was reviewed.
fn refuse_what_belongs_to_the_plan(args: &ApplyArgs) -> Result<(), CliError> {
    let Some(flag) = args.answers.given().or_else(|| args.manifests.variables.given()) else { return Ok(()) };
    let message = format!("`{flag}` does not go with a saved plan, which is applied as it was reviewed");
    Err(CliError::message(Exit::Error, message).hint("say it to `chatapi plan --out FILE`"))
}
