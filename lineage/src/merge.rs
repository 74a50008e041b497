//! Many small parts become few large ones.
//!
//! A note says which parts the large one stands for; from the moment that it has its name, they no longer count, and are
//! removed, and the note last. So a crash leaves either, and nothing else must change at the same moment.

use crate::archive::InputArchive;
use crate::{cold, encode, layout};
use anyhow::Context;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Parts of this size are not made larger.
const LARGE: u64 = 128 << 20;
/// Sizes that differ by less than this factor are about the same.
const ALIKE: u64 = 4;
/// Rows that are skipped or read together.
const ROW_GROUP: usize = 1 << 17;
/// The end of the name of a part that is being made of others.
const UNFINISHED_END: &str = ".merging";

/// When parts are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// So many of about the same size, side by side: each row is then written a few times in all.
    WhenMany(usize),
    /// As long as there are two that are not large together.
    All,
}

/// What was merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    pub before: usize,
    pub after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Merges the parts of all streams below a data folder.
///
/// # Errors
/// A part cannot be read or written. What was merged until then is.
pub fn merge(data: &Path, when: Merge) -> anyhow::Result<Merged> {
    let _lock = layout::lock(data)?;
    let archive = InputArchive::new(data);
    let until = archive.until()?;
    let inputs = layout::inputs(data);
    let mut merged = Merged::default();
    for folder in layout::all_folders(data)? {
        // What entered later is in the log, and in parts that do not count yet.
        let until = if folder.starts_with(&inputs) { until } else { u64::MAX };
        clean(&folder)?;
        merge_folder(&folder, until, when, &mut merged)?;
    }
    Ok(merged)
}

/// Goes on where a killed process has stopped: parts that have gone into another are removed, and one that was not
/// finished.
fn clean(folder: &Path) -> std::io::Result<()> {
    for note in layout::files(folder, layout::REPLACES_END)? {
        for part in layout::replaced(&note)?.iter().filter(|part| part.exists()) {
            fs::remove_file(part)?;
        }
        fs::remove_file(&note)?;
    }
    layout::files(folder, UNFINISHED_END)?.iter().try_for_each(fs::remove_file)
}

struct Part {
    path: PathBuf,
    size: u64,
    schema: SchemaRef,
}

fn merge_folder(folder: &Path, until: u64, when: Merge, merged: &mut Merged) -> anyhow::Result<()> {
    let mut group: Vec<Part> = vec![];
    let counts = |part: &PathBuf| layout::upper(part).is_some_and(|upper| upper <= until);
    for path in layout::parts(folder)?.into_iter().filter(counts) {
        let size = cold::size(&path)?;
        if size >= LARGE || cold::is_cold(&path) {
            finish(folder, &mut group, when, merged)?;
            continue;
        }
        let schema = reader(&path)?.schema().clone();
        let together: u64 = group.iter().map(|part| part.size).sum::<u64>() + size;
        let fits = group.last().is_none_or(|last| {
            last.schema == schema && together <= LARGE && (when == Merge::All || is_alike(last.size, size))
        });
        if !fits {
            finish(folder, &mut group, when, merged)?;
        }
        group.push(Part { path, size, schema });
    }
    finish(folder, &mut group, when, merged)
}

fn is_alike(a: u64, b: u64) -> bool {
    a.max(b) < a.min(b).saturating_mul(ALIKE)
}

/// Merges a group of parts, if it is large enough.
fn finish(folder: &Path, group: &mut Vec<Part>, when: Merge, merged: &mut Merged) -> anyhow::Result<()> {
    let group = std::mem::take(group);
    let enough = if let Merge::WhenMany(many) = when { many } else { 2 };
    let [first, _, ..] = group.as_slice() else { return Ok(()) };
    let upper = group.iter().filter_map(|part| layout::upper(&part.path)).max();
    let times = layout::lower(&first.path).zip(upper);
    let Some((lower, upper)) = times.filter(|_| group.len() >= enough) else { return Ok(()) };
    let finished = folder.join(layout::part(lower, upper));
    // One of that name may be among them, in a stream whose parts overlap.
    if finished.exists() {
        return Ok(());
    }
    let unfinished = folder.join(format!("part-{lower:020}{UNFINISHED_END}"));
    let failed = || format!("{} cannot be written", unfinished.display());
    let file = File::create(&unfinished).with_context(failed)?;
    let mut writer =
        ArrowWriter::try_new(file, first.schema.clone(), Some(properties(&first.schema))).with_context(failed)?;
    for part in &group {
        let unreadable = || format!("{} cannot be read", part.path.display());
        for rows in reader(&part.path)?.with_batch_size(8192).build().with_context(unreadable)? {
            writer.write(&rows.with_context(unreadable)?).with_context(failed)?;
        }
    }
    let file = writer.into_inner().with_context(failed)?;
    file.sync_all().with_context(failed)?;
    merged.bytes_after += file.metadata()?.len();
    let names = group.iter().filter_map(|part| part.path.file_name()?.to_str());
    let names: String = names.map(|name| format!("{name}\n")).collect();
    let mut note = finished.as_os_str().to_owned();
    note.push(layout::REPLACES_END);
    layout::write(Path::new(&note), names.as_bytes()).with_context(failed)?;
    fs::rename(&unfinished, &finished).with_context(failed)?;
    layout::sync_folder(folder)?;
    clean(folder)?;
    merged.before += group.len();
    merged.after += 1;
    merged.bytes_before += group.iter().map(|part| part.size).sum::<u64>();
    Ok(())
}

fn reader(part: &Path) -> anyhow::Result<ParquetRecordBatchReaderBuilder<File>> {
    let open = || -> anyhow::Result<_> { Ok(ParquetRecordBatchReaderBuilder::try_new(File::open(part)?)?) };
    open().with_context(|| format!("{} cannot be read", part.display()))
}

/// Rows stay in the order of time, so that their statistics find times. Bloom filters find the values of columns that may
/// name things; they are folded to what the number of different values is worth.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut properties = encode::parquet_builder()
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_column_statistics_enabled(ColumnPath::from("_time"), EnabledStatistics::Page);
    for field in schema.fields().iter().filter(|f| !f.name().starts_with('_')) {
        if matches!(field.data_type(), DataType::Utf8 | DataType::Int64 | DataType::UInt64 | DataType::Int32) {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_bloom_filter_max_ndv(column, ROW_GROUP as u64);
        }
    }
    properties.build()
}
