#![no_main]

#[path = "../bodies/files.rs"]
mod files;

use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

libfuzzer_sys::fuzz_target!(|text: &str| files::facility(FOLDER.path(), text));
