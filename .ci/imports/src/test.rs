//! Circles that are planted, and code that only looks like one.

use std::fs;

use crate::{graph, layers, names, tree};

/// Returns the circles of a package with these files, without their folder.
fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, source).unwrap();
    }
    let modules = tree::read(&folder.path().join("lib.rs")).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let circles = graph::circles(&names::imports(&modules)).into_iter();
    circles.map(|circle| circle.files.iter().map(|file| file.replace(&prefix, "")).collect()).collect()
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let a = ("a.rs", "use crate::b::B; pub struct A(B);");
    let b = ("b.rs", "use super::a::A; pub struct B(Box<A>);");
    assert_eq!(circles(&[("lib.rs", "mod a; mod b;"), a, b]), [["a.rs", "b.rs"]]);
    let b = ("b.rs", "pub struct B;");
    assert_eq!(circles(&[("lib.rs", "mod a; mod b;"), a, b]), [[""; 0]; 0]);
}

#[test]
fn a_circle_of_three_is_found_in_paths_macros_and_functions() {
    let a = ("a.rs", "pub fn a() { crate::b::b() }");
    let b = ("b.rs", "pub fn b() { assert!(true, \"{}\", crate::c::C::new()); }");
    let c = ("c/mod.rs", "mod inner { pub fn c() { use crate::a; a::a() } }");
    let c_type = ("c/mod.rs", "pub struct C; mod inner { pub fn c() { use crate::a; a::a() } }");
    assert_eq!(circles(&[("lib.rs", "mod a; mod b; mod c;"), a, b, c_type]), [["a.rs", "b.rs", "c/mod.rs"]]);
    assert_eq!(circles(&[("lib.rs", "mod a; mod b; mod c;"), a, b, c]), [[""; 0]; 0]);
}

#[test]
fn a_re_export_leads_to_the_definition_and_is_no_import() {
    let root = ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;");
    let a = ("a.rs", "use crate::B; pub struct A(B);");
    assert_eq!(circles(&[root, a, ("b.rs", "pub struct B;")]), [[""; 0]; 0]);
    assert_eq!(circles(&[root, a, ("b.rs", "use crate::A; pub struct B(A);")]), [["a.rs", "b.rs"]]);
}

#[test]
fn an_item_that_a_macro_defines_belongs_to_its_file() {
    let a = ("a.rs", "macro_rules! a { () => { pub struct A; } } a! {} pub fn f(_: crate::b::B) {}");
    let b = ("b.rs", "use crate::a::A; pub struct B(A);");
    assert_eq!(circles(&[("lib.rs", "mod a; mod b;"), a, b]), [["a.rs", "b.rs"]]);
}

#[test]
fn a_parent_that_only_declares_is_in_no_circle_and_one_with_code_may_be() {
    let child = ("a/child.rs", "use super::A; pub struct Child(A);");
    let root = ("lib.rs", "mod a;");
    assert_eq!(circles(&[root, ("a.rs", "mod child; pub use child::Child; pub struct A;"), child]), [[""; 0]; 0]);
    let uses = ("a.rs", "mod child; pub use child::Child; pub struct A; fn f(_: Child) {}");
    assert_eq!(circles(&[root, uses, child]), [["a.rs", "a/child.rs"]]);
}

#[test]
fn tests_and_documentation_do_not_count() {
    let a = ("a.rs", "use crate::b::B; pub struct A(B);");
    let b = ("b.rs", "/// See [`A`](crate::a::A).\npub struct B;\n#[cfg(test)] mod test { use crate::a::A; }");
    assert_eq!(circles(&[("lib.rs", "mod a; mod b;"), a, b]), [[""; 0]; 0]);
}

#[test]
fn an_import_of_a_higher_layer_is_a_fault_and_so_is_a_file_without_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C(A);"),
    ] {
        fs::write(folder.path().join(name), source).unwrap();
    }
    let imports = names::imports(&tree::read(&folder.path().join("lib.rs")).unwrap());
    let sources = format!("{}/", folder.path().display());
    let faults = |layers: &[&str]| {
        let layers: Vec<_> = layers.iter().map(|layer| layer.split(' ').map(str::to_owned).collect()).collect();
        let faults = layers::faults(&sources, &layers, &imports);
        faults.iter().map(|fault| fault.replace(&sources, "")).collect::<Vec<_>>()
    };
    assert_eq!(faults(&["b.rs", "a.rs c.rs"]), [""; 0]);
    assert_eq!(faults(&["a.rs", "b.rs c.rs"]), ["a.rs:1 imports b.rs (crate::b::B), which is in a higher layer"]);
    assert_eq!(faults(&["b.rs", "a.rs"]), ["c.rs is in no layer"]);
    assert_eq!(faults(&[]), [""; 0]);
}
