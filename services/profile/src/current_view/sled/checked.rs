//! What makes damage show: a sum in every value, and sums over everything.
//!
//! A value is followed by the CRC-32C (little-endian) of its key and itself, so that a damaged one is
//! not believed, nor one that turns up under another key. What is missing shows in the [`Totals`]: they
//! change in the same batch as what they count, and a start compares them with what is there.

use profile_messages::Position;

const SUM_BYTES: usize = 4;

/// The value of `key` as it is stored.
pub(super) fn sealed(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = sum_of(key, &value);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}

/// The value of `key` without its sum; `None` when the sum is wrong.
pub(super) fn unsealed<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, sum) = stored.split_last_chunk::<SUM_BYTES>()?;
    (sum_of(key, value) == u32::from_le_bytes(*sum)).then_some(value)
}

fn sum_of(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

/// Sums over all entries, list places and organizations of a database, in whatever order they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    keys: u64,
    digest: u64,
}

impl Totals {
    pub(super) fn keys(self) -> u64 {
        self.keys
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.keys = self.keys.wrapping_add(1);
        self.digest = self.digest.wrapping_add(weight(key, value));
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.keys = self.keys.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(weight(key, value));
    }
}

/// 64 bits of a key and its unsealed value, mixed (the finalizer of splitmix64) so that sums of CRCs,
/// which are linear, do not cancel out.
fn weight(key: &[u8], value: &[u8]) -> u64 {
    let mut bits = u64::from(crc32c::crc32c(key)) << 32 | u64::from(sum_of(key, value));
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// How far the database is, and what it holds then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// Every commit up to this position is in here.
    pub(super) applied: Position,
    /// No commit after this position is in here, not even in part.
    pub(super) reached: Position,
    pub(super) totals: Totals,
}

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        let fields = [
            self.applied.0,
            self.reached.0,
            self.totals.keys,
            self.totals.digest,
        ];
        fields
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Meta> {
        let (fields, rest) = bytes.as_chunks::<8>();
        let [applied, reached, keys, digest] = fields else {
            return None;
        };
        rest.is_empty().then(|| Meta {
            applied: Position(u64::from_be_bytes(*applied)),
            reached: Position(u64::from_be_bytes(*reached)),
            totals: Totals {
                keys: u64::from_be_bytes(*keys),
                digest: u64::from_be_bytes(*digest),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_believed_under_its_own_key_only() {
        let stored = sealed(b"u/1", b"value".to_vec());
        assert_eq!(unsealed(b"u/1", &stored), Some(&b"value"[..]));
        assert_eq!(unsealed(b"u/2", &stored), None);
        for (byte, bit) in (0..stored.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut flipped = stored.clone();
            flipped[byte] ^= 1 << bit;
            assert_eq!(unsealed(b"u/1", &flipped), None);
        }
        for end in 0..stored.len() {
            assert_eq!(unsealed(b"u/1", &stored[..end]), None);
        }
    }

    #[test]
    fn totals_tell_what_is_missing_swapped_or_of_another_time() {
        let of = |entries: &[(&str, &str)]| {
            let mut totals = Totals::default();
            for (key, value) in entries {
                totals.add(key.as_bytes(), value.as_bytes());
            }
            totals
        };
        let whole = of(&[("u/1", "a"), ("u/2", "b"), ("l/x", "")]);
        assert_eq!(whole, of(&[("l/x", ""), ("u/2", "b"), ("u/1", "a")]));
        for other in [
            &[("u/1", "a"), ("u/2", "b")][..],
            &[("u/1", "b"), ("u/2", "a"), ("l/x", "")],
            &[("u/1", "a"), ("u/2", "c"), ("l/x", "")],
            &[("u/1", "a"), ("u/3", "b"), ("l/x", "")],
        ] {
            assert_ne!(whole, of(other));
        }
        let mut left = whole;
        left.remove(b"u/2", b"b");
        assert_eq!(left, of(&[("u/1", "a"), ("l/x", "")]));
        let meta = Meta {
            applied: Position(7),
            reached: Position(9),
            totals: left,
        };
        assert_eq!(Meta::decode(&meta.encode()), Some(meta));
    }
}
