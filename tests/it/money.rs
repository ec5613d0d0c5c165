//! Guards on money: how many at once, what it costs a month, and instances of the account that the state does not know (exit 6).

use std::fs;

use crate::stage::{Gateway, OtherGateway, Project, manifest};

/// A manifest of `count` instances.
fn many(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|number| format!("name-{number}")).collect();
    manifest("{kind: chatapi}", &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn in_ci_many_new_ones_beside_few_stop_until_their_number_is_said() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]).with("CI", "true");
    project.declare(&many(40));
    // The first apply is what somebody sat down to do.
    project.run("apply --init").exits(0).done();
    project.declare(&many(52));
    // 30 of a hundred of 40 are 12.
    project.run("apply").exits(0).prints("12 created").done();
    project.declare(&many(68));
    let run = project.run("apply").exits(6).warns("16 instances would be created beside 52 that exist");
    assert!(run.stderr.contains("at most 15 pass") && run.stderr.contains("--max-creates 16"), "{run}");
    let _ = project.run("plan").exits(0).warns("an apply will stop: 16 instances");
    let _ = project.run("plan --out plan.json").exits(6);
    let guards = project.run("apply --format json").exits(6).json()["guards"].clone();
    assert_eq!(guards[0]["guard"], "growth");
    assert_eq!(gateway.creates(), 52);
    let outside = project.call(["plan"]).without("CI").run().exits(0);
    assert!(!outside.stderr.contains("will stop"), "{outside}");
    let _ = project.run("apply --max-creates 15").exits(6).warns("this run may create 15");
    project.run("plan --out plan.json --max-creates 16").exits(0).done();
    // A file alone does not say it: it may come with a pull request.
    let _ = project.run("apply plan.json").exits(6).warns("16 instances would be created beside 52");
    project.run("apply --max-creates 100 plan.json").exits(0).prints("16 created").done();
    project.declare(&many(100));
    project.call(["apply"]).env("CHATAPI_MAX_CREATES", "32").run().exits(0).done();
    assert_eq!(gateway.creates(), 100);
}

/// What a run could not create is no growth for the next one.
#[test]
fn in_ci_the_rest_of_a_first_apply_that_broke_off_is_no_growth() {
    let gateway = Gateway::start(&["create:nth=4=status-before:402"]);
    let project = Project::at(&gateway.url(), &[]).with("CI", "true");
    project.declare(&many(40));
    let _ = project.run("apply --init --parallelism 1").exits(4).prints("3 created");
    let _ = project.run("state compact").exits(0);
    // 37 beside 3 are many, and just what was meant; one more is not.
    project.declare(&many(41));
    let _ = project.run("apply").exits(6).warns("38 instances would be created beside 3");
    project.declare(&many(40));
    project.run("apply").exits(0).prints("37 created").done();
}

#[test]
fn prices_make_a_cost_and_the_operator_limits_it() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let priced = |names: &[&str]| {
        let prices = "prices: {currency: EUR, whatsapp: 39.90, whatsapp_dev: \"0\"}\n";
        format!("{prices}{}", manifest("{kind: chatapi}", names))
    };
    project.declare(&priced(&["a", "b"]));
    let _ = project.run("plan").exits(0).prints("Cost: 79.80 EUR more a month, 79.80 EUR in all.");
    let cost = project.run("plan --format json").exits(0).json()["cost"].clone();
    assert_eq!((&cost["added"], &cost["total"], &cost["currency"]), (&"79.80".into(), &"79.80".into(), &"EUR".into()));
    let run = project.run("apply --max-monthly-cost 79.79").exits(6).warns("everything together would cost 79.80 EUR a month");
    assert!(run.stderr.contains("--max-monthly-cost 79.80"), "{run}");
    assert_eq!(gateway.requests(), 0);
    project.run("apply --max-monthly-cost 79.80").exits(0).prints("Cost: 79.80 EUR more a month, 79.80 EUR in all.").done();

    // What exists counts, declared or not; and what is there already may cost more than the limit.
    project.declare(&priced(&["a", "c"]));
    let tight = ["apply", "--not-a-rename", "c", "--max-monthly-cost", "100"];
    let _ = project.call(tight).run().exits(6).warns("would cost 119.70 EUR a month; this run may come to 100.00");
    project.declare(&priced(&["a"]));
    project.call(["apply"]).env("CHATAPI_MAX_MONTHLY_COST", "1").run().exits(0).done();

    project.declare("prices: {currency: EUR, whatsapp: 1}\ninstances: [{name: dev, type: whatsapp_dev}]\n");
    let _ = project.run("plan").exits(0).prints("no price is known for whatsapp_dev");
    // Of what exists one has to know the price too.
    project.declare("prices: {currency: EUR, whatsapp_dev: 1}\ninstances: [{name: dev, type: whatsapp_dev}]\n");
    let _ = project.run("apply --max-monthly-cost 1000").exits(6).warns("instance of type whatsapp costs");
    project.declare("prices: {currency: EUR, whatsapp: 1}\ninstances: [{name: dev, type: whatsapp_dev}]\n");
    let limited = project.run("apply --max-monthly-cost 1000").exits(6);
    let _ = limited
        .warns("nobody has said what an instance of type whatsapp_dev costs")
        .warns("prices: {currency: EUR, whatsapp_dev: 39.00}");
    for bad in ["-1", "1,50", "1e9", "many"] {
        let _ = project.run(&format!("apply --max-monthly-cost={bad}")).exits(1);
    }
    assert_eq!(gateway.creates(), 2);
    let _ =
        project.run("apply").exits(0).prints("Cost: 0.00 EUR more a month, 2.00 EUR in all; no price is known for whatsapp_dev.");
}

