//! The command line: `args` is what was typed, `context` what it means here, one file per verb what it does; `error` and `exit` are
//! how it ends. Nothing else in the crate uses this module.

mod again;
mod answers;
mod apply;
mod args;
mod asking;
mod completions;
mod confidential;
mod console;
mod context;
mod deletes;
mod delivery;
mod destroy;
mod discover;
mod doctor;
mod doubts;
mod drift;
mod echo;
mod emulator;
mod environment;
mod error;
mod exit;
mod foreseen;
mod gone;
mod guards;
mod identity;
mod import;
mod init;
mod kept;
mod key;
mod logging;
mod machine;
mod man;
mod neighbours;
mod output;
mod plan;
mod planning;
mod process;
mod progress;
mod prompt;
mod qr;
mod remainders;
mod reports;
mod reserved;
mod resolve;
mod saved;
mod schema;
mod sealing;
mod settled;
mod show;
mod signals;
mod state;
mod status;
mod stream;
mod table;
mod token;
mod token_file;
mod token_set;
mod unnamed;
mod usage;
mod validate;
mod variables;
mod version;
mod witness;
mod wrap;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anstream::ColorChoice;
use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Cli, Color, Format, Global, KeyVerb, TokenVerb, Verb};
use console::{Console, Loudness};
use context::Context;
use error::CliError;
use exit::Exit;

/// Runs the program: reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    process::harden();
    if let Some(number) = process::argument_with_key() {
        return refuse_key(number);
    }
    let cli = match read() {
        Ok(cli) => cli,
        Err(error) => return usage::refuse(error),
    };
    let console = Console::new(colour(&cli.global), loudness(&cli.global));
    let confidential = confidential::known();
    let chosen = match environment::choose(&cli.global, &cli.verb, &confidential) {
        Ok(chosen) => chosen,
        Err(error) => {
            console.error(&error);
            return ExitCode::from(error.exit.code());
        }
    };
    let console = console.calling(again::command(&cli.global, chosen.as_ref()));
    let console = console.unsending(matches!(cli.verb, Verb::Plan(_) | Verb::Show(_) | Verb::Output(_) | Verb::Drift(_)));
    if let Err(wrong) = logging::start(&cli.global) {
        console.warn(wrong);
    }
    let context = Arc::new(Context::new(&cli.global, (chosen, confidential), console));
    if let Some(chosen) = &context.environment {
        context.console.note(chosen.told());
    }
    let exit = run(&context, cli.verb).unwrap_or_else(|error| {
        context.complain(&error);
        error.exit
    });
    reports::print(&context, exit);
    let exit = finish(&context, exit);
    ExitCode::from(reports::deliver(&context, exit).code())
}

/// What was typed. CI systems set a variable that nobody has defined to the empty text: that names no state and no environment.
fn read() -> Result<Cli, clap::Error> {
    let named = [("state", "CHATAPI_STATE"), ("env", "CHATAPI_ENV"), ("environments", "CHATAPI_ENVIRONMENTS")];
    let mut command = Cli::command();
    for (argument, variable) in named {
        if env::var_os(variable).is_some_and(|said| said.is_empty()) {
            command = command.mut_arg(argument, |it| it.env(Resettable::Reset));
        }
    }
    if let Some((argument, _)) = named.iter().find(|(argument, _)| is_said_twice(argument)) {
        let message = format!("the argument '--{argument}' cannot be used multiple times");
        return Err(command.error(clap::error::ErrorKind::ArgumentConflict, message));
    }
    let matches = command.try_get_matches_from_mut(env::args_os())?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command));
    // Thousands of small pieces: the system takes them back at once when the program ends.
    std::mem::forget((command, matches));
    cli
}

