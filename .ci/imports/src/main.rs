//! The program behind `.ci/circles`, which explains its use: it finds circles of imports between the files of a
//! package.
//!
//! A file imports another one if a path in its code leads to an item that the other one defines: through a `use`, in an
//! expression or a type, or in the arguments of a macro. Re-exports are followed to the definition, so `use crate::Io`
//! imports the file of `Io`, not `lib.rs`. A `mod` and a re-export are not imports. So a parent that only declares and
//! re-exports its children is in no circle with them. A parent that has code of its own is, if that code and a child's
//! use each other. Inline modules belong to their file, and code for tests does not count. Calls of methods are not
//! seen, because paths in other places bring in their types.
//!
//! It also checks that the files of a package with layers import nothing of a higher layer.

mod graph;
mod layers;
mod names;
mod tree;

#[cfg(test)]
mod test;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use graph::Circle;
use layers::Layer;
use names::Import;

/// The list of the allowed numbers of files in circles.
const LIST: &str = ".ci/circles.list";

/// The list of the layers, for packages that have some.
const LAYERS: &str = ".ci/layers.list";

fn main() -> ExitCode {
    let packages: Vec<String> = std::env::args().skip(1).collect();
    let outcome = if packages.is_empty() { check() } else { show(&packages).map(|()| true) };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("circles: {error}");
            ExitCode::from(2)
        }
    }
}

/// Compares every package of the workspace with the list. Returns true if they agree.
fn check() -> Result<bool, Box<dyn Error>> {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml")?.parse()?;
    let members = manifest["workspace"]["members"].as_array().ok_or("the workspace has no members")?;
    let mut allowed = allowed()?;
    let mut agrees = true;
    for package in members.iter().filter_map(toml::Value::as_str) {
        let imports = imports(package)?;
        let circles = graph::circles(&imports);
        let count: usize = circles.iter().map(|circle| circle.files.len()).sum();
        let allowed = allowed.remove(package).unwrap_or(0);
        println!("{package}: {count} files in {} circles; allowed: {allowed}", circles.len());
        if count > allowed {
            circles.iter().for_each(|circle| println!("a circle of {}", circle.files.join(", ")));
            println!(
                "FAILED: more files of {package} are in circles than before; `.ci/circles {package}` prints the imports"
            );
        } else if count < allowed {
            println!("FAILED: fewer files of {package} are in circles than before: write {count} into {LIST}");
        }
        let faults = layers::faults(&format!("{package}/src/"), &layers(package)?, &imports);
        faults.iter().for_each(|fault| println!("FAILED: {fault}: {LAYERS}"));
        agrees &= count == allowed && faults.is_empty();
    }
    if let Some(package) = allowed.keys().next() {
        return Err(format!("{LIST} names {package}, which is not a member of the workspace").into());
    }
    Ok(agrees)
}

fn show(packages: &[String]) -> Result<(), Box<dyn Error>> {
    for package in packages {
        graph::circles(&imports(package)?).iter().for_each(print);
    }
    Ok(())
}

fn imports(package: &str) -> Result<Vec<Import>, Box<dyn Error>> {
    let sources = Path::new(package).join("src");
    let root = ["lib.rs", "main.rs"].iter().map(|name| sources.join(name)).find(|path| path.exists());
    let root = root.ok_or_else(|| format!("{package} has neither src/lib.rs nor src/main.rs"))?;
    Ok(names::imports(&tree::read(&root)?))
}

/// Returns the layers of a package, lowest first, or none if it has none.
fn layers(package: &str) -> Result<Vec<Layer>, Box<dyn Error>> {
    let list = fs::read_to_string(LAYERS)?;
    let layer = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next()? == package).then(|| words.collect())
    };
    Ok(list.lines().filter_map(layer).collect())
}

fn print(circle: &Circle) {
    println!("a circle of {} files:", circle.files.len());
    for import in &circle.imports {
        println!("  {}:{} imports {} ({})", import.from, import.line, import.to, import.path);
    }
}

/// Reads lines of the form `PACKAGE COUNT`, and skips comments that begin with `#`.
fn allowed() -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
    let list = fs::read_to_string(LIST)?;
    let rows = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let (package, count) = line.split_once(' ')?;
        Some((package.to_owned(), count.parse().ok()?))
    };
    rows.map(|line| row(line).ok_or_else(|| format!("{LIST}: not a package and a count: {line}").into())).collect()
}
