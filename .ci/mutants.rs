//! The program behind `.ci/mutants`, which explains its use. It changes one thing in a copy of the tree, runs the model
//! that has to notice, and reports it if none does. `.ci/mutants.list` has the changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// The folders with lock-free files and models.
const CRATES: [&str; 5] = ["io", "io/fibers", "threaded", "evented", "bridge"];
const ORDERINGS: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];
/// The time limit of a model: if a change makes a model run for ever, the model has noticed it.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A change of one file.
struct Mutant {
    file: String,
    line: usize,
    start: usize,
    end: usize,
    instead: String,
    what: String,
    models: Vec<Model>,
}

/// A file with models, and the models to run; all of them if empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    file: String,
    test: String,
}

#[derive(Default)]
struct List {
    mutants: Vec<Mutant>,
    /// The orderings that no model notices, with the reasons.
    unmodelled: Vec<String>,
    errors: Vec<String>,
}

/// The paths and crates with which a mutant is compiled.
struct Tools {
    root: PathBuf,
    scratch: PathBuf,
    dependencies: PathBuf,
    externs: Vec<String>,
}

enum Outcome {
    Noticed,
    Survived,
    Broken(String),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("mutants SCRATCH DEPENDENCIES EXTERNS PATTERN");
    let (scratch, dependencies, externs, pattern) = (next(), next(), next(), next());
    let root = std::env::current_dir().expect("a working directory");
    let externs = externs.split_whitespace().map(str::to_owned).collect();
    let tools = Tools { root, scratch: scratch.into(), dependencies: dependencies.into(), externs };
    let begun = Instant::now();

    let mut list = read_list(&tools.root);
    let whole = list.mutants.len();
    list.mutants.retain(|mutant| format!("{mutant}").contains(&pattern));
    let models: BTreeSet<_> = list.mutants.iter().flat_map(|mutant| mutant.models.clone()).collect();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    println!("{} of {whole} mutants, {} models, {workers} at a time", list.mutants.len(), models.len());

    let jobs: Vec<Option<&Mutant>> = list.mutants.iter().map(Some).collect();
    let (jobs, errors, survivors) = (Mutex::new(jobs), Mutex::new(list.errors), Mutex::new(Vec::new()));
    let models = Mutex::new(models);
    thread::scope(|scope| {
        for worker in 0..workers {
            let (jobs, errors, survivors, models, tools) = (&jobs, &errors, &survivors, &models, &tools);
            scope.spawn(move || {
                let tree = tools.scratch.join(format!("tree-{worker}"));
                CRATES.iter().for_each(|folder| copy(&tools.root, &tree, Path::new(folder)));
                while let Some(model) = take(models, BTreeSet::pop_first) {
                    // Without a change, the model has to pass.
                    if !matches!(tools.run(&tree, worker, &model), Outcome::Survived) {
                        push(errors, format!("{model} fails, or does not compile, without any change"));
                    }
                }
                while let Some(mutant) = take(jobs, |jobs| jobs.pop().flatten()) {
                    match tools.try_mutant(&tree, worker, mutant) {
                        Outcome::Noticed => {}
                        Outcome::Survived => push(survivors, mutant.to_string()),
                        Outcome::Broken(why) => push(errors, format!("{mutant}: {why}")),
                    }
                }
            });
        }
    });

    let into_sorted = |lines: Mutex<Vec<String>>| {
        let mut lines = lines.into_inner().expect("no panic");
        lines.sort();
        lines
    };
    let (errors, survivors) = (into_sorted(errors), into_sorted(survivors));
    list.unmodelled.iter().for_each(|line| println!("not modelled: {line}"));
    errors.iter().for_each(|line| println!("ERROR: {line}"));
    survivors.iter().for_each(|line| println!("SURVIVED: {line}"));
    println!(
        "mutants: {}, survived: {}, errors: {}, not modelled: {}, {} s",
        list.mutants.len(),
        survivors.len(),
        errors.len(),
        list.unmodelled.len(),
        begun.elapsed().as_secs()
    );
    if errors.is_empty() && survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)?;
        self.models.iter().try_for_each(|model| write!(f, " [{model}]"))
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.test.is_empty() { Ok(()) } else { write!(f, "::{}", self.test) }
    }
}

fn take<T, R>(from: &Mutex<T>, take: impl FnOnce(&mut T) -> Option<R>) -> Option<R> {
    take(&mut from.lock().expect("no panic"))
}

fn push(to: &Mutex<Vec<String>>, line: String) {
    to.lock().expect("no panic").push(line);
}

