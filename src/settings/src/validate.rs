//! What a value may be beyond its type.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;

use crate::model::{
    ANSWER, BATCH_AGE, BATCH_ROWS, BYTES_MIN, CHUNK_ROWS, LOCK, MEMORY_MIN, NAME_LENGTH, PERCENT,
    READERS, READY_LAG, SESSIONS, STATEMENT, TARGET_NAME_LENGTH,
};
use crate::secret::is_postgres_url;
use crate::tree::Fault;
use crate::units::{format_bytes, format_duration};
use crate::{PLAIN_TARGET, Settings, UrlSource};

/// Longest name of an object in PostgreSQL (`NAMEDATALEN` - 1), in bytes.
const IDENTIFIER_MAX: usize = 63;

impl Settings {
    /// Every fault of the values.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check_names(&mut faults);
        let targets = self.targets.iter().map(|target| (target.table() + ".url", &target.url));
        for (key, url) in [("source.url".to_owned(), &self.source.url)].into_iter().chain(targets) {
            if let UrlSource::Inline(secret) = url
                && !is_postgres_url(secret.expose())
            {
                faults.push(
                    Fault::new(&key, format!("{key} is not a postgres:// URL"))
                        .remedy("write postgres://user:password@host:5432/database"),
                );
            }
        }
        self.check_ranges(&mut faults);
        self.check_memory(&mut faults);
        faults
    }

    fn check_names(&self, faults: &mut Vec<Fault>) {
        let word = |text: &str| {
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        for (target, name) in self.targets.iter().filter_map(|t| Some((t, t.name.as_ref()?))) {
            let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
            // By that name the plain one is called on the command line.
            let is_free = name != PLAIN_TARGET;
            if !starts_well || !word(name) || !TARGET_NAME_LENGTH.contains(&name.len()) || !is_free
            {
                let what = format!("{name:?} is not a valid name of a target");
                let remedy = "use 1 to 14 characters of a-z, 0-9 and _, the first one a letter, and not \"target\"";
                faults.push(Fault::new(&target.table(), what).remedy(remedy));
            }
        }
        let name = self.pipeline();
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well || !word(name) || !NAME_LENGTH.contains(&name.len()) {
            let remedy = "use 1 to 40 characters of a-z, 0-9 and _, the first one a letter: \
                          replication slots allow no others";
            faults.push(Fault::new("name", "name is not a valid pipeline name").remedy(remedy));
            // The default names below are made of it: one fault is enough.
            return;
        }
        let slot = &self.source.slot;
        if slot.is_empty() || !word(slot) || slot.len() > IDENTIFIER_MAX {
            let what = "source.slot is not a valid name of a replication slot";
            let remedy = "use 1 to 63 characters of a-z, 0-9 and _";
            faults.push(Fault::new("source.slot", what).remedy(remedy));
        }
        let publication = &self.source.publication;
        if publication.is_empty()
            || publication.len() > IDENTIFIER_MAX
            || publication.contains('\0')
        {
            let what = "source.publication is not a valid name of a publication";
            faults.push(Fault::new("source.publication", what).remedy("use 1 to 63 bytes"));
        }
    }

    fn check_ranges(&self, faults: &mut Vec<Fault>) {
        let (backfill, limits) = (&self.backfill, &self.limits);
        for target in &self.targets {
            let key = format!("{}.sessions", target.table());
            faults.extend(range(&key, &target.sessions, SESSIONS, plain));
        }
        faults.extend(range("backfill.readers", &backfill.readers, READERS, plain));
        faults.extend(range("backfill.chunk_rows", &backfill.chunk_rows, CHUNK_ROWS, plain));
        let percent = &self.verify.source_percent;
        faults.extend(range("verify.source_percent", percent, PERCENT, plain));
        for (key, is_zero) in [
            ("verify.rows_per_second", self.verify.rows_per_second == 0),
            ("verify.repairs_per_hour", self.verify.repairs_per_hour == 0),
        ] {
            if is_zero {
                let remedy = "set verify.enabled = false, or verify.repair = \"off\"";
                faults.push(Fault::new(key, format!("{key} is 0")).remedy(remedy));
            }
        }
        faults.extend(range("limits.batch_rows", &limits.batch_rows, BATCH_ROWS, plain));
        let duration = |value: &std::time::Duration| format_duration(*value);
        faults.extend(range("limits.batch_age", &limits.batch_age, BATCH_AGE, duration));
        let deadlines = &self.deadlines;
        faults.extend(range("http.ready_lag", &self.http.ready_lag, READY_LAG, duration));
        faults.extend(range("deadlines.answer", &deadlines.answer, ANSWER, duration));
        faults.extend(range("deadlines.statement", &deadlines.statement, STATEMENT, duration));
        faults.extend(range("deadlines.lock", &deadlines.lock, LOCK, duration));
        let sizes = [
            ("backfill.chunk_bytes", backfill.chunk_bytes, BYTES_MIN),
            ("limits.batch_bytes", limits.batch_bytes, BYTES_MIN),
            ("limits.memory", limits.memory, MEMORY_MIN),
        ];
        for (key, size, least) in sizes {
            if size < least {
                let remedy = format!("write \"{}\" or more", format_bytes(least));
                faults.push(Fault::new(key, format!("{key} is too small")).remedy(remedy));
            }
        }
        if backfill.rows_per_second == Some(0) {
            let key = "backfill.rows_per_second";
            faults.push(
                Fault::new(key, format!("{key} is 0, nothing would be read"))
                    .remedy("leave it out for no limit, or set backfill.enabled = false"),
            );
        }
    }

    /// A full chunk per reader and a batch must fit at the same time, or the budget stops them all.
    fn check_memory(&self, faults: &mut Vec<Fault>) {
        let (backfill, limits) = (&self.backfill, &self.limits);
        let chunks = backfill.chunk_bytes.saturating_mul(backfill.readers);
        let needed = chunks.saturating_add(limits.batch_bytes);
        if limits.memory >= MEMORY_MIN && needed > limits.memory {
            let what = format!(
                "limits.memory ({}) does not hold backfill.readers × backfill.chunk_bytes + \
                 limits.batch_bytes",
                format_bytes(limits.memory)
            );
            let remedy = "raise limits.memory, or lower the others";
            faults.push(Fault::new("limits.memory", what).remedy(remedy));
        }
    }
}

fn plain<T: Display>(value: &T) -> String {
    value.to_string()
}

fn range<T: PartialOrd + Debug>(
    key: &str,
    value: &T,
    range: RangeInclusive<T>,
    text: impl Fn(&T) -> String,
) -> Option<Fault> {
    if range.contains(value) {
        return None;
    }
    let what = format!("{key} is {}, out of range", text(value));
    let remedy = format!("choose from {} to {}", text(range.start()), text(range.end()));
    Some(Fault::new(key, what).remedy(remedy))
}
