//! `interval`: months, days and microseconds, none of them carried into another.

use std::cmp::Ordering;

pub(crate) const DAY: i64 = 86_400_000_000;
const DAYS_PER_MONTH: i32 = 30;

/// An interval as PostgreSQL keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Interval {
    pub(crate) micros: i64,
    pub(crate) days: i32,
    pub(crate) months: i32,
}

impl Interval {
    /// From `interval_send`.
    pub(crate) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 16] = bytes.try_into().ok()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Some(Self {
            micros: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            days: i32::from_be_bytes([i, j, k, l]),
            months: i32::from_be_bytes([m, n, o, p]),
        })
    }

    pub(crate) fn to_binary(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.micros.to_be_bytes());
        out[8..12].copy_from_slice(&self.days.to_be_bytes());
        out[12..].copy_from_slice(&self.months.to_be_bytes());
        out
    }

    /// Since version 17 these are the infinities; before, they were intervals like others.
    pub(crate) fn is_extreme(self) -> bool {
        let end = |v: i32| v == i32::MIN || v == i32::MAX;
        end(self.months) && end(self.days) && (self.micros == i64::MIN || self.micros == i64::MAX)
    }

    /// Order with months of 30 days and days of 24 hours.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        let span = |v: Self| {
            let days = i128::from(v.months) * i128::from(DAYS_PER_MONTH) + i128::from(v.days);
            days * i128::from(DAY) + i128::from(v.micros)
        };
        span(self).cmp(&span(other))
    }

    pub(crate) fn add(self, other: Self) -> Option<Self> {
        Some(Self {
            micros: self.micros.checked_add(other.micros)?,
            days: self.days.checked_add(other.days)?,
            months: self.months.checked_add(other.months)?,
        })
    }

    pub(crate) fn subtract(self, other: Self) -> Option<Self> {
        Some(Self {
            micros: self.micros.checked_sub(other.micros)?,
            days: self.days.checked_sub(other.days)?,
            months: self.months.checked_sub(other.months)?,
        })
    }

    pub(crate) fn negate(self) -> Option<Self> {
        Self::default().subtract(self)
    }

    /// Whole days out of the time (`interval_justify_hours`).
    pub(crate) fn justify_hours(mut self) -> Option<Self> {
        let days = i32::try_from(self.micros / DAY).ok()?;
        self.micros %= DAY;
        self.days = self.days.checked_add(days)?;
        Some(self.align_time())
    }

    /// Whole months of 30 days out of the days (`interval_justify_days`).
    pub(crate) fn justify_days(mut self) -> Option<Self> {
        self.carry_days()?;
        if self.months > 0 && self.days < 0 {
            self.days += DAYS_PER_MONTH;
            self.months -= 1;
        } else if self.months < 0 && self.days > 0 {
            self.days -= DAYS_PER_MONTH;
            self.months += 1;
        }
        Some(self)
    }

    /// Both, with all signs alike (`interval_justify_interval`).
    pub(crate) fn justify(mut self) -> Option<Self> {
        if (self.days > 0 && self.micros > 0) || (self.days < 0 && self.micros < 0) {
            self.carry_days()?;
        }
        self.days = self.days.checked_add(i32::try_from(self.micros / DAY).ok()?)?;
        self.micros %= DAY;
        self.carry_days()?;
        if self.months > 0 && (self.days < 0 || (self.days == 0 && self.micros < 0)) {
            self.days += DAYS_PER_MONTH;
            self.months -= 1;
        } else if self.months < 0 && (self.days > 0 || (self.days == 0 && self.micros > 0)) {
            self.days -= DAYS_PER_MONTH;
            self.months += 1;
        }
        Some(self.align_time())
    }

    fn carry_days(&mut self) -> Option<()> {
        self.months = self.months.checked_add(self.days / DAYS_PER_MONTH)?;
        self.days %= DAYS_PER_MONTH;
        Some(())
    }

    /// The time of the sign of the days.
    fn align_time(mut self) -> Self {
        if self.days > 0 && self.micros < 0 {
            self.micros += DAY;
            self.days -= 1;
        } else if self.days < 0 && self.micros > 0 {
            self.micros -= DAY;
            self.days += 1;
        }
        self
    }

    /// `interval * float8` and `interval / float8`. `None` out of range, and where a product is
    /// rounded: then the result depends on whether the server's processor fuses operations.
    pub(crate) fn scale(self, factor: f64, divide: bool) -> Option<Self> {
        let times = |value: f64| -> Option<f64> {
            let result = if divide { value / factor } else { value * factor };
            let exact = if divide {
                result.mul_add(factor, -value) == 0.0
            } else {
                value.mul_add(factor, -result) == 0.0
            };
            exact.then_some(result)
        };
        let whole = |value: f64| -> Option<i32> {
            (value > f64::from(i32::MIN) && value < f64::from(i32::MAX)).then_some(value as i32)
        };
        let rounded = |value: f64| (value * 1e6).round_ties_even() / 1e6;
        if !factor.is_finite() || self.micros.unsigned_abs() > 1 << 53 {
            return None;
        }
        let months = times(f64::from(self.months))?;
        let days = times(f64::from(self.days))?;
        let mut out = Self { months: whole(months)?, days: whole(days)?, micros: 0 };
        let more_days = rounded((months - f64::from(out.months)) * f64::from(DAYS_PER_MONTH));
        let mut seconds =
            rounded((days - f64::from(out.days) + more_days - more_days.trunc()) * 86_400.0);
        if seconds.abs() >= 86_400.0 {
            let carried = (seconds / 86_400.0).trunc();
            out.days = out.days.checked_add(whole(carried)?)?;
            seconds -= carried * 86_400.0;
        }
        out.days = out.days.checked_add(whole(more_days)?)?;
        let tail = seconds * 1e6;
        if seconds.mul_add(1e6, -tail) != 0.0 {
            return None;
        }
        let micros = (times(self.micros as f64)? + tail).round_ties_even();
        if micros.abs() >= 9.2e18 {
            return None;
        }
        out.micros = micros as i64;
        Some(out)
    }

    /// As PostgreSQL prints it with IntervalStyle `postgres`.
    pub(crate) fn text(self) -> String {
        let mut out = String::new();
        let mut before = false;
        let parts = [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")];
        for (value, unit) in parts {
            if value == 0 {
                continue;
            }
            let blank = if out.is_empty() { "" } else { " " };
            let plus = if before && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            out.push_str(&format!("{blank}{plus}{value} {unit}{plural}"));
            before = value < 0;
        }
        if out.is_empty() || self.micros != 0 {
            let blank = if out.is_empty() { "" } else { " " };
            let sign = if self.micros < 0 {
                "-"
            } else if before {
                "+"
            } else {
                ""
            };
            out.push_str(&format!("{blank}{sign}{}", clock(self.micros.unsigned_abs())));
        }
        out
    }

    /// Reads the verbose form (`1 year -2 days 03:04:05.6 ago`) and the one of ISO 8601 with
    /// designators (`P1Y2M3DT4H5M6S`); `None` for every other form. Fractions: of seconds only.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('P') {
            Some(rest) => parse_iso(rest),
            None => parse_words(text),
        }
    }
}

