use super::*;

fn entry(seq: u64, op: LedgerOp) -> LedgerEntry {
    LedgerEntry {
        seq,
        at: Timestamp::from_millisecond(1_700_000_000_000).unwrap(),
        op,
        id: InstanceId::parse("100001").unwrap(),
        kind: InstanceType::WhatsApp,
        account: "ab".to_owned(),
        api_url: ApiUrl::parse("http://127.0.0.1:1/instance100001/").unwrap(),
        token: (op == LedgerOp::Created).then(|| Secret::new("tokentokentoken1".to_owned())),
        request_id: Some("attempt \"1\"".to_owned()),
    }
}

const GOLDEN: &str = concat!(
    r#"{"emulator_ledger":1}"#,
    "\n",
    r#"{"seq":1,"at":"2023-11-14T22:13:20Z","op":"created","id":"100001","type":"whatsapp","account":"ab","#,
    r#""api_url":"http://127.0.0.1:1/instance100001/","token":"tokentokentoken1","request_id":"attempt \"1\""}"#,
    "\n",
    r#"{"seq":2,"at":"2023-11-14T22:13:20Z","op":"deleted","id":"100001","type":"whatsapp","account":"ab","#,
    r#""api_url":"http://127.0.0.1:1/instance100001/","token":null,"request_id":"attempt \"1\""}"#,
    "\n"
);

#[test]
fn p15_the_file_is_what_version_1_wrote() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("a/b");
    let mut ledger = Ledger::open(&directory).unwrap();
    ledger.append(entry(1, LedgerOp::Created)).unwrap();
    ledger.append(entry(2, LedgerOp::Deleted)).unwrap();
    let path = directory.join(LEDGER_FILE);
    assert_eq!(fs::read_to_string(&path).unwrap(), GOLDEN);
    assert_eq!(read_ledger(&path).unwrap(), ledger.entries());
    drop(ledger);
    assert_eq!(Ledger::open(&directory).unwrap().entries(), [entry(1, LedgerOp::Created), entry(2, LedgerOp::Deleted)]);
}

#[test]
fn every_cut_leaves_the_whole_lines_before_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(LEDGER_FILE);
    for cut in 0..=GOLDEN.len() {
        fs::write(&path, &GOLDEN[..cut]).unwrap();
        let whole = GOLDEN[..cut].matches('\n').count().saturating_sub(1);
        assert_eq!(read_ledger(&path).unwrap().len(), whole, "cut {cut}");
        let mut ledger = Ledger::open(place.path()).unwrap();
        assert_eq!(ledger.entries().len(), whole, "cut {cut}");
        ledger.append(entry(whole as u64 + 1, LedgerOp::Created)).unwrap();
        assert_eq!(read_ledger(&path).unwrap().len(), whole + 1, "cut {cut}");
    }
}

#[test]
fn damage_inside_is_an_error_that_names_the_line() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(LEDGER_FILE);
    let swapped = GOLDEN.replace(r#""seq":2"#, r#""seq":3"#);
    let odd_id = GOLDEN.replace(r#""deleted","id":"100001""#, r#""deleted","id":"abc""#);
    let tokenless = GOLDEN.replace(r#""tokentokentoken1""#, "null");
    for (text, line) in [(swapped, 3), (odd_id, 3), (tokenless, 2), (GOLDEN.replace(r#"{"seq":1"#, "?"), 2)] {
        fs::write(&path, &text).unwrap();
        let error = Ledger::open(place.path()).unwrap_err();
        assert!(matches!(&error, LedgerError::Line { line: at, .. } if *at == line), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "a damaged ledger is left as it is");
    }
    for header in ["{}\n", "{\"emulator_ledger\":2}\n", "\n"] {
        fs::write(&path, header).unwrap();
        assert!(matches!(Ledger::open(place.path()), Err(LedgerError::Header { .. })), "{header}");
    }
}

#[test]
fn two_emulators_cannot_share_a_directory() {
    let place = tempfile::tempdir().unwrap();
    let first = Ledger::open(place.path()).unwrap();
    assert!(matches!(Ledger::open(place.path()), Err(LedgerError::InUse { .. })));
    drop(first);
    assert!(Ledger::open(place.path()).is_ok());
}

#[cfg(unix)]
#[test]
fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("data");
    let _ledger = Ledger::open(&directory).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join(LEDGER_FILE)), 0o600);
    assert_eq!(mode(&directory.join(LOCK_FILE)), 0o600);
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_that_fails_is_no_entry() {
    let mut ledger = Ledger::on_a_full_disk();
    for _ in 0..2 {
        assert!(matches!(ledger.append(entry(1, LedgerOp::Created)), Err(LedgerError::Write { .. })));
        assert!(ledger.entries().is_empty());
    }
}

#[test]
fn p11_debug_shows_no_token() {
    assert!(!format!("{:?}", entry(1, LedgerOp::Created)).contains("tokentoken"));
}
