#![no_main]

#[path = "../bodies/files.rs"]
mod files;

use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

// The first byte says how the rest is written.
libfuzzer_sys::fuzz_target!(|contents: &[u8]| {
    let Some((format, contents)) = contents.split_first() else { return };
    let ending = ["jsonl", "csv", "parquet"][usize::from(format % 3)];
    files::file(FOLDER.path(), ending, contents);
});