/// `hh:mm:ss[.ffffff]`
pub(crate) fn clock(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction > 0 {
        out.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    out
}

/// Sums while an interval is read.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
    /// Units that were given: each may be given once.
    seen: u16,
}

const HOUR: u16 = 1;
const MINUTE: u16 = 2;
const SECOND: u16 = 4;
const MILLI: u16 = 8;
const MICRO: u16 = 16;

impl Sum {
    fn mark(&mut self, bits: u16) -> Option<()> {
        let free = self.seen & bits == 0;
        self.seen |= bits;
        free.then_some(())
    }

    fn finish(self, ago: bool) -> Option<Interval> {
        let found = Interval {
            micros: self.micros,
            days: i32::try_from(self.days).ok()?,
            months: i32::try_from(self.months).ok()?,
        };
        if ago { found.negate() } else { Some(found) }
    }
}

/// A number with an optional sign, and its decimals as millionths of the same sign.
fn number(text: &str) -> Option<(i64, i64, bool)> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    let digits = |text: &str, most: usize| -> Option<i64> {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if fits { text.parse().ok() } else { None }
    };
    let value = digits(whole, 9)?;
    let millionths = match fraction {
        None => 0,
        Some(text) => digits(text, 6)? * 10_i64.pow(u32::try_from(6 - text.len()).ok()?),
    };
    let sign = if negative { -1 } else { 1 };
    Some((sign * value, sign * millionths, fraction.is_some()))
}

fn parse_words(text: &str) -> Option<Interval> {
    if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let mut words: Vec<&str> = lower.split(' ').filter(|word| !word.is_empty()).collect();
    let ago = words.last() == Some(&"ago");
    if ago {
        words.pop();
    }
    if words.is_empty() {
        return None;
    }
    let mut sum = Sum::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word.contains(':') {
            time(word, &mut sum)?;
            continue;
        }
        let letters = word.find(|c: char| c.is_ascii_alphabetic());
        let (count, name) = match letters {
            Some(at) => word.split_at(at),
            None => (word, words.next()?),
        };
        unit(number(count)?, name, &mut sum)?;
    }
    sum.finish(ago)
}

