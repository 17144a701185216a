//! The summary of a run, as a table or as JSON.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// The figures of one run; `README.md` of this package defines them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) backend: &'static str,
    pub(crate) hosts: usize,
    pub(crate) connected: usize,
    pub(crate) tasks: usize,
    pub(crate) os_threads: u64,
    pub(crate) rss_bytes: u64,
    pub(crate) events_sent: u64,
    pub(crate) events_received: u64,
    pub(crate) events_stored: u64,
    pub(crate) events_lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) malformed: u64,
    /// The reason why the database stored nothing more at the end, if it did not.
    #[serde(skip)]
    pub(crate) failure: Option<String>,
    pub(crate) shutdown_ms: u64,
    /// The names of the hosts for which there was no unit of concurrency.
    #[serde(skip)]
    pub(crate) untaken: Vec<String>,
}

impl Summary {
    /// Returns one JSON object, on one line.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a summary is JSON")
    }

    /// Returns true if nothing is missing or repeated, and the database stored to the end.
    pub(crate) fn is_sound(&self) -> bool {
        self.events_lost == 0 && self.duplicates == 0 && self.failure.is_none()
    }
}

/// Returns a table with one column per run.
pub(crate) fn table(summaries: &[Summary]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    let mut row = |name: &str, value: &dyn Fn(&Summary) -> String| {
        table.add_row([name.to_string()].into_iter().chain(summaries.iter().map(value)));
    };
    row("backend", &|summary| summary.backend.into());
    row("hosts", &|summary| summary.hosts.to_string());
    row("connected", &|summary| summary.connected.to_string());
    row("not taken", &|summary| summary.untaken.len().to_string());
    row("tasks", &|summary| summary.tasks.to_string());
    row("OS threads", &|summary| summary.os_threads.to_string());
    row("resident memory", &|summary| format!("{:.1} MiB", summary.rss_bytes as f64 / f64::from(1 << 20)));
    row("events sent", &|summary| summary.events_sent.to_string());
    row("events received", &|summary| summary.events_received.to_string());
    row("events stored", &|summary| summary.events_stored.to_string());
    row("events lost", &|summary| summary.events_lost.to_string());
    row("duplicates", &|summary| summary.duplicates.to_string());
    row("malformed frames", &|summary| summary.malformed.to_string());
    row("shutdown", &|summary| format!("{} ms", summary.shutdown_ms));
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let untaken = summaries.iter().filter(|summary| !summary.untaken.is_empty());
    let lines = untaken.map(|summary| format!("\nnot taken on {}: {}", summary.backend, summary.untaken.join(", ")));
    lines.fold(table.to_string(), |text, line| text + &line)
}

#[cfg(test)]
mod test {
    use super::Summary;

    #[test]
    fn the_json_has_exactly_the_promised_fields() {
        let summary = Summary {
            backend: "evented",
            hosts: 1,
            connected: 1,
            tasks: 4,
            os_threads: 6,
            rss_bytes: 1,
            events_sent: 1,
            events_received: 1,
            events_stored: 1,
            events_lost: 0,
            duplicates: 0,
            malformed: 0,
            failure: None,
            shutdown_ms: 1,
            untaken: vec!["host-2".into()],
        };
        let value: serde_json::Value = serde_json::from_str(&summary.json()).unwrap();
        let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut promised = [
            "backend",
            "hosts",
            "connected",
            "tasks",
            "os_threads",
            "rss_bytes",
            "events_sent",
            "events_received",
            "events_stored",
            "events_lost",
            "duplicates",
            "malformed",
            "shutdown_ms",
        ];
        promised.sort_unstable();
        assert_eq!(names, promised);
    }
}
