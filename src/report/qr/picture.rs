//! A code that the server gives as a picture: a `data:` address with a PNG, or its base64 alone. Its modules are read from the pixels,
//! so that it can be shown in a terminal, too.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use png::{ColorType, Transformations};

use super::Modules;
use crate::secret::Secret;

/// How every PNG begins.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The same in base64.
const SIGNATURE_TEXT: &str = "iVBORw0KGgo";
/// Memory that a picture may take while it is read.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Modules of a finder pattern, with which every code begins.
const FINDER: usize = 7;

/// A PNG.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture(Vec<u8>);

/// Shows its length alone.
impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture").field("length", &self.0.len()).finish_non_exhaustive()
    }
}

/// What is wrong with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Another kind of picture, or a broken one.
    #[error("the server gives the code as a picture that is no whole PNG")]
    NoPng,
    /// A PNG whose pixels are no code in straight lines.
    #[error("the server gives the code as a picture in which its squares cannot be told")]
    NoModules,
}

impl Picture {
    /// The picture in what a server gives as its code; none: that is the text of one.
    pub fn read(given: &Secret) -> Option<Result<Self, PictureError>> {
        let text = given.expose().trim();
        let data = match text.strip_prefix("data:") {
            Some(data) => {
                data.split_once(',').filter(|(kind, _)| kind.eq_ignore_ascii_case("image/png;base64")).map(|(_, data)| data)
            }
            None if text.starts_with(SIGNATURE_TEXT) => Some(text),
            None => return None,
        };
        let bytes = data.and_then(|data| STANDARD.decode(data).ok()).ok_or(PictureError::NoPng);
        Some(bytes.and_then(Self::of_png))
    }

    /// Of the bytes of a file.
    pub fn of_png(bytes: Vec<u8>) -> Result<Self, PictureError> {
        if bytes.starts_with(SIGNATURE) { Ok(Self(bytes)) } else { Err(PictureError::NoPng) }
    }

    /// The file's bytes, as the server gave them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The code in it.
    pub fn modules(&self) -> Result<Modules, PictureError> {
        self.pixels()?.modules().ok_or(PictureError::NoModules)
    }

    fn pixels(&self) -> Result<Pixels, PictureError> {
        let no_png = |_| PictureError::NoPng;
        let limits = png::Limits { bytes: BYTES_MAX };
        let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(&self.0), limits);
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(no_png)?;
        let length = reader.output_buffer_size().filter(|length| *length <= BYTES_MAX).ok_or(PictureError::NoPng)?;
        let mut bytes = vec![0; length];
        let info = reader.next_frame(&mut bytes).map_err(no_png)?;
        let is_dark: fn(&[u8]) -> bool = match info.color_type {
            ColorType::GrayscaleAlpha => |pixel| matches!(pixel, [grey, alpha] if *grey < 128 && *alpha >= 128),
            ColorType::Rgba => |pixel| matches!(pixel, [rgb @ .., alpha] if is_dark(rgb) && *alpha >= 128),
            ColorType::Grayscale | ColorType::Rgb | ColorType::Indexed => is_dark,
        };
        let width = usize::try_from(info.width).map_err(|_| PictureError::NoPng)?;
        let dark = bytes.chunks_exact(info.color_type.samples()).map(is_dark).collect();
        Ok(Pixels { width, dark })
    }
}

fn is_dark(samples: &[u8]) -> bool {
    samples.iter().map(|sample| usize::from(*sample)).sum::<usize>() < 128 * samples.len()
}

/// Row by row.
struct Pixels {
    width: usize,
    dark: Vec<bool>,
}

impl Pixels {
    fn is_dark(&self, row: usize, column: usize) -> bool {
        column < self.width && self.dark.get(row * self.width + column).copied().unwrap_or(false)
    }

    /// The code whose corner is the first dark pixel: seven modules of it are dark in a row there.
    fn modules(&self) -> Option<Modules> {
        let first = self.dark.iter().position(|dark| *dark)?;
        let (top, left) = (first.checked_div(self.width)?, first.checked_rem(self.width)?);
        let run = (left..self.width).take_while(|column| self.is_dark(top, *column)).count();
        let module = Some(run / FINDER).filter(|module| *module > 0 && run % FINDER == 0)?;
        let last = (left..self.width).rev().find(|column| self.is_dark(top, *column))?;
        let size = Some((last + 1 - left) / module).filter(|size| (21..=177).contains(size) && size % 4 == 1)?;
        let at = |row: usize, column: usize| self.is_dark(top + row * module + module / 2, left + column * module + module / 2);
        let dark: Vec<bool> = (0..size * size).map(|index| at(index / size, index % size)).collect();
        // Three corners have the pattern: else it is something else, or lies askew.
        let ring = |row: usize, column: usize| (0..FINDER).all(|step| at(row + step, column) && at(row, column + step));
        let is_code = [(0, 0), (0, size - FINDER), (size - FINDER, 0)].into_iter().all(|(row, column)| ring(row, column));
        is_code.then_some(Modules { size, dark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Result<Picture, PictureError>> {
        Picture::read(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_text_is_no_picture_and_another_picture_is_no_png() {
        assert_eq!(read("2@abc,def"), None);
        for text in ["data:image/jpeg;base64,/9j/", "data:image/png;base64,!", "data:image/png;base64,", "data:", "iVBORw0KGgo!"]
        {
            assert_eq!(read(text), Some(Err(PictureError::NoPng)), "{text}");
        }
    }

    #[test]
    fn p13_a_picture_without_a_code_and_one_that_is_cut_or_huge_are_none() {
        let code = Modules::of(&Secret::new("2@abc".to_owned())).unwrap().png().unwrap();
        let alone = STANDARD.encode(&code);
        assert!(read(&alone).unwrap().unwrap().modules().is_ok());
        assert!(read(&format!("data:image/png;base64,{alone}")).unwrap().unwrap().modules().is_ok());
        for end in 8..code.len() - 16 {
            assert_eq!(Picture::of_png(code[..end].to_vec()).unwrap().modules(), Err(PictureError::NoPng), "{end}");
        }
        for (side, colour, expected) in
            [(9, 0, PictureError::NoModules), (9, 255, PictureError::NoModules), (30_000, 255, PictureError::NoPng)]
        {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, side, side);
            encoder.set_color(ColorType::Grayscale);
            let mut writer = encoder.write_header().unwrap();
            if side < 100 {
                writer.write_image_data(&vec![colour; usize::try_from(side * side).unwrap()]).unwrap();
            }
            drop(writer);
            assert_eq!(Picture::of_png(bytes).unwrap().modules(), Err(expected), "{side} {colour}");
        }
    }
}
