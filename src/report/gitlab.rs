//! The report that GitLab shows in a merge request, of the form that it calls `terraform`.

use serde_json::json;

use super::account::Account;

/// The counts. Nothing is ever updated. A run that came to no counts writes none: GitLab then says that the report
/// failed, where zeros would say that there are no changes.
pub fn gitlab(account: &Account) -> String {
    let report = match account.counts {
        Some(counts) => json!({ "create": counts.create, "update": 0, "delete": counts.delete }),
        None => json!({}),
    };
    format!("{report}\n")
}
