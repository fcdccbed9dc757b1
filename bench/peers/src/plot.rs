//! The plots of docs/PERFORMANCE.md, drawn from a report's `plots`:
//!
//! ```text
//! {"plots": [{"file": "…", "title": "…", "x": "…", "y": "…", "log_x": true, "log_y": false,
//!             "series": [{"name": "…", "points": [[x, y], …]}]}]}
//! ```

use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use serde::Deserialize;

use crate::Failure;

#[derive(Debug, Deserialize)]
struct Report {
    plots: Vec<Plot>,
}

#[derive(Debug, Deserialize)]
struct Plot {
    file: String,
    title: String,
    x: String,
    y: String,
    #[serde(default)]
    log_x: bool,
    #[serde(default)]
    log_y: bool,
    series: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (760, 420);

/// Draws all plots of a report.
pub(crate) fn all(report: &Path, folder: &Path) -> Result<(), Failure> {
    let wrong = |error: String| Failure::Plot(report.to_owned(), error);
    let text = std::fs::read_to_string(report).map_err(|error| wrong(error.to_string()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    std::fs::create_dir_all(folder).map_err(|error| Failure::Plot(folder.to_owned(), error.to_string()))?;
    for plot in &report.plots {
        let file = folder.join(&plot.file);
        draw(plot, &file).map_err(|error| Failure::Plot(file.clone(), error))?;
    }
    Ok(())
}

fn draw(plot: &Plot, file: &Path) -> Result<(), String> {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    if points().next().is_none() {
        return Ok(());
    }
    let around = |value: fn(&(f64, f64)) -> f64, log: bool| {
        let (low, high) = points()
            .map(value)
            .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| {
                (low.min(value), high.max(value))
            });
        if log {
            low.max(1e-9) * 0.8..high * 1.25
        } else {
            0.0..high * 1.1 + 1e-9
        }
    };
    let (x, y) = (
        around(|point| point.0, plot.log_x),
        around(|point| point.1, plot.log_y),
    );
    match (plot.log_x, plot.log_y) {
        (false, false) => draw_on(plot, file, x, y),
        (true, false) => draw_on(plot, file, x.log_scale(), y),
        (false, true) => draw_on(plot, file, x, y.log_scale()),
        (true, true) => draw_on(plot, file, x.log_scale(), y.log_scale()),
    }
}

fn draw_on<X, Y>(plot: &Plot, file: &Path, x: X, y: Y) -> Result<(), String>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&plot.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .light_line_style(WHITE)
        .draw()
        .map_err(|error| error.to_string())?;
    for (number, series) in plot.series.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)
            .map_err(|error| error.to_string())?
            .label(&series.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(|error| error.to_string())?;
    area.present().map_err(|error| error.to_string())
}

/// A number as people write it on an axis: 64, 10k, 1M.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if value.abs() < 10.0 && value.fract() != 0.0 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_axes_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (64.0, "64"),
            (1500.0, "1.5k"),
            (10_000.0, "10k"),
            (1e7, "10M"),
            (6e10, "60G"),
        ] {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn a_report_becomes_a_picture() {
        let folder = std::env::temp_dir().join(format!("fourtuple-peers-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let report = folder.join("report.json");
        let text = r#"{"plots": [
            {"file": "one.svg", "title": "t", "x": "x", "y": "y", "log_x": true,
             "series": [{"name": "s", "points": [[64, 100], [1000000, 150]]}]},
            {"file": "empty.svg", "title": "t", "x": "x", "y": "y", "series": []}]}"#;
        std::fs::write(&report, text).unwrap();
        all(&report, &folder).unwrap();
        let svg = std::fs::read_to_string(folder.join("one.svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("polyline"));
        assert!(!folder.join("empty.svg").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