/// Reads the rows; there are three kinds:
///
/// ```text
/// orderings FILE MODEL[::TEST][,MODEL[::TEST]..]
/// replace FILE MODEL[::TEST][,..] OLD ==> NEW
/// unmodelled FILE TEXT -- REASON
/// ```
fn read_list(root: &Path) -> List {
    let mut list = List::default();
    let rows = fs::read_to_string(root.join(".ci/mutants.list")).expect("the list of mutants");
    let rows: Vec<&str> = rows.lines().filter(|row| !row.is_empty() && !row.starts_with('#')).collect();
    let mut sources = BTreeMap::new();
    for folder in CRATES {
        find_sources(root, &root.join(folder).join("src"), &mut sources);
    }
    // The orderings that no row has named so far: for each file, their positions and their weaker forms.
    let mut left: BTreeMap<&str, Vec<Weaker>> =
        sources.iter().map(|(file, text)| (file.as_str(), weaker_orderings(text))).collect();
    left.retain(|_, orderings| !orderings.is_empty());
    // The orderings that no model notices come first, because the other rows cover all the rest.
    for pass in ["unmodelled", "orderings", "replace"] {
        for row in rows.iter().filter(|row| row.split(' ').next() == Some(pass)) {
            let mut fields = row.splitn(4, ' ').skip(1);
            let (file, target) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let rest = fields.next().unwrap_or_default();
            let Some(text) = sources.get(file) else {
                list.errors.push(format!("no such file: {row}"));
                continue;
            };
            let read = match pass {
                "unmodelled" => list.unmodelled(file, &format!("{target} {rest}"), text, &mut left),
                "orderings" => list.orderings(file, target, text, &mut left),
                _ => list.replace(file, target, rest, text),
            };
            if let Err(why) = read {
                list.errors.push(format!("{why}: {row}"));
            }
        }
    }
    for (file, orderings) in left {
        list.errors.push(format!("{file} has {} orderings that no row names", orderings.len()));
    }
    for row in rows {
        if !["unmodelled", "orderings", "replace"].contains(&row.split(' ').next().unwrap_or_default()) {
            list.errors.push(format!("not a row: {row}"));
        }
    }
    list
}

impl List {
    fn unmodelled(
        &mut self,
        file: &str,
        rest: &str,
        text: &str,
        left: &mut BTreeMap<&str, Vec<Weaker>>,
    ) -> Result<(), &'static str> {
        let (code, reason) = rest.split_once(" -- ").ok_or("no reason")?;
        let orderings = left.get_mut(file).ok_or("the file has no orderings")?;
        let before = orderings.len();
        orderings.retain(|weaker| {
            let here = line_at(text, weaker.start).contains(code);
            if here {
                let line = line_number(text, weaker.start);
                self.unmodelled.push(format!("{file}:{line}: {}: {reason}", weaker.what(text)));
            }
            !here
        });
        if orderings.len() == before {
            return Err("the file has no such line with an ordering");
        }
        if orderings.is_empty() {
            left.remove(file);
        }
        Ok(())
    }

    fn orderings(
        &mut self,
        file: &str,
        target: &str,
        text: &str,
        left: &mut BTreeMap<&str, Vec<Weaker>>,
    ) -> Result<(), &'static str> {
        for weaker in left.remove(file).ok_or("the file has no orderings")? {
            let what = weaker.what(text);
            self.mutant(file, target, text, (weaker.start, weaker.end), weaker.instead, what);
        }
        Ok(())
    }

    fn replace(&mut self, file: &str, target: &str, change: &str, text: &str) -> Result<(), &'static str> {
        let (old, new) = change.split_once(" ==>").ok_or("no ==>")?;
        let (old, new) = (old.replace("\\n", "\n"), new.trim_start().replace("\\n", "\n"));
        let mut found = text.match_indices(&old);
        let start = found.next().ok_or("the pattern is not found")?.0;
        if found.next().is_some() {
            return Err("the pattern is found twice");
        }
        let shown = |code: &str| code.split_whitespace().collect::<Vec<_>>().join(" ");
        let what = format!("`{}` -> `{}`", shown(&old), shown(&new));
        self.mutant(file, target, text, (start, start + old.len()), new, what);
        Ok(())
    }

    fn mutant(&mut self, file: &str, target: &str, text: &str, at: (usize, usize), instead: String, what: String) {
        let models = target.split(',').map(|target| {
            let (file, test) = target.split_once("::").unwrap_or((target, ""));
            Model { file: file.to_owned(), test: test.to_owned() }
        });
        self.mutants.push(Mutant {
            file: file.to_owned(),
            line: line_number(text, at.0),
            start: at.0,
            end: at.1,
            instead,
            what,
            models: models.collect(),
        });
    }
}

fn line_number(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn line_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or_default()
}

fn find_sources(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find_sources(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("inside").to_str().expect("UTF-8").to_owned();
            found.insert(name, fs::read_to_string(&path).expect("readable"));
        }
    }
}

/// An ordering in a file, and a weaker one to replace it.
struct Weaker {
    start: usize,
    end: usize,
    instead: String,
}

