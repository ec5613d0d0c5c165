//! Records side by side in one value of the index: what a reader of all of them pays for is bytes, not values.
//!
//! Nearly every record of a state in use is of an instance that exists and never had a story. Such a one is a short row; any other
//! is kept as the JSON of its record. Rows are in the order of their names.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::state::{Instance, Phase, Record, Serial, TokenAt};

/// Records that one block holds when all of them are written; a block that grows to twice as many is divided.
pub(super) const ROWS: usize = 128;

/// Why the bytes are no block.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    #[error(transparent)]
    Bytes(#[from] postcard::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("a row holds what no record can hold")]
    Content,
}

/// One record.
#[derive(Serialize, Deserialize)]
enum Row<'a> {
    #[serde(borrow)]
    Exists(Exists<'a>),
    /// The JSON of the record.
    Other(std::borrow::Cow<'a, str>),
}

/// An instance that exists, and of which nothing else is to be said.
#[derive(Serialize, Deserialize)]
struct Exists<'a> {
    name: &'a str,
    kind: InstanceType,
    attempts: u32,
    orphan_noted: bool,
    is_protected: bool,
    id: &'a str,
    api_url: Option<&'a str>,
    is_address_listed: bool,
    /// The entry with its token, and its name at that time, where that was another one.
    token: Option<(u64, Option<&'a str>)>,
    /// Seconds and nanoseconds since 1970.
    since: (i64, i32),
}

/// `records` as one value.
pub(super) fn encode<'r>(records: impl Iterator<Item = &'r Record>) -> Result<Vec<u8>, BlockError> {
    let mut bytes = Vec::with_capacity(ROWS * 128);
    for record in records {
        let row = match exists(record) {
            Some(row) => Row::Exists(row),
            None => Row::Other(serde_json::to_string(record)?.into()),
        };
        bytes = postcard::to_extend(&row, bytes)?;
    }
    Ok(bytes)
}

/// Hands each record of `bytes` to `each`.
pub(super) fn decode(mut bytes: &[u8], mut each: impl FnMut(Record)) -> Result<(), BlockError> {
    while !bytes.is_empty() {
        let (row, rest) = postcard::take_from_bytes(bytes)?;
        bytes = rest;
        each(match row {
            Row::Exists(row) => record(&row).ok_or(BlockError::Content)?,
            Row::Other(json) => serde_json::from_str(&json)?,
        });
    }
    Ok(())
}

/// The short row of a record that fits into one. Every member is named: a new one has to be thought of here.
fn exists(record: &Record) -> Option<Exists<'_>> {
    let Record {
        name,
        kind,
        phase: Phase::Created(Instance { id, api_url, is_address_listed, token, since }),
        attempts,
        orphan_noted,
        is_foreign: false,
        taken: None,
        is_protected,
        is_replaced: false,
        is_kept: false,
        replaces: None,
        former,
    } = record
    else {
        return None;
    };
    if !former.is_empty() {
        return None;
    }
    let then = |at: &'_ TokenAt| (at.name != *name).then_some(());
    Some(Exists {
        name: name.as_str(),
        kind: *kind,
        attempts: *attempts,
        orphan_noted: *orphan_noted,
        is_protected: *is_protected,
        id: id.as_str(),
        api_url: api_url.as_ref().map(ApiUrl::as_str),
        is_address_listed: *is_address_listed,
        token: token.as_ref().map(|at| (at.entry.0, then(at).map(|()| at.name.as_str()))),
        since: (since.as_second(), since.subsec_nanosecond()),
    })
}

