//! How an answer is kept: sealed to the state's recipients, or in the clear where there are none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use zeroize::Zeroizing;

use crate::instance::InstanceName;
use crate::provider::Provider;
use crate::seal::Recipients;
use crate::state::{Answer, AttemptId, KeptAnswer, KeptBody, Lineage, Outline, about_answer};

/// What an answer proves, without its token. A panic of the reader is caught: it must cost neither the token nor the run.
pub(super) fn outline(provider: &dyn Provider, answer: &Answer) -> Option<Outline> {
    unpanicked(|| provider.judge(answer).outline())
}

/// What `read` gives, if it does not panic.
pub(super) fn unpanicked(read: impl FnOnce() -> Outline) -> Option<Outline> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}

/// Keeps the answers of one run.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) lineage: Lineage,
    pub(super) recipients: Recipients,
}

impl Keeper {
    /// `answer` as the journal gets it. In the clear it is unread; beside a sealed one stands what it proves.
    pub(super) fn keep(&self, provider: &dyn Provider, name: &InstanceName, attempt: &AttemptId, answer: &Answer) -> KeptAnswer {
        let about = about_answer(&self.lineage, name, attempt);
        let outline = if self.recipients.is_empty() { None } else { outline(provider, answer) };
        KeptAnswer::keep(answer, outline.clone(), &self.recipients, &about).unwrap_or_else(|error| {
            // The keys were tried before the first request, so this is next to impossible. The id is kept, a token in clear is not.
            tracing::error!(%error, %attempt, "the answer could not be sealed: its token is lost");
            let Answer { status, retry_after, .. } = *answer;
            let outline = outline.map(Outline::without_token);
            KeptAnswer { status, complete: false, retry_after, body: KeptBody::Clear(Zeroizing::new(Vec::new())), outline }
        })
    }
}
