//! Draws the history: for each case the cost of a request on each peer, measurement after measurement.
//!
//! Invariant: a point is the median of its rounds, the bar through it their range. Each case has one chart with the
//! lines of its peers, in the order of the history.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use plotters::prelude::*;
use serde_json::Value;

const CHART_SIZE: (u32, u32) = (900, 320);
/// Peers in the order of their colours.
const PEERS: [(&str, RGBColor); 5] = [
    ("miroir", RGBColor(0xd6, 0x27, 0x28)),
    ("scatter-monoio", RGBColor(0x1f, 0x77, 0xb4)),
    ("scatter-hyper", RGBColor(0x2c, 0xa0, 0x2c)),
    ("haproxy", RGBColor(0x94, 0x67, 0xbd)),
    ("nginx", RGBColor(0x8c, 0x8c, 0x8c)),
];

/// By measurement: median, least and most microseconds of processor time per request.
type Line = Vec<(u32, [f64; 3])>;

/// Writes an SVG picture of a history file. Fails when a line of the history cannot be read.
pub fn run(history: &Path, picture: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(history).with_context(|| format!("reading {}", history.display()))?;
    let cases = cases(&text).with_context(|| format!("reading {}", history.display()))?;
    if cases.is_empty() {
        bail!("{} has no measurements", history.display());
    }
    let rows = u32::try_from(cases.len())?;
    let size = (CHART_SIZE.0, CHART_SIZE.1 * rows);
    let area = SVGBackend::new(picture, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (chart, (case, lines)) in area.split_evenly((cases.len(), 1)).iter().zip(&cases) {
        draw(chart, case, lines).with_context(|| format!("drawing {case}"))?;
    }
    area.present().with_context(|| format!("writing {}", picture.display()))?;
    Ok(())
}

/// The lines of the peers in each case.
fn cases(text: &str) -> anyhow::Result<BTreeMap<String, BTreeMap<String, Line>>> {
    let mut cases: BTreeMap<String, BTreeMap<String, Line>> = BTreeMap::new();
    let mut measurements: BTreeMap<String, u32> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        // Other commands append other figures to the history.
        let (Some(case), Some(peers)) = (line["case"].as_str(), line["peers"].as_object()) else { continue };
        let measurement = measurements.entry(case.to_owned()).or_default();
        *measurement += 1;
        for (peer, figures) in peers {
            let cpu = &figures["closed"]["cpu_us_per_request"];
            let of = |name: &str| cpu[name].as_f64();
            let (Some(median), Some(least), Some(most)) = (of("median"), of("min"), of("max")) else {
                continue;
            };
            let lines = cases.entry(case.to_owned()).or_default();
            lines.entry(peer.clone()).or_default().push((*measurement, [median, least, most]));
        }
    }
    Ok(cases)
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    case: &str,
    lines: &BTreeMap<String, Line>,
) -> anyhow::Result<()> {
    let points = || lines.values().flatten();
    let last = points().map(|(measurement, _)| *measurement).max().unwrap_or(1);
    let top = points().map(|(_, [_, _, most])| *most).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{case}: processor time of a request, \u{b5}s"), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(24)
        .y_label_area_size(48)
        .build_cartesian_2d(0..last + 1, 0.0..top * 1.1)?;
    chart.configure_mesh().disable_x_mesh().x_desc("measurement").draw()?;
    for (name, colour) in PEERS {
        let Some(line) = lines.get(name) else { continue };
        let medians = line.iter().map(|(measurement, [median, ..])| (*measurement, *median));
        chart
            .draw_series(LineSeries::new(medians, colour).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        let range = |(measurement, [_, least, most]): &(u32, [f64; 3])| {
            PathElement::new([(*measurement, *least), (*measurement, *most)], colour)
        };
        chart.draw_series(line.iter().map(range))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_becomes_a_picture() {
        let folder = tempfile::tempdir().expect("a folder");
        let (history, picture) = (folder.path().join("history.jsonl"), folder.path().join("history.svg"));
        let line = |case: &str, cost: f64| {
            let cpu = serde_json::json!({"median": cost, "min": cost - 1.0, "max": cost + 2.0});
            let peer = serde_json::json!({"closed": {"cpu_us_per_request": cpu}});
            serde_json::json!({"case": case, "peers": {"miroir": peer, "haproxy": peer}}).to_string()
        };
        let lines = [line("a", 10.0), line("b", 5.0), line("a", 9.0), "{\"writes\":1}".to_owned()];
        std::fs::write(&history, lines.join("\n")).expect("a file");
        run(&history, &picture).expect("a picture");
        let svg = std::fs::read_to_string(&picture).expect("a file");
        for expected in ["a: processor time", "b: processor time", "miroir", "haproxy"] {
            assert!(svg.contains(expected), "{expected}");
        }
        // Each case has a point for each of its measurements and peers.
        assert_eq!(svg.matches("<circle").count(), 6);
        std::fs::write(&history, "no json").expect("a file");
        let error = run(&history, &picture).expect_err("no picture");
        assert!(format!("{error:#}").contains("line 1"), "{error:#}");
    }
}
