//! Devices by name: written among a kind's options, or in a file that they name.
//!
//! A file keeps addresses and keys out of pipelines, and several pipelines can name it. It is a mapping from names to
//! what is to be known of each; `${NAME}` in it reads the environment. An empty file is a facility without such devices.

use crate::kinds::PlanContext;
use jarvis_spec::node::Entry;
use jarvis_spec::{Diagnostic, Diagnostics, Node, SourceText};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The files that pipelines of this process have named.
static NAMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The files of devices that pipelines of this process have named: who follows edits looks at them, too.
pub fn named() -> Vec<PathBuf> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// The devices of an option that is a mapping or the path of a YAML file, from the folder of the pipeline.
///
/// # Errors
/// The file cannot be read, or is no mapping.
pub fn roster(node: &Node, context: &PlanContext) -> Result<Vec<Entry>, Diagnostics> {
    let Some(path) = node.as_str() else {
        return entries(node);
    };
    let path = context.resolve(Path::new(path));
    NAMED.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Diagnostic::error("file_not_found", format!("{}: {error}", path.display()))
            .at(node.span())
            .help("name a YAML file of devices; it may be empty")
    })?;
    let root = Node::read(&SourceText::new(path, text), &jarvis_spec::env::process)?;
    entries(&root)
}

fn entries(node: &Node) -> Result<Vec<Entry>, Diagnostics> {
    if node.is_null() {
        return Ok(vec![]);
    }
    if !node.is_mapping() {
        let message = format!("devices are a mapping from their names, but this is {}", node.describe());
        return Err(Diagnostic::error("wrong_type", message)
            .at(node.span())
            .help("write `name: { ... }` for each, or the path of a file that does")
            .into());
    }
    Ok(node.entries().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str, folder: &Path) -> Result<Vec<String>, Diagnostics> {
        let node = Node::read(&SourceText::new("p.yaml", yaml), &|_| None)?;
        let context = PlanContext { folder: folder.to_owned(), config: None, data: None };
        Ok(roster(&node, &context)?.into_iter().map(|entry| entry.key.value).collect())
    }

    #[test]
    fn devices_are_inline_or_in_a_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("cameras.yaml"), "front: { address: a }\nback: { address: b }\n")?;
        std::fs::write(folder.path().join("none.yaml"), "# no cameras yet\n")?;
        let names = |yaml| read(yaml, folder.path()).map_err(|found| found.to_string());
        assert_eq!(names("{ one: { address: a } }")?, ["one"]);
        assert_eq!(names("cameras.yaml")?, ["front", "back"]);
        assert!(names("none.yaml")?.is_empty());
        assert!(names("gone.yaml").is_err_and(|found| found.contains("file_not_found")));
        assert!(names("[1, 2]").is_err_and(|found| found.contains("wrong_type")));
        Ok(())
    }
}
