//! Writing to what may be a pipe that nobody reads: with patience that ends.
//!
//! A reader that takes nothing must hold up neither a run that has sent something nor the state that it holds. So each piece is
//! written only when there is room for it, and no room for [`PATIENCE`] is an error; the streams have it together. Once the run was
//! asked to stop there is hardly any left.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anstream::AutoStream;
use anstream::stream::{AsLockedWrite, RawStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::termios::isatty;

/// How long readers may take nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same after a signal: the system that sent it ends the process soon.
const PATIENCE_STOPPED: Duration = Duration::from_secs(2);
/// What a stream has after another one has used it up.
const PATIENCE_LEAST: Duration = Duration::from_millis(500);
/// How often it is looked whether a signal has come.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that a pipe takes at once where it says that it has room: half a page, for a line may be written in two parts.
const PIECE: usize = 2_048;

/// One of the two standard streams.
#[derive(Debug)]
pub(super) struct Stream<S: RawStream> {
    to: AutoStream<S>,
    /// Its reader has been waited for long enough.
    is_given_up: bool,
}

/// Whether readers are waited for with a patience that ends: those of the log too, which nobody hands through the program.
static IS_HURRIED: AtomicBool = AtomicBool::new(false);
/// Whether nobody sits at a terminal that is written to.
static IS_UNATTENDED: AtomicBool = AtomicBool::new(false);
/// Whether the run was asked to stop.
static IS_STOPPED: AtomicBool = AtomicBool::new(false);
/// Milliseconds that are left of [`PATIENCE`].
static LEFT: AtomicU64 = AtomicU64::new(PATIENCE.as_secs() * 1_000);

/// From now on no reader of the standard streams is waited for without end. Until then somebody may turn pages. At a terminal
/// sits somebody who may have stopped it, unless that is not so.
pub(super) fn hurry(is_unattended: bool) {
    IS_UNATTENDED.store(is_unattended, Ordering::Relaxed);
    IS_HURRIED.store(true, Ordering::Relaxed);
}

/// The run was asked to stop.
pub(super) fn stop() {
    IS_STOPPED.store(true, Ordering::Relaxed);
}

impl<S: RawStream + AsLockedWrite + AsFd> Stream<S> {
    pub(super) const fn new(to: AutoStream<S>) -> Self {
        Self { to, is_given_up: false }
    }

    /// The stream itself, for bytes that pass as they are.
    pub(super) fn inner(&self) -> &S {
        self.to.as_inner()
    }

    /// Writes all of `text`.
    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        if is_patience_endless(self.to.as_inner()) {
            return self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
        }
        if self.is_given_up {
            return Err(nobody_reads());
        }
        for piece in pieces(text) {
            if let Err(error) = await_room(self.to.as_inner()) {
                self.is_given_up = true;
                return Err(error);
            }
            self.to.write_all(piece.as_bytes()).and_then(|()| self.to.flush())?;
        }
        Ok(())
    }
}

/// Writes a line of the log to standard error; where nobody reads there any more it is left out.
pub(super) fn write_log(line: &str) -> io::Result<()> {
    static IS_GIVEN_UP: AtomicBool = AtomicBool::new(false);
    let mut err = io::stderr();
    if is_patience_endless(&err) {
        return err.write_all(line.as_bytes());
    }
    if IS_GIVEN_UP.load(Ordering::Relaxed) {
        return Ok(());
    }
    let written = write_patiently(&mut err, line);
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        IS_GIVEN_UP.store(true, Ordering::Relaxed);
        return Ok(());
    }
    written
}

/// Writes all of `text`; a reader that takes nothing is an error in the end.
pub(super) fn write_patiently(mut to: impl Write + AsFd, text: &str) -> io::Result<()> {
    for piece in pieces(text) {
        await_room(&to)?;
        to.write_all(piece.as_bytes())?;
    }
    Ok(())
}

/// Whether nothing is in a hurry, or nobody reads there who might not.
fn is_patience_endless(stream: impl AsFd) -> bool {
    let kind = rustix::fs::fstat(&stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let may_be_stuck = matches!(kind, Ok(FileType::Fifo | FileType::Socket)) || isatty(&stream);
    !IS_HURRIED.load(Ordering::Relaxed) || !may_be_stuck
}

/// Waits until a piece can be written without waiting. What is wrong with the stream is left for the write to say.
fn await_room(to: impl AsFd) -> io::Result<()> {
    let since = Instant::now();
    let is_watched = isatty(&to) && !IS_UNATTENDED.load(Ordering::Relaxed);
    let most = Duration::from_millis(LEFT.load(Ordering::Relaxed)).max(PATIENCE_LEAST);
    let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
    let mut stopped = None;
    loop {
        match poll(&mut [PollFd::new(&to, PollFlags::OUT)], Some(&tick)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => {
                // Somebody reads: whoever comes next is waited for as long as before.
                LEFT.store(PATIENCE.as_secs() * 1_000, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if stopped.is_none() && IS_STOPPED.load(Ordering::Relaxed) {
            stopped = Some(Instant::now());
        }
        let is_over = match stopped {
            Some(stopped) => stopped.elapsed() >= PATIENCE_STOPPED.min(most),
            None => !is_watched && since.elapsed() >= most,
        };
        if is_over {
            let used = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let _ = LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(used)));
            return Err(nobody_reads());
        }
    }
}

fn nobody_reads() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing")
}

/// `text` in pieces of at most [`PIECE`] bytes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(PIECE);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, later) = rest.split_at_checked(end)?;
        rest = later;
        Some(piece).filter(|piece| !piece.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_text_and_break_no_character() {
        for text in [String::new(), "x".repeat(PIECE), "ä€🙂".repeat(2_000), format!("x{}", "€".repeat(1_500))] {
            assert_eq!(pieces(&text).collect::<String>(), text);
            assert!(pieces(&text).all(|piece| (1..=PIECE).contains(&piece.len())));
        }
    }
}
