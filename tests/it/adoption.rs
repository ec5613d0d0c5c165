//! What exists already: taken in, renamed and settled through a manifest, or by `import`; before anything is created, and once.

use chatapi::diagnostic::Colour;
use chatapi::instance::InstanceType;
use chatapi::manifest::{Manifest, Source};

use crate::stage::{Gateway, KEY, Project, manifest, snapshot, steady};

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

/// An instance that somebody has created without us; its id.
fn foreign(gateway: &Gateway) -> String {
    let settings = chatapi::Client::builder(gateway.url(), chatapi::secret::Secret::new(KEY.to_owned()));
    let client = chatapi::blocking::Client::new(settings).unwrap();
    let created = client.create_instance(InstanceType::WhatsApp).unwrap();
    created.instance_parameters.id.to_string()
}

/// `names`, all of one type, and `sections`.
fn declaring(names: &[&str], sections: &str) -> String {
    format!("{}{sections}", manifest("{kind: chatapi}", names))
}

#[test]
fn an_import_is_planned_checked_and_recorded_once() {
    let gateway = Gateway::start(&[]);
    let id = foreign(&gateway);
    let project = Project::at(&gateway.url(), &[]);
    project.declare(&declaring(&["desk", "other"], &format!("import:\n  - {{name: desk, id: \"{id}\", type: whatsapp}}\n")));
    project.run("init").exits(0).done();
    let plan = project.run("plan").exits(0).prints("Plan: 1 to create, 0 unchanged, 1 to import.");
    assert!(plan.stdout.contains(&format!("> desk   whatsapp  import  taken in as {id}")), "{plan}");
    let document = project.run("plan --format json").exits(0).json();
    assert_eq!((&document["summary"]["import"], &document["summary"]["create"]), (&1.into(), &1.into()));
    assert_eq!(document["changes"][0]["action"], "import");
    assert_eq!(document["changes"][0]["id"], id.as_str());
    project.run("plan --detailed-exitcode").exits(2).done_with("to import");
    // Beside a new one of its type it may be that one, made by a run that was lost.
    project.run("apply").exits(6).warns(&format!("`desk`, taken in as {id}")).done_with("--not-a-rename other");
    let apply = project.run("apply --not-a-rename other").exits(3);
    let apply = apply.prints("Apply: 1 created, 0 unchanged, 1 imported, 1 without token.");
    assert_eq!((gateway.creates(), project.ids()["desk"].as_str()), (2, id.as_str()), "{apply}");
    // Once: from here on the entry is pointed out.
    let again =
        project.run("plan").exits(3).warns(&format!("instances.yaml:6:12: `desk` is {id} already; the entry can be taken out"));
    assert!(!again.stdout.contains("import"), "{again}");
    project.run("apply").exits(3).warns("the entry can be taken out").done_with("without token");
    let shown = project.run("state show desk --format json").exits(0).json();
    assert!(shown["api_url"].as_str().is_some_and(|url| url.contains(&id)), "{shown}");
    assert_eq!(gateway.creates(), 2);
    project.run("state verify").exits(0).done();
}

#[test]
fn p4_an_import_that_the_list_does_not_bear_out_sends_and_writes_nothing() {
    let gateway = Gateway::start(&[]);
    let id = foreign(&gateway);
    let project = Project::at(&gateway.url(), &["kept"]);
    project.run("apply --allow-unknown 1").exits(0).done();
    let before = project.read("state/journal.jsonl");
    for (entry, kind, why) in [
        ("999999", "whatsapp", "the server does not list 999999"),
        (id.as_str(), "whatsapp_dev", "as whatsapp, not whatsapp_dev"),
    ] {
        let text = format!(
            "instances:\n  - {{name: kept, type: whatsapp}}\n  - {{name: desk, type: {kind}}}\n  - {{name: new, type: whatsapp}}\n\
             import:\n  - {{name: desk, id: \"{entry}\", type: {kind}}}\n"
        );
        project.declare(&text);
        // A plan says so before, where it asks.
        project.run("plan --not-a-rename new").exits(0).done_with("with `--verify` a plan asks the server");
        let plan = project.run("plan --not-a-rename new --verify").exits(0);
        plan.warns("an apply will stop: instances.yaml:6:12: `desk` is not taken in: the server").done_with(why);
        let saving = project.run("plan --not-a-rename new --verify --out plan.json").exits(6).warns("the plan was not saved");
        saving.done_with(why);
        project
            .run("apply --not-a-rename new")
            .exits(6)
            .warns("instances.yaml:6:12: `desk` is not taken in")
            .warns(why)
            .warns("nothing was sent")
            .done_with("caused by");
    }
    assert_eq!((gateway.creates(), project.read("state/journal.jsonl")), (2, before));
}

