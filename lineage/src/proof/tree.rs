//! The Merkle tree of RFC 6962, section 2.1: its root, the proof that a leaf is in it, and the proof that an older tree is a
//! beginning of it.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf.
pub fn leaf(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// What a tree that only grows must know of its leaves: the roots of its whole subtrees, the largest first.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    size: u64,
    peaks: Vec<Hash>,
}

impl Growing {
    pub fn size(&self) -> u64 {
        self.size
    }
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // As many subtrees are whole now as the number of leaves so far ends in ones.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Sha256::digest([]).into(),
            Some(last) => peaks.fold(*last, |right, left| node(left, &right)),
        }
    }
}

/// The root over leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(half(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The largest power of two below n, which is at least 2.
fn half(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The path from a leaf to the root.
pub fn inclusion(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return vec![];
    }
    let (left, right) = leaves.split_at(half(leaves.len()));
    let (mut path, beside) = if index < left.len() {
        (inclusion(index, left), root(right))
    } else {
        (inclusion(index - left.len(), right), root(left))
    };
    path.push(beside);
    path
}

/// What shows that the tree over the first `old` leaves is a beginning of the tree over all.
pub fn consistency(old: usize, leaves: &[Hash]) -> Vec<Hash> {
    fn subproof(old: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if is_known { vec![] } else { vec![root(leaves)] };
        }
        let (left, right) = leaves.split_at(half(leaves.len()));
        let (mut proof, beside) = if old <= left.len() {
            (subproof(old, left, is_known), root(right))
        } else {
            (subproof(old - left.len(), right, false), root(left))
        };
        proof.push(beside);
        proof
    }
    if old == 0 || old >= leaves.len() { vec![] } else { subproof(old, leaves, true) }
}

/// The way from a leaf up to the root (RFC 9162, sections 2.1.3.2 and 2.1.4.2).
struct Way {
    /// Which node it is at, of its level.
    at: u64,
    /// The last node of the level.
    last: u64,
}

enum Beside {
    Left,
    Right,
}

impl Way {
    fn level(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }

    fn is_at_root(&self) -> bool {
        self.last == 0
    }

    /// Goes up; on which side of the node the next hash of a proof stands. `None`: this is the root.
    fn up(&mut self) -> Option<Beside> {
        if self.is_at_root() {
            return None;
        }
        let is_left = self.at & 1 == 1 || self.at == self.last;
        // A last node that has nothing beside it is the one above, too.
        while is_left && self.at & 1 == 0 && self.at != 0 {
            self.level();
        }
        self.level();
        Some(if is_left { Beside::Left } else { Beside::Right })
    }
}

/// The root that a leaf's path leads to; `None`: the path does not fit the sizes.
pub fn root_of_inclusion(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut way, mut hash) = (Way { at: index, last: size - 1 }, leaf);
    for beside in path {
        hash = match way.up()? {
            Beside::Left => node(beside, &hash),
            Beside::Right => node(&hash, beside),
        };
    }
    way.is_at_root().then_some(hash)
}

/// Whether a proof shows that one tree is the beginning of another.
pub fn is_consistent(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size == new_size {
        return proof.is_empty() && (old_size == 0 || old_root == new_root);
    }
    if old_size > new_size {
        return false;
    }
    let start = old_size.is_power_of_two().then_some(old_root);
    let mut hashes = start.iter().chain(proof);
    let Some(first) = hashes.next() else { return false };
    let mut way = Way { at: old_size - 1, last: new_size - 1 };
    while way.at & 1 == 1 {
        way.level();
    }
    let (mut old, mut new) = (*first, *first);
    for hash in hashes {
        match way.up() {
            None => return false,
            Some(Beside::Left) => (old, new) = (node(hash, &old), node(hash, &new)),
            Some(Beside::Right) => new = node(&new, hash),
        }
    }
    way.is_at_root() && old == old_root && new == new_root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u8) -> Vec<Hash> {
        (0..n).map(|i| leaf(&[i])).collect()
    }

    /// Roots of the test vectors of RFC 6962's reference implementation.
    #[test]
    fn roots_are_those_of_the_standard() {
        let data: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let expected = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves: Vec<Hash> = data.iter().map(|d| leaf(d)).collect();
        let mut growing = Growing::default();
        for (n, expected) in expected.iter().enumerate() {
            let hex = |hash: Hash| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
            assert_eq!(hex(root(&leaves[..n])), *expected, "{n} leaves");
            assert_eq!(hex(growing.root()), *expected, "{n} leaves, growing");
            if n < leaves.len() {
                growing.push(leaves[n]);
            }
        }
    }

    #[test]
    fn every_leaf_is_shown_to_be_in_every_tree_and_no_other_is() {
        for n in 1..40 {
            let all = leaves(n);
            for index in 0..n {
                let path = inclusion(index.into(), &all);
                let found = |i: u64, leaf| root_of_inclusion(i, n.into(), leaf, &path);
                assert_eq!(found(index.into(), all[usize::from(index)]), Some(root(&all)));
                assert_ne!(found(index.into(), leaf(b"other")), Some(root(&all)));
                if n > 1 {
                    let other = (index + 1) % n;
                    assert_ne!(
                        found(other.into(), all[usize::from(index)]),
                        Some(root(&all)),
                        "{index} as {other} of {n}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_beginning_is_shown_to_be_one_and_nothing_else_is() {
        for n in 1..40_u8 {
            let all = leaves(n);
            for old in 1..=n {
                let proof = consistency(old.into(), &all);
                let was = (u64::from(old), root(&all[..usize::from(old)]));
                let is = (u64::from(n), root(&all));
                assert!(is_consistent(was, is, &proof), "{old} of {n}");
                let mut altered = all.clone();
                altered[usize::from(old) - 1] = leaf(b"other");
                let proof = consistency(old.into(), &altered);
                assert!(!is_consistent(was, (is.0, root(&altered)), &proof), "{old} of {n}, altered");
            }
        }
    }
}