#[test]
fn prices_that_are_no_prices_are_told_in_place() {
    let project = Project::new("");
    for (prices, told) in [
        ("{whatsapp: 1}", "`prices` has no `currency`"),
        ("{currency: euro, whatsapp: 1}", "a currency is three capital letters"),
        ("{currency: EUR, whatsapp: -1}", "an amount is written as"),
        ("{currency: EUR, whatsapp: 1.23456}", "an amount is written as"),
        ("{currency: EUR, whatsapp: [1]}", "an amount is expected"),
        ("{currency: EUR, watsapp: 1}", "did you mean `whatsapp`?"),
        ("39.90", "a mapping with `currency`"),
    ] {
        project.declare(&format!("prices: {prices}\ninstances: []\n"));
        let _ = project.run("validate").exits(1).warns(told).warns("instances.yaml:1:");
    }
    project.write("one.yaml", "prices: {currency: EUR, whatsapp: 1}\ninstances: []\n");
    project.write("two.yaml", "prices: {currency: EUR, whatsapp: 2}\ninstances: []\n");
    let _ = project.run("validate one.yaml two.yaml").exits(1).warns("`prices` differs from the one in another file");
}

#[test]
fn p1_an_account_with_unknown_instances_stops_in_ci_until_told() {
    let gateway = Gateway::start(&[]);
    let stranger = Project::at(&gateway.url(), &["mine", "yours"]);
    stranger.run("apply").exits(0).done();

    let project = Project::at(&gateway.url(), &["a"]).with("CI", "true");
    let run = project.run("apply --init").exits(6).warns("the account has 2 instances that this state does not know");
    assert!(run.stderr.contains("--allow-unknown 2"), "{run}");
    let _ = project.run("apply --init --allow-unknown 1").exits(6).warns("and 1 is allowed");
    let _ = project.run("apply --allow-unknown some").exits(1).warns("write a number, or `all`");
    assert_eq!(gateway.creates(), 2);
    project.run("apply --init --allow-unknown 2").exits(0).done();

    // They were seen, and stop no later run; what is new since then does.
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).done();
    project.run("state compact").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c"]));
    project.run("apply").exits(0).done();
    stranger.declare(&manifest("{kind: chatapi}", &["mine", "yours", "theirs"]));
    stranger.run("apply --allow-unknown all").exits(0).done();
    // Nothing to create, nothing to ask.
    project.run("apply").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c", "d"]));
    let _ = project.run("apply").exits(6).warns("the account has 1 instance that this state does not know");
    project.call(["apply"]).env("CHATAPI_ALLOW_UNKNOWN", "all").run().exits(0).done();
    assert_eq!(gateway.creates(), 7);
}

#[test]
fn outside_ci_a_first_apply_is_warned_and_a_later_one_without_a_terminal_stops() {
    let gateway = Gateway::start(&[]);
    let stranger = Project::at(&gateway.url(), &["mine"]);
    stranger.run("apply").exits(0).done();
    let project = Project::at(&gateway.url(), &["a"]);
    let _ = project.run("apply").exits(0).warns("warning: the account has 1 instance that this state does not know");
    stranger.declare(&manifest("{kind: chatapi}", &["mine", "yours"]));
    stranger.run("apply --allow-unknown all").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let _ = project.run("apply").exits(6).warns("--allow-unknown 1");
    project.run("apply --allow-unknown 1").exits(0).done();
    assert_eq!(gateway.creates(), 4);
}

/// What a doubt may have created is no stranger: the others go on.
#[test]
fn p7_a_doubt_explains_one_instance_of_its_type() {
    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = Project::at(&gateway.url(), &["a"]).with("CI", "true");
    let _ = project.run("apply --init").exits(3);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let _ = project.run("apply").exits(3).prints("1 created, 0 unchanged, 1 in doubt");
    assert_eq!(gateway.creates(), 2);

    let gateway = Gateway::start(&["create:nth=1=drop-after"]);
    let project = Project::at(&gateway.url(), &["a"]).with("CI", "true");
    let _ = project.run("apply --init").exits(3);
    Project::at(&gateway.url(), &["mine"]).run("apply").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    // The doubt counts first; and nothing is sent.
    let _ = project.run("apply").exits(3).warns("the account has 1 instance that this state does not know");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn a_server_that_does_not_list_stops_in_ci_until_told() {
    let (mute, _) = OtherGateway::healthy(false);
    let project = Project::at(&mute.url(), &["a"]).with("CI", "true");
    let run = project.run("apply --init").exits(1).warns("nobody can say whether the account has instances");
    assert!(run.stderr.contains("--allow-unknown all"), "{run}");
    assert_eq!(mute.creates(), 0);
    project.run("apply --init --allow-unknown all").exits(0).done();
    let outside = Project::at(&mute.url(), &["b"]);
    let _ = outside.run("apply").warns("no list from before the creates");
    assert_eq!(mute.creates(), 2);
    // A server without lists is no reason to stop elsewhere; one whose list fails is, where nobody can be asked.
    outside.declare(&manifest("{kind: chatapi}", &["b", "c"]));
    outside.run("apply").exits(0).done();
    let failing =
        Gateway::start(&[2, 3, 4].map(|nth| format!("list:nth={nth}=status-before:500")).each_ref().map(String::as_str));
    let cron = Project::at(&failing.url(), &["a"]);
    cron.run("apply").exits(0).done();
    cron.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let _ = cron.run("apply").exits(1).warns("nobody can say").warns("check CHATAPI_URL and the network");
    assert_eq!((failing.requests(), failing.creates()), (5, 1), "asked three times, and nothing was sent");
    cron.run("apply").exits(0).done();
    assert!(fs::exists(project.lock_file()).unwrap());
}
