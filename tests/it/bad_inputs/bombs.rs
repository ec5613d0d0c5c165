//! Anchors and aliases, small texts with a large meaning, and large texts.

use super::{BadInput, Row};

pub(super) const ALIASES: &[Row] = &[
    ("an anchor", b"instances: &all []\n", "1:12", "an anchor cannot stand in a manifest", 1),
    (
        "an anchor on a name",
        b"instances:\n  - name: &n a\n    type: whatsapp\n",
        "2:11",
        "an anchor cannot stand in a manifest",
        1,
    ),
    (
        "an anchor on an instance",
        b"instances:\n  - &one\n    name: a\n    type: whatsapp\n",
        "2:5",
        "an anchor cannot stand in a manifest",
        1,
    ),
    ("an anchor on a key", b"&k instances: []\n", "1:1", "an anchor cannot stand in a manifest", 1),
    (
        "an alias",
        b"instances:\n  - name: &n a\n    type: whatsapp\n  - name: *n\n    type: whatsapp\n",
        "2:11",
        "an anchor cannot stand in a manifest",
        2,
    ),
    ("an alias of nothing", b"instances: *all\n", "1:12", "an alias cannot stand in a manifest", 1),
    ("an alias as a key", b"*k : []\ninstances: []\n", "1:1", "an alias cannot stand in a manifest", 1),
    ("a list that holds itself", b"instances: &a [*a]\n", "1:12", "an anchor cannot stand in a manifest", 2),
    (
        "a mapping that holds itself",
        b"instances:\n  - &a\n    name: x\n    type: *a\n",
        "2:5",
        "an anchor cannot stand in a manifest",
        2,
    ),
    (
        "a merge key",
        b"instances:\n  - <<: {type: whatsapp}\n    name: a\n    type: whatsapp\n",
        "2:5",
        "a merge key `<<` cannot stand in a manifest",
        1,
    ),
    (
        "a merge key of an alias",
        b"instances:\n  - <<: *base\n    name: a\n    type: whatsapp\n",
        "2:5",
        "a merge key `<<` cannot stand in a manifest",
        2,
    ),
    (
        "merge keys twice",
        b"instances:\n  - {<<: {}, <<: {}, name: a, type: whatsapp}\n",
        "2:6",
        "a merge key `<<` cannot stand in a manifest",
        3,
    ),
    (
        "a glob that reads as an alias",
        b"instances:\n  - name: *.eu\n    type: whatsapp\n",
        "2:11",
        "an alias cannot stand in a manifest",
        1,
    ),
    ("an anchor without a name", b"instances: & []\n", "1:12", "not valid YAML: while scanning an anchor or alias,", 1),
];

/// The rows that are too long to be written out.
pub(super) fn all() -> Vec<BadInput> {
    let bad = |why, bytes: String, place, problem, count| BadInput {
        category: "aliases and bombs",
        why,
        bytes: bytes.into_bytes(),
        place,
        problem,
        count,
    };
    let nine = |name: char| vec![format!("*{name}"); 9].join(", ");
    let laughs: Vec<String> =
        ('a'..='i').zip('b'..='j').map(|(inner, outer)| format!("{outer}: &{outer} [{}]\n", nine(inner))).collect();
    let anchors: Vec<_> = (0..100_000).map(|i| format!("k{i}: &a{i} v\n")).collect();
    vec![
        bad("a billion laughs", format!("a: &a [lol]\n{}", laughs.concat()), "1:4", "an anchor cannot stand", 102),
        bad("10,000 lists in one another", "[".repeat(10_000), "1:33", "lists and mappings are nested more than 32 deep", 1),
        bad(
            "10,000 mappings in one another",
            "{a: ".repeat(10_000),
            "1:129",
            "lists and mappings are nested more than 32 deep",
            1,
        ),
        bad("10,000 lists, as a block", "- ".repeat(10_000), "1:65", "lists and mappings are nested more than 32 deep", 1),
        bad("10,000 keys in one another", "? ".repeat(10_000), "1:65", "lists and mappings are nested more than 32 deep", 1),
        bad(
            "lists that are closed again",
            format!("instances: {}{}", "[".repeat(40), "]".repeat(40)),
            "1:44",
            "lists and mappings are nested more than 32 deep",
            1,
        ),
        bad("100 MB in one value", format!("instances: {}", "x".repeat(100_000_000)), "", "the file is longer than 32 MiB", 1),
        bad(
            "30 MB in one value",
            format!("instances: {}", "x".repeat(30_000_000)),
            "1:12",
            "a list is expected, and this is a text",
            1,
        ),
        bad("a very long key", format!("{}: 1", "k".repeat(1_000_000)), "1:1000001", "a second `: ` cannot stand here", 1),
        bad(
            "a million entries",
            format!("instances: [{}]", "a,".repeat(1_000_000)),
            "1:2000007",
            "more than 1000000 keys and values",
            1,
        ),
        bad("100,000 anchors", anchors.concat(), "1:5", "an anchor cannot stand in a manifest", 200_001),
        bad(
            "100,000 aliases",
            format!("instances: [{}]", "*a,".repeat(100_000)),
            "1:13",
            "an alias cannot stand in a manifest",
            100_000,
        ),
        bad("100,000 keys that are one", "k: v\n".repeat(100_000), "2:1", "duplicate key `k`", 200_000),
    ]
}
