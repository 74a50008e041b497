use super::*;
use std::time::{Duration, SystemTime};

/// A thousand bytes.
fn picture(number: u32) -> (Hash, Bytes) {
    let bytes: Bytes = number.to_le_bytes().repeat(250).into();
    (Hash::of(&bytes), bytes)
}

fn put(frames: &Frames, number: u32) -> Hash {
    let (hash, bytes) = picture(number);
    frames.put(&hash, bytes);
    hash
}

fn put_many(frames: &Frames, numbers: std::ops::Range<u32>) {
    for number in numbers {
        put(frames, number);
    }
}

fn there(frames: &Frames, numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.filter(|number| frames.get(&picture(*number).0) == Some(picture(*number).1)).collect()
}

const SMALL: Limits = Limits { memory_bytes: 3_000, disk_bytes: 5_000 };

#[test]
fn the_oldest_leave_memory_first_and_then_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let with_disk = Frames::open(Some(folder.path()), SMALL);
    let without = Frames::open(None, SMALL);
    for number in 0..10 {
        put(&with_disk, number);
        put(&without, number);
    }
    assert_eq!(there(&with_disk, 0..10), [5, 6, 7, 8, 9]);
    assert_eq!(there(&without, 0..10), [7, 8, 9]);
}

#[test]
fn the_ring_survives_a_restart_in_order_of_age() {
    let folder = tempfile::tempdir().unwrap();
    let frames = Frames::open(Some(folder.path()), SMALL);
    for number in 0..5 {
        let hash = put(&frames, number).to_string();
        // The order of age is not that of names or of writing.
        let path = folder.path().join("ring").join(&hash[..2]).join(format!("{hash}.jpg"));
        let age = Duration::from_secs(if number == 3 { 1_000 } else { 100 - u64::from(number) });
        std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }
    drop(frames);
    for place in ["ring", "kept"] {
        let folder = folder.path().join(place).join(&picture(0).0.to_string()[..2]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(".unfinished-1-1"), "x").unwrap();
    }
    let frames = Frames::open(Some(folder.path()), SMALL);
    assert_eq!(there(&frames, 0..5), [0, 1, 2, 3, 4]);
    put(&frames, 5);
    assert_eq!(there(&frames, 0..6), [0, 1, 2, 4, 5]);
    drop(frames);
    let frames = Frames::open(Some(folder.path()), Limits { disk_bytes: 2_000, ..SMALL });
    assert_eq!(there(&frames, 0..6), [4, 5]);
    let unfinished = walk(folder.path()).iter().filter(|path| path.to_string_lossy().contains("unfinished")).count();
    assert_eq!(unfinished, 0);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn what_is_kept_stays_and_is_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let frames = Frames::open(Some(folder.path()), SMALL);
    let hash = put(&frames, 0);
    let path = frames.keep(&hash).unwrap();
    let name = hash.to_string();
    assert_eq!(path, folder.path().join("kept").join(&name[..2]).join(format!("{name}.jpg")));
    put_many(&frames, 1..100);
    assert_eq!(std::fs::read(&path).unwrap(), picture(0).1);
    assert_eq!(frames.keep(&hash).unwrap(), path);
    let frames = Frames::open(Some(folder.path()), SMALL);
    assert_eq!(frames.get(&hash), Some(picture(0).1));
}

#[test]
fn what_is_no_longer_there_cannot_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let frames = Frames::open(Some(folder.path()), SMALL);
    assert_eq!(frames.keep(&picture(1).0).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn without_a_folder_it_is_kept_in_memory_up_to_a_limit_and_an_error_says_so() {
    let frames = Frames::open(None, SMALL);
    let hash = put(&frames, 0);
    let error = frames.keep(&hash).unwrap_err();
    assert!(error.to_string().contains("no folder"), "{error}");
    put_many(&frames, 1..100);
    assert_eq!(there(&frames, 0..1), [0]);
    for number in 100..120 {
        let _ = frames.keep(&put(&frames, number));
    }
    assert_eq!(there(&frames, 0..120), [117, 118, 119]);
}

#[test]
fn a_file_that_was_changed_is_no_picture_and_is_kept_anew() {
    let folder = tempfile::tempdir().unwrap();
    let frames = Frames::open(Some(folder.path()), SMALL);
    let hash = put(&frames, 0);
    let path = frames.keep(&hash).unwrap();
    std::fs::write(&path, "something else").unwrap();
    assert_eq!(std::fs::read(frames.keep(&hash).unwrap()).unwrap(), picture(0).1);
    for file in walk(folder.path()) {
        std::fs::write(file, "cut").unwrap();
    }
    assert_eq!(Frames::open(Some(folder.path()), SMALL).get(&hash), None);
}

#[test]
fn a_folder_that_cannot_be_written_leaves_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let frames = Frames::open(Some(&file), SMALL);
    let hash = put(&frames, 0);
    assert_eq!(frames.get(&hash), Some(picture(0).1));
    frames.keep(&hash).unwrap_err();
    put_many(&frames, 1..100);
    assert_eq!(there(&frames, 0..100), [0, 97, 98, 99]);
}

#[test]
fn a_folder_is_shared_within_the_process_however_its_path_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let one = Frames::shared(Some(&folder.path().join("a")));
    let other = Frames::shared(Some(&folder.path().join("a/../a")));
    assert!(Arc::ptr_eq(&one, &other));
    assert!(!Arc::ptr_eq(&one, &Frames::shared(Some(&folder.path().join("b")))));
    let hash = put(&one, 7);
    assert_eq!(other.get(&hash), Some(picture(7).1));
    drop((one, other));
    assert_eq!(Frames::shared(Some(&folder.path().join("a"))).get(&hash), Some(picture(7).1));
}

#[test]
fn many_threads_put_get_and_keep() {
    let folder = tempfile::tempdir().unwrap();
    let frames = Frames::open(Some(folder.path()), SMALL);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let frames = &frames;
            scope.spawn(move || {
                for number in 0..50 {
                    let hash = put(frames, (number + thread) % 60);
                    if let Some(bytes) = frames.get(&hash) {
                        assert_eq!(Hash::of(&bytes), hash);
                    }
                    if number % 10 == 0
                        && let Ok(path) = frames.keep(&hash)
                    {
                        assert_eq!(Hash::of(&std::fs::read(path).unwrap()), hash);
                    }
                }
            });
        }
    });
    let ring: u64 = walk(&folder.path().join("ring")).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(ring <= SMALL.disk_bytes, "{ring}");
}
