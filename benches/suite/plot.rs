//! The curves, as SVG: time and memory by the number of instances, both axes logarithmic.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use super::Result;
use super::table::Row;

const SIZE: (u32, u32) = (900, 520);
const COLOURS: usize = 9;

/// Writes `time.svg` and `memory.svg` into `dir`.
pub(super) fn write(dir: &Path, rows: &[Row]) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    draw(&dir.join("time.svg"), "time of a whole process, in milliseconds", &curves(rows, |row| row.wall.as_secs_f64() * 1e3))?;
    draw(&dir.join("memory.svg"), "greatest memory, in MiB", &curves(rows, |row| kib(row.peak) / 1_024.0))
}

fn kib(peak: u64) -> f64 {
    f64::from(u32::try_from(peak).unwrap_or(u32::MAX))
}

/// What was measured at more than one size, each with its points.
fn curves(rows: &[Row], of: impl Fn(&Row) -> f64) -> BTreeMap<&str, Vec<(f64, f64)>> {
    let mut curves: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.count > 0) {
        let count = f64::from(u32::try_from(row.count).unwrap_or(u32::MAX));
        curves.entry(&row.what).or_default().push((count, of(row)));
    }
    curves.retain(|_, points| points.len() > 1);
    curves
}

fn draw(path: &Path, title: &str, curves: &BTreeMap<&str, Vec<(f64, f64)>>) -> Result<()> {
    let points = || curves.values().flatten().copied();
    let span = |of: fn((f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::INFINITY, f64::min);
        let greatest = points().map(of).fold(0.0, f64::max);
        (least * 0.8)..(greatest * 1.25)
    };
    if curves.is_empty() {
        return Ok(());
    }
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(span(|(x, _)| x).log_scale(), span(|(_, y)| y).log_scale())?;
    chart.configure_mesh().x_desc("instances").light_line_style(WHITE.mix(0.0)).draw()?;
    for (index, (what, points)) in curves.iter().enumerate() {
        let colour = Palette99::pick(index % COLOURS).to_rgba();
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?;
        line.label(*what).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).draw()?;
    area.present()?;
    Ok(())
}
