//! Charts and tables from saved answers.

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use comfy_table::presets;
use plotters::prelude::*;

use crate::all::MACHINE;
use crate::record::{Group, Record, columns, groups, median, table, text};

/// The ratio of the largest to the smallest figure above which a chart is logarithmic.
const SPREAD_MAX: f64 = 20.0;
const WIDTH: u32 = 760;
const LINE_HEIGHT: u32 = 24;
/// The width of a letter of the labels, more than the average.
const LETTER_WIDTH: u32 = 8;

/// The figures that have a chart besides the first one: the latency of the slowest requests, and the fairness.
const TAILS: [&str; 3] = ["p99_us", "max_us", FAIRNESS];
/// The figure of which the largest value is the best.
const FAIRNESS: &str = "fairness";

/// Reads the `*.jsonl` of a folder and writes `report.md` and the charts to the same folder: for each question, a chart
/// of its first figure and of its [`TAILS`]. Returns true, because nothing is measured.
///
/// # Errors
///
/// A file cannot be read or written, or does not have the format of `--format json`; the error names it.
pub(crate) fn answer(folder: &Path) -> Result<bool, String> {
    let told = |path: &Path, error: &dyn Error| format!("{}: {error}", path.display());
    let mut report = String::from("# Figures\n\n");
    if let Ok(machine) = fs::read_to_string(folder.join(MACHINE)) {
        report += &format!("{machine}\n");
    }
    for path in answers(folder).map_err(|error| told(folder, &error))? {
        report += &section(&path).map_err(|error| told(&path, &*error))?;
    }
    let path = folder.join("report.md");
    fs::write(&path, report).map_err(|error| told(&path, &error))?;
    println!("{}", path.display());
    Ok(true)
}

/// Returns the saved answers, by name.
fn answers(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    let mut answers: Vec<_> = entries.into_iter().filter(|path| path.extension() == Some("jsonl".as_ref())).collect();
    answers.sort();
    Ok(answers)
}

/// Returns the charts and the table of one file; the charts are written beside it.
fn section(path: &Path) -> Result<String, Box<dyn Error>> {
    let name = path.file_stem().ok_or("it has no name")?.to_string_lossy();
    let lines = fs::read_to_string(path)?;
    let records = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Record>, _>>()?;
    let columns = columns(&records);
    let Some(&first) = columns.first() else { return Ok(String::new()) };
    let tails = TAILS.into_iter().filter(|figure| columns.contains(figure) && *figure != first);
    let mut section = format!("## {name}\n\n");
    for figure in [first].into_iter().chain(tails) {
        let charts = charts(&records, figure);
        for chart in &charts {
            let asked = if charts.len() > 1 { format!("-{}", chart.asked.join("-")) } else { String::new() };
            let of = if figure == first { String::new() } else { format!("-{}", figure.trim_end_matches("_us")) };
            let file = format!("{name}{asked}{of}.svg");
            chart.draw(&path.with_file_name(&file))?;
            section += &format!("![{}]({file})\n\n", chart.title);
        }
    }
    Ok(section + &table(&records, presets::ASCII_MARKDOWN) + "\n\n")
}

/// One figure of all peers for the same question.
struct Chart<'a> {
    title: String,
    /// The values of the question.
    asked: Vec<String>,
    /// The lines, the best median first: that is the smallest, except for fairness.
    lines: Vec<Line<'a>>,
}

/// A figure of one peer.
struct Line<'a> {
    peer: &'a str,
    median: f64,
    /// The range over all rounds.
    range: Range<f64>,
}

/// Returns a chart for each question, in the order in which they came.
fn charts<'a>(records: &'a [Record], figure: &str) -> Vec<Chart<'a>> {
    let mut charts: Vec<Chart<'a>> = Vec::new();
    for group in groups(records) {
        let Some(line) = Line::of(&group, figure) else { continue };
        let asked: Vec<_> = group.keys.iter().map(|(_, value)| value.clone()).collect();
        match charts.iter_mut().find(|chart| chart.asked == asked) {
            Some(chart) => chart.lines.push(line),
            None => {
                let keys = group.keys.iter().map(|(name, value)| format!(", {name} {value}")).collect::<String>();
                charts.push(Chart { title: format!("{figure}{keys}"), asked, lines: vec![line] });
            }
        }
    }
    for chart in &mut charts {
        chart.lines.sort_by(|one, other| one.median.total_cmp(&other.median));
        if figure == FAIRNESS {
            chart.lines.reverse();
        }
    }
    charts
}

impl<'a> Line<'a> {
    /// Returns `None` if no round has that figure.
    fn of(group: &Group<'a>, figure: &str) -> Option<Self> {
        let numbers = group.numbers(figure);
        let (least, most) = (numbers.iter().copied().reduce(f64::min)?, numbers.iter().copied().reduce(f64::max)?);
        Some(Self { peer: group.peer, median: median(numbers), range: least..most })
    }
}

