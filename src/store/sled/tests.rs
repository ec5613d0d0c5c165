use super::*;

/// The files of an index that a kill has left: sled 0.34.7 takes what is written to it without an error, and gives back what
/// was there before.
#[test]
fn an_index_that_does_not_keep_what_is_written_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join(DIR);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/index-forgetful");
    fs::create_dir(&index).unwrap();
    fs::create_dir(index.join("blobs")).unwrap();
    for file in fs::read_dir(kept).unwrap().flatten() {
        fs::copy(file.path(), index.join(file.file_name())).unwrap();
    }
    // As long as sled makes it; what is left out of the kept file is zeros.
    fs::OpenOptions::new().write(true).open(index.join("db")).unwrap().set_len(524_287).unwrap();
    let before = head(dir.path()).unwrap();
    assert_eq!(before.serial, Serial(21));
    let state = State::new(Lineage::from_bytes([7; 16]), Serial(40), FORMAT);
    let now = Head { serial: Serial(40), hash: before.hash };
    update(dir.path(), state.clone(), now, None);
    assert_eq!(load(dir.path()), Some((state, now)));
}

/// What is recorded of the instance with this number, in round `round`.
fn recorded(number: u32, round: u64) -> (InstanceName, Record) {
    let name = InstanceName::parse(&format!("n{number:05}")).unwrap();
    let json = serde_json::json!({
        "name": name, "kind": "whatsapp", "attempts": 1, "orphan_noted": false, "phase": { "absent": { "closed": round.to_string() } },
    });
    (name, serde_json::from_value(json).unwrap())
}

fn state(records: BTreeMap<InstanceName, Record>, round: u64) -> (State, Head) {
    let (lineage, serial) = (Lineage::from_bytes([7; 16]), Serial(round + 1));
    let (recipients, fences) = (Recipients::none(), BTreeMap::new());
    let parts = Parts { lineage, serial, format: FORMAT, binding: None, run: None, recipients, records, fences };
    (State::from_parts(parts), Head { serial, hash: crate::state::Hash::ZERO })
}

/// Names come, change and go before, between, within and behind blocks, so that those grow, are divided and disappear.
#[test]
fn an_index_that_is_changed_in_places_is_as_one_that_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DIR);
    let mut chance = fastrand::Rng::with_seed(5);
    let mut records: BTreeMap<_, _> = (20_000..20_600).map(|number| recorded(number, 0)).collect();
    let (first, head) = state(records.clone(), 0);
    caught(&path, |db| write_all(db, &first, head)).unwrap();
    for round in 1..40 {
        let (begin, many, goes) = (chance.u32(19_000..21_500), chance.u32(1..500), chance.bool());
        let mut changed = BTreeSet::new();
        for number in (begin..begin + many).filter(|_| chance.u8(..) < 200) {
            let (name, record) = recorded(number, round);
            changed.insert(name.clone());
            if goes { drop(records.remove(&name)) } else { drop(records.insert(name, record)) }
        }
        let (next, head) = state(records.clone(), round);
        let (written, at) = (next.clone(), head);
        patient(&path, move |db| write_some(db, &written, at, &changed)).unwrap();
        assert!(patient(&path, read).unwrap() == Some((next, head)), "round {round}");
    }
}

#[test]
fn an_index_of_an_earlier_version_is_read_and_written_as_those_of_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DIR);
    let (before, head) = state((0..300).map(|number| recorded(number, 0)).collect(), 0);
    let early = |db: &::sled::Db| {
        let (mut sum, mut batch) = (Sum::default(), ::sled::Batch::default());
        for record in before.records().values() {
            let (key, value) = ([RECORD, record.name.as_str().as_bytes()].concat(), serde_json::to_vec(record)?);
            sum = sum.plus(Sum::of(&key, &value));
            batch.insert(key, value);
        }
        batch.insert(META, Meta { layout: 0, ..Meta::of(&before, head, sum) }.to_value()?);
        Ok(db.apply_batch(batch)?)
    };
    caught(&path, early).unwrap();
    assert!(patient(&path, read).unwrap() == Some((before.clone(), head)));
    let (after, head) = state((0..301).map(|number| recorded(number, 0)).collect(), 1);
    update(dir.path(), after.clone(), head, Some([recorded(300, 0).0].into()));
    assert!(patient(&path, read).unwrap() == Some((after, head)));
    assert!(patient(&path, |db| Ok(db.scan_prefix(RECORD).next().is_none())).unwrap());
}

#[test]
fn p13_an_index_that_never_comes_back_is_not_waited_for() {
    let (_never, comes) = channel::<()>();
    let stuck = within(Duration::from_millis(20), move || comes.recv().map_err(|_| Unusable::Panic));
    assert!(matches!(stuck, Err(Unusable::Stuck)));
    assert_eq!(within(BOUND, || Ok(7)).unwrap(), 7);
}
