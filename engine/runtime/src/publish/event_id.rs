//! Ids of events: the same for the same event in every run, on every machine and in every version.

/// FNV-1a with 128 bits, as published by Fowler, Noll and Vo: short, fixed for ever, and wide enough that two events
/// do not meet by chance.
struct Fnv1a128(u128);

impl Fnv1a128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn new() -> Self {
        Self(Self::OFFSET)
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }
}

/// 32 hex digits for a text, the same on every machine and in every version.
pub(crate) fn fingerprint(text: &str) -> String {
    let mut hash = Fnv1a128::new();
    hash.update(text.as_bytes());
    format!("{:032x}", hash.0)
}

/// The id, 32 hex digits, of what happened (`raised`, `cleared`) to an identity, given as JSON text, at a time in µs.
pub(super) fn event_id(scope: &str, what: &str, identity: &[u8], time: u64) -> String {
    let mut hash = Fnv1a128::new();
    for part in [scope.as_bytes(), what.as_bytes(), identity, &time.to_be_bytes()] {
        // The length first, so that parts cannot run into one another.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("{:032x}", hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fnv(text: &str) -> u128 {
        let mut hash = Fnv1a128::new();
        hash.update(text.as_bytes());
        hash.0
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv("a"), 0xd228cb696f1a8caf78912b704e4a8964);
        assert_eq!(fnv("foobar"), 0x343e1662793c64bf6f0d3597ba446f18);
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(event_id("ab", "c", b"", 1), event_id("a", "bc", b"", 1));
    }

    /// A receiver may have kept ids of last year: they must not change.
    #[test]
    fn an_id_is_the_same_for_ever() {
        let id = event_id("print_heat.hot", "raised", br#"{"tool":"tool0"}"#, 1_700_000_000_000_000);
        assert_eq!(id, "01f1280c62a057e4493ea26987fd9aa2");
    }
}
