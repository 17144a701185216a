//! Circles that are planted, and what looks like one.

use std::fs;

use crate::{graph, names, tree};

/// The circles of a package of these files, without their folder.
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
