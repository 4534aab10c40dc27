//! How far a source has been applied.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};

/// A byte position in a PostgreSQL write-ahead log, printed as PostgreSQL prints `pg_lsn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Bytes from `earlier` to `self`; 0 when `earlier` is ahead.
    pub fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text was not of the form `16/B374D848`.
#[derive(Debug, thiserror::Error)]
#[error("not a log sequence number of the form X/Y: {0:?}")]
pub struct BadLsn(String);

impl FromStr for Lsn {
    type Err = BadLsn;

    fn from_str(text: &str) -> Result<Self, BadLsn> {
        let parse = |part: &str| u32::from_str_radix(part, 16).ok().map(u64::from);
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn(parse(high)? << 32 | parse(low)?)))
            .ok_or_else(|| BadLsn(text.to_owned()))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a source has been applied: everything before it is in the target, nothing from it on.
///
/// Opaque to all but connectors: positions are compared, joined, and kept as text. Those of one source are
/// partially ordered, for a source may have several logs; of two sources nothing is known.
///
/// ```
/// use regraft_core::{Offsets, Position};
///
/// let at = |a, b| Position::from(Offsets::new([("orders", 0, a), ("orders", 1, b)]));
/// let (one, other) = (at(5, 2), at(3, 7));
/// assert!(!one.covers(&other) && !other.covers(&one));
/// assert_eq!(one.join(&other)?, at(5, 7));
/// assert_eq!(one.meet(&other)?, at(3, 2));
/// assert_eq!(one.stored(), "offsets:orders[0]=5,orders[1]=2");
/// assert_eq!(Position::from_stored(&one.stored())?, one);
/// # Ok::<(), regraft_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Position {
    /// In a PostgreSQL log: the *end* LSN of the last applied commit (rows of one transaction share LSNs, so
    /// nothing finer is a position), or a later LSN up to which the source had nothing for this pipeline.
    Lsn(Lsn),
    /// In the partitions of topics.
    Offsets(Offsets),
}

impl Position {
    /// Everything before `other` is before this one, too.
    pub fn covers(&self, other: &Position) -> bool {
        self >= other
    }

    /// A transaction that is at `at` ([`crate::Transaction::at`]) is before this position.
    pub fn has(&self, at: &Position) -> bool {
        match (self, at) {
            // Where the commit record ends is not known when it begins.
            (Position::Lsn(position), Position::Lsn(at)) => at < position,
            _ => self.covers(at),
        }
    }

    /// The least position that covers both.
    ///
    /// # Errors
    /// [`Code::Internal`] for positions of two sources.
    pub fn join(&self, other: &Position) -> crate::Result<Position> {
        match (self, other) {
            (Position::Lsn(a), Position::Lsn(b)) => Ok(Position::Lsn(*a.max(b))),
            (Position::Offsets(a), Position::Offsets(b)) => Ok(a.merged(b, u64::max).into()),
            _ => Err(self.unlike(other)),
        }
    }

    /// The greatest position that both cover.
    ///
    /// # Errors
    /// [`Code::Internal`] for positions of two sources.
    pub fn meet(&self, other: &Position) -> crate::Result<Position> {
        match (self, other) {
            (Position::Lsn(a), Position::Lsn(b)) => Ok(Position::Lsn(*a.min(b))),
            (Position::Offsets(a), Position::Offsets(b)) => Ok(a.merged(b, u64::min).into()),
            _ => Err(self.unlike(other)),
        }
    }

    fn unlike(&self, other: &Position) -> Error {
        Error::new(Code::Internal, format!("{self} and {other} are positions of two sources"))
    }

    /// Bytes of the source's log from `earlier` to here, 0 when `earlier` is ahead. `None` where the log does
    /// not count in bytes.
    pub fn bytes_since(&self, earlier: &Position) -> Option<u64> {
        match (self, earlier) {
            (Position::Lsn(end), Position::Lsn(start)) => Some(end.bytes_since(*start)),
            _ => None,
        }
    }

    /// As the ledger keeps it: its kind, and its text.
    pub fn stored(&self) -> String {
        let kind = match self {
            Position::Lsn(_) => "lsn",
            Position::Offsets(_) => "offsets",
        };
        format!("{kind}:{self}")
    }

    /// Parses what [`Position::stored`] gave. Without a kind it is an LSN: so it was in earlier ledgers.
    ///
    /// # Errors
    /// [`Code::LedgerNewer`] for a kind that this regraft does not know, or another text.
    pub fn from_stored(text: &str) -> crate::Result<Position> {
        let position = match text.split_once(':').unwrap_or(("lsn", text)) {
            ("lsn", lsn) => lsn.parse().ok().map(Position::Lsn),
            ("offsets", offsets) => offsets.parse().ok().map(Position::Offsets),
            _ => None,
        };
        position.ok_or_else(Self::unknown)
    }