impl Weaker {
    fn what(&self, text: &str) -> String {
        let code = line_at(text, self.start).trim();
        let instead = if self.instead.is_empty() { "nothing" } else { &self.instead };
        let mut what = String::new();
        let _ = write!(what, "`{}` -> {instead} in `{code}`", &text[self.start..self.end]);
        what
    }
}

/// Returns every ordering of the code above the unit tests, with each ordering that is one step weaker. A model that
/// notices one step also notices a weaker ordering.
fn weaker_orderings(text: &str) -> Vec<Weaker> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for (start, token) in code.match_indices("Ordering::") {
        let before_in_line = &code[code[..start].rfind('\n').map_or(0, |newline| newline + 1)..start];
        let name: String = code[start + token.len()..].chars().take_while(|c| c.is_ascii_alphabetic()).collect();
        if before_in_line.contains("//") || !ORDERINGS.contains(&name.as_str()) {
            continue;
        }
        let end = start + token.len() + name.len();
        let call = call_before(&code[..start]);
        if call.name == "fence" {
            // There is no ordering for a fence that is weaker than acquire or release, except none.
            if name == "SeqCst" {
                found.push(Weaker { start, end, instead: "Ordering::AcqRel".to_owned() });
            } else {
                found.push(Weaker { start: call.start, end: end + 1, instead: "()".to_owned() });
            }
            continue;
        }
        let weaker: &[&str] = match (name.as_str(), call.name, call.orderings_before) {
            ("SeqCst", "load", _) | ("SeqCst", _, 1) => &["Acquire"],
            ("SeqCst", "store", _) => &["Release"],
            ("SeqCst", ..) => &["AcqRel"],
            ("AcqRel", ..) => &["Acquire", "Release"],
            _ => &["Relaxed"],
        };
        found.extend(weaker.iter().map(|weaker| Weaker { start, end, instead: format!("Ordering::{weaker}") }));
    }
    found
}

/// The call of which an ordering is an argument.
struct Call<'a> {
    name: &'a str,
    start: usize,
    /// The number of orderings before that one: it is one for the ordering of a failure.
    orderings_before: usize,
}

/// Returns the call whose arguments `code` ends in.
fn call_before(code: &str) -> Call<'_> {
    let mut depth = 0;
    let open = code.char_indices().rev().find(|(_, c)| {
        depth += i32::from(*c == ')') - i32::from(*c == '(');
        depth < 0
    });
    let open = open.map_or(0, |(index, _)| index);
    let name = code[..open].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    Call { name, start: open - name.len(), orderings_before: code[open..].matches("Ordering::").count() }
}

/// Copies the sources and models of a crate.
fn copy(root: &Path, tree: &Path, folder: &Path) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder of the tree") {
        let entry = entry.expect("an entry");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            copy(root, tree, &path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            fs::create_dir_all(tree.join(folder)).expect("a folder in the copy");
            fs::copy(root.join(&path), tree.join(&path)).expect("a file in the copy");
        }
    }
}

impl Tools {
    fn try_mutant(&self, tree: &Path, worker: usize, mutant: &Mutant) -> Outcome {
        let file = tree.join(&mutant.file);
        let original = fs::read_to_string(&file).expect("it was copied");
        let mut text = original.clone();
        text.replace_range(mutant.start..mutant.end, &mutant.instead);
        fs::write(&file, text).expect("it was copied");
        let mut outcomes = mutant.models.iter().map(|model| self.run(tree, worker, model));
        let outcome = outcomes.find(|outcome| !matches!(outcome, Outcome::Survived)).unwrap_or(Outcome::Survived);
        fs::write(&file, original).expect("it was copied");
        outcome
    }

    /// Compiles a model by itself, and runs it.
    fn run(&self, tree: &Path, worker: usize, model: &Model) -> Outcome {
        let program = self.scratch.join(format!("model-{worker}"));
        let _ = fs::remove_file(&program);
        let mut compiler = Command::new("rustc");
        compiler.args([
            "--edition",
            "2024",
            "--test",
            "--crate-name",
            "model",
            "-C",
            "debuginfo=0",
            "--cap-lints",
            "allow",
        ]);
        compiler.arg("-L").arg(format!("dependency={}", self.dependencies.display()));
        self.externs.iter().for_each(|library| _ = compiler.arg("--extern").arg(library));
        let compiled = compiler.arg("-o").arg(&program).arg(tree.join(&model.file)).output();
        match compiled {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or_default();
                return Outcome::Broken(format!("does not compile: {first}"));
            }
            Err(error) => return Outcome::Broken(format!("no compiler: {error}")),
        }
        let mut running = Command::new(&program);
        running.arg(&model.test).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = running.spawn().expect("it was compiled");
        let begun = Instant::now();
        loop {
            match running.try_wait().expect("a child of this process") {
                Some(status) if status.success() => return Outcome::Survived,
                Some(_) => return Outcome::Noticed,
                None if begun.elapsed() > TIME_MAX => {
                    let _ = running.kill();
                    let _ = running.wait();
                    return Outcome::Noticed;
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}
