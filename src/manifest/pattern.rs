//! Texts with placeholders: `shop-{n:03}`, `{key}`, `{var.region}`; `{{` and `}}` are braces.
//!
//! A pattern is parsed once, bound to what an entry of the manifest knows, and filled for each instance. There is nothing else to
//! it: no conditions, no functions, no defaults. What they would do stands in the list, the file or the variable.

/// Most digits that a number may be padded to: longer ones are in no name.
const WIDTH_MAX: usize = 63;

/// A text with placeholders, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(Slot),
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// What it asks for.
    pub(super) name: String,
    /// How many digits its number has at least.
    pub(super) width: Option<usize>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("the `{{` that opens here is never closed")]
    Unclosed,
    #[error("this `}}` closes nothing")]
    Stray,
    #[error("a placeholder names nothing")]
    Empty,
    #[error("only a number is padded, as `{{n:03}}`")]
    NotPadded,
    #[error("a number is padded with zeros to 1 to {WIDTH_MAX} digits, as `{{n:03}}`")]
    Width,
}

impl PatternError {
    /// What to do.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Unclosed | Self::Stray => "a placeholder is written as `{n}`, a brace as `{{` or `}}`",
            Self::Empty => "name what is to stand there, as `{n}`, `{key}` or `{var.region}`",
            Self::NotPadded => "leave out what stands behind the colon",
            Self::Width => "write `{n:03}` for 001, 002 and so on",
        }
    }
}

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known<'k> {
    /// The same for every instance.
    Text(&'k str),
    /// The number of the instance.
    Number,
    /// What stands in this column of its row.
    Column(usize),
}

/// A pattern of which everything is known but what differs from instance to instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(usize),
    Column(usize),
}

impl Pattern {
    /// Reads `text`.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inside = brace.strip_prefix('{').ok_or(PatternError::Stray)?;
                let (slot, after) = inside.split_once('}').ok_or(PatternError::Unclosed)?;
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Slot(Slot::parse(slot)?));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The placeholder, if it is that and nothing else.
    pub(super) fn only_slot(&self) -> Option<&Slot> {
        match self.parts.as_slice() {
            [Part::Slot(slot)] => Some(slot),
            _ => None,
        }
    }

    /// With what `known` says of each placeholder; else those of which it says nothing.
    pub(super) fn bind<'k>(&self, known: impl Fn(&Slot) -> Option<Known<'k>>) -> Result<Bound, Vec<&Slot>> {
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.parts.len());
        let mut unknown = Vec::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text.as_str(),
                Part::Slot(slot) => match known(slot) {
                    Some(Known::Text(text)) => text,
                    Some(Known::Number) => {
                        pieces.push(Piece::Number(slot.width.unwrap_or_default()));
                        continue;
                    }
                    Some(Known::Column(column)) => {
                        pieces.push(Piece::Column(column));
                        continue;
                    }
                    None => {
                        unknown.push(slot);
                        continue;
                    }
                },
            };
            match pieces.last_mut() {
                Some(Piece::Text(before)) => before.push_str(text),
                _ => pieces.push(Piece::Text(text.to_owned())),
            }
        }
        if unknown.is_empty() { Ok(Bound { pieces }) } else { Err(unknown) }
    }
}

impl Slot {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains('{') {
            return Err(PatternError::Unclosed);
        }
        let (name, format) = text.split_once(':').map_or((text, None), |(name, format)| (name, Some(format)));
        if name.trim().is_empty() {
            return Err(PatternError::Empty);
        }
        let width = match format {
            None => None,
            Some(_) if name != "n" => return Err(PatternError::NotPadded),
            Some(format) => Some(width(format).ok_or(PatternError::Width)?),
        };
        Ok(Self { name: name.to_owned(), width })
    }
}

/// The digits of `03`.
fn width(format: &str) -> Option<usize> {
    let digits = format.strip_prefix('0').filter(|digits| (1..=2).contains(&digits.len()))?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|width| is_number && (1..=WIDTH_MAX).contains(width))
}

impl Bound {
    /// The text, if it is the same for every instance.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one instance: its number, and what stands in the columns of its row. Where nothing stands, the column.
    pub(super) fn fill<'r>(&self, number: u64, cell: impl Fn(usize) -> Option<&'r str>) -> Result<String, usize> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Column(column) => text.push_str(cell(*column).ok_or(*column)?),
                Piece::Number(width) => {
                    let digits = number.to_string();
                    text.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len())));
                    text.push_str(&digits);
                }
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, number: u64) -> String {
        let known = |slot: &Slot| match slot.name.as_str() {
            "n" => Some(Known::Number),
            "city" => Some(Known::Column(1)),
            "var.region" => Some(Known::Text("eu{n}")),
            _ => None,
        };
        let bound = Pattern::parse(text).unwrap().bind(known).unwrap();
        bound.fill(number, |column| (column == 1).then_some("{key}")).unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_what_they_bring_is_no_placeholder() {
        for (text, expected, why) in [
            ("shop", "shop", "none"),
            ("", "", "nothing at all"),
            ("shop-{n}", "shop-7", "a number"),
            ("{n:03}-{n:01}{n:012}", "007-7000000000007", "padded"),
            ("{{n}}", "{n}", "doubled braces are braces"),
            ("{{{n}}}", "{7}", "and may stand beside a placeholder"),
            ("{city}/{var.region}", "{key}/eu{n}", "what comes in is not looked at again"),
        ] {
            assert_eq!(filled(text, 7), expected, "{why}");
        }
        assert_eq!(filled("{n:03}", u64::MAX), u64::MAX.to_string(), "a longer number is not cut");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, error) in [
            ("{n", PatternError::Unclosed),
            ("a{", PatternError::Unclosed),
            ("{a{n}}", PatternError::Unclosed),
            ("n}", PatternError::Stray),
            ("{{n}", PatternError::Stray),
            ("{}", PatternError::Empty),
            ("{ }", PatternError::Empty),
            ("{:03}", PatternError::Empty),
            ("{key:03}", PatternError::NotPadded),
            ("{n:}", PatternError::Width),
            ("{n:3}", PatternError::Width),
            ("{n:0}", PatternError::Width),
            ("{n:00}", PatternError::Width),
            ("{n:064}", PatternError::Width),
            ("{n:0+1}", PatternError::Width),
            ("{n:099999999999999999999}", PatternError::Width),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_told_and_what_is_the_same_for_all_is_known_at_once() {
        let pattern = Pattern::parse("{a}{n}{b}").unwrap();
        let unknown = pattern.bind(|slot| (slot.name == "n").then_some(Known::Number)).unwrap_err();
        assert_eq!(unknown.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let fixed = pattern.bind(|_| Some(Known::Text("x"))).unwrap();
        assert_eq!(fixed.fixed(), Some("xxx"));
        let column = pattern.bind(|_| Some(Known::Column(3))).unwrap();
        assert_eq!((column.fixed(), column.fill(1, |_| None)), (None, Err(3)));
    }
}
