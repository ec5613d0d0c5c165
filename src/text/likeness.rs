//! What was probably meant by a word that nobody knows: the same but for case and separators, or a few edits away.

/// Furthest distance, in edits, of something that was probably meant.
const EDITS_MAX: usize = 2;
/// Characters of a word that are compared: a longer one is nobody's slip.
const COMPARED_MAX: usize = 256;

/// The candidate that `text` was probably meant to be; of several that are equally near, the first.
pub(crate) fn closest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = plain(text);
    let edits = |candidate: &str| strsim::damerau_levenshtein(&wanted, &plain(candidate));
    let (edits, nearest) =
        candidates.into_iter().map(|candidate| (edits(candidate), candidate)).min_by_key(|(edits, _)| *edits)?;
    (edits <= EDITS_MAX && edits * 2 < wanted.len().max(1)).then_some(nearest)
}

fn plain(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric).take(COMPARED_MAX);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_meant_and_what_is_far_is_not() {
        let known = ["sandbox", "support-eu", "support-us"];
        assert_eq!(closest("suport-eu", known), Some("support-eu"));
        assert_eq!(closest("Support_EU", known), Some("support-eu"));
        assert_eq!(closest("sandbxo", known), Some("sandbox"));
        assert_eq!(closest("billing", known), None);
        assert_eq!(closest("", known), None);
        assert_eq!(closest("s", known), None);
        assert_eq!(closest("support-xx", []), None);
    }

    #[test]
    fn of_two_that_are_equally_near_the_first_is_named() {
        assert_eq!(closest("support-as", ["support-eu", "support-is", "support-us"]), Some("support-is"));
    }
}