    /// The error of a position that cannot be read.
    pub fn unknown() -> Error {
        Error::new(Code::LedgerNewer, "the ledger has a position of a form that is not known")
            .at("ledger")
            .remedy("run the regraft that wrote it, or a newer one")
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Position) -> Option<Ordering> {
        match (self, other) {
            (Position::Lsn(a), Position::Lsn(b)) => Some(a.cmp(b)),
            (Position::Offsets(a), Position::Offsets(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

impl From<Lsn> for Position {
    fn from(lsn: Lsn) -> Self {
        Position::Lsn(lsn)
    }
}

impl From<Offsets> for Position {
    fn from(offsets: Offsets) -> Self {
        Position::Offsets(offsets)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Lsn(lsn) => lsn.fmt(f),
            Position::Offsets(offsets) => offsets.fmt(f),
        }
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// For each partition of each topic the first offset that is not applied; 0 where there is none.
///
/// Ordered by each of them: one is beyond another only if it is so nowhere less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offsets(Arc<BTreeMap<(Arc<str>, u32), u64>>);

impl Offsets {
    /// From topics, partitions and offsets.
    pub fn new<T: Into<Arc<str>>>(offsets: impl IntoIterator<Item = (T, u32, u64)>) -> Self {
        let offsets = offsets.into_iter().filter(|(.., offset)| *offset > 0);
        Self(Arc::new(
            offsets.map(|(topic, part, offset)| ((topic.into(), part), offset)).collect(),
        ))
    }

    /// The first offset of a partition that is not applied.
    pub fn of(&self, topic: &str, partition: u32) -> u64 {
        self.0.get(&(Arc::from(topic), partition)).copied().unwrap_or(0)
    }

    fn merged(&self, other: &Offsets, of_both: fn(u64, u64) -> u64) -> Offsets {
        let keys: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let at = |offsets: &Offsets, key| offsets.0.get(key).copied().unwrap_or(0);
        Offsets::new(
            keys.into_iter()
                .map(|key| (Arc::clone(&key.0), key.1, of_both(at(self, key), at(other, key)))),
        )
    }
}

/// The text was neither a log sequence number nor offsets.
#[derive(Debug, thiserror::Error)]
#[error("not a position: {0:?}")]
pub struct BadPosition(String);

/// Parses what is printed; of [`Position::stored`] see [`Position::from_stored`].
impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        if text.is_empty() {
            return Err(BadPosition(String::new()));
        }
        text.parse().map(Position::Lsn).or_else(|_: BadLsn| text.parse().map(Position::Offsets))
    }
}

impl FromStr for Offsets {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let one = |text: &str| {
            let (topic, rest) = text.split_once('[')?;
            let (partition, offset) = rest.split_once("]=")?;
            Some((topic.to_owned(), partition.parse().ok()?, offset.parse().ok()?))
        };
        let parts = text.split(',').filter(|part| !part.is_empty()).map(one);
        let parts: Option<Vec<(String, u32, u64)>> = parts.collect();
        parts.map(Offsets::new).ok_or_else(|| BadPosition(text.to_owned()))
    }
}

impl PartialOrd for Offsets {
    fn partial_cmp(&self, other: &Offsets) -> Option<Ordering> {
        let covers = |a: &Offsets, b: &Offsets| {
            b.0.iter().all(|(key, offset)| a.0.get(key).is_some_and(|known| known >= offset))
        };
        match (covers(self, other), covers(other, self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

/// `orders[0]=15,orders[1]=7`: names of topics have none of these signs
/// (<https://kafka.apache.org/documentation/#brokerconfigs>, «topic names»).
impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ((topic, partition), offset)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{topic}[{partition}]={offset}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_lsn_prints_and_parses_as_postgres_does() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(lsn, Lsn(0x16_B374_D848));
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!(Lsn(0).to_string(), "0/0");
    }

    #[test]
    fn a_broken_lsn_is_refused() {
        for text in ["", "16", "/", "G/0", "1/100000000", "1/2/3"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    /// Topics have few names, and offsets few values, so that they meet.
    fn positions() -> impl Strategy<Value = Position> {
        let one = (prop_oneof![Just("a"), Just("b.c-d_e")], 0..2_u32, 0..4_u64);
        prop::collection::vec(one, 0..5).prop_map(|parts| {
            // Of two for one partition the last counts.
            Offsets::new(parts).into()
        })
    }

    proptest! {
        #[test]
        fn meet_and_join_are_the_nearest_of_both_sides(
            a in positions(), b in positions(), c in positions()
        ) {
            let (meet, join) = (a.meet(&b).unwrap(), a.join(&b).unwrap());
            prop_assert!(a.covers(&meet) && b.covers(&meet));
            prop_assert!(join.covers(&a) && join.covers(&b));
            prop_assert_eq!(meet.covers(&c), a.covers(&c) && b.covers(&c));
            prop_assert_eq!(c.covers(&join), c.covers(&a) && c.covers(&b));
            prop_assert_eq!(a.covers(&b) && b.covers(&a), a == b);
        }

        #[test]
        fn a_position_is_stored_and_restored(a in positions(), lsn: u64) {
            for position in [a, Position::Lsn(Lsn(lsn))] {
                prop_assert_eq!(&Position::from_stored(&position.stored()).unwrap(), &position);
                let printed = position.to_string();
                // No offset at all is printed as nothing.
                prop_assert_eq!(printed.parse().ok(), (!printed.is_empty()).then_some(position));
            }
        }
    }

    #[test]
    fn positions_of_two_sources_have_nothing_in_common() {
        let (lsn, offsets) = (Position::Lsn(Lsn(0)), Position::from(Offsets::default()));
        assert!(!lsn.covers(&offsets) && !offsets.covers(&lsn));
        assert!(lsn.join(&offsets).is_err() && offsets.meet(&lsn).is_err());
        assert_eq!(lsn.bytes_since(&offsets), None);
    }

    #[test]
    fn a_stored_position_without_a_kind_is_an_lsn_and_others_are_refused() {
        assert_eq!(Position::from_stored("0/A").unwrap(), Position::Lsn(Lsn(10)));
        for text in
            ["", "lsn:", "lsn:7", "gtid:1-2", "offsets:a[0]", "offsets:a[x]=1", "offsets:a=1"]
        {
            assert!(Position::from_stored(text).is_err(), "{text:?}");
        }
        assert_eq!(Position::from_stored("offsets:").unwrap(), Offsets::default().into());
    }
}
