//! F1: bytes to a manifest.

use chatapi::diagnostic::Colour;
use chatapi::manifest::{Declaration, Manifest, Source};
use chatapi::seal::Recipients;

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
    let mut lines = vec![format!("provider: {{kind: {}, exclusive: {}}}", manifest.provider, manifest.exclusive)];
    if let Some(recipients) = &manifest.seal_to {
        lines.push("seal_to:".to_owned());
        lines.extend(recipients.iter().map(|key| format!("  - \"{key}\"")));
    }
    lines.push(if manifest.declarations().is_empty() { "instances: []" } else { "instances:" }.to_owned());
    lines.extend(manifest.declarations().iter().map(entry));
    lines.join("\n")
}

/// One instance as an entry without patterns.
fn entry(declared: &Declaration) -> String {
    let quoted = |text: &str| serde_json::to_string(&text.replace('{', "{{").replace('}', "}}")).unwrap();
    let labels: Vec<_> = declared.labels.iter().map(|(key, value)| format!("\"{key}\": {}", quoted(value))).collect();
    let owner = declared.owner.as_deref().map_or(String::new(), |owner| format!(", owner: {}", quoted(owner)));
    let Declaration { name, kind, is_protected, .. } = declared;
    format!("  - {{name: \"{name}\", type: {kind}, protect: {is_protected}, labels: {{{}}}{owner}}}", labels.join(", "))
}

/// All that it says, without the places.
fn said(manifest: &Manifest) -> (String, bool, Option<&Recipients>, Vec<String>) {
    let instances = manifest.declarations().iter().map(entry);
    (manifest.provider.to_string(), manifest.exclusive, manifest.seal_to.as_ref(), instances.collect())
}
