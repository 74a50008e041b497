//! Documents that were right, and then changed a little: what devices, editors and broken disks make of them.

use proptest::prelude::*;
use proptest::sample::{Index, select};

#[derive(Clone, Debug)]
pub enum Edit {
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Insert(Index, Vec<u8>),
    Flip(Index, u8),
    Cut(Index),
    /// Moves a part to another place.
    Move(Index, usize, Index),
}

fn edit(words: Vec<Vec<u8>>) -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (any::<Index>(), 1..12_usize).prop_map(|(at, len)| Edit::Remove(at, len)),
        1 => (any::<Index>(), 1..40_usize, 1..50_usize).prop_map(|(at, len, times)| Edit::Repeat(at, len, times)),
        5 => (any::<Index>(), select(words)).prop_map(|(at, word)| Edit::Insert(at, word)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => (any::<Index>(), 1..40_usize, any::<Index>()).prop_map(|(from, len, to)| Edit::Move(from, len, to)),
    ]
}

fn apply(document: &mut Vec<u8>, edit: &Edit) {
    if document.is_empty() {
        return;
    }
    let all = document.len();
    match edit {
        Edit::Remove(at, len) => drop(document.drain(at.index(all)..(at.index(all) + len).min(all))),
        Edit::Repeat(at, len, times) => {
            let part = document[at.index(all)..(at.index(all) + len).min(all)].repeat(*times);
            document.splice(at.index(all)..at.index(all), part);
        }
        Edit::Insert(at, bytes) => drop(document.splice(at.index(all)..at.index(all), bytes.iter().copied())),
        Edit::Flip(at, byte) => document[at.index(all)] ^= byte,
        Edit::Cut(at) => document.truncate(at.index(all)),
        Edit::Move(from, len, to) => {
            let part: Vec<u8> = document.drain(from.index(all)..(from.index(all) + len).min(all)).collect();
            let to = to.index(document.len() + 1);
            document.splice(to..to, part);
        }
    }
}

/// One of the documents after a few edits; `words` are put in between.
pub fn changed(documents: Vec<Vec<u8>>, words: &[&str]) -> impl Strategy<Value = Vec<u8>> {
    let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    (select(documents), prop::collection::vec(edit(words), 1..6)).prop_map(|(mut document, edits)| {
        edits.iter().for_each(|edit| apply(&mut document, edit));
        document
    })
}
