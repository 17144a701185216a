//! Figures: a record per peer and round, and the table of their medians.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value};

use crate::peer::Peer;

/// What one measurement found: names and numbers, in the order in which they are written.
pub(crate) type Figures = Map<String, Value>;

/// Makes [`Figures`].
pub(crate) fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, number)| (name.to_owned(), round(number))).collect()
}

/// The figures of one peer in one round.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) peer: Peer,
    pub(crate) round: u32,
    pub(crate) figures: Figures,
}

impl Record {
    /// The record as one line of JSON.
    pub(crate) fn json(&self) -> String {
        let mut line = Figures::new();
        line.insert("peer".into(), self.peer.to_string().into());
        line.insert("round".into(), self.round.into());
        line.extend(self.figures.clone());
        Value::Object(line).to_string()
    }

    fn number(&self, name: &str) -> f64 {
        self.figures.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}

/// The medians over the rounds: a line per peer and distinct values of the `keys`, in the order in
/// which they came; then the `columns`.
pub(crate) fn table(records: &[Record], keys: &[&str], columns: &[&str]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["peer"].iter().chain(keys).chain(columns).chain(&["rounds"]));
    let key = |record: &Record| (record.peer, keys.iter().map(|key| text(record.number(key))).collect::<Vec<_>>());
    let mut seen = Vec::new();
    for record in records {
        let group = key(record);
        if seen.contains(&group) {
            continue;
        }
        let rounds: Vec<_> = records.iter().filter(|other| key(other) == group).collect();
        let medians = columns.iter().map(|name| text(median(rounds.iter().map(|round| round.number(name)).collect())));
        let mut row = vec![group.0.to_string()];
        row.extend(group.1.iter().cloned());
        row.extend(medians);
        row.push(rounds.len().to_string());
        table.add_row(row);
        seen.push(group);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.to_string()
}

/// The one in the middle, or the mean of the two there.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => numbers[count / 2],
        count => (numbers[count / 2 - 1] + numbers[count / 2]) / 2.0,
    }
}

/// The number with as many digits as mean something; whole numbers stay whole.
fn round(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return (number as i64).into();
    }
    ((number * 1000.0).round() / 1000.0).into()
}

fn text(number: f64) -> String {
    match number.abs() {
        _ if number.fract() == 0.0 => format!("{number}"),
        size if size >= 1000.0 => format!("{number:.0}"),
        size if size >= 100.0 => format!("{number:.1}"),
        size if size >= 10.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod test {
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
        let record = Record { peer: Peer::RawUring, round: 2, figures };
        assert_eq!(record.json(), r#"{"peer":"raw-uring","round":2,"connections":64,"cpu_us_per_request":3.123}"#);
    }

    #[test]
    fn the_table_groups_by_peer_and_key() {
        let records: Vec<_> = [(1, 1.0, 10.0), (1, 256.0, 1.0), (2, 1.0, 30.0), (2, 256.0, 3.0)]
            .into_iter()
            .map(|(round, in_flight, ns)| Record {
                peer: Peer::Tokio,
                round,
                figures: figures([("in_flight", in_flight), ("ns_per_operation", ns)]),
            })
            .collect();
        let table = table(&records, &["in_flight"], &["ns_per_operation"]);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(lines.contains(&vec!["tokio", "1", "20", "2"]), "{table}");
        assert!(lines.contains(&vec!["tokio", "256", "2", "2"]), "{table}");
    }
}
