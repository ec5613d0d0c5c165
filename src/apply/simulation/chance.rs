//! What one seed has in store: which troubles it knows at all, and how often they come.

use std::time::Duration;

use super::Defect;

/// The longest time that a server within its promise takes to show an instance. Shorter than the settling time.
pub(super) const LATE_MAX: Duration = Duration::from_secs(10 * 60);

/// What may happen in a seed. Most seeds know some troubles only, so that rare pairs meet.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a trouble of its own")]
pub(super) struct Chance {
    pub(super) defect: Option<Defect>,
    pub(super) names: usize,
    pub(super) parallel: usize,
    pub(super) phases: usize,
    pub(super) is_exclusive: bool,
    /// Others create on this account.
    pub(super) has_strangers: bool,
    /// The account is called exclusive, and others create on it.
    pub(super) is_statement_false: bool,
    pub(super) is_concurrent: bool,
    /// Of a hundred connections, how many fail.
    pub(super) connect: u32,
    /// Of a hundred requests, how many meet trouble.
    pub(super) send: u32,
    /// Of a hundred listings, how many are not the plain truth.
    pub(super) list: u32,
    /// Of a hundred writes and syncs, how many fail.
    pub(super) disk: u32,
    /// The process dies in a phase, somewhere.
    pub(super) kills: bool,
    /// The machine loses power in a phase, somewhere.
    pub(super) power_cuts: bool,
    /// Syncs report success and do nothing, now and then.
    pub(super) lies: bool,
    /// What a power cut leaves of unsynced sectors has holes.
    pub(super) reorders: bool,
    pub(super) rollbacks: bool,
    /// The lock file goes back together with the state.
    pub(super) lock_rolls_back: bool,
    /// Operators settle doubts between phases.
    pub(super) operators: bool,
    pub(super) clock_jumps: bool,
    pub(super) interrupts: bool,
    /// The list shows an instance some time after it exists.
    pub(super) lags: bool,
    /// An instance may come to exist, or be listed, only after the settling time: the risk that is left.
    pub(super) lags_too_long: bool,
    /// Names are taken out of the manifest, and their instances deleted.
    pub(super) deletes: bool,
    /// Of a hundred requests to delete, how many meet trouble.
    pub(super) remove: u32,
    /// Some of them by a command of its own.
    pub(super) destroys: bool,
    /// The file system is one that is known to keep what is synced.
    pub(super) keeps: bool,
}

impl Chance {
    pub(super) fn draw(dice: &mut fastrand::Rng, defect: Option<Defect>) -> Self {
        let mut in_ten = |tenths: u32| dice.u32(0..10) < tenths;
        let kills = in_ten(6);
        let power_cuts = in_ten(4);
        let (send, connect, list, disk) = (in_ten(8), in_ten(3), in_ten(4), in_ten(2));
        let is_exclusive = in_ten(5);
        let has_strangers = if is_exclusive { in_ten(1) } else { in_ten(4) };
        let lies = power_cuts && in_ten(2);
        let rollbacks = in_ten(2);
        let chance = Self {
            defect,
            is_exclusive,
            has_strangers,
            is_statement_false: is_exclusive && has_strangers,
            is_concurrent: in_ten(3),
            kills,
            power_cuts,
            lies,
            reorders: power_cuts && in_ten(1),
            rollbacks,
            lock_rolls_back: rollbacks && in_ten(3),
            operators: in_ten(4),
            clock_jumps: in_ten(2),
            interrupts: in_ten(2),
            lags: in_ten(4),
            lags_too_long: in_ten(1),
            keeps: lies || in_ten(7),
            names: dice.usize(1..=3),
            parallel: dice.usize(1..=3),
            phases: dice.usize(1..=4),
            send: if send { dice.u32(10..80) } else { 0 },
            connect: if connect { dice.u32(5..50) } else { 0 },
            list: if list { dice.u32(10..80) } else { 0 },
            disk: if disk { dice.u32(1..8) } else { 0 },
            deletes: false,
            remove: 0,
            destroys: false,
        };
        chance.with_deletes(dice)
    }

    /// Drawn last: a seed without deletes is what it was before there were any.
    fn with_deletes(self, dice: &mut fastrand::Rng) -> Self {
        if dice.u32(0..10) >= 3 {
            return self;
        }
        let remove = if dice.u32(0..10) < 8 { dice.u32(20..90) } else { 0 };
        // Something has to be there, and some of it has to stay.
        let (names, phases) = (self.names.max(2), self.phases.max(3));
        Self { deletes: true, destroys: true, remove, names, phases, ..self }
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        (self.connect, self.send, self.list, self.disk, self.remove) = (0, 0, 0, 0, 0);
        (self.kills, self.power_cuts, self.lies, self.interrupts) = (false, false, false, false);
        (self.has_strangers, self.is_concurrent, self.clock_jumps) = (false, false, false);
        self.destroys = false;
    }
}
