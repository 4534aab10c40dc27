//! Spoils inputs at random.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Inputs do not grow beyond that by being spoilt.
const LENGTH_MAX: usize = 64 << 10;
/// What numbers of bytes are changed into.
const EDGES: [u32; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Makes inputs out of others. The same seed gives the same ones.
pub struct Spoiler {
    random: StdRng,
    seeds: Vec<Vec<u8>>,
}

impl Spoiler {
    /// Out of these.
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self { random: StdRng::seed_from_u64(seed), seeds }
    }

    /// The next one.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.some();
        input.truncate(LENGTH_MAX);
        for _ in 0..self.random.random_range(1..6) {
            self.spoil(&mut input);
        }
        input.truncate(LENGTH_MAX);
        input
    }

    fn some(&mut self) -> Vec<u8> {
        self.seeds.choose(&mut self.random).cloned().unwrap_or_default()
    }

    fn spoil(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        let part = self.part(input.len());
        match self.random.random_range(0..9) {
            0 => input.truncate(at),
            1 => drop(input.drain(part)),
            2 => {
                // Again, some times.
                let piece = input[part].repeat(self.random.random_range(1..20));
                drop(input.splice(at..at, piece));
            }
            3 => {
                let other = self.some();
                let piece = other[self.part(other.len())].to_vec();
                drop(input.splice(at..at, piece));
            }
            4 => {
                let other = self.some();
                let piece = other[self.part(other.len())].to_vec();
                drop(input.splice(part, piece));
            }
            5 => input[part].iter_mut().for_each(|byte| *byte = self.random.random()),
            6 => {
                let edge = EDGES.choose(&mut self.random).copied().unwrap_or(0).to_be_bytes();
                let width = *[1, 2, 4].choose(&mut self.random).unwrap_or(&4);
                let end = (at + width).min(input.len());
                drop(input.splice(at..end, edge[4 - width..].iter().copied()));
            }
            7 => self.word(input),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random.random_range(0..8);
                }
            }
        }
    }

    /// A range, mostly a short one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.random.random_range(0..=length);
        let longest = if self.random.random_range(0..8) == 0 { length } else { 16 };
        let to = from + self.random.random_range(0..=longest);
        from..to.min(length)
    }

    /// A word in the place of another one.
    fn word(&mut self, input: &mut Vec<u8>) {
        let other = self.some();
        let (mine, theirs) = (words(input), words(&other));
        let picked = (mine.choose(&mut self.random), theirs.choose(&mut self.random));
        if let (Some(mine), Some(theirs)) = picked {
            drop(input.splice(mine.clone(), other[theirs.clone()].iter().copied()));
        }
    }
}

/// Letters and digits that stand together, and each mark alone.
fn words(input: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut words = Vec::new();
    let mut from = 0;
    for at in 0..input.len() {
        let (is_word, next) = (input[at].is_ascii_alphanumeric(), input.get(at + 1));
        if !is_word || !next.is_some_and(u8::is_ascii_alphanumeric) {
            words.push(from..at + 1);
            from = at + 1;
        }
    }
    words
}
