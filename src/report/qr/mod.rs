//! A code that links a phone, as a person's phone can read it: in a terminal, as PNG, as SVG. Pure.
//!
//! Whoever has it can link their phone, so it is a credential like a token: nothing here shows it but what is made for that.

mod picture;

use std::fmt;
use std::fmt::Write as _;

use anstyle::{Ansi256Color, Style};
use qrcode::{Color, EcLevel, QrCode};

use crate::secret::Secret;
pub use picture::{Picture, PictureError};

/// Light modules around it, which the standard asks for.
const QUIET: usize = 4;
/// Pixels of a module in a PNG.
const SCALE: usize = 8;
/// White on black, whatever the terminal's own colours are: a code the other way round is not read by every phone.
const LIGHT: Style = Style::new()
    .fg_color(Some(anstyle::Color::Ansi256(Ansi256Color(231))))
    .bg_color(Some(anstyle::Color::Ansi256(Ansi256Color(16))));

/// The modules of a code.
#[derive(Clone, PartialEq, Eq)]
pub struct Modules {
    /// In one row.
    size: usize,
    /// Row by row.
    dark: Vec<bool>,
}

/// Shows its size alone.
impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Why there is no such form of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// More than a code can hold.
    #[error("the text is too long for a code")]
    TooLong,
    /// It cannot be written as a picture.
    #[error("the picture cannot be made")]
    Unwritten,
}

impl Modules {
    /// Encodes `text`: with the least correction, so that it stays small; a screen has no stains.
    pub fn of(text: &Secret) -> Result<Self, QrError> {
        let code = QrCode::with_error_correction_level(text.expose(), EcLevel::L).map_err(|_| QrError::TooLong)?;
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        Ok(Self { size: code.width(), dark })
    }

    /// How many columns of a terminal it takes.
    pub const fn columns(&self) -> usize {
        self.size + 2 * QUIET
    }

    /// Whether the module there is light; around it all are. Counted with the quiet zone.
    fn is_light(&self, row: usize, column: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.size);
        let at = inside(row).zip(inside(column)).map(|(row, column)| row * self.size + column);
        !at.and_then(|at| self.dark.get(at)).copied().unwrap_or(false)
    }

    /// Half a line for each row of modules. Without colours it fits a dark terminal.
    pub fn terminal(&self) -> String {
        let side = self.columns();
        let mut text = String::new();
        for row in (0..side).step_by(2) {
            let line: String = (0..side)
                .map(|column| match (self.is_light(row, column), row + 1 >= side || self.is_light(row + 1, column)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                })
                .collect();
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{LIGHT}{line}{LIGHT:#}");
        }
        text
    }

    /// As SVG, of no size of its own.
    pub fn svg(&self) -> String {
        let side = self.columns();
        let mut path = String::new();
        for row in 0..side {
            for column in (0..side).filter(|column| !self.is_light(row, *column)) {
                // Writing into a string cannot fail.
                let _ = write!(path, "M{column} {row}h1v1h-1z");
            }
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>\n"
        )
    }

    /// As PNG, black and white.
    pub fn png(&self) -> Result<Vec<u8>, QrError> {
        let pixels = self.columns() * SCALE;
        let side = u32::try_from(pixels).map_err(|_| QrError::Unwritten)?;
        let line = |row: usize| {
            let light = move |at: usize| at < pixels && self.is_light(row / SCALE, at / SCALE);
            (0..pixels.div_ceil(8)).map(move |byte| (0..8).fold(0_u8, |bits, bit| bits << 1 | u8::from(light(byte * 8 + bit))))
        };
        let rows: Vec<u8> = (0..pixels).flat_map(line).collect();
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&rows));
        written.map_err(|_| QrError::Unwritten)?;
        Ok(png)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(text: &str) -> Modules {
        Modules::of(&Secret::new(text.to_owned())).unwrap()
    }

    #[test]
    fn every_form_has_the_quiet_zone_and_the_finder_patterns() {
        let code = modules("2@abc");
        assert_eq!((code.size, code.columns()), (21, 29));
        let plain = anstream::adapter::strip_str(&code.terminal()).to_string();
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines.len(), 15);
        assert!(lines.iter().all(|line| line.chars().count() == 29));
        assert!(lines[..2].iter().all(|line| line.chars().all(|glyph| glyph == '█')));
        let finder: Vec<String> = lines[2..6].iter().map(|line| line.chars().skip(3).take(9).collect()).collect();
        assert_eq!(finder, ["█ ▄▄▄▄▄ █", "█ █   █ █", "█ █▄▄▄█ █", "█▄▄▄▄▄▄▄█"]);
        assert_eq!(code.svg().matches("h1v1h-1z").count(), code.dark.iter().filter(|dark| **dark).count());
    }

    #[test]
    fn what_is_written_as_a_picture_is_read_back_as_it_was() {
        for text in ["2@abc", &"x".repeat(300), &"7".repeat(2_000)] {
            let code = modules(text);
            assert_eq!(Picture::of_png(code.png().unwrap()).unwrap().modules().unwrap(), code, "{}", text.len());
        }
    }

    #[test]
    fn a_text_that_no_code_holds_is_an_error() {
        assert_eq!(Modules::of(&Secret::new("x".repeat(3_000))).unwrap_err(), QrError::TooLong);
    }

    #[test]
    fn p11_debug_shows_no_module() {
        assert_eq!(format!("{:?}", modules("2@abc")), "Modules { size: 21, .. }");
    }
}
