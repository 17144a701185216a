//! The tests that `docs/coverage.md` and section 11 of SOUNDNESS.md name exist, and no harness leaves a test out.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_of_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/coverage.md")).expect("docs/coverage.md");
    let named: Vec<&str> = table.split('`').filter(|text| is_test(text)).collect();
    assert!(named.len() > 60, "of the tests in the table only {} were found", named.len());
    let missing: Vec<&str> = named.into_iter().filter(|test| !exists(root, test)).collect();
    assert!(missing.is_empty(), "docs/coverage.md names tests that do not exist: {missing:#?}");
}

/// Each row names a test.
#[test]
fn every_place_where_code_of_the_program_runs_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("SOUNDNESS.md")).expect("SOUNDNESS.md");
    let (_, section) = page.split_once("\n## 11.").expect("section 11");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 15, "of the rows only {} were found", rows.len());
    for row in rows {
        let named: Vec<&str> = row.split('`').filter(|text| is_test(text)).collect();
        assert!(!named.is_empty(), "this row names no test: {row}");
        let missing: Vec<&str> = named.into_iter().filter(|test| !exists(root, test)).collect();
        assert!(missing.is_empty(), "this row names tests that do not exist, {missing:?}: {row}");
    }
}

/// Returns true for `file::the_test`, and false for `Type::method`.
fn is_test(text: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '/'));
    text.split_once("::").is_some_and(|(file, name)| is_name(file) && is_name(name) && name.contains('_'))
}

fn exists(root: &Path, test: &str) -> bool {
    let (file, name) = test.split_once("::").expect("it is a test");
    let has_test = |file: PathBuf| {
        fs::read_to_string(file.with_extension("rs")).is_ok_and(|source| source.contains(&format!("fn {name}(")))
    };
    if file.contains('/') {
        return has_test(root.join(file));
    }
    let topics = fs::read_dir(root.join("conformance/src/cases")).expect("the folders of the cases");
    topics.map(|topic| topic.expect("a folder").path().join(file)).any(has_test)
}

/// In a target without libtest, a `#[test]` would be compiled out, and nobody would notice.
#[test]
fn no_test_stands_outside_of_its_harness() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut lost = Vec::new();
    for package in [".", "evented", "benches"] {
        let manifest = fs::read_to_string(root.join(package).join("Cargo.toml")).expect("Cargo.toml");
        let targets = manifest.split("[[test]]\nname = \"").skip(1);
        for target in targets.filter(|target| target.lines().nth(1) == Some("harness = false")) {
            let name = target.split('"').next().expect("a name");
            let path = root.join(package).join("tests").join(name).with_extension("rs");
            let source = fs::read_to_string(&path).expect("the target's file");
            let is_lost = |line: &str| line.starts_with("#[test]") || line.starts_with("#[rstest]");
            lost.extend(source.lines().filter(|line| is_lost(line)).map(|_| path.clone()));
        }
    }
    assert!(lost.is_empty(), "put these into the list of cases, without `#[test]`: {lost:#?}");
}
