//! F13: saved plans.

use std::collections::BTreeSet;
use std::time::Duration;

use chatapi::plan::Action;
use chatapi::saved::{SavedPlan, VALIDITY_MAX};
use chatapi::state::Hash;
use jiff::Timestamp;
use serde_json::Value;

/// A file as it is, and with the checksums that belong to it: what is accepted is written as it was read, is good for no longer
/// than any plan is, creates each name once and only what its manifest declares, and is kept from a manifest's place.
pub(super) fn f13_plan(data: &[u8]) {
    accepted(data);
    if let Some(bytes) = with_its_sums(data) {
        accepted(&bytes);
    }
}

fn accepted(bytes: &[u8]) {
    let Ok(saved) = SavedPlan::parse(bytes) else { return };
    let written = saved.encode().unwrap();
    assert!(SavedPlan::is_one(&written));
    assert_eq!(SavedPlan::parse(&written).unwrap(), saved);
    times(&saved);
    let manifest = saved.manifest.manifest();
    assert_eq!(saved.check_manifest(&manifest), Ok(()));
    let declared: BTreeSet<_> = manifest.declarations().iter().map(|it| (&it.name, it.kind)).collect();
    assert_eq!(declared.len(), manifest.declarations().len(), "a name is declared once");
    let named: BTreeSet<_> = saved.plan.changes.iter().map(|change| &change.name).collect();
    assert_eq!(named.len(), saved.plan.changes.len(), "a name is planned once");
    for change in saved.plan.with(Action::Create) {
        assert!(declared.contains(&(&change.name, change.kind)), "{} is declared", change.name);
    }
    let (plan, new) = saved.restrict(saved.plan.clone());
    assert_eq!((plan, new.len()), (saved.plan.clone(), 0));
}

/// It is good in its time only, and that is no longer than the longest.
fn times(saved: &SavedPlan) {
    let (made, expires) = (saved.made.at, saved.expires);
    assert!(expires.duration_since(made).as_secs() <= i64::try_from(VALIDITY_MAX.as_secs()).unwrap());
    assert!(saved.check_time(expires).is_err());
    let later = |at: Timestamp, seconds| at.checked_add(Duration::from_secs(seconds));
    if let Ok(after) = later(expires, 1) {
        assert!(saved.check_time(after).is_err());
    }
    if let Ok(before) = made.checked_sub(Duration::from_hours(1)) {
        assert!(saved.check_time(before).is_err());
    }
    assert_eq!(saved.check_time(made).is_ok(), made < expires);
}

/// The bytes with the plan's own hash and the checksum over all; none: they are no plan at all.
fn with_its_sums(data: &[u8]) -> Option<Vec<u8>> {
    let mut saved: SavedPlan = serde_json::from_slice(data).ok()?;
    saved.plan_hash = saved.plan.checksum(Some(&saved.lineage), &saved.manifest.manifest().footing()).ok()?;
    let value: Value = serde_json::to_value(&saved).ok()?;
    let sum = |hash: &str| format!("\"sum\":\"{hash}\"}}");
    let bytes = String::from_utf8(serde_json::to_vec(&saved).ok()?).ok()?;
    let rest = bytes.strip_suffix(&sum(value["sum"].as_str()?))?;
    let hash = Hash::of(format!("{rest}{}", sum(&Hash::ZERO.to_string())).as_bytes());
    Some(format!("{rest}{}", sum(&hash.to_string())).into_bytes())
}
