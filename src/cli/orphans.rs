//! What can be done about instances that are recorded and declared no longer.

use std::collections::BTreeSet;

use crate::instance::InstanceName;
use crate::plan::{Action, Plan, Reason};

/// The commands, if `plan` leaves any as it is. What may have another name now is told with that.
pub(super) fn hint(command: &str, plan: &Plan) -> Option<String> {
    let renamed: BTreeSet<&InstanceName> = plan.changes.iter().filter_map(|change| change.renamed_from.as_ref()).collect();
    let left = plan.with(Action::Orphan).filter(|change| !renamed.contains(&change.name));
    let exists = left.filter(|change| matches!(change.reason, Reason::NotDeclared { .. } | Reason::TokenMissing { .. }));
    let names: Vec<&InstanceName> = exists.map(|change| &change.name).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!(
            "`{name}` exists and is not declared: declare it again, or `{command} release {name}` leaves it to others, or `{command} destroy {name}` deletes it"
        )),
        many => Some(format!(
            "{} exist and are not declared: declare them again, or `{command} release NAME` leaves one to others, or `{command} apply --prune` deletes them",
            many.len()
        )),
    }
}