#[test]
fn a_plan_that_asks_the_list_knows_what_is_taken_in_also_where_nothing_is_recorded() {
    let gateway = Gateway::start(&[]);
    let ids = [foreign(&gateway), foreign(&gateway)];
    let project = Project::at(&gateway.url(), &[]);
    project.declare(&declaring(&["desk"], &format!("import:\n  - {{name: desk, id: \"{}\", type: whatsapp}}\n", ids[0])));
    // With a state and without.
    for _ in 0..2 {
        let plan = project.run("plan --verify").exits(0);
        assert!(!plan.stdout.contains(&format!("-      {}", ids[0])), "it gets a name: {plan}");
        assert!(!plan.stderr.contains("`--verify`") && plan.stderr.contains("is listed by the server, with its type"), "{plan}");
        plan.prints(&format!("taken in as {}", ids[0]))
            .prints(&format!("unknown   -      {}", ids[1]))
            .prints("1 unknown")
            .done_with("import NAME");
        let drift = &project.run("plan --verify --format json").exits(0).json()["drift"];
        assert_eq!((drift["findings"].as_array().map(Vec::len), &drift["summary"]["unknown"]), (Some(1), &1.into()), "{drift}");
        project.run("init").exits(0).done();
    }
    project.declare(&declaring(&["desk"], "import:\n  - {name: desk, id: \"999999\", type: whatsapp}\n"));
    let plan = project.run("plan --verify").exits(0).warns("`desk` is not taken in: the server does not list 999999");
    plan.prints("2 unknown").done_with("import --discover");
}

#[test]
fn a_move_renames_without_a_create_and_answers_the_rename_guard() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["support", "b"]);
    project.run("apply --parallelism 1").exits(0).done();
    let (ids, token) = (project.ids(), project.token("support"));
    project.declare(&declaring(&["support-eu", "b"], ""));
    project.run("apply").exits(6).warns("a rename would pay for a second instance").done_with("state mv");
    project.declare(&declaring(&["support-eu", "b"], "moved:\n  - {from: support, to: support-eu}\n"));
    project.run("plan").exits(0).prints("Plan: 0 to create, 1 unchanged, 1 to move.").done();
    project.run("apply").exits(0).prints("support-eu moved: called support until now").prints("1 moved").done();
    assert_eq!((gateway.creates(), &project.ids()["support-eu"], project.token("support-eu")), (2, &ids["support"], token));
    project
        .run("plan")
        .exits(0)
        .prints("Nothing to do")
        .warns("`support` is `support-eu` already; the entry can be taken out")
        .done();
    // Against what is recorded: an error in its place.
    project.declare(&declaring(&["support-eu", "other"], "moved:\n  - {from: b, to: support-eu}\n"));
    for verb in ["plan", "apply"] {
        project.run(verb).exits(1).warns("`b` is recorded, and `support-eu` too").warns("instances.yaml:6:12");
    }
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn a_doubt_is_settled_through_review_and_against_the_list() {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=drop-before"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3).done_with("1 in doubt");
    let (attempt, made) = (project.attempt("b"), gateway.tokens().into_keys().collect::<Vec<_>>());
    let id = made.iter().find(|id| **id != project.ids()["a"]).unwrap().clone();
    let settle = |verdict: &str, attempt: &str| {
        declaring(&["a", "b"], &format!("resolutions:\n  - {{name: b, attempt: {attempt}, {verdict}}}\n"))
    };
    // What the list speaks against: with the line to type.
    project.declare(&settle("not-created: true", &attempt));
    let told = format!("`chatapi resolve b --attempt {attempt} --not-created --despite-list --reason TEXT`");
    project.run("apply").exits(6).warns("the server lists what may be it").warns(&told).done_with("instances.yaml:6:12");
    project.declare(&settle("created: \"999\"", &attempt));
    project.run("apply").exits(6).warns("the server does not list 999 as new since the attempt").done_with("--created 999");
    project.declare(&settle("not-created: true", "a-anotherone"));
    project.run("apply").exits(1).warns("another one than a-anotherone").done_with(&attempt);
    // What it bears out.
    project.declare(&settle(&format!("created: \"{id}\""), &attempt));
    project.run("plan").exits(0).prints("1 to settle").prints(&format!("attempt {attempt} created {id}")).done();
    project.run("apply").exits(3).prints("Apply: 0 created, 1 unchanged, 1 settled, 1 without token.").done_with("token set");
    assert_eq!((project.ids()["b"].as_str(), gateway.creates()), (id.as_str(), 2));
    project.run("plan").exits(3).warns(&format!("attempt {attempt} of `b` was settled before")).done_with("can be taken out");
    // An attempt that came to nothing is tried again in the same run.
    project.declare(&declaring(&["a", "b", "c"], ""));
    project.run("apply").exits(3).done_with("c in doubt");
    let attempt = project.attempt("c");
    project.declare(&declaring(
        &["a", "b", "c"],
        &format!("resolutions:\n  - {{name: c, attempt: {attempt}, not-created: true}}\n"),
    ));
    project.run("apply").exits(6).warns("that counts only from").done_with("--not-created --despite-list");
    project.run("apply --settle-after 0s").exits(3).prints("1 created").prints("1 settled").done_with("without token");
    assert_eq!(gateway.creates(), 4);
    project.run("state verify").exits(0).done();
}

