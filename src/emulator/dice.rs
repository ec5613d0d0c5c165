//! Chance, without surprise: which fault hits a request is a function of the seed, the rules and the request's number.
//!
//! Requests are numbered per rule in the order of their arrival, so that one client at a time meets the same faults in
//! every run, and many at once meet the same number of them.

use std::time::Duration;

use super::faults::{Fault, FaultPlan, FaultRule, Scope, When};
use super::latency::Latency;
use super::request::Operation;

/// The lane of the latency among the lanes of the rules, which are their indices.
const LATENCY_LANE: u64 = u64::MAX;

/// A plan in use.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    seed: u64,
    rules: Vec<Counted>,
    latency: Latency,
    creates: u64,
}

#[derive(Debug, Clone)]
struct Counted {
    rule: FaultRule,
    seen: u64,
}

/// What happens to one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Turn {
    /// The rule that applies; its fault is never a delay.
    pub(super) rule: Option<FaultRule>,
    /// How long the answer takes in all.
    pub(super) delay: Duration,
}

impl Dice {
    pub(super) fn new(plan: &FaultPlan, latency: Latency, seed: u64) -> Self {
        let rules = plan.rules().iter().map(|rule| Counted { rule: rule.clone(), seen: 0 }).collect();
        Self { seed, rules, latency, creates: 0 }
    }

    /// Draws for the next request of `operation`.
    pub(super) fn draw(&mut self, operation: Operation) -> Turn {
        let mut turn = Turn { rule: None, delay: self.human_latency(operation) };
        let seed = self.seed;
        for (lane, counted) in (0..).zip(&mut self.rules) {
            let is_meant = counted.rule.scope == Scope::Any || counted.rule.scope == Scope::Only(operation);
            if !is_meant {
                continue;
            }
            counted.seen += 1;
            let mut rng = generator(seed, lane, counted.seen);
            if turn.rule.is_none() && applies(counted.rule.when, counted.seen, &mut rng) {
                if let Fault::Delay(delay) = &counted.rule.fault {
                    turn.delay += delay.draw(&mut rng);
                }
                turn.rule = Some(counted.rule.clone());
            }
        }
        turn
    }

    fn human_latency(&mut self, operation: Operation) -> Duration {
        if operation != Operation::Create {
            return Duration::ZERO;
        }
        self.creates += 1;
        self.latency.draw(&mut generator(self.seed, LATENCY_LANE, self.creates))
    }
}

fn applies(when: When, number: u64, rng: &mut fastrand::Rng) -> bool {
    match when {
        When::Always => true,
        When::Nth(nth) => number == nth,
        When::Every(every) => number.is_multiple_of(every),
        When::First(first) => number <= first,
        When::Probability(p) => rng.f64() < p,
    }
}

/// A generator of its own for each draw, so that none depends on how many came before it elsewhere.
fn generator(seed: u64, lane: u64, number: u64) -> fastrand::Rng {
    let lane = fastrand::Rng::with_seed(fastrand::Rng::with_seed(seed).u64(..) ^ lane).u64(..);
    fastrand::Rng::with_seed(lane ^ number)
}

#[cfg(test)]
mod tests {
    use super::super::latency::parse_latency;
    use super::*;

    fn dice(rules: &[&str], seed: u64) -> Dice {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Dice::new(&FaultPlan::new(rules), Latency::default(), seed)
    }

    fn hits(rules: &[&str], seed: u64, count: usize) -> Vec<usize> {
        let mut dice = dice(rules, seed);
        (1..=count).filter(|_| dice.draw(Operation::Create).rule.is_some()).collect()
    }

    #[test]
    fn counting_conditions_hit_what_they_say() {
        assert_eq!(hits(&["create:nth=2=garbage"], 0, 9), [2]);
        assert_eq!(hits(&["any:every=3=garbage"], 0, 9), [3, 6, 9]);
        assert_eq!(hits(&["create:first=2=garbage"], 0, 9), [1, 2]);
        assert_eq!(hits(&["create=garbage"], 0, 2), [1, 2]);
        assert!(hits(&["list=garbage"], 0, 9).is_empty());
    }

    #[test]
    fn chance_repeats_with_its_seed_and_keeps_its_rate() {
        let rule = &["create:p=0.3=garbage"];
        assert_eq!(hits(rule, 5, 1000), hits(rule, 5, 1000));
        assert_ne!(hits(rule, 5, 1000), hits(rule, 6, 1000));
        let count = hits(rule, 5, 10_000).len();
        assert!((2800..3200).contains(&count), "{count}");
        assert!(hits(&["create:p=0=garbage"], 5, 1000).is_empty());
        assert_eq!(hits(&["create:p=1=garbage"], 5, 1000).len(), 1000);
    }

    #[test]
    fn the_first_rule_that_applies_decides_and_all_count() {
        let mut dice = dice(&["create:nth=1=exists", "create:nth=2=garbage", "create=refuse"], 0);
        let drawn: Vec<String> = (0..3).map(|_| dice.draw(Operation::Create).rule.unwrap().to_string()).collect();
        assert_eq!(drawn, ["create:nth=1=exists", "create:nth=2=garbage", "create=refuse"]);
    }

    #[test]
    fn latency_is_for_creates_and_adds_to_a_delay() {
        let plan = FaultPlan::new(vec!["any=delay:30ms".parse().unwrap()]);
        let mut dice = Dice::new(&plan, parse_latency("20ms").unwrap(), 0);
        assert_eq!(dice.draw(Operation::Create).delay, Duration::from_millis(50));
        assert_eq!(dice.draw(Operation::List).delay, Duration::from_millis(30));
    }
}