fn unit(count: (i64, i64, bool), name: &str, sum: &mut Sum) -> Option<()> {
    let (value, millionths, fraction) = count;
    let second = matches!(name, "s" | "sec" | "secs" | "second" | "seconds");
    if fraction && !second {
        return None;
    }
    match name {
        _ if second => {
            sum.mark(if millionths == 0 { SECOND } else { SECOND | MILLI | MICRO })?;
            sum.micros += value * 1_000_000 + millionths;
        }
        "microsecond" | "microseconds" => {
            sum.mark(MICRO)?;
            sum.micros += value;
        }
        "millisecond" | "milliseconds" => {
            sum.mark(MILLI)?;
            sum.micros += value * 1000;
        }
        "min" | "mins" | "minute" | "minutes" => {
            sum.mark(MINUTE)?;
            sum.micros += value * 60_000_000;
        }
        "h" | "hr" | "hrs" | "hour" | "hours" => {
            sum.mark(HOUR)?;
            sum.micros = sum.micros.checked_add(value.checked_mul(3_600_000_000)?)?;
        }
        "d" | "day" | "days" => {
            sum.mark(32)?;
            sum.days += value;
        }
        "w" | "week" | "weeks" => {
            sum.mark(64)?;
            sum.days += value * 7;
        }
        "mon" | "mons" | "month" | "months" => {
            sum.mark(128)?;
            sum.months += value;
        }
        "y" | "yr" | "yrs" | "year" | "years" => {
            sum.mark(256)?;
            sum.months += value * 12;
        }
        "decade" | "decades" => {
            sum.mark(512)?;
            sum.months += value * 120;
        }
        "century" | "centuries" => {
            sum.mark(1024)?;
            sum.months += value * 1200;
        }
        _ => return None,
    }
    Some(())
}

/// `[-]h:mm[:ss[.ffffff]]`
fn time(word: &str, sum: &mut Sum) -> Option<()> {
    sum.mark(HOUR | MINUTE | SECOND | MILLI | MICRO)?;
    let (sign, rest) = match word.as_bytes().first()? {
        b'-' => (-1, &word[1..]),
        b'+' => (1, &word[1..]),
        _ => (1, word),
    };
    let mut parts = rest.split(':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let seconds = parts.next();
    let plain = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let small = |text: &str| -> Option<(i64, i64)> {
        let (value, millionths, _) = number(text).filter(|_| plain(text))?;
        (text.split('.').next()?.len() == 2 && value < 60).then_some((value, millionths))
    };
    let (hours, _, fraction) = number(hours).filter(|_| plain(hours))?;
    let (minutes, odd) = small(minutes)?;
    let (seconds, millionths) = seconds.map_or(Some((0, 0)), small)?;
    // The minutes must be whole, and 1:02.5 would be minutes and seconds.
    if fraction || odd != 0 || rest.split(':').nth(1)?.contains('.') || parts.next().is_some() {
        return None;
    }
    let total = (hours.checked_mul(3600)? + minutes * 60 + seconds).checked_mul(1_000_000)?;
    sum.micros = sum.micros.checked_add(sign * (total + millionths))?;
    Some(())
}

fn parse_iso(text: &str) -> Option<Interval> {
    let mut sum = Sum::default();
    let mut rest = text;
    let (mut in_time, mut last) = (false, 0);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if in_time || after.is_empty() {
                return None;
            }
            in_time = true;
            rest = after;
            continue;
        }
        let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (value, millionths, fraction) = number(&rest[..at])?;
        let letter = rest.as_bytes().get(at)?;
        rest = &rest[at + 1..];
        let rank = match (in_time, letter) {
            (false, b'Y') => 1,
            (false, b'M') => 2,
            (false, b'W') => 3,
            (false, b'D') => 4,
            (true, b'H') => 5,
            (true, b'M') => 6,
            (true, b'S') => 7,
            _ => return None,
        };
        if rank <= last || (fraction && rank != 7) {
            return None;
        }
        last = rank;
        match rank {
            1 => sum.months += value * 12,
            2 => sum.months += value,
            3 => sum.days += value * 7,
            4 => sum.days += value,
            5 => sum.micros = value.checked_mul(3_600_000_000)?,
            6 => sum.micros = sum.micros.checked_add(value * 60_000_000)?,
            _ => sum.micros = sum.micros.checked_add(value * 1_000_000 + millionths)?,
        }
    }
    if last == 0 { None } else { sum.finish(false) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String, words in "[-+0-9a-zP:. ]{0,30}") {
            prop_assert!(Interval::parse(&text).is_none_or(|found| !found.is_extreme()));
            prop_assert!(Interval::parse(&words).is_none_or(|found| !found.is_extreme()));
        }

        #[test]
        fn what_is_printed_reads_back(
            micros in -3_000_000_000_000_000_i64..3_000_000_000_000_000,
            days in -900_000_000_i32..900_000_000,
            months: i32,
        ) {
            let value = Interval { micros, days, months };
            prop_assert_eq!(Interval::parse(&value.text()), Some(value));
        }
    }
}
