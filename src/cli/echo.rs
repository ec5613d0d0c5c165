//! The terminal's echo of control characters. `^C` behind what is drawn moves the cursor to the next line, and what was drawn stays.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Without that echo, as long as it lives.
#[derive(Debug)]
pub(super) struct Unechoed<F: AsFd> {
    terminal: F,
    /// None: it was left as it is.
    before: Option<Termios>,
}

impl<F: AsFd> Unechoed<F> {
    pub(super) fn on(terminal: F) -> Self {
        let before = tcgetattr(&terminal).ok().filter(|_| is_ours(&terminal));
        if let Some(before) = &before {
            let mut modes = before.clone();
            modes.local_modes.remove(LocalModes::ECHOCTL);
            set(&terminal, &modes);
        }
        Self { terminal, before }
    }
}

impl<F: AsFd> Drop for Unechoed<F> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take().filter(|_| is_ours(&self.terminal)) {
            set(&self.terminal, &before);
        }
    }
}

/// Whether it may be changed: its session stops whoever does so from the background.
fn is_ours(terminal: impl AsFd) -> bool {
    match tcgetpgrp(terminal) {
        Ok(group) => group == getpgrp(),
        // The terminal of no session, or of another one.
        Err(error) => error == Errno::NOTTY,
    }
}

fn set(terminal: impl AsFd, modes: &Termios) {
    // It is for the looks alone.
    let _ = tcsetattr(terminal, OptionalActions::Now, modes);
}
