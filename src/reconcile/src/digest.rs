//! Digests of rows, and of sets of rows.

use regraft_core::verify::Digest;

/// BLAKE3 of a row in the layout of [`regraft_core::Row`], which says where each value ends and which
/// are NULL: two rows have the same bytes only if they are the same row.
pub fn row_digest(row: &[u8]) -> Digest {
    *blake3::hash(row).as_bytes()
}

/// A sum of digests, modulo 2^256: the same for the same rows in any order, and sums can be added.
/// A row that is there twice counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The least significant word first.
    words: [u64; 4],
}

impl Sum {
    /// Of what a [`Sum::digest`] says.
    pub fn of(digest: Digest) -> Self {
        let mut words = [0; 4];
        let (chunks, _) = digest.as_chunks::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self { words }
    }

    /// Adds a digest, or a sum of digests.
    pub fn add(&mut self, digest: Digest) {
        let mut carry = false;
        for (word, other) in self.words.iter_mut().zip(Self::of(digest).words) {
            let (sum, first) = word.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, first || second);
        }
    }

    /// Takes away a digest that was added.
    pub(crate) fn subtract(&mut self, digest: Digest) {
        let mut borrow = false;
        for (word, other) in self.words.iter_mut().zip(Self::of(digest).words) {
            let (rest, first) = word.overflowing_sub(other);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*word, borrow) = (rest, first || second);
        }
    }

    /// The sum as bytes.
    pub fn digest(&self) -> Digest {
        let mut digest = [0; 32];
        let (chunks, _) = digest.as_chunks_mut::<8>();
        for (chunk, word) in chunks.iter_mut().zip(self.words) {
            *chunk = word.to_le_bytes();
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sum_carries() {
        let mut sum = Sum::default();
        sum.add([0xFF; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        sum.add(one);
        assert_eq!(sum.digest(), [0; 32]);
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(rows: Vec<Vec<u8>>, at: usize) {
            let sum = |rows: &[Vec<u8>]| {
                let mut sum = Sum::default();
                rows.iter().for_each(|row| sum.add(row_digest(row)));
                sum
            };
            let mut turned = rows.clone();
            turned.rotate_left(if rows.is_empty() { 0 } else { at % rows.len() });
            turned.reverse();
            prop_assert_eq!(sum(&rows), sum(&turned));
            // Parts add up to the whole.
            let (first, second) = rows.split_at(rows.len() / 2);
            let mut parts = sum(first);
            parts.add(sum(second).digest());
            prop_assert_eq!(sum(&rows), parts);
        }
    }
}