/// Whether a flag that every command has stands before the command and behind it: its parser would take the last one.
fn is_said_twice(argument: &str) -> bool {
    let is_it = |word: &OsString| {
        let rest = word.to_str().and_then(|word| word.strip_prefix("--")?.strip_prefix(argument));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    env::args_os().skip(1).take_while(|word| word != "--").filter(is_it).count() > 1
}

fn run(context: &Arc<Context>, verb: Verb) -> Result<Exit, CliError> {
    if context.format == Format::Markdown && !matches!(verb, Verb::Plan(_) | Verb::Show(_) | Verb::Apply(_)) {
        let error = CliError::message(Exit::Error, "only plan, show and apply have their results as Markdown");
        return Err(error.hint("choose `--format text` or `--format json`; CHATAPI_FORMAT sets it too"));
    }
    match verb {
        Verb::Plan(args) => {
            let others = [&args.lock_file.lock_file, &args.out].into_iter().flatten().cloned();
            reports::begin(context, "plan", &args.reports, (&args.manifests.files, others.collect()))?;
            plan::run(context, &args)
        }
        Verb::Show(args) => {
            reports::begin(context, "show", &args.reports, (std::slice::from_ref(&args.file), Vec::new()))?;
            show::run(context, &args)
        }
        Verb::Apply(args) => {
            let others = [&args.lock_file.lock_file, &args.identity.identity].into_iter().flatten();
            let others = others.chain(args.write_outputs.iter().map(|target| &target.path)).cloned();
            reports::begin(context, "apply", &args.reports, (&args.manifests.files, others.collect()))?;
            apply::run(context, &args)
        }
        Verb::Validate(args) => {
            reports::begin_annotations(context, "validate", &args.forge)?;
            validate::run(context, &args.manifests)
        }
        Verb::Drift(args) => drift::run(context, &args),
        Verb::Status(args) => status::run(context, &args),
        Verb::Qr(args) => qr::run(context, &args),
        Verb::Destroy(args) => destroy::run(context, &args),
        Verb::Import(args) => import::run(context, &args),
        Verb::Release(args) => state::release(context, &args),
        Verb::State(verb) => state::run(context, verb),
        Verb::Doubts(args) => doubts::run(context, &args),
        Verb::Resolve(args) => resolve::run(context, &args),
        Verb::Token(TokenVerb::Get { name, identity, lock_file }) => token::get(context, &name, &identity, &lock_file),
        Verb::Token(TokenVerb::Answer { name, identity, lock_file }) => token::answer(context, &name, &identity, &lock_file),
        Verb::Token(TokenVerb::Set(args)) => token_set::run(context, &args),
        Verb::Output(args) => output::run(context, &args),
        Verb::Key(KeyVerb::Generate { output }) => key::generate(context, &output),
        Verb::Key(KeyVerb::Show(identity)) => key::show(context, &identity),
        Verb::Init(args) => init::run(context, &args),
        Verb::Doctor(args) => doctor::run(context, &args),
        Verb::Emulator(args) => emulator::run(context, &args),
        Verb::Schema(args) => schema::run(context, &args),
        Verb::Completions(args) => Ok(completions::run(context, &args)),
        Verb::Man(args) => man::run(context, &args),
        Verb::Version => version::run(context),
    }
}

/// A result that could not be written is an error of its own, unless something worse is to be said.
fn finish(context: &Context, exit: Exit) -> Exit {
    match context.console.failure() {
        None => exit,
        Some(error) => {
            context.console.error(&CliError::new(Exit::Error, &error).context("cannot write the result to standard output"));
            match exit {
                Exit::Done if context.has_created.load(Ordering::Relaxed) => Exit::Partly,
                Exit::Done | Exit::Changes => Exit::Error,
                worse => worse,
            }
        }
    }
}

/// The key was typed: it is in the list of processes and perhaps in a shell's history, and is not shown here as well.
fn refuse_key(number: usize) -> ExitCode {
    let message = format!("argument {number} holds a secret key, and everybody on this machine can see the arguments");
    let hint =
        "keys are read from the environment, or from the file that it names; leave them out of the command, and replace this one";
    Console::new(ColorChoice::Auto, Loudness::Normal).error(&CliError::message(Exit::Error, message).hint(hint));
    ExitCode::from(Exit::Error.code())
}

fn colour(global: &Global) -> ColorChoice {
    match global.color {
        _ if global.no_color => ColorChoice::Never,
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::AlwaysAnsi,
        Color::Never => ColorChoice::Never,
    }
}

fn loudness(global: &Global) -> Loudness {
    match (global.quiet, global.verbose) {
        (true, _) => Loudness::Quiet,
        (false, 0) => Loudness::Normal,
        (false, _) => Loudness::Verbose,
    }
}
