//! `chatapi qr`: shows the code that links a phone to an instance, and waits until one is linked.
//!
//! Whoever has the code can link their phone. It goes to a terminal, to files that only this user can read, and nowhere else unless
//! that is asked for.

use std::path::Path;

use tokio::time::Instant;

use super::args::QrArgs;
use super::asking::{Asked, Field, Silence};
use super::console::Console;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::kept::Kept;
use super::{signals, state, witness};
use crate::apply::StopSignal;
use crate::report::qr::{Modules, Picture, PictureError};
use crate::secret::Secret;
use crate::store;

/// What an instance says that nobody pays for: no code will come.
const UNPAID: &str = "not_paid";

pub(super) fn run(context: &Context, args: &QrArgs) -> Result<Exit, CliError> {
    // A name that nobody has is said before where its code would go.
    state::record(&witness::read(context, &args.lock_file)?.state, &args.name)?;
    let is_shown = check(context, args)?;
    signals::runtime()?.block_on(async {
        let stop = signals::listen()?;
        let names = std::slice::from_ref(&args.name);
        let field = Field::open(context, names, (&args.identity, &args.lock_file, &args.reach)).await?;
        let Some(asked) = field.asked.first() else {
            let message = format!("the create of `{}` is not concluded: there is nothing to link", args.name);
            return Err(CliError::message(Exit::InDoubt, message).hint("`chatapi doubts` tells more"));
        };
        let watch = Watch { context, args, field: &field, asked, is_shown };
        watch.run(stop).await
    })
}

/// Whether it is printed, if it goes anywhere at all.
fn check(context: &Context, args: &QrArgs) -> Result<bool, CliError> {
    let files: Vec<&Path> = [&args.png, &args.svg].into_iter().flatten().map(AsRef::as_ref).collect();
    let others = [&args.identity.identity, &args.lock_file.lock_file].into_iter().flatten().cloned();
    let kept = Kept::of(context, &[], others);
    if let Some((path, why)) = files.iter().find_map(|path| Some((path, kept.refusal(path)?))) {
        return Err(
            CliError::message(Exit::Error, format!("nothing is written to {}: {why}", path.display())).hint("name another file")
        );
    }
    if args.png.is_some() && args.png == args.svg {
        return Err(CliError::message(Exit::Error, "`--png` and `--svg` name the same file"));
    }
    if args.print && context.is_json() {
        return Err(CliError::message(Exit::Error, "`--print` does not go with JSON: name a file, `--png FILE` or `--svg FILE`"));
    }
    let is_shown = args.print || (files.is_empty() && Console::width().is_some() && !context.is_json());
    if !is_shown && files.is_empty() {
        return Err(CliError::message(Exit::Error, "the code is a credential, and is not printed where no terminal is")
            .hint("name a file: `--png FILE` or `--svg FILE`; or say that it is meant: `--print`"));
    }
    Ok(is_shown)
}

/// One instance until its phone is linked.
struct Watch<'a> {
    context: &'a Context,
    args: &'a QrArgs,
    field: &'a Field,
    asked: &'a Asked,
    is_shown: bool,
}

