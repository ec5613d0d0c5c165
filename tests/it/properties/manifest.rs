//! F1: bytes to a manifest.

use chatapi::diagnostic::Colour;
use chatapi::manifest::{Manifest, Source};

use super::text::assert_harmless;

/// Never panics; what is shown of a refusal is bounded and harmless; what is accepted is accepted again, and the same, when it is
/// written out from what was understood.
pub(super) fn f1_manifest(data: &[u8]) {
    match parse(data) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a problem");
            let shown = problems.render(Colour::Plain);
            let coloured = problems.render(Colour::Ansi);
            assert!(shown.len() < 200_000 && coloured.len() < 400_000, "{} bytes are shown", shown.len());
            assert_harmless(&shown);
            assert_harmless(&serde_json::to_string(&problems.to_data()).unwrap());
        }
        Ok(manifest) => {
            let text = written(&manifest);
            let again = parse(text.as_bytes()).unwrap_or_else(|problems| panic!("{text}\n{}", problems.render(Colour::Plain)));
            assert_eq!(said(&manifest), said(&again), "{text}");
            assert!(manifest.declarations().iter().all(|declared| manifest.get(&declared.name) == Some(declared)));
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Manifest, chatapi::diagnostic::Diagnostics> {
    Manifest::parse(&[Source::new("instances.yaml", bytes)])
}

/// The manifest as YAML. Every text is in quotes: a name may look like a number.
fn written(manifest: &Manifest) -> String {
    let mut text = format!("version: 1\nprovider:\n  kind: {}\n  exclusive: {}\n", manifest.provider, manifest.exclusive);
    if let Some(recipients) = &manifest.seal_to {
        let keys: Vec<String> = recipients.iter().map(|key| format!("\"{key}\"")).collect();
        text += &format!("seal_to: [{}]\n", keys.join(", "));
    }
    text += "instances:";
    text += if manifest.declarations().is_empty() { " []\n" } else { "\n" };
    for declared in manifest.declarations() {
        text += &format!("  - {{name: \"{}\", type: {}}}\n", declared.name, declared.kind);
    }
    text
}

/// All that it says, without the places.
fn said(manifest: &Manifest) -> (String, bool, Option<String>, Vec<(String, &'static str)>) {
    let instances = manifest.declarations().iter().map(|declared| (declared.name.to_string(), declared.kind.as_str()));
    let recipients = manifest.seal_to.as_ref().map(|keys| keys.iter().map(|key| format!("{key} ")).collect());
    (manifest.provider.to_string(), manifest.exclusive, recipients, instances.collect())
}
