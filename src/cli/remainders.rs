//! What was replaced and still exists: that it is paid for, and what deletes it once the new one can be used.

use super::context::Context;
use crate::instance::InstanceName;
use crate::plan::{Action, Plan, Reason, is_usable};
use crate::report::account::Notice;
use crate::saved::Consent;
use crate::state::State;

/// Tells of those that nothing else in this run speaks of: nobody has asked for their names again.
pub(super) fn remark(context: &Context, plan: &Plan, consent: &Consent, state: &State) {
    for change in plan.with(Action::Orphan) {
        let name = &change.name;
        let is_told = matches!(change.reason, Reason::Replaced { .. } | Reason::TokenMissing { .. });
        let Some(new) = state.record(name).filter(|_| is_told).and_then(|old| state.replacement_of(old)) else { continue };
        let by = &new.name;
        let is_there = new.instance().is_some() && state.remainder(by).is_some_and(|old| old.name == *name);
        if !is_there || consent.replace.iter().any(|asked| asked.name == *by) {
            continue;
        }
        let told = format!("`{name}` was replaced by what is `{by}` now, and still exists: it is still paid for");
        context.remark(Notice::warning(&told).about(name).hint(&way_on(&context.command(), state, (name, by))));
    }
}

/// What deletes `old`, which `new` has replaced. As long as that cannot be used, nothing else can.
pub(super) fn way_on(command: &str, state: &State, (old, new): (&InstanceName, &InstanceName)) -> String {
    let destroy = format!("`{command} destroy {old}`");
    if is_usable(state, new) {
        return format!("{destroy} deletes it");
    }
    let has_no_token = state.record(new).and_then(|record| record.instance()).is_some_and(|instance| instance.token.is_none());
    let first = if has_no_token { format!(": first `{command} token set {new} < FILE`") } else { String::new() };
    format!("keep `{old}`, for `{new}` cannot be used yet{first}; then {destroy} deletes it")
}
