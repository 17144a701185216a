//! Figures: a record per peer and round, and the table of their medians.

use comfy_table::{CellAlignment, Table};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The result of one measurement: names and numbers, in the order in which they are printed.
pub(crate) type Figures = Map<String, Value>;

/// Makes [`Figures`].
pub(crate) fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, number)| (name.to_owned(), round(number))).collect()
}

/// Figures that describe the question, not the result.
const KEYS: [&str; 5] = ["connections", "bytes", "in_flight", "mode", "alive"];
/// Figures that the tables leave out, because another figure contains them.
const LEFT_OUT: [&str; 1] = ["requests"];

/// The figures of one peer in one round.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) peer: String,
    pub(crate) round: u32,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

impl Record {
    /// Returns the record as one line of JSON.
    pub(crate) fn json(&self) -> String {
        let mut line = Figures::new();
        line.insert("peer".into(), self.peer.clone().into());
        line.insert("round".into(), self.round.into());
        line.extend(self.figures.clone());
        Value::Object(line).to_string()
    }

    /// Returns the figures that describe the question.
    fn keys(&self) -> Vec<(&str, String)> {
        let keys = self.figures.iter().filter(|(name, _)| KEYS.contains(&name.as_str()));
        keys.map(|(name, value)| (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect()
    }

    /// Returns the names of the figures of the result, CPU time first.
    fn columns(&self) -> Vec<&str> {
        let names = self.figures.keys().map(String::as_str);
        let mut names: Vec<_> = names.filter(|name| !KEYS.contains(name) && !LEFT_OUT.contains(name)).collect();
        names.sort_by_key(|name| !name.contains("cpu") && !name.starts_with("user"));
        names
    }
}

/// The results of one peer for one question, over all rounds.
pub(crate) struct Group<'a> {
    pub(crate) peer: &'a str,
    /// The question: names and values.
    pub(crate) keys: Vec<(&'a str, String)>,
    rounds: Vec<&'a Record>,
}

impl Group<'_> {
    /// Returns a figure from all rounds that have it.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        self.rounds.iter().filter_map(|record| record.figures.get(name)?.as_f64()).collect()
    }
}

/// Returns the records by peer and question, in the order in which they came.
pub(crate) fn groups(records: &[Record]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for record in records {
        let keys = record.keys();
        match groups.iter_mut().find(|group| group.peer == record.peer && group.keys == keys) {
            Some(group) => group.rounds.push(record),
            None => groups.push(Group { peer: &record.peer, keys, rounds: vec![record] }),
        }
    }
    groups
}

/// Returns the names of all figures of the results, CPU time first.
pub(crate) fn columns(records: &[Record]) -> Vec<&str> {
    // A figure that could not be counted in a round is missing in its record.
    records.iter().map(Record::columns).max_by_key(Vec::len).unwrap_or_default()
}

/// Returns the medians over the rounds: a line per peer and question, in the order in which they came.
pub(crate) fn table(records: &[Record], preset: &str) -> String {
    let columns = columns(records);
    let mut table = Table::new();
    table.load_preset(preset);
    for group in groups(records) {
        if table.header().is_none() {
            let keys = group.keys.iter().map(|(name, _)| *name);
            table.set_header(["peer"].into_iter().chain(keys).chain(columns.iter().copied()).chain(["rounds"]));
        }
        let mut row = vec![group.peer.to_owned()];
        row.extend(group.keys.iter().map(|(_, value)| value.clone()));
        row.extend(columns.iter().map(|name| text(median(group.numbers(name)))));
        row.push(group.rounds.len().to_string());
        table.add_row(row);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.to_string()
}

/// Returns the number in the middle, or the mean of the two there.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => numbers[count / 2],
        count => (numbers[count / 2 - 1] + numbers[count / 2]) / 2.0,
    }
}

/// Returns the number with its significant digits; whole numbers stay whole.
fn round(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return (number as i64).into();
    }
    ((number * 1000.0).round() / 1000.0).into()
}

/// Returns the number for readers, or an empty text if there is none.
pub(crate) fn text(number: f64) -> String {
    match number.abs() {
        size if size.is_nan() => String::new(),
        _ if number.fract() == 0.0 => format!("{number}"),
        size if size >= 1000.0 => format!("{number:.0}"),
        size if size >= 100.0 => format!("{number:.1}"),
        size if size >= 10.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod test {
    use comfy_table::presets;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_record_is_a_line_of_json_in_order() {
        let figures = figures([("connections", 64.0), ("cpu_us_per_request", 3.123_456)]);
        let record = Record { peer: "raw-uring".into(), round: 2, figures };
        let line = r#"{"peer":"raw-uring","round":2,"connections":64,"cpu_us_per_request":3.123}"#;
        assert_eq!(record.json(), line);
        assert_eq!(serde_json::from_str::<Record>(line).unwrap().json(), line);
    }

    #[test]
    fn the_table_groups_by_peer_and_question_and_begins_with_cpu_time() {
        let lines = r#"{"peer":"tokio","round":1,"mode":"direct","iops":10,"cpu_us_per_read":9}
            {"peer":"tokio","round":1,"mode":"hot","iops":100,"cpu_us_per_read":5}
            {"peer":"tokio","round":2,"mode":"direct","iops":30,"cpu_us_per_read":7}
            {"peer":"tokio","round":2,"mode":"hot","iops":300}"#;
        let records: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let table = table(&records, presets::NOTHING);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["peer", "mode", "cpu_us_per_read", "iops", "rounds"]);
        assert_eq!(lines[1], ["tokio", "direct", "8", "20", "2"]);
        assert_eq!(lines[2], ["tokio", "hot", "5", "200", "2"]);
    }

    #[test]
    fn what_was_not_found_is_an_empty_place() {
        assert_eq!(text(median(Vec::new())), "");
    }
}
