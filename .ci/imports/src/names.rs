//! Finds the imports between files: a resolver of paths that knows modules, items and `use`.

use std::collections::{BTreeMap, HashMap};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, TraitItem, UseTree, Visibility};

use crate::tree::{Module, is_for_tests};

/// The first import between a pair of files.
#[derive(Clone)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) line: usize,
    pub(crate) path: String,
}

/// The target of a name: an index into the list of modules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Module(usize),
    /// An item that this module defines.
    Item(usize),
}

#[derive(Default)]
struct Names {
    defined: Vec<String>,
    /// The names that a `use` of the module imports, with the paths that they stand for.
    used: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// True if a macro may define further items.
    has_macros: bool,
}

struct Resolver<'a> {
    modules: &'a [Module],
    by_path: HashMap<&'a [String], usize>,
    names: Vec<Names>,
}

pub(crate) fn imports(modules: &[Module]) -> Vec<Import> {
    let by_path = modules.iter().enumerate().map(|(index, module)| (&*module.path, index)).collect();
    let names = modules.iter().map(|module| names(&module.items)).collect();
    let resolver = Resolver { modules, by_path, names };
    let mut found = BTreeMap::new();
    for (module, Module { items, .. }) in modules.iter().enumerate() {
        let mut finder = Finder { resolver: &resolver, module, found: &mut found };
        items.iter().for_each(|item| finder.visit_item(item));
    }
    found.into_values().collect()
}

fn names(items: &[Item]) -> Names {
    let mut names = Names::default();
    for item in items {
        let ident = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::TraitAlias(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Macro(item) => match &item.ident {
                Some(ident) => ident,
                None => {
                    names.has_macros = true;
                    continue;
                }
            },
            Item::Use(item) if !is_for_tests(&item.attrs) => {
                for leaf in leaves(item) {
                    match leaf.name {
                        Some(name) => drop(names.used.insert(name, leaf.path)),
                        None => names.globs.push(leaf.path),
                    }
                }
                continue;
            }
            _ => continue,
        };
        names.defined.push(ident.to_string());
    }
    names
}

struct Leaf {
    /// The name that it imports, or none for a glob.
    name: Option<String>,
    path: Vec<String>,
    span: Span,
}

fn leaves(item: &ItemUse) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    if item.leading_colon.is_none() {
        collect(&item.tree, &mut Vec::new(), &mut leaves);
    }
    leaves
}

fn collect(tree: &UseTree, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    let leaf = |ident: String, name: String, span: Span| {
        // `use a::{self}` imports `a`.
        let own = if ident == "self" { None } else { Some(ident) };
        let name = if name == "self" { path.last().cloned().unwrap_or(name) } else { name };
        Leaf { name: Some(name), path: path.iter().cloned().chain(own).collect(), span }
    };
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            collect(&inner.tree, path, leaves);
            path.pop();
        }
        UseTree::Name(name) => leaves.push(leaf(name.ident.to_string(), name.ident.to_string(), name.span())),
        UseTree::Rename(name) => leaves.push(leaf(name.ident.to_string(), name.rename.to_string(), name.span())),
        UseTree::Glob(glob) => leaves.push(Leaf { name: None, path: path.clone(), span: glob.span() }),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, path, leaves)),
    }
}

impl Resolver<'_> {
    /// Returns the target of `path`, written in `module`, or none if that is in another package.
    fn resolve(&self, module: usize, path: &[String]) -> Option<Place> {
        self.follow(module, path, &mut Vec::new())
    }

    fn follow(&self, module: usize, path: &[String], seen: &mut Vec<(usize, String)>) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let mut place = match first.as_str() {
            "crate" => Place::Module(0),
            "self" => Place::Module(module),
            "super" => Place::Module(self.parent(module)?),
            name => self.name(module, name, seen)?,
        };
        for segment in rest {
            place = match place {
                Place::Module(module) if segment == "super" => Place::Module(self.parent(module)?),
                Place::Module(module) => self.name(module, segment, seen).or_else(|| self.by_macro(module, segment))?,
                // The rest is a variant, a constant, or a function of a type.
                Place::Item(_) => break,
            };
        }
        Some(place)
    }

    /// If nothing else in the module explains a name, it is an item that a macro defines there.
    fn by_macro(&self, module: usize, name: &str) -> Option<Place> {
        let names = &self.names[module];
        (names.has_macros && !names.used.contains_key(name)).then_some(Place::Item(module))
    }

    fn parent(&self, module: usize) -> Option<usize> {
        let (_, parent) = self.modules[module].path.split_last()?;
        self.by_path.get(parent).copied()
    }

    fn name(&self, module: usize, name: &str, seen: &mut Vec<(usize, String)>) -> Option<Place> {
        let here = (module, name.to_owned());
        if seen.contains(&here) {
            return None;
        }
        seen.push(here);
        let names = &self.names[module];
        if names.defined.iter().any(|defined| defined == name) {
            return Some(Place::Item(module));
        }
        let child = [&*self.modules[module].path, &[name.to_owned()]].concat();
        if let Some(child) = self.by_path.get(&*child) {
            return Some(Place::Module(*child));
        }
        if let Some(path) = names.used.get(name) {
            return self.follow(module, path, seen);
        }
        names.globs.iter().find_map(|glob| match self.follow(module, glob, seen)? {
            Place::Module(inner) => self.name(inner, name, seen),
            Place::Item(_) => None,
        })
    }
}

/// Finds the imports of a module.
struct Finder<'a> {
    resolver: &'a Resolver<'a>,
    module: usize,
    found: &'a mut BTreeMap<(String, String), Import>,
}

impl Finder<'_> {
    fn path(&mut self, path: &[String], span: Span) {
        let Some(Place::Module(target) | Place::Item(target)) = self.resolver.resolve(self.module, path) else {
            return;
        };
        let (from, to) = (&self.resolver.modules[self.module].file, &self.resolver.modules[target].file);
        if from == to {
            return;
        }
        self.found.entry((from.clone(), to.clone())).or_insert_with(|| Import {
            from: from.clone(),
            to: to.clone(),
            line: span.start().line,
            path: path.join("::"),
        });
    }

    /// Collects paths of more than one name in the arguments and the expansion of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut start) = (Vec::new(), Span::call_site());
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.end(&mut path, start);
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.end(&mut path, start);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path, start);
    }

    fn end(&mut self, path: &mut Vec<String>, span: Span) {
        if path.len() > 1 {
            self.path(path, span);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if is_for_tests(&function.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !matches!(item, TraitItem::Fn(function) if is_for_tests(&function.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            for leaf in leaves(item) {
                self.path(&leaf.path, leaf.span);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            // A name alone is not a module, but may be a variable with the name of a module.
            if names.len() > 1 || !matches!(self.resolver.resolve(self.module, &names), Some(Place::Module(_))) {
                self.path(&names, path.span());
            }
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    /// Links in documentation import nothing.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        _ => &[],
    }
}
