//! What must hold for any bytes: one function for each property, which panics where it does not.
//!
//! The ordinary tests call them for a kept corpus and seeded mutations of it (`fuzz`), and `fuzz/` calls them under cargo-fuzz.
//! Nothing in here is drawn: the same bytes always give the same verdict. `docs/fuzzing.md` says what each one checks.

mod answers;
mod http;
mod journal;
mod manifest;
mod places;
mod plans;
pub(crate) mod readers;
mod reference;
mod sealed;
mod text;
mod values;
mod waits;

use answers::{f2_verdict, f3_listing};
use http::{f5_http, f10_headers};
use journal::{f4_journal, f6_round_trip};
use manifest::f1_manifest;
use places::f8_url;
use plans::f13_plan;
use sealed::f11_sealed;
use text::f7_text;
use values::f12_values;
use waits::f10_waits;

/// A property.
pub(crate) type Property = fn(&[u8]);

/// All of them, with the names of their targets and corpora.
pub(crate) const ALL: [(&str, Property); 13] = [
    ("f1_manifest", f1_manifest),
    ("f2_verdict", f2_verdict),
    ("f3_listing", f3_listing),
    ("f4_journal", f4_journal),
    ("f5_http", f5_http),
    ("f6_round_trip", f6_round_trip),
    ("f7_text", f7_text),
    ("f8_url", f8_url),
    ("f10_headers", f10_headers),
    ("f10_waits", f10_waits),
    ("f11_sealed", f11_sealed),
    ("f12_values", f12_values),
    ("f13_plan", f13_plan),
];

/// An API key, which stands in some seeds: a server may repeat it.
pub(crate) const KEY: &str = "CanaryKey0123456789+/abcdefg";
