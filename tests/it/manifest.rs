//! What a manifest may look like, and what comes of it.

use chatapi::instance::{InstanceName, InstanceType};
use chatapi::manifest::{Manifest, ProviderKind, Source};

fn parse(text: &str) -> Manifest {
    Manifest::parse(&[Source::new("a.yaml", text)]).unwrap_or_else(|problems| panic!("{text}\n{problems:?}"))
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.declarations().iter().map(|declaration| declaration.name.as_str()).collect()
}

#[test]
fn the_manifest_of_the_readme_is_read() {
    let manifest = parse(
        "# instances.yaml\nversion: 1\nprovider:\n  kind: chatapi          # chatapi | emulator\ninstances:\n  \
         - name: support-eu     # ours\n    type: whatsapp\n  - name: sandbox\n    type: whatsapp_dev\n",
    );
    assert_eq!((manifest.provider, manifest.exclusive), (ProviderKind::Chatapi, false));
    let read: Vec<_> = manifest.declarations().iter().map(|d| (d.name.as_str(), d.kind, d.place.to_string())).collect();
    let expected = [
        ("sandbox", InstanceType::WhatsAppDev, "a.yaml:8:11".to_owned()),
        ("support-eu", InstanceType::WhatsApp, "a.yaml:6:11".to_owned()),
    ];
    assert_eq!(read, expected, "sorted by name, each with its place");
    let name = InstanceName::parse("sandbox").unwrap();
    assert_eq!(manifest.get(&name).map(|found| found.kind), Some(InstanceType::WhatsAppDev));
    assert!(manifest.get(&InstanceName::parse("other").unwrap()).is_none());
}

#[test]
fn much_is_accepted() {
    for (text, expected, why) in [
        ("instances: []", &[][..], "an empty list is a manifest"),
        ("instances:\n  []\n", &[], "on a line of its own"),
        ("instances:\n- {name: a, type: whatsapp}\n", &["a"], "a list that is not indented"),
        ("{\"instances\": [{\"name\": \"a\", \"type\": \"whatsapp\"}]}", &["a"], "JSON"),
        ("---\ninstances: []\n...\n", &[], "one document with its marks"),
        ("\u{feff}instances: []\n", &[], "a byte order mark"),
        ("\u{feff}# c\r\ninstances:\r\n  - name: a\r\n    type: whatsapp\r\n", &["a"], "a byte order mark and CRLF"),
        ("instances:\r  - name: a\r    type: whatsapp\r", &["a"], "line breaks of old"),
        ("# é\ninstances: # ü\n  # - name: b\n  - name: a # c\n    type: whatsapp", &["a"], "comments, no newline at the end"),
        ("instances:\n  - name: \"012\"\n    type: 'whatsapp'\n", &["012"], "a number in quotes is a name"),
        ("instances:\n  - name: 'no'\n    type: WhatsApp\n", &["no"], "Norway in quotes, and the other spelling"),
        ("instances:\n  - name: \"2026-11-22\"\n    type: WhatsAppDev\n", &["2026-11-22"], "a date in quotes"),
        ("instances:\n  - name: \"\\x61\"\n    type: whatsapp\n", &["a"], "an escape in quotes"),
        ("instances:\n  - name: >-\n      a\n    type: whatsapp\n", &["a"], "a folded text"),
        ("instances:\n  - name: 1.2.3\n    type: whatsapp\n", &["1.2.3"], "no number to anybody"),
        ("instances:\n  - ? name\n    : a\n    type: whatsapp\n", &["a"], "explicit keys"),
        ("provider: {}\ninstances: []\n", &[], "a provider that says nothing"),
        ("instances: [{type: whatsapp, name: b}, {name: a, type: whatsapp},]\n", &["a", "b"], "flow style, any order of keys"),
    ] {
        assert_eq!(names(&parse(text)), expected, "{why}");
    }
}

#[test]
fn the_provider_says_who_and_whether_alone() {
    for (text, kind, exclusive) in [
        ("instances: []", ProviderKind::Chatapi, false),
        ("provider: {kind: emulator}\ninstances: []", ProviderKind::Emulator, false),
        ("provider: {kind: 'chatapi', exclusive: true}\ninstances: []", ProviderKind::Chatapi, true),
        ("provider:\n  exclusive: true\ninstances: []", ProviderKind::Chatapi, true),
    ] {
        let manifest = parse(text);
        assert_eq!((manifest.provider, manifest.exclusive), (kind, exclusive), "{text}");
    }
}

#[test]
fn several_files_are_one_manifest() {
    let sources = [
        Source::new("b.yaml", "instances: [{name: b, type: whatsapp}]"),
        Source::new("a.yaml", "provider: {kind: emulator}\ninstances: [{name: a, type: whatsapp}]"),
    ];
    let manifest = Manifest::parse(&sources).unwrap();
    assert_eq!((names(&manifest), manifest.provider), (vec!["a", "b"], ProviderKind::Emulator));
}

#[test]
fn p13_many_instances_are_read() {
    let instances: Vec<_> = (0..20_000).map(|i| format!("  - name: n{i}\n    type: whatsapp\n")).collect();
    assert_eq!(parse(&format!("instances:\n{}", instances.concat())).declarations().len(), 20_000);
}
