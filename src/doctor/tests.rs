//! Each finding from facts alone.

use super::*;

/// A set-up with nothing wrong in it.
fn sound() -> Facts {
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    Facts {
        command: "chatapi".to_owned(),
        environment: None,
        key_hint: "`chatapi key generate`".to_owned(),
        manifest: ManifestFacts::Good { instances: 1, is_paid: true, is_sealed: true },
        manifest_by: None,
        is_schema_current: Some(true),
        state: StateFacts::Good { records: 1, is_paid: Some(true), unsealed: 0, is_sealed: true, newest: Some(now) },
        place: Place { shown: "state".to_owned(), absolute: PathBuf::from("/srv/p/state"), ..Place::default() },
        lock: LockFacts::Good { shown: "chatapi.lock".to_owned(), is_of_state: Some(true) },
        git: Some(Git {
            state: Some(Tracking { is_ignored: true, ..Tracking::default() }),
            lock: Some(Tracking { is_tracked: true, ..Tracking::default() }),
        }),
        outputs: Vec::new(),
        exposed: Vec::new(),
        is_sealed_by_environment: false,
        url: Some(Ok(Target::Server)),
        is_ci: false,
        now,
        pipelines: Vec::new(),
        unread: Vec::new(),
        unread_more: 0,
    }
}

/// The findings that are not as they should be.
fn findings(facts: &Facts) -> Vec<(&'static str, Status)> {
    let checks = examine(facts).into_iter().filter(|check| matches!(check.status, Status::Warning | Status::Error));
    checks.map(|check| (check.id, check.status)).collect()
}

#[test]
fn a_sound_set_up_has_no_findings() {
    assert_eq!(findings(&sound()), []);
}

/// A name for the change, the change, and what is found.
type Row = (&'static str, fn(&mut Facts), &'static [(&'static str, Status)]);

#[test]
fn each_change_is_found_by_its_own_check() {
    const OUTSIDE: Tracking = Tracking { is_ignored: false, is_tracked: false, is_apart: false };
    let rows: [Row; 20] = [
        ("an old clock", |facts| facts.now = Timestamp::UNIX_EPOCH, &[("clock", Status::Error)]),
        ("a clock behind the state", |facts| facts.now = "2026-12-31T00:00:00Z".parse().unwrap(), &[("clock", Status::Error)]),
        ("a clock a little behind", |facts| facts.now = "2026-12-31T23:59:00Z".parse().unwrap(), &[]),
        ("memory", |facts| facts.place.storage = Storage::Memory, &[("state-place", Status::Error)]),
        ("a container", |facts| facts.place.storage = Storage::Container, &[("state-place", Status::Warning)]),
        ("a cache", |facts| facts.place.absolute = PathBuf::from("/home/me/.cache/s"), &[("state-place", Status::Error)]),
        (
            "the temporary place",
            |facts| facts.place.thrown_away = vec![(PathBuf::from("/srv/p"), "why")],
            &[("state-place", Status::Error)],
        ),
        (
            "another directory of that beginning",
            |facts| facts.place.thrown_away = vec![(PathBuf::from("/srv/p/sta"), "why")],
            &[],
        ),
        ("a network", |facts| facts.place.unsafe_locks = Some("NFS".to_owned()), &[("file-system", Status::Error)]),
        ("no lock file", |facts| facts.lock = LockFacts::Absent, &[("lock-file", Status::Error)]),
        (
            "another's lock file",
            |facts| facts.lock = LockFacts::Good { shown: "l".to_owned(), is_of_state: Some(false) },
            &[("lock-file", Status::Error)],
        ),
        (
            "a lock file that is not added",
            |facts| facts.git = Some(Git { lock: Some(OUTSIDE), ..facts.git.unwrap() }),
            &[("lock-file", Status::Warning)],
        ),
        (
            "a state that is not ignored, and sealed",
            |facts| facts.git = Some(Git { state: Some(OUTSIDE), ..facts.git.unwrap() }),
            &[("git", Status::Warning)],
        ),
        (
            "a state in git, and sealed",
            |facts| facts.git = Some(Git { state: Some(Tracking { is_tracked: true, ..OUTSIDE }), ..facts.git.unwrap() }),
            &[("git", Status::Warning)],
        ),
        (
            "a sealed state in a work tree of its own",
            |facts| {
                let tracking = Tracking { is_tracked: true, is_apart: true, ..OUTSIDE };
                facts.git = Some(Git { state: Some(tracking), lock: Some(tracking) });
            },
            &[],
        ),
        (
            "tokens in the clear in a work tree of its own",
            |facts| {
                let tracking = Tracking { is_tracked: true, is_apart: true, ..OUTSIDE };
                facts.git = Some(Git { state: Some(tracking), lock: Some(tracking) });
                facts.state = StateFacts::Good { records: 1, is_paid: Some(true), unsealed: 1, is_sealed: false, newest: None };
            },
            &[("sealing", Status::Warning), ("git", Status::Error)],
        ),
        (
            "no state, and nothing that ignores it",
            |facts| {
                facts.git = Some(Git { state: Some(OUTSIDE), ..facts.git.unwrap() });
                facts.state = StateFacts::Absent;
            },
            &[],
        ),
        (
            "nobody to seal to",
            |facts| {
                facts.manifest = ManifestFacts::Good { instances: 1, is_paid: true, is_sealed: false };
                facts.state = StateFacts::Absent;
            },
            &[("sealing", Status::Warning)],
        ),
        (
            "an open key",
            |facts| facts.exposed = vec![Exposed { what: "key".to_owned(), mode: 0o644, remedy: "chmod".to_owned() }],
            &[("permissions", Status::Error)],
        ),
        ("an old schema", |facts| facts.is_schema_current = Some(false), &[("schema", Status::Warning)]),
    ];
    for (why, change, expected) in rows {
        let mut facts = sound();
        change(&mut facts);
        assert_eq!(findings(&facts), expected, "{why}");
    }
}

#[test]
fn what_costs_no_money_is_no_error() {
    let mut facts = sound();
    facts.manifest = ManifestFacts::Good { instances: 1, is_paid: false, is_sealed: false };
    facts.state = StateFacts::Good { records: 1, is_paid: Some(false), unsealed: 1, is_sealed: false, newest: None };
    facts.place.storage = Storage::Memory;
    facts.lock = LockFacts::Absent;
    assert!(findings(&facts).iter().all(|(_, status)| *status == Status::Warning), "{:?}", findings(&facts));
}
