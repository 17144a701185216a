//! Asks all questions one after another, in the sizes that the charts show.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use crate::arguments::All;
use crate::measure;

/// The file that says on which machine the answers were measured.
pub(crate) const MACHINE: &str = "machine.txt";

/// The names of the answers, and the arguments of their questions.
const QUESTIONS: [(&str, &[&str]); 21] = [
    ("echo-64", &["echo"]),
    // This takes longer than the others: in half a second each connection has only a few dozen turns.
    ("echo-1000", &["echo", "--connections", "1000", "--seconds", "2"]),
    ("echo-8000", &["echo", "--connections", "8000", "--seconds", "3"]),
    ("echo-16k", &["echo", "--bytes", "16384"]),
    ("stream-4k", &["stream"]),
    ("stream-64k", &["stream", "--bytes", "65536"]),
    ("stream-64", &["stream", "--connections", "64", "--bytes", "65536"]),
    ("tasks-1", &["tasks"]),
    ("tasks-1000", &["tasks", "--batch", "1000"]),
    ("yield", &["yield"]),
    ("channel", &["channel"]),
    ("timers", &["timers", "--seconds", "1"]),
    ("memory-tasks", &["memory"]),
    ("memory-connections", &["memory", "--connections", "1000"]),
    ("offload", &["offload"]),
    ("files", &["files"]),
    ("names", &["names"]),
    ("serve", &["serve"]),
    ("proxy-1", &["proxy", "--connections", "1"]),
    ("proxy-64", &["proxy"]),
    ("proxy-1000", &["proxy", "--connections", "1000", "--seconds", "2"]),
];

/// Asks all questions, or the chosen ones, and saves the answers. Returns false if a measurement failed, which was
/// reported.
///
/// # Errors
///
/// A chosen question does not exist, or the answers cannot be saved.
pub(crate) fn answer(all: &All) -> Result<bool, String> {
    if let Some(unknown) = all.questions.iter().find(|name| QUESTIONS.iter().all(|(known, _)| known != name)) {
        let known: Vec<_> = QUESTIONS.iter().map(|(name, _)| *name).collect();
        return Err(format!("unknown question {unknown}: expected one of {}", known.join(", ")));
    }
    let told = |error: io::Error| format!("{}: {error}", all.out.display());
    fs::create_dir_all(&all.out).map_err(told)?;
    fs::write(all.out.join(MACHINE), machine(all).map_err(told)?).map_err(told)?;
    let mut good = true;
    for (name, arguments) in QUESTIONS {
        if all.questions.is_empty() || all.questions.iter().any(|chosen| chosen == name) {
            eprintln!("{name} ...");
            good &= ask(all, arguments, &all.out.join(name).with_extension("jsonl")).map_err(told)?;
        }
    }
    Ok(good)
}

/// Asks a question in a process of its own, as a user would.
fn ask(all: &All, arguments: &[&str], answers: &Path) -> io::Result<bool> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).args(["--format", "json", "--rounds", &all.rounds.to_string()]);
    if !arguments.contains(&"--seconds") {
        command.args(["--seconds", &all.seconds.to_string()]);
    }
    Ok(command.stdout(File::create(answers)?).status()?.success())
}

/// Returns a description of the machine, and the command that asked.
fn machine(all: &All) -> io::Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).unwrap_or(("", "CPU"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{}, {} cores, Linux {}; `iolite-bench all --rounds {} --seconds {}`\n",
        model.1,
        measure::cores()?.len(),
        kernel.trim(),
        all.rounds,
        all.seconds
    ))
}