/// P1: an instance that a doubt may have created is not taken in under another name; the doubt would then look as if it had come to
/// nothing.
#[test]
fn p1_what_a_doubt_may_have_created_is_not_imported() {
    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(3).done_with("1 in doubt");
    let id = gateway.tokens().into_keys().next().unwrap();
    project.declare(&declaring(&["a", "desk"], &format!("import:\n  - {{name: desk, id: \"{id}\", type: whatsapp}}\n")));
    let attempt = project.attempt("a");
    project
        .run("apply")
        .exits(6)
        .warns("it may have created that")
        .done_with(&format!("resolve a --attempt {attempt} --created {id}"));
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn a_saved_plan_settles_what_was_reviewed_and_goes_stale() {
    let gateway = Gateway::start(&[]);
    let id = foreign(&gateway);
    let project = Project::at(&gateway.url(), &["old"]);
    project.run("apply --allow-unknown 1").exits(0).done();
    let sections = format!("import:\n  - {{name: desk, id: \"{id}\", type: whatsapp}}\nmoved:\n  - {{from: old, to: new}}\n");
    project.declare(&declaring(&["new", "desk"], &sections));
    project.run("plan --out one.json").exits(0).prints("1 to import, 1 to move").done();
    project.run("plan --out two.json").exits(0).done();
    project.run("show one.json").exits(0).prints("1 to import, 1 to move").done_with("called old until now");
    // The manifest says something else: of the same names.
    project.declare(&declaring(&["new", "desk"], ""));
    project.run("apply one.json").exits(7).done_with("the manifest has changed since the plan was made");
    project.declare(&declaring(&["new", "desk"], &sections));
    project.run("apply one.json").exits(3).prints("1 imported, 1 moved").done_with("without token");
    project.run("apply one.json").exits(7).done_with("is spent");
    project.run("apply two.json").exits(7).done_with("the state has changed since the plan was made");
    assert_eq!((gateway.creates(), project.ids()["desk"].as_str()), (2, id.as_str()));
}

/// A state with a name to be moved and a doubt, on an account with an instance of somebody else's; and the manifest that settles all
/// three and wants a new one.
#[cfg(feature = "failpoints")]
fn unsettled(gateway: &Gateway) -> (Project, [String; 3]) {
    let stray = foreign(gateway);
    let project = Project::at(&gateway.url(), &["old", "x"]);
    project.run("apply --parallelism 1 --allow-unknown 1").exits(3).done_with("1 in doubt");
    let old = project.ids()["old"].clone();
    let doubtful = gateway.tokens().into_keys().find(|id| *id != stray && *id != old).unwrap();
    let sections = format!(
        "import:\n  - {{name: desk, id: \"{stray}\", type: whatsapp}}\nmoved:\n  - {{from: old, to: new}}\n\
         resolutions:\n  - {{name: x, attempt: {}, created: \"{doubtful}\"}}\n",
        project.attempt("x")
    );
    project.declare(&declaring(&["new", "x", "desk", "fresh"], &sections));
    (project, [old, doubtful, stray])
}

#[cfg(feature = "failpoints")]
#[test]
fn p1_an_apply_that_dies_anywhere_while_it_settles_is_finished_by_the_next_once() {
    let points = chatapi::failpoint::SETTLEMENTS.iter().flat_map(|point| {
        let times = if *point == "settle-noted" { 3 } else { 1 };
        (1..=times).map(move |nth| format!("{point}=kill@{nth}"))
    });
    for rule in points {
        // The third create that the server sees: the stray one came first.
        let gateway = Gateway::start(&["create:nth=3=drop-after"]);
        let (project, [old, doubtful, stray]) = unsettled(&gateway);
        let token = project.token("old");
        let died = project.call(["apply"]).env("CHATAPI_FAILPOINT", &rule).run();
        assert!(died.code > 1_000, "{rule}: {died}");
        assert_eq!(gateway.creates(), 3, "{rule}: nothing is created before all is settled");
        let next = project.run("apply").exits(3).prints("1 created");
        let ids = project.ids();
        let found = ["new", "x", "desk"].map(|name| ids[name].clone());
        assert_eq!(found, [old, doubtful, stray], "{rule}: {next}");
        assert_eq!((gateway.creates(), ids.len(), project.token("new")), (4, 4, token), "{rule}: {next}");
        assert!(!project.token("fresh").is_empty(), "{rule}");
        let last = project.run("apply").exits(3).prints("Apply: 0 created");
        assert_eq!((gateway.creates(), last.stderr.matches("can be taken out").count()), (4, 3), "{rule}: {last}");
        project.run("state verify").exits(0).done();
    }
}

/// What cannot be recorded is not gone on from.
#[cfg(feature = "failpoints")]
#[test]
fn p2_a_disk_that_takes_no_settlement_creates_nothing() {
    for point in ["journal-before-resolved", "journal-written-moved", "journal-before-adopted"] {
        let gateway = Gateway::start(&["create:nth=3=drop-after"]);
        let (project, _) = unsettled(&gateway);
        let run = project.call(["apply"]).env("CHATAPI_FAILPOINT", format!("{point}=full")).run();
        assert_eq!((run.code, gateway.creates()), (1, 3), "{point}: {run}");
        project.run("apply").exits(3).prints("1 created").done_with("without token");
        assert_eq!((gateway.creates(), project.ids().len()), (4, 4), "{point}");
    }
}

/// A scenario as a person types it, with everything that is printed.
#[test]
fn the_scenario_of_an_adoption() {
    let gateway = Gateway::start(&["create:nth=4=drop-after"]);
    let strays = [foreign(&gateway), foreign(&gateway)];
    let project = Project::at(&gateway.url(), &["support"]);
    let mut told = Vec::new();
    let mut play = |line: &str| {
        let run = project.run(line);
        told.push(format!("$ chatapi {line}\n{}{}[exit {}]\n", run.stdout, run.stderr, run.code));
    };
    play("init");
    play("apply --allow-unknown 2");
    project.declare(&declaring(&["support", "second"], ""));
    play("apply");
    play("import --discover");
    let moved = "moved:\n  - {from: support, to: support-eu}\n";
    let import = format!("import:\n  - {{name: desk, id: \"{}\", type: whatsapp}}\n", strays[0]);
    let made = gateway.tokens().into_keys().last().unwrap();
    let attempt = project.attempt("second");
    let resolution = format!("resolutions:\n  - {{name: second, attempt: {attempt}, created: \"{made}\"}}\n");
    project.declare(&declaring(&["support-eu", "second", "desk"], &format!("{import}{moved}{resolution}")));
    play("plan");
    play("apply");
    play("plan");
    play(&format!("import hall --id {}", strays[1]));
    play("state list");
    snapshot("scenarios/adopting.txt", &steady(&told.join("\n")));
    assert_eq!(gateway.creates(), 4);
}

/// A mistyped name would be a new instance, beside the one that was meant.
#[test]
fn p1_a_mistyped_name_of_a_move_creates_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["support-old"]);
    project.run("apply").exits(0).done();
    let moved = "moved: [{from: suport-old, to: berlin}]\n";
    project.declare(&(manifest("{kind: chatapi}", &["berlin", "paris"]) + moved));
    for line in ["plan", "apply --not-a-rename paris", "apply --not-a-rename paris --not-a-rename berlin"] {
        project.run(line).exits(1).warns("no instance is recorded under `suport-old`").warns("did you mean `support-old`");
    }
    assert_eq!(gateway.creates(), 1);
    let short = Project::at(&gateway.url(), &["eu"]);
    short.run("apply").exits(0).done();
    short.declare(&(manifest("{kind: chatapi}", &["europe"]) + "moved: [{from: ue, to: europe}]\n"));
    for line in ["plan", "apply --not-a-rename europe"] {
        short.run(line).exits(1).warns("no instance is recorded under `ue`").warns("did you mean `eu`, which is not declared?");
    }
    assert_eq!(gateway.creates(), 2);
}
