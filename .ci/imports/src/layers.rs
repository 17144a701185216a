//! Layers: files that import only files of their own layer and of lower ones.

use crate::names::Import;

/// A layer: its files and folders.
pub(crate) type Layer = Vec<String>;

/// Returns a line for each file without a layer, and for each import of a higher layer.
pub(crate) fn faults(sources: &str, layers: &[Layer], imports: &[Import]) -> Vec<String> {
    let layer = |file: &str| {
        let file = file.strip_prefix(sources)?;
        let matches = |path: &&String| path.as_str() == file || path.ends_with('/') && file.starts_with(path.as_str());
        let in_layer =
            |(index, layer): (usize, &Layer)| Some((layer.iter().filter(matches).map(String::len).max()?, index));
        layers.iter().enumerate().filter_map(in_layer).max().map(|(_, index)| index)
    };
    if layers.is_empty() {
        return Vec::new();
    }
    let fault = |import: &Import| {
        let Import { from, to, line, path } = import;
        match (layer(from), layer(to)) {
            (Some(own), Some(other)) if own >= other => None,
            (Some(_), Some(_)) => Some(format!("{from}:{line} imports {to} ({path}), which is in a higher layer")),
            (None, _) => Some(format!("{from} is in no layer")),
            (_, None) => Some(format!("{to} is in no layer")),
        }
    };
    imports.iter().filter_map(fault).collect()
}
