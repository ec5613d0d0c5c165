use super::*;

fn fault(text: &str) -> Fault {
    format!("any={text}").parse::<FaultRule>().unwrap().fault
}

#[test]
fn rules_are_read() {
    let rule: FaultRule = "create:nth=2=drop-after".parse().unwrap();
    assert_eq!((rule.scope, rule.when), (Scope::Only(Operation::Create), When::Nth(2)));
    assert_eq!(rule.fault, Fault::NoAnswer(Moment::After, Ending::Fin));
    assert_eq!(rule.to_string(), "create:nth=2=drop-after");

    let rule: FaultRule = "delete:p=0.25=refuse:a=b:c".parse().unwrap();
    assert_eq!((rule.when, rule.fault), (When::Probability(0.25), Fault::Refuse("a=b:c".to_owned())));

    let rule: FaultRule = "list=lag:2s".parse().unwrap();
    assert_eq!((rule.when, rule.fault), (When::Always, Fault::Lag(Duration::from_secs(2))));
}

#[test]
fn every_fault_has_its_word() {
    use Ending::{Fin, Reset, Stall};
    use Moment::{After, Before};
    for (text, expected) in [
        ("drop-before", Fault::NoAnswer(Before, Fin)),
        ("reset-before", Fault::NoAnswer(Before, Reset)),
        ("reset-after", Fault::NoAnswer(After, Reset)),
        ("stall", Fault::NoAnswer(After, Stall)),
        ("stall-before", Fault::NoAnswer(Before, Stall)),
        ("delay:0..50ms", Fault::Delay(parse_latency("0..50ms").unwrap())),
        ("refuse", Fault::Refuse("refused by a fault rule".to_owned())),
        ("status-before:404", Fault::Status(Before, 404)),
        ("status-after:502", Fault::Status(After, 502)),
        ("too-many", Fault::TooMany(None)),
        ("too-many:7", Fault::TooMany(Some(7))),
        ("garbage", Fault::Garbage),
        ("truncate:0", Fault::Truncate(0, Fin)),
        ("truncate-reset:9", Fault::Truncate(9, Reset)),
        ("truncate-stall:9", Fault::Truncate(9, Stall)),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    for text in ["create=no-token", "create=exists", "list=empty-list", "list:every=3=lag:1s", "any:first=1=garbage"] {
        assert!(text.parse::<FaultRule>().is_ok(), "{text}");
    }
}

#[test]
fn errors_name_the_rule_and_the_accepted_words() {
    for (rule, accepted) in [
        ("create", "OPERATION[:WHEN]=FAULT"),
        ("", "OPERATION[:WHEN]=FAULT"),
        ("create:nth=2", "OPERATION[:WHEN]=FAULT"),
        ("make=garbage", OPERATIONS),
        ("Create=garbage", OPERATIONS),
        ("create:at=2=garbage", WHENS),
        ("create:nth=0=garbage", WHENS),
        ("create:nth=-1=garbage", WHENS),
        ("create:p=1.5=garbage", WHENS),
        ("create:p=NaN=garbage", WHENS),
        ("create=explode", FAULTS),
        ("create=garbage:1", FAULTS),
        ("create=delay", FAULTS),
        ("create=delay:fast", FAULTS),
        ("create=refuse:", FAULTS),
        ("create=status-after:200", FAULTS),
        ("create=truncate:-1", FAULTS),
        ("delete=exists", "no-token and exists are for create"),
        ("any=lag:1s", "lag and empty-list for list"),
    ] {
        let error = rule.parse::<FaultRule>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{rule}`")) && error.contains(accepted), "{error}");
    }
}

#[test]
fn a_plan_is_a_list_of_rules() {
    let text = "faults:\n  - create:nth=2=drop-after\n  - list=lag:2s # slow\n  - \"any=refuse:no: never\"\n";
    let plan = FaultPlan::from_yaml(text).unwrap();
    let shown: Vec<String> = plan.rules().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["create:nth=2=drop-after", "list=lag:2s", "any=refuse:no: never"]);
    assert_eq!(FaultPlan::from_yaml("faults: []\n").unwrap(), FaultPlan::default());
}

#[test]
fn a_plan_with_a_mistake_is_refused() {
    for text in ["", "faults:\n", "rules: []\n", "faults: []\nextra: 1\n", "faults: [1]\nfaults: []\n", "- a\n"] {
        assert!(matches!(FaultPlan::from_yaml(text), Err(FaultError::Yaml { .. })), "{text}");
    }
    assert!(matches!(FaultPlan::from_yaml("faults: [create=explode]\n"), Err(FaultError::Fault { .. })));
}
