//! The one writer: results to standard output, everything else to standard error.
//!
//! All that passes is [disarmed](crate::text::disarm) once more, whoever made it; only a token that was asked for passes as it is.
//!
//! A reader that has gone away (`| head`) is no error; a standard output that takes nothing (a full disk) is one, and is told at
//! the end, when nothing depends on it any more. A reader that is there and takes nothing is waited for as long as it likes, until a
//! state is held to create something: from then on it may [hold nothing up](super::stream).

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::{Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;
use rustix::fs::FileType;

use super::again::addressed;
use super::echo::Unechoed;
use super::error::{CliError, Content};
use super::stream::Stream;
use super::wrap::wrapped;
use crate::diagnostic::Colour;
use crate::report::account::Notice;
use crate::report::annotations::Annotation;
use crate::text::{Printed, disarm, escape};

pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Yellow cannot be read on a light background.
pub(super) const WARNING: Style = AnsiColor::Magenta.on_default().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const DOUBT: Style = AnsiColor::Magenta.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loudness {
    /// Results, warnings and errors only.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// With what did not change.
    Verbose,
}

/// Both streams.
#[derive(Debug)]
pub(super) struct Console {
    out: Mutex<Stream<io::Stdout>>,
    err: Mutex<Stream<io::Stderr>>,
    failed: Mutex<Option<io::Error>>,
    bar: Mutex<Option<ProgressBar>>,
    pub(super) loudness: Loudness,
    colour: ColorChoice,
    /// The program as it has to be called again for this state: what hints say is made so.
    pub(super) command: String,
    /// The command has nothing to do with a server.
    never_sends: bool,
}

impl Console {
    pub(super) fn new(colour: ColorChoice, loudness: Loudness) -> Self {
        Self {
            out: Mutex::new(Stream::new(AutoStream::new(io::stdout(), choose(colour, &io::stdout())))),
            err: Mutex::new(Stream::new(AutoStream::new(io::stderr(), choose(colour, &io::stderr())))),
            failed: Mutex::default(),
            bar: Mutex::default(),
            loudness,
            colour,
            command: "chatapi".to_owned(),
            never_sends: false,
        }
    }

    /// For a state that `command` names.
    pub(super) fn calling(self, command: String) -> Self {
        Self { command, ..self }
    }

    /// For a command that has nothing to do with a server, or one that has.
    pub(super) fn unsending(self, never_sends: bool) -> Self {
        Self { never_sends, ..self }
    }

    /// The standard stream that goes to what is at `found`, to be written to beside us: opened anew it would begin at its beginning.
    pub(super) fn stream_to(found: &Metadata) -> Option<File> {
        let own = [io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned()];
        let is_there = |file: &File| file.metadata().is_ok_and(|is| (is.dev(), is.ino()) == (found.dev(), found.ino()));
        own.into_iter().flatten().map(File::from).find(is_there)
    }

    /// Whether a person looks at standard error.
    pub(super) fn is_watched() -> bool {
        io::stderr().is_terminal()
    }

    /// How many columns the results may have; none: nobody counts them.
    pub(super) fn width() -> Option<usize> {
        columns(io::stdout())
    }

    /// How many lines a terminal shows of the results.
    pub(super) fn height() -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_row)).filter(|lines| *lines > 0)
    }

    /// How far a bar has come is drawn below what is printed.
    pub(super) fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// A line of the result.
    pub(super) fn line(&self, line: impl Display) {
        let line = line.to_string();
        self.result(format_args!("{}\n", wrapped(&self.addressed(&line), Self::width())));
    }

    /// A line of the result with a command that is to be copied: a terminal folds it, and it stays one line.
    pub(super) fn unbroken(&self, line: impl Display) {
        self.result(format_args!("{line}\n"));
    }

    /// A part of the result.
    pub(super) fn result(&self, text: impl Display) {
        self.write_out(&disarm(&text.to_string(), Printed::Text));
    }

    /// A line of the result as it is, every byte of it: a token.
    pub(super) fn verbatim(&self, line: &str) {
        self.write_out(line);
        self.write_out("\n");
    }

    fn write_out(&self, text: &str) {
        let written = self.beside_the_bar(|| self.out.lock().unwrap_or_else(PoisonError::into_inner).write(text));
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// Bytes of somebody else's: as they are to a file or program, escaped to a terminal.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        if io::stdout().is_terminal() {
            String::from_utf8_lossy(bytes).lines().for_each(|line| self.line(escape(line)));
            return;
        }
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stdout = out.inner().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// Lines beside the result as they are, before anything else: those by which a CI system learns what it must hide.
    /// An error: nobody has learned it, and what is to be hidden must not be shown.
    pub(super) fn masks(&self, lines: &str) -> io::Result<()> {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed stream is this device by now: the runtime has put it there.
        if leads_nowhere(err.inner()) {
            return Err(io::Error::other("it is closed, or goes to /dev/null"));
        }
        err.write(lines)
    }

    /// Whether the result goes into a file, and so into no log.
    pub(super) fn is_filed() -> bool {
        rustix::fs::fstat(io::stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    }

    /// A line beside the result.
    pub(super) fn note(&self, line: impl Display) {
        if self.loudness > Loudness::Quiet {
            self.say(line);
        }
    }

    /// A question, whose answer stands on the same line.
    pub(super) fn question(&self, text: impl Display) {
        let text = text.to_string();
        // Nobody is left to ask.
        let _ = self.write_err(&disarm(&text, Printed::Text));
    }

    /// A warning.
    pub(super) fn warn(&self, line: impl Display) {
        self.say(format_args!("{WARNING}warning{WARNING:#}: {line}"));
    }

    /// A warning with what to type, below it.
    pub(super) fn notice(&self, notice: &Notice) {
        let sentence = notice.sentence();
        match notice.name.as_ref().and_then(|name| Some((name, sentence.strip_prefix(name.as_str())?))) {
            Some((name, rest)) => self.warn(format_args!("{DOUBT}{name}{DOUBT:#}{rest}")),
            None => self.warn(&sentence),
        }
        for hint in &notice.hints {
            let hint = addressed(hint, &self.command);
            match hint.strip_prefix("  ") {
                Some(further) => self.note(format_args!("        {further}")),
                None => self.note(format_args!("  {BOLD}hint{BOLD:#}: {hint}")),
            }
        }
    }

    /// A line that the CI system is meant to obey: the one kind that passes as it is.
    pub(super) fn annotation(&self, annotation: &Annotation) {
        // Nobody is left to tell.
        let _ = self.beside_the_bar(|| self.write_err(&format!("{annotation}\n")));
    }

    /// A line that has to be seen, as it is.
    pub(super) fn error_line(&self, line: impl Display) {
        self.say(line);
    }

    /// An error in full.
    pub(super) fn error(&self, error: &CliError) {
        match &error.content {
            Content::Problems(problems) => {
                let text = problems.render(self.colour_of_problems());
                // Lines of a manifest are shown as they are: a caret stands below.
                let is_help = |line: &&str| line.contains("help") && line.contains(": ");
                let lines =
                    text.trim_end().lines().map(|line| if is_help(&line) { self.addressed(line) } else { Cow::Borrowed(line) });
                self.laid_out(lines.collect::<Vec<_>>().join("\n"));
            }
            Content::Chain(chain) => {
                for (depth, message) in chain.iter().map(|message| escape(message)).enumerate() {
                    match depth {
                        0 => self.say(format_args!("{ERROR}error{ERROR:#}: {message}")),
                        _ => self.say(format_args!("  caused by: {message}")),
                    }
                }
            }
        }
        self.hints(error);
    }

    /// A warning that `what` will happen, with the error that says why.
    pub(super) fn forewarn(&self, what: &str, error: &CliError) {
        let Content::Chain(chain) = &error.content else { return self.error(error) };
        let chain: Vec<_> = chain.iter().map(|message| escape(message)).collect();
        self.warn(format_args!("{what}: {}", chain.join(": ")));
        self.hints(error);
    }

    fn hints(&self, error: &CliError) {
        for hint in error.hints.iter().filter_map(|hint| self.hint(&escape(hint))) {
            self.say(format_args!("  {BOLD}hint{BOLD:#}: {hint}"));
        }
    }

    /// A hint as this command has to say it; none where it says nothing: that nothing was sent, of a command that never sends.
    pub(super) fn hint(&self, hint: &str) -> Option<String> {
        const UNSENT: &str = "nothing was sent";
        let said = match hint.strip_prefix(UNSENT) {
            Some("") if self.never_sends => return None,
            Some(more) if self.never_sends => more.trim_start_matches([':', ';', ' ']),
            _ if self.never_sends => hint.strip_suffix(&format!("; {UNSENT}")).unwrap_or(hint),
            _ => hint,
        };
        Some(addressed(said, &self.command).into_owned())
    }

    /// What kept a result from being written.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn say(&self, line: impl Display) {
        let line = line.to_string();
        self.laid_out(wrapped(&self.addressed(&line), columns(io::stderr())));
    }

    /// `text`, whose quoted commands mean this state.
    pub(super) fn addressed<'a>(&self, text: &'a str) -> Cow<'a, str> {
        addressed(text, &self.command)
    }

    /// Lines whose breaks are where they belong.
    fn laid_out(&self, line: impl Display) {
        let line = format!("{line}\n");
        // Nobody is left to tell.
        let _ = self.beside_the_bar(|| self.write_err(&disarm(&line, Printed::Text)));
    }

    fn write_err(&self, text: &str) -> io::Result<()> {
        self.err.lock().unwrap_or_else(PoisonError::into_inner).write(text)
    }

    fn beside_the_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// `text` as it goes to a standard output that somebody else writes to: without colours where none are wanted.
    pub(super) fn as_shown(&self, text: &str) -> String {
        let text = disarm(text, Printed::Text);
        match choose(self.colour, &io::stdout()) {
            ColorChoice::Never => anstream::adapter::strip_str(&text).to_string(),
            _ => text.into_owned(),
        }
    }

    /// As long as it lives, a signal that is typed moves nothing that is drawn on standard output.
    pub(super) fn unechoed() -> Unechoed<io::Stdout> {
        Unechoed::on(io::stdout())
    }

    /// Whether standard error is coloured.
    pub(super) fn is_coloured(&self) -> bool {
        choose(self.colour, &io::stderr()) != ColorChoice::Never
    }

    fn colour_of_problems(&self) -> Colour {
        if self.is_coloured() { Colour::Ansi } else { Colour::Plain }
    }
}

/// The columns of the terminal that `stream` is.
fn columns(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether what is written there is gone.
fn leads_nowhere(stream: &impl AsFd) -> bool {
    let of = |file: File| file.metadata().ok();
    let found = stream.as_fd().try_clone_to_owned().ok().and_then(|fd| of(fd.into()));
    let nowhere = std::fs::metadata("/dev/null").ok();
    found.zip(nowhere).is_some_and(|(found, nowhere)| found.file_type().is_char_device() && found.rdev() == nowhere.rdev())
}

/// What `auto` comes down to: `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, `TERM` and whether a terminal is there.
fn choose(colour: ColorChoice, stream: &impl anstream::stream::RawStream) -> ColorChoice {
    match colour {
        ColorChoice::Auto if std::env::var_os("FORCE_COLOR").is_some_and(|value| !value.is_empty() && value != "0") => {
            match std::env::var_os("NO_COLOR") {
                Some(value) if !value.is_empty() => ColorChoice::Never,
                _ => ColorChoice::Always,
            }
        }
        ColorChoice::Auto => AutoStream::choice(stream),
        chosen => chosen,
    }
}
