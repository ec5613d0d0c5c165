//! What happens to a machine and to its files: power cuts, older copies, a state that is begun anew.

use super::disk::Content;
use super::world::Inner;
use crate::store::LockFile;

impl Inner {
    /// The machine stands still, and starts again.
    pub(super) fn cut_power(&mut self) {
        self.boot += 1;
        self.ledger.tally.power_cuts += 1;
        let claimed = self.disk.claimed.take().unwrap_or_default();
        self.disk.cut_power(&mut self.dice, self.chance.reorders);
        let left = self.disk.written.clone().unwrap_or_default();
        let lost = claimed.lost_in(&left);
        assert!(lost.is_empty() || self.chance.lies, "BUG: the simulated disk is honest and forgot");
        self.has_lied |= !lost.is_empty();
        self.lost.extend(lost.into_iter().flatten());
        if self.chance.lies && self.dice.bool() && self.lock_file != self.durable_lock_file {
            (self.lock_is_old, self.has_lied) = (true, true);
            self.lock_file.clone_from(&self.durable_lock_file);
        }
        self.durable_lock_file.clone_from(&self.lock_file);
        self.note(|| format!("the power was cut; {} bytes are left", left.bytes.len()));
        self.disk.claimed = self.disk.written.clone();
    }

    pub(super) fn after_phase(&mut self) {
        self.fuse = None;
        if std::mem::take(&mut self.power_is_cut) {
            self.cut_power();
        }
        if self.writers > 0 {
            self.violation("P6: a writer is left".into());
        }
    }

    /// An older copy of the state takes the place of the newest.
    pub(super) fn roll_back(&mut self, content: Option<Content>, lock: Option<LockFile>) {
        let now = self.disk.content().clone();
        let before = self.lost.clone();
        self.lost.extend(now.lost_in(content.as_ref().unwrap_or(&Content::default())).into_iter().flatten());
        self.note(|| "the state goes back to an older copy".into());
        self.aside = Some((now, before));
        if self.chance.lock_rolls_back {
            self.lock_is_old = true;
            self.lock_file.clone_from(&lock);
            self.durable_lock_file = lock;
        }
        self.put(content);
    }

    fn put(&mut self, content: Option<Content>) {
        self.disk.durable.clone_from(&content);
        self.disk.claimed.clone_from(&content);
        self.disk.written = content;
    }

    /// An operator puts the newest state back. `false`: there is none, or nobody finds it.
    pub(super) fn bring_back(&mut self) -> bool {
        let Some((content, lost)) = self.aside.take().filter(|_| self.dice.u32(0..10) < 7) else { return false };
        self.note(|| "the newest state is brought back".into());
        self.lost = lost;
        self.put(Some(content));
        true
    }

    /// What is left of the state is moved aside; what the lock file knows of it. None: it knows nothing.
    pub(super) fn begin_anew(&mut self) -> Option<LockFile> {
        self.note(|| "the state is begun anew".into());
        self.ledger.tally.rebuilt += 1;
        self.put(None);
        (self.fuse, self.disk.room) = (None, None);
        (self.chance.disk, self.chance.lies) = (0, false);
        self.ledger.tokenless.extend(self.ledger.told.keys().cloned());
        let lost = std::mem::take(&mut self.lost);
        let lock = self.lock_file.take().filter(LockFile::records_anything);
        if self.lock_is_old || lock.is_none() {
            self.ledger.excused.extend(lost);
        }
        lock
    }

    /// P5: a process takes the state for the truth. It must have everything that the lock file saw.
    pub(super) fn opened(&mut self) {
        let lines = self.disk.written.as_ref().map_or(0, Content::lines);
        let seen = self.lock_file.as_ref().filter(|lock| lock.records_anything()).map(|lock| lock.serial.0);
        if seen.is_some_and(|seen| seen > lines) {
            self.violation(format!("P5: a state of {lines} entries is taken for the truth, and {seen:?} were seen"));
        }
        let lost = std::mem::take(&mut self.lost);
        if !lost.is_empty() {
            self.aside = None;
            self.ledger.excused.extend(lost);
        }
    }
}
