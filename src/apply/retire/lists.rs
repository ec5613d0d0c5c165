//! What is listed after deletes: a second time where the first list lacks something that may exist all the same.

use std::fmt;

use super::Departure;
use super::evidence::judge;
use super::request::{Answer, Open};
use crate::apply::applier::Applier;
use crate::apply::recorder::RecordError;
use crate::instance::{InstanceId, InstanceName};
use crate::listing::Listing;

/// Names that a reason lists.
const NAMED: usize = 5;

/// A list in which absence counts, or why there is none.
pub(super) type Listed = Result<Listing, NoList>;

/// Why an absence tells nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoList {
    /// There is no list, or none that can be read.
    Failed(String),
    /// It lacks these too, which exist by the record.
    Lacking(Vec<(InstanceName, InstanceId)>),
}

impl fmt::Display for NoList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Lacking(all) => {
                let named = |(name, id): &(InstanceName, InstanceId)| format!("{id} (`{name}`)");
                let some = all.iter().take(NAMED).map(named).collect::<Vec<_>>().join(", ");
                let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
                write!(f, "the list lacks {some}{more} too, recorded as existing")
            }
        }
    }
}

/// What was listed, once or twice.
#[derive(Debug)]
pub(super) struct Lists {
    first: Listed,
    second: Option<Listed>,
}

impl Lists {
    /// Nothing had to be asked.
    pub(super) const fn none() -> Self {
        Self { first: Err(NoList::Failed(String::new())), second: None }
    }

    /// The list that says the most against the end of `id`: what one of them shows is listed.
    pub(super) fn about(&self, id: &InstanceId) -> &Listed {
        let proof = |listed: &Listed| match listed {
            Ok(listing) if listing.instances.iter().any(|instance| instance.id == *id) => 0,
            Err(_) => 1,
            Ok(listing) if listing.instances.is_empty() => 2,
            Ok(_) => 3,
        };
        self.second.as_ref().filter(|second| proof(second) < proof(&self.first)).unwrap_or(&self.first)
    }
}

impl Applier {
    /// Lists for what is `unclear`; and a second time, some time later, where by the first list alone something would be called
    /// deleted: one that lacks something for a moment looks like any other.
    pub(super) async fn lists_of(
        &self,
        unclear: &[(InstanceName, Open, Answer)],
        is_refusal_enough: bool,
    ) -> Result<Lists, RecordError> {
        let first = self.credible_list().await?;
        let is_ended = |(_, open, answer): &(InstanceName, Open, Answer)| {
            let departure = judge(&open.id, answer.clone(), &first, self.standing(open, is_refusal_enough));
            matches!(departure, Departure::Deleted { .. })
        };
        let second = if !unclear.iter().any(is_ended) {
            None
        } else if self.wait_between_lists().await {
            Some(self.credible_list().await?)
        } else {
            Some(Err(NoList::Failed("the run was asked to stop before a second list".to_owned())))
        };
        Ok(Lists { first, second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceType;
    use crate::listing::ListedInstance;

    #[test]
    fn of_two_lists_the_one_counts_that_says_the_most_against_an_end() {
        let id = |text: &str| InstanceId::parse(text).unwrap();
        let list = |ids: &[&str]| {
            let instances = ids.iter().map(|text| ListedInstance::bare(id(text), InstanceType::WhatsApp)).collect();
            Ok(Listing { instances, odd_items: 0 })
        };
        let none = || Err(NoList::Failed("no list".to_owned()));
        // From the most against the end of 7 to the least.
        let lists: [&dyn Fn() -> Listed; 4] = [&|| list(&["7"]), &none, &|| list(&[]), &|| list(&["8"])];
        for (first, second) in (0..4).flat_map(|first| (0..4).map(move |second| (first, second))) {
            let both = Lists { first: lists[first](), second: Some(lists[second]()) };
            let told = lists[first.min(second)]();
            assert_eq!(format!("{:?}", both.about(&id("7"))), format!("{told:?}"), "{first}, then {second}");
        }
        let only = Lists { first: list(&["8"]), second: None };
        assert_eq!(format!("{:?}", only.about(&id("7"))), format!("{:?}", list(&["8"])));
        assert!(Lists::none().about(&id("7")).is_err());
    }
}
