//! The terminal's echo of control characters. `^C` behind what is drawn moves the cursor to the next line, and what was drawn stays.
//!
//! What ends the program at once, `^\` or SIGKILL, leaves it switched off. Shells set it again at their prompt, and so does `stty echoctl`.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// Without that echo, as long as it lives.
#[derive(Debug)]
pub(super) struct Unechoed<F: AsFd> {
    terminal: F,
    /// It was on, and is to be on again.
    is_off: bool,
}

impl<F: AsFd> Unechoed<F> {
    pub(super) fn on(terminal: F) -> Self {
        let is_off = is_ours(&terminal) && set(&terminal, LocalModes::remove);
        Self { terminal, is_off }
    }
}

impl<F: AsFd> Drop for Unechoed<F> {
    fn drop(&mut self) {
        if self.is_off && is_ours(&self.terminal) {
            set(&self.terminal, LocalModes::insert);
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

/// Whether that changed anything. What else was set meanwhile stays; a terminal that does not take it is left as it is: it is for
/// the looks alone.
fn set(terminal: impl AsFd, change: fn(&mut LocalModes, LocalModes)) -> bool {
    let Ok(mut modes) = tcgetattr(&terminal) else { return false };
    let before = modes.local_modes;
    change(&mut modes.local_modes, LocalModes::ECHOCTL);
    modes.local_modes != before && tcsetattr(terminal, OptionalActions::Now, &modes).is_ok()
}
