//! What exists already: taken in, renamed and settled through a manifest, or by `import`; before anything is created, and once.

use chatapi::diagnostic::Colour;
use chatapi::manifest::{Manifest, Source};

#[test]
fn what_is_settled_may_stand_in_several_files_and_knows_its_place() {
    let sources = [
        Source::new("a.yaml", "instances: [{name: b, type: whatsapp}]\nimport:\n  - {name: c, id: \"7\", type: WhatsAppDev}\n"),
        Source::new(
            "b.yaml",
            "instances: [{name: c, type: whatsapp_dev}]\nmoved:\n  - {from: a, to: b}\n  - {from: older, to: b}\n\
             resolutions:\n  - {name: x, attempt: a-1, created: \"8\"}\n  - {name: z, attempt: a-1, not-created: true}\n",
        ),
    ];
    let manifest = Manifest::parse(&sources).unwrap_or_else(|problems| panic!("{}", problems.render(Colour::Plain)));
    let said = &manifest.settlements;
    let imports: Vec<_> = said.imports.iter().map(|it| format!("{} {} {} {}", it.name, it.id, it.kind, it.place)).collect();
    assert_eq!(imports, ["c 7 whatsapp_dev a.yaml:3:12"]);
    let moves: Vec<_> = said.moves.iter().map(|it| format!("{} {} {}", it.from, it.to, it.place)).collect();
    assert_eq!(moves, ["a b b.yaml:3:12", "older b b.yaml:4:12"]);
    let closed = |id: &Option<chatapi::instance::InstanceId>| id.as_ref().map_or("-".to_owned(), ToString::to_string);
    let resolutions: Vec<_> =
        said.resolutions.iter().map(|it| format!("{} {} {} {}", it.name, it.attempt, closed(&it.created), it.place)).collect();
    assert_eq!(resolutions, ["x a-1 8 b.yaml:6:12", "z a-1 - b.yaml:7:12"]);
}