impl Watch<'_> {
    async fn run(&self, mut stop: StopSignal) -> Result<Exit, CliError> {
        let ends = Instant::now() + self.args.wait_for;
        let mut shown: Option<Secret> = None;
        let mut said = String::new();
        loop {
            let answer = tokio::select! {
                biased;
                signal = stop.wait() => return Ok(Exit::Signal(signal)),
                answer = self.field.ask(self.asked) => answer,
            };
            match answer {
                Ok(status) if status.is_linked() => return self.linked(shown.is_some()),
                Ok(status) if status.word == UNPAID => return Err(self.unpaid()),
                Ok(status) => {
                    let is_new = status.qr.is_some() && status.qr != shown;
                    if let Some(code) = status.qr.filter(|_| is_new) {
                        self.present(&code, shown.is_some())?;
                        shown = Some(code);
                    } else if shown.is_none() {
                        self.tell(&mut said, format!("{} says `{}`, and shows no code yet", self.args.name, status.word));
                    }
                }
                Err(Silence::Failed(error)) if error.may_pass() && !self.args.no_wait => self.tell(&mut said, error.to_string()),
                Err(silence) => return Err(self.silent(&silence)),
            }
            match shown {
                Some(_) if self.args.no_wait => return self.shown(),
                None if self.args.no_wait => return Err(self.codeless()),
                _ if Instant::now() + self.args.reach.interval > ends => {
                    return Err(self.late());
                }
                _ => {}
            }
            tokio::select! {
                biased;
                signal = stop.wait() => return Ok(Exit::Signal(signal)),
                () = tokio::time::sleep(self.args.reach.interval) => {}
            }
        }
    }

    /// What is new is told, once.
    fn tell(&self, said: &mut String, now: String) {
        if *said != now {
            self.context.console.note(&now);
            *said = now;
        }
    }

    fn linked(&self, was_shown: bool) -> Result<Exit, CliError> {
        let already = if was_shown { "" } else { " already" };
        self.context.done(format!("`{}` is linked to a phone{already}.", self.args.name))?;
        Ok(Exit::Done)
    }

    /// A person sees the code, and the files are told of.
    fn shown(&self) -> Result<Exit, CliError> {
        if self.context.is_json() {
            self.context.done(format!("the code of `{}` is written.", self.args.name))?;
        }
        Ok(Exit::Done)
    }

    fn unpaid(&self) -> CliError {
        let error = CliError::message(Exit::Unlinked, format!("`{}` is not paid for, and shows no code", self.args.name));
        error.hint("`chatapi drift` tells until when each is paid")
    }

    fn codeless(&self) -> CliError {
        let error = CliError::message(Exit::Unlinked, format!("`{}` shows no code now", self.args.name));
        error.hint("without `--no-wait` it is waited for")
    }

    fn late(&self) -> CliError {
        let error = CliError::message(Exit::Unlinked, format!("`{}` was not linked in time", self.args.name));
        error.hint("`--wait-for 30m` waits longer")
    }

    fn silent(&self, silence: &Silence) -> CliError {
        let exit = match silence {
            Silence::NoToken | Silence::NoAddress => Exit::InDoubt,
            Silence::Foreign(_) | Silence::Failed(_) => Exit::Error,
        };
        let message = silence.to_string().replace("NAME", self.args.name.as_str());
        CliError::message(exit, format!("`{}` cannot be asked: {message}", self.args.name))
    }

    /// Writes and shows a code, a first one or the next.
    fn present(&self, code: &Secret, is_another: bool) -> Result<(), CliError> {
        let picture = Picture::read(code).transpose().map_err(unreadable)?;
        if let Some(path) = &self.args.png {
            match &picture {
                Some(picture) => write(path, picture.bytes())?,
                None => write(path, &modules(code, None)?.png().map_err(|error| CliError::new(Exit::Error, &error))?)?,
            }
        }
        if let Some(path) = &self.args.svg {
            write(path, modules(code, picture.as_ref())?.svg().as_bytes())?;
        }
        for path in [&self.args.png, &self.args.svg].into_iter().flatten() {
            self.context.console.note(format_args!("wrote {}", path.display()));
        }
        if self.is_shown {
            let modules = modules(code, picture.as_ref())?;
            if let Some(columns) = Console::width().filter(|columns| *columns < modules.columns()) {
                let needed = modules.columns();
                return Err(CliError::message(
                    Exit::Error,
                    format!("the code takes {needed} columns, and the terminal has {columns}"),
                )
                .hint("make the window wider or the letters smaller; or `--png FILE`"));
            }
            if is_another {
                self.context.console.note("a new code; the one before counts no longer");
            }
            self.context.console.result(modules.terminal());
        }
        if !self.args.no_wait && !is_another {
            self.context.console.note("scan it with the phone that is to be linked; waiting for that (Ctrl-C ends it)");
        }
        Ok(())
    }
}

fn modules(code: &Secret, picture: Option<&Picture>) -> Result<Modules, CliError> {
    match picture {
        Some(picture) => picture.modules().map_err(unreadable),
        None => Modules::of(code).map_err(|error| CliError::new(Exit::Error, &error)),
    }
}

fn unreadable(error: PictureError) -> CliError {
    let refused = CliError::new(Exit::Error, &error);
    match error {
        PictureError::NoModules => refused.hint("`--png FILE` writes the picture as it came"),
        PictureError::NoPng => refused.hint("the provider's console may show it"),
    }
}

/// The whole file or the old one, readable by this user only.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    store::replace(path, bytes, 0o600).map_err(|error| {
        CliError::new(Exit::Error, &error)
            .context(format!("cannot write {}", path.display()))
            .hint("it needs a directory that is there, writable and not full; what stood there before is as it was")
    })
}
