//! What is durable is read again, whatever happened to the process; what is damaged is said.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use jarvis_log::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn rows(numbers: &[i64], texts: bool) -> RecordBatch {
    let ints: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let strings: ArrayRef =
        Arc::new(numbers.iter().map(|n| (n % 3 != 0).then(|| n.to_string())).collect::<StringArray>());
    let columns = [("n", ints), ("s", strings)].into_iter().take(1 + usize::from(texts));
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn tick(time: u64, seed: u64) -> Tick {
    let count = 1 + (seed % 4) as i64;
    let numbers: Vec<i64> = (0..count).map(|n| n + seed as i64).collect();
    let batch = |stream: &str, texts: bool, diff: i64| Batch {
        stream: stream.into(),
        place: seed,
        rows: rows(&numbers, texts),
        diffs: vec![diff; numbers.len()],
    };
    let batches = match seed % 5 {
        0 => vec![],
        1 => vec![batch("p.a", false, 1)],
        2 => vec![batch("p.a", true, 1), batch("p.b", true, -1)],
        _ => vec![batch("p.b", true, 1), batch("p.b", true, 2)],
    };
    let mark =
        Mark { stream: "p.a".into(), first: seed, count: 1, done: seed / 2, note: vec![seed as u8; count as usize] };
    let marks = if seed.is_multiple_of(2) { vec![mark] } else { vec![] };
    let delivered = (0..seed % 3).map(|s| (format!("p.sink{s}"), time - 1)).collect();
    Tick { time, previous: time - 1, batches, marks, delivered }
}

fn write(folder: &Folder, last: u64, ticks: &[Tick], options: Options) -> u64 {
    let durable = Arc::new(AtomicU64::new(0));
    let told = durable.clone();
    let writer = Writer::start(
        folder.clone(),
        folder.lock().unwrap(),
        last,
        options,
        Box::new(move |time| told.store(time, Ordering::SeqCst)),
        Box::new(|error| panic!("{error}")),
        None,
    );
    let writer = writer.unwrap();
    ticks.iter().for_each(|t| writer.append(t.clone()).unwrap());
    drop(writer);
    durable.load(Ordering::SeqCst)
}

fn after(folder: &Folder, repair: bool) -> Result<Vec<Tick>, LogError> {
    let entries: Result<Vec<Entry>, LogError> = read(folder, repair)?.collect();
    Ok(entries?.into_iter().filter_map(|e| if let Entry::Tick(tick) = e { Some(tick) } else { None }).collect())
}

fn segments(folder: &Folder) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.file_name().unwrap().to_str().unwrap().starts_with("segment"));
    files.sort();
    files
}

fn truncate(path: &Path, length: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn ticks_come_back_as_they_went_in(seeds in prop::collection::vec(0u64..100, 0..40), segment in 1u64..4000, cut in 0usize..40) {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::below(data.path());
        let ticks: Vec<Tick> = seeds.iter().enumerate().map(|(i, s)| tick(10 + 2 * i as u64, *s)).collect();
        let options = || Options { segment, ..Default::default() };
        let (first, second) = ticks.split_at(cut.min(ticks.len()));
        write(&folder, 0, first, options());
        let last = first.last().map_or(0, |t| t.time);
        prop_assert_eq!(write(&folder, last, second, options()), second.last().map_or(0, |t| t.time));
        prop_assert_eq!(after(&folder, false).unwrap(), ticks);
    }

    #[test]
    fn a_file_cut_anywhere_keeps_what_comes_before(seeds in prop::collection::vec(0u64..100, 1..10), place in 0.0f64..1.0) {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::below(data.path());
        let ticks: Vec<Tick> = seeds.iter().enumerate().map(|(i, s)| tick(10 + 2 * i as u64, *s)).collect();
        write(&folder, 0, &ticks, Options::default());
        let path = segments(&folder).pop().unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        truncate(&path, (length as f64 * place) as u64);
        let looked = after(&folder, false).unwrap();
        let repaired = after(&folder, true).unwrap();
        prop_assert_eq!(&looked, &repaired);
        prop_assert_eq!(&repaired[..], &ticks[..repaired.len()]);
        // The next process goes on from there.
        let last = repaired.last().map_or(0, |t| t.time);
        let next = tick(last + 5, 7);
        write(&folder, last, std::slice::from_ref(&next), Options::default());
        let all = after(&folder, false).unwrap();
        prop_assert_eq!(all.last(), Some(&next));
    }

    #[test]
    fn no_flipped_bit_goes_unseen(seeds in prop::collection::vec(0u64..100, 2..10), place in 0.0f64..1.0, bit in 0u8..8) {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::below(data.path());
        let ticks: Vec<Tick> = seeds.iter().enumerate().map(|(i, s)| tick(10 + 2 * i as u64, *s)).collect();
        // Each tick is durable before the next one is written.
        let writer = Writer::start(folder.clone(), folder.lock().unwrap(), 0, Options::default(), Box::new(|_| {}), Box::new(|e| panic!("{e}")), None).unwrap();
        for t in &ticks {
            writer.append(t.clone()).unwrap();
            writer.flush().unwrap();
        }
        drop(writer);
        let path = segments(&folder).pop().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = ((bytes.len() as f64 * place) as usize).min(bytes.len() - 1);
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, bytes).unwrap();
        match after(&folder, true) {
            // Only the last tick can pass for one that was never whole.
            Ok(read) => prop_assert_eq!(&read[..], &ticks[..ticks.len() - 1]),
            Err(error) => prop_assert!(matches!(error, LogError::Damaged { .. } | LogError::Version { .. }), "{}", error),
        }
    }
}

#[test]
fn a_checkpoint_stands_for_what_came_before() {
    let data = tempfile::tempdir().unwrap();
    let folder = Folder::below(data.path());
    let writer = Writer::start(
        folder.clone(),
        folder.lock().unwrap(),
        0,
        Options::default(),
        Box::new(|_| {}),
        Box::new(|e| panic!("{e}")),
        None,
    )
    .unwrap();
    for t in 1..=5 {
        writer.append(tick(t * 10, t)).unwrap();
    }
    writer.begin_checkpoint(50).unwrap();
    writer.append(tick(60, 6)).unwrap();
    writer.flush().unwrap();
    assert!(writer.written() > 0);
    let state = State { time: 50, blobs: vec![Blob { name: "x".into(), bytes: vec![1, 2, 3] }] };
    let mut checkpoint = Checkpointing::new(folder.clone(), 50, &state).unwrap();
    checkpoint.tick(&tick(30, 3)).unwrap();
    // Until it is finished it is none.
    assert_eq!(after(&folder, false).unwrap().len(), 6);
    checkpoint.finish().unwrap();
    folder.forget(50).unwrap();
    let later = State { time: 60, blobs: vec![] };
    writer.append_state(later.clone()).unwrap();
    drop(writer);
    let entries: Vec<Entry> = read(&folder, true).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries, [Entry::State(state), Entry::Tick(tick(30, 3)), Entry::Tick(tick(60, 6)), Entry::State(later)]);
    assert_eq!(segments(&folder).len(), 1);
}

#[test]
fn two_processes_do_not_write_to_one_log() {
    let data = tempfile::tempdir().unwrap();
    let folder = Folder::below(data.path());
    let _held = folder.lock().unwrap();
    assert!(matches!(folder.lock(), Err(LogError::Busy(_))));
}
