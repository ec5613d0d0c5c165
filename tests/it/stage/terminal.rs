//! A terminal that a program writes to, and what it shows.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::eventually;

/// The side that a person sees.
pub(crate) struct Terminal {
    shown: Arc<Mutex<Vec<u8>>>,
    keys: File,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Of so many columns and 40 lines; the file is the side that a program writes to.
    pub(crate) fn open(columns: u16) -> (Self, File) {
        Self::of_size(columns, 40)
    }

    /// Of so many columns and lines.
    pub(crate) fn of_size(columns: u16, lines: u16) -> (Self, File) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&shown);
        let mut master = File::from(master);
        let keys = master.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8_192];
            // The end of a terminal is an error.
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        (Self { shown, keys, reader }, terminal)
    }

    /// A person types it.
    pub(crate) fn types(&self, text: &str) {
        (&self.keys).write_all(text.as_bytes()).unwrap();
    }

    /// So far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until it has shown `text`.
    pub(crate) fn shows(&self, text: &str) {
        eventually(text, || self.text().contains(text));
    }

    /// All of it, when the last program has let go of the other side.
    pub(crate) fn end(self) -> String {
        eventually("the terminal's end", || self.reader.is_finished());
        self.text()
    }
}