fn record(row: &Exists<'_>) -> Option<Record> {
    let name = InstanceName::parse(row.name).ok()?;
    let token = match row.token {
        None => None,
        Some((entry, None)) => Some(TokenAt { entry: Serial(entry), name: name.clone() }),
        Some((entry, Some(then))) => Some(TokenAt { entry: Serial(entry), name: InstanceName::parse(then).ok()? }),
    };
    let api_url = row.api_url.map(ApiUrl::parse).transpose().ok()?;
    let since = Timestamp::new(row.since.0, row.since.1).ok()?;
    let id = InstanceId::parse(row.id).ok()?;
    Some(Record {
        name,
        kind: row.kind,
        phase: Phase::Created(Instance { id, api_url, is_address_listed: row.is_address_listed, token, since }),
        attempts: row.attempts,
        orphan_noted: row.orphan_noted,
        is_foreign: false,
        taken: None,
        is_protected: row.is_protected,
        is_replaced: false,
        is_kept: false,
        replaces: None,
        former: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Former;

    fn name(text: &str) -> InstanceName {
        InstanceName::parse(text).unwrap()
    }

    fn instance() -> Instance {
        let since = Timestamp::new(-5, -7).unwrap();
        let api_url = Some(ApiUrl::parse("https://eu1.example/instance1").unwrap());
        let token = Some(TokenAt { entry: Serial(u64::MAX), name: name("old-name") });
        Instance { id: InstanceId::parse("100001").unwrap(), api_url, is_address_listed: true, token, since }
    }

    fn plain(of: &str) -> Record {
        Record {
            name: name(of),
            kind: InstanceType::WhatsAppDev,
            phase: Phase::Created(instance()),
            attempts: 3,
            orphan_noted: true,
            is_foreign: false,
            taken: None,
            is_protected: true,
            is_replaced: false,
            is_kept: false,
            replaces: None,
            former: Vec::new(),
        }
    }

    /// Every member once with what it usually is and once with what it seldom is.
    fn of_all_kinds() -> Vec<Record> {
        let former = Former { id: InstanceId::parse("9").unwrap(), since: Timestamp::MIN, lost: None, is_protected: true };
        let bare = Instance { api_url: None, is_address_listed: false, token: None, ..instance() };
        let own = Instance { token: Some(TokenAt { entry: Serial(1), name: name("own") }), since: Timestamp::MAX, ..instance() };
        vec![
            plain("usual"),
            Record { phase: Phase::Created(bare), orphan_noted: false, is_protected: false, ..plain("bare") },
            Record { phase: Phase::Created(own), ..plain("own") },
            Record { is_foreign: true, ..plain("foreign") },
            Record { taken: Some(former.clone().into()), ..plain("taken") },
            Record { is_replaced: true, ..plain("replaced") },
            Record { is_kept: true, ..plain("kept") },
            Record { replaces: Some(InstanceId::parse("8").unwrap()), ..plain("replaces") },
            Record { former: vec![former], ..plain("former") },
            Record { phase: Phase::Absent { closed: "asked to \"wait\"\n".into() }, ..plain("absent") },
            Record { phase: Phase::Released(instance()), ..plain("released") },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let records = of_all_kinds();
        let bytes = encode(records.iter()).unwrap();
        let mut read = Vec::new();
        decode(&bytes, |record| read.push(record)).unwrap();
        assert_eq!(read, records);
    }

    /// A type is stored as its number: these may not change.
    #[test]
    fn types_keep_their_numbers() {
        let numbered = InstanceType::ALL.map(|kind| (postcard::to_allocvec(&kind).unwrap(), kind));
        assert_eq!(numbered, [(vec![0], InstanceType::WhatsApp), (vec![1], InstanceType::WhatsAppDev)]);
    }

    #[test]
    fn a_usual_record_is_a_short_row() {
        let usual = encode([plain("usual")].iter()).unwrap();
        let unusual = encode([Record { is_foreign: true, ..plain("usual") }].iter()).unwrap();
        assert!(usual.len() * 3 < unusual.len(), "{} and {} bytes", usual.len(), unusual.len());
    }

    #[test]
    fn bytes_that_are_no_block_are_an_error_and_nothing_else() {
        let bytes = encode(of_all_kinds().iter()).unwrap();
        for cut in 1..bytes.len() {
            let mut read = 0;
            let done = decode(&bytes[..cut], |_| read += 1);
            // A cut between two rows leaves a block of fewer rows: the count and the sum see that.
            assert!(done.is_err() || read > 0, "{cut}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let _ = decode(&damaged, |_| {});
        }
    }
}
