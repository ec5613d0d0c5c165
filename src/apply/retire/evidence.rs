//! What an answer and a list prove about an instance that was to be deleted. Pure.

use super::Departure;
use super::lists::Listed;
use super::request::Answer;
use crate::instance::InstanceId;
use crate::listing::Listing;

/// What else counts where an absence from the list is to prove something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The instance was recorded so long ago that a list which lags would show it.
    pub(super) is_settled: bool,
    /// A refusal proves it also where nothing at all is listed.
    pub(super) is_refusal_enough: bool,
}

/// What an answer and a list prove about `id`.
pub(super) fn judge(id: &InstanceId, answer: Answer, listed: &Listed, standing: Standing) -> Departure {
    let deleted = |grounds: String| Departure::Deleted { id: id.clone(), grounds };
    let is_listed = |listing: &Listing| listing.instances.iter().any(|instance| instance.id == *id);
    match (answer, listed) {
        (Answer::Deleted, _) => deleted("the server says that it is deleted".to_owned()),
        (Answer::Unsent(reason), _) => Departure::Kept { reason: format!("not sent: {reason}") },
        (Answer::PutOff(reason), _) => Departure::Kept { reason },
        (Answer::Refused(reason), Ok(listing)) if is_listed(listing) => Departure::Kept { reason },
        (Answer::Unknown(reason), Ok(listing)) if is_listed(listing) => {
            Departure::InDoubt { reason: format!("{reason}; it is still listed") }
        }
        (Answer::Refused(reason) | Answer::Unknown(reason), Ok(_)) if !standing.is_settled => {
            let why = "it is listed no longer, or not yet: it is too new for a list to tell";
            Departure::InDoubt { reason: format!("{reason}; {why}") }
        }
        (Answer::Refused(reason), Ok(listing)) if listing.instances.is_empty() && !standing.is_refusal_enough => {
            Departure::InDoubt { reason: format!("{reason}; nothing at all is listed") }
        }
        (Answer::Refused(reason), Ok(_)) => deleted(format!("the server refuses ({reason}) and does not list it")),
        // A list of nothing is what a server shows that has lost its mind, too.
        (Answer::Unknown(reason), Ok(listing)) if listing.instances.is_empty() => {
            Departure::InDoubt { reason: format!("{reason}; nothing at all is listed") }
        }
        (Answer::Unknown(reason), Ok(_)) => deleted(format!("no answer ({reason}), and it is listed no longer")),
        (Answer::Refused(reason) | Answer::Unknown(reason), Err(why)) => {
            Departure::InDoubt { reason: format!("{reason}; and no list tells: {why}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lists::NoList;
    use super::*;
    use crate::instance::InstanceType;
    use crate::listing::ListedInstance;

    type Row = (Answer, Listed, &'static str, &'static str);

    #[test]
    fn an_instance_is_called_deleted_only_on_evidence() {
        let id = |text: &str| InstanceId::parse(text).unwrap();
        let list = |ids: &[&str]| {
            let instances = ids.iter().map(|text| ListedInstance::bare(id(text), InstanceType::WhatsApp)).collect();
            Ok(Listing { instances, odd_items: 0 })
        };
        let none = || Err(NoList::Failed("no list".to_owned()));
        let why = || "why".to_owned();
        let rows: [Row; 11] = [
            (Answer::Deleted, none(), "deleted", "the server's word"),
            (Answer::Deleted, list(&["7"]), "deleted", "a list may lag behind the answer"),
            (Answer::Unsent(why()), none(), "kept", "nothing left"),
            (Answer::Refused(why()), list(&["7"]), "kept", "it says no, and shows it"),
            (Answer::Refused(why()), list(&["8"]), "deleted", "it says no, since it is gone"),
            (Answer::Refused(why()), list(&[]), "in doubt", "an empty list is no evidence, whatever it says"),
            (Answer::Refused(why()), none(), "in doubt", "a no alone proves nothing: it may be about the key"),
            (Answer::Unknown(why()), list(&["7"]), "in doubt", "it may be under way"),
            (Answer::Unknown(why()), list(&["8"]), "deleted", "gone from a list with others"),
            (Answer::Unknown(why()), list(&[]), "in doubt", "an empty list is no evidence"),
            (Answer::Unknown(why()), none(), "in doubt", "nothing is known"),
        ];
        for (answer, listed, expected, reason) in rows {
            let standing = Standing { is_settled: true, is_refusal_enough: false };
            let found = word(&judge(&id("7"), answer, &listed, standing));
            assert_eq!(found, expected, "{reason}");
        }
    }

    fn word(departure: &Departure) -> &'static str {
        match departure {
            Departure::Deleted { .. } => "deleted",
            Departure::Kept { .. } => "kept",
            Departure::InDoubt { .. } => "in doubt",
            Departure::NotTried => "not tried",
        }
    }

    /// A list that lags does not show what was created just now.
    #[test]
    fn what_is_new_is_called_deleted_by_no_list() {
        let id = |text: &str| InstanceId::parse(text).unwrap();
        let list = |ids: &[&str]| {
            let instances = ids.iter().map(|text| ListedInstance::bare(id(text), InstanceType::WhatsApp)).collect();
            Ok(Listing { instances, odd_items: 0 })
        };
        let why = || "why".to_owned();
        let new = Standing { is_settled: false, is_refusal_enough: true };
        assert_eq!(word(&judge(&id("7"), Answer::Unknown(why()), &list(&["8"]), new)), "in doubt");
        assert_eq!(word(&judge(&id("7"), Answer::Refused(why()), &list(&["8"]), new)), "in doubt");
        assert_eq!(word(&judge(&id("7"), Answer::Refused(why()), &list(&["7"]), new)), "kept");
        assert_eq!(word(&judge(&id("7"), Answer::Deleted, &list(&["8"]), new)), "deleted");
        let meant = Standing { is_settled: true, is_refusal_enough: true };
        assert_eq!(word(&judge(&id("7"), Answer::Refused(why()), &list(&[]), meant)), "deleted");
        assert_eq!(word(&judge(&id("7"), Answer::Unknown(why()), &list(&[]), meant)), "in doubt");
    }
}
