//! Circles: sets of files in which each file imports every other one, directly or through further ones.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::names::Import;

pub(crate) struct Circle {
    pub(crate) files: Vec<String>,
    pub(crate) imports: Vec<Import>,
}

pub(crate) fn circles(imports: &[Import]) -> Vec<Circle> {
    let mut graph = DiGraph::<&str, ()>::new();
    let mut nodes: BTreeMap<&str, NodeIndex> = BTreeMap::new();
    for import in imports {
        let [from, to] =
            [&*import.from, &*import.to].map(|file| *nodes.entry(file).or_insert_with(|| graph.add_node(file)));
        graph.add_edge(from, to, ());
    }
    let components = tarjan_scc(&graph).into_iter().filter(|component| component.len() > 1);
    components
        .map(|component| {
            let mut files: Vec<String> = component.iter().map(|node| graph[*node].to_owned()).collect();
            files.sort();
            let imports = imports.iter().filter(|import| files.contains(&import.from) && files.contains(&import.to));
            Circle { imports: imports.cloned().collect(), files }
        })
        .collect()
}