impl Chart<'_> {
    /// Draws the chart: a dot for each median, on a line over the range of the rounds.
    fn draw(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let least = self.lines.iter().map(|line| line.range.start).fold(f64::INFINITY, f64::min);
        let most = self.lines.iter().map(|line| line.range.end).fold(0.0, f64::max);
        let logarithmic = least > 0.0 && most > SPREAD_MAX * least;
        // The axis is then one of logarithms, but its labels are not.
        let place = |number: f64| if logarithmic { number.log10() } else { number };
        let label = |place: &f64| text(if logarithmic { 10_f64.powf(*place) } else { *place });
        // This leaves room for the text beside the last dot.
        let axis = if logarithmic { place(least)..place(most * 2.0) } else { 0.0..most * 1.15 };
        let title = if logarithmic { format!("{} (logarithmic)", self.title) } else { self.title.clone() };

        let area = SVGBackend::new(path, (WIDTH, 90 + LINE_HEIGHT * self.lines.len() as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(8)
            .x_label_area_size(30)
            .y_label_area_size(self.peers_width())
            .build_cartesian_2d(axis, (0..self.lines.len().saturating_sub(1)).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .label_style(("sans-serif", 16))
            .y_labels(self.lines.len())
            .y_label_formatter(&|segment| self.peer(segment))
            .x_label_formatter(&label)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (index, line) in self.lines.iter().rev().enumerate() {
            let color = if line.peer.starts_with("iolite") { RED } else { BLUE };
            let at = |number| (place(number), SegmentValue::CenterOf(index));
            chart.draw_series([PathElement::new([at(line.range.start), at(line.range.end)], color.stroke_width(2))])?;
            chart.draw_series([Circle::new(at(line.median), 4, color.filled())])?;
            chart.draw_series([
                EmptyElement::at(at(line.range.end)) + Text::new(text(line.median), (8, -8), ("sans-serif", 16))
            ])?;
        }
        area.present()?;
        Ok(())
    }

    /// Returns the width of the longest name of a peer, and of a tick.
    fn peers_width(&self) -> u32 {
        let letters = self.lines.iter().map(|line| line.peer.len()).max().unwrap_or(0);
        letters as u32 * LETTER_WIDTH + 12
    }

    /// Returns the peer beside a line; the first one is at the top.
    fn peer(&self, segment: &SegmentValue<usize>) -> String {
        match segment {
            SegmentValue::CenterOf(index) => self.lines.iter().rev().nth(*index).map_or("", |line| line.peer).into(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const ANSWERS: &str = r#"{"peer":"tokio","round":1,"mode":"direct","iops":10,"cpu_us_per_read":9}
        {"peer":"iolite-evented","round":1,"mode":"direct","iops":40,"cpu_us_per_read":3}
        {"peer":"tokio","round":1,"mode":"hot","iops":100,"cpu_us_per_read":100}
        {"peer":"iolite-evented","round":1,"mode":"hot","iops":400,"cpu_us_per_read":1}
        {"peer":"tokio","round":2,"mode":"direct","iops":30,"cpu_us_per_read":7}"#;

    #[test]
    fn a_report_has_a_table_and_a_chart_for_each_question() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("files.jsonl"), ANSWERS).unwrap();
        fs::write(folder.path().join(MACHINE), "a machine\n").unwrap();
        answer(folder.path()).unwrap();
        let report = fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(report.contains("a machine"), "{report}");
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<_> = report.lines().map(cells).collect();
        assert!(rows.contains(&["", "tokio", "direct", "8", "20", "2", ""].map(String::from).to_vec()), "{report}");
        for (file, texts) in [
            ("files-direct.svg", ["cpu_us_per_read, mode direct", "iolite-evented", "tokio"]),
            ("files-hot.svg", ["cpu_us_per_read, mode hot (logarithmic)", "iolite-evented", "tokio"]),
        ] {
            assert!(report.contains(&format!("({file})")), "{report}");
            let chart = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(chart.starts_with("<svg"), "{chart}");
            texts.iter().for_each(|text| assert!(chart.contains(text), "{text}: {chart}"));
        }
    }

    #[test]
    fn the_best_is_at_the_top_and_the_range_is_that_of_the_rounds() {
        let records: Vec<Record> = ANSWERS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let charts = charts(&records, "cpu_us_per_read");
        let peers: Vec<_> = charts[0].lines.iter().map(|line| (line.peer, line.median)).collect();
        assert_eq!(peers, [("iolite-evented", 3.0), ("tokio", 8.0)]);
        assert_eq!(charts[0].lines[1].range, 7.0..9.0);
    }

    #[test]
    fn tails_and_fairness_have_charts_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let answers = r#"{"peer":"tokio","round":1,"connections":64,"cpu_us_per_request":2,"p99_us":5,"max_us":9,"fairness":0.9}
            {"peer":"zig","round":1,"connections":64,"cpu_us_per_request":1,"p99_us":7,"max_us":8,"fairness":0.5}"#;
        fs::write(folder.path().join("echo.jsonl"), answers).unwrap();
        answer(folder.path()).unwrap();
        let report = fs::read_to_string(folder.path().join("report.md")).unwrap();
        for file in ["echo.svg", "echo-p99.svg", "echo-max.svg", "echo-fairness.svg"] {
            assert!(report.contains(&format!("({file})")), "{report}");
            assert!(folder.path().join(file).exists(), "{file}");
        }
        let records: Vec<Record> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(charts(&records, FAIRNESS)[0].lines[0].peer, "tokio", "the best is at the top");
    }

    #[test]
    fn a_line_that_is_no_answer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("echo.jsonl"), "no JSON").unwrap();
        assert!(answer(folder.path()).unwrap_err().contains("echo.jsonl"));
    }
    #[test]
    fn the_longest_name_is_not_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let name = "iolite-evented-multishot";
        let line = |peer| format!("{{\"peer\":\"{peer}\",\"round\":1,\"ns_per_operation\":9}}\n");
        fs::write(folder.path().join("yield.jsonl"), ["tokio", name].map(line).concat()).unwrap();
        fs::write(folder.path().join(MACHINE), "a machine\n").unwrap();
        answer(folder.path()).unwrap();
        let chart = fs::read_to_string(folder.path().join("yield.svg")).unwrap();
        let label = chart.split("<text ").find(|text| text.contains(name)).expect("the label");
        assert!(label.contains("text-anchor=\"end\""), "{label}");
        let right: usize = label.split('"').nth(1).and_then(|x| x.parse().ok()).expect("x comes first");
        assert!(right >= name.len() * LETTER_WIDTH as usize, "{label}");
    }
}
