//! What a plan costs a month, where the manifest says prices.

use std::collections::BTreeSet;

use super::scope::exists;
use super::{Action, Change, Plan};
use crate::instance::InstanceType;
use crate::price::{Amount, Currency, Prices};

/// Costs a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Of all amounts.
    pub currency: Currency,
    /// Of what would be created.
    pub added: Amount,
    /// Of everything that exists or may exist, and what would be created; released instances are not in it.
    pub total: Amount,
    /// Types that are in the plan and have no price: the amounts lack them.
    pub unpriced: BTreeSet<InstanceType>,
}

impl Cost {
    /// Of what exists or may exist.
    pub const fn existing(&self) -> Amount {
        self.total.less(self.added)
    }
}

impl Plan {
    /// What it costs by `prices`.
    pub fn cost(&self, prices: &Prices) -> Cost {
        let mut cost =
            Cost { currency: prices.currency.clone(), added: Amount::ZERO, total: Amount::ZERO, unpriced: BTreeSet::new() };
        let counts = |change: &&Change| change.action == Action::Create || exists(change);
        for change in self.changes.iter().filter(counts) {
            // What exists is paid for, not what is declared.
            let kind = change.exists_as.unwrap_or(change.kind);
            let Some(price) = prices.per_month.get(&kind) else {
                cost.unpriced.insert(kind);
                continue;
            };
            cost.total = cost.total.plus(*price);
            if change.action == Action::Create {
                cost.added = cost.added.plus(*price);
            }
        }
        cost
    }
}
