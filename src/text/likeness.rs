//! What was probably meant by a word that nobody knows: the same but for case and separators, two letters exchanged, or a few edits
//! away.

/// Furthest distance, in edits, of something that was probably meant.
const EDITS_MAX: usize = 2;
/// Characters of a word that are compared: a longer one is nobody's slip.
const COMPARED_MAX: usize = 256;

/// The candidate that `text` was probably meant to be; of several that are equally near, the first.
pub(crate) fn closest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = plain(text);
    let letters = sorted(&wanted);
    let distance = |candidate: &str| {
        let candidate = plain(candidate);
        (strsim::damerau_levenshtein(&wanted, &candidate), sorted(&candidate) != letters)
    };
    let ((edits, has_others), nearest) =
        candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min_by_key(|(distance, _)| *distance)?;
    // Of a short word one other letter makes another word; two that are exchanged are a slip however short it is.
    let is_slip = edits == 1 && !has_others;
    (is_slip || edits <= EDITS_MAX && edits * 2 < wanted.len().max(1)).then_some(nearest)
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
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
    fn two_letters_exchanged_are_a_slip_in_a_short_word_too() {
        assert_eq!(closest("ue", ["us", "eu"]), Some("eu"));
        assert_eq!(closest("es", ["eu", "us"]), None);
        assert_eq!(closest("abc", ["cab"]), None);
    }

    #[test]
    fn of_two_that_are_equally_near_the_first_is_named() {
        assert_eq!(closest("support-as", ["support-eu", "support-is", "support-us"]), Some("support-is"));
    }
}
