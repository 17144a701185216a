//! The modules of a package, each with the file that it is in.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

pub(crate) struct Module {
    /// The path of the module from the root of its crate, without `crate`.
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    /// The items, without modules and without code for tests.
    pub(crate) items: Vec<Item>,
}

/// Reads the package whose root module is the file `root`.
pub(crate) fn read(root: &Path) -> Result<Vec<Module>, Box<dyn Error>> {
    let mut modules = Vec::new();
    let folder = root.parent().ok_or("a file has a folder")?;
    file(root, folder, Vec::new(), &mut modules)?;
    Ok(modules)
}

fn file(path: &Path, children: &Path, name: Vec<String>, modules: &mut Vec<Module>) -> Result<(), Box<dyn Error>> {
    let source = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parsed = syn::parse_file(&source).map_err(|error| format!("{}: {error}", path.display()))?;
    module(path, children, name, parsed.items, modules)
}

fn module(
    path: &Path,
    children: &Path,
    name: Vec<String>,
    items: Vec<Item>,
    modules: &mut Vec<Module>,
) -> Result<(), Box<dyn Error>> {
    let (inner, items): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| matches!(item, Item::Mod(_)));
    let file_name = path.to_string_lossy().trim_start_matches("./").to_owned();
    modules.push(Module { path: name.clone(), file: file_name, items });
    for item in inner {
        let Item::Mod(ItemMod { attrs, ident, content, .. }) = item else { continue };
        if is_for_tests(&attrs) {
            continue;
        }
        let ident = ident.to_string();
        let inner_name = [name.clone(), vec![ident.clone()]].concat();
        match content {
            Some((_, items)) => module(path, &children.join(&ident), inner_name, items, modules)?,
            None => {
                let (path, children) = file_of(path, children, &ident, &attrs);
                file(&path, &children, inner_name, modules)?;
            }
        }
    }
    Ok(())
}

/// Returns the file of `mod ident;`, and the folder of its children.
fn file_of(parent: &Path, children: &Path, ident: &str, attributes: &[Attribute]) -> (PathBuf, PathBuf) {
    let said = attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    if let Some(said) = said {
        let path = parent.with_file_name(said);
        let children = path.parent().unwrap_or(Path::new("")).to_owned();
        return (path, children);
    }
    let folder = children.join(ident);
    let beside = children.join(ident).with_extension("rs");
    if beside.exists() { (beside, folder) } else { (folder.join("mod.rs"), folder) }
}

/// Returns true for `#[cfg(test)]`, and for every other attribute that requires `test`.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,") || condition == "doctest"
        }
        _ => false,
    })
}
