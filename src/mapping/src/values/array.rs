//! Arrays in their binary send format (`array_send`), and in text.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::values::value::Fail;

/// Most dimensions that an array has (`MAXDIM`).
pub(crate) const DIMENSIONS_MAX: usize = 6;

/// Length and lower bound of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimension {
    pub(crate) length: i32,
    pub(crate) low: i32,
}

/// An array, its elements still in their binary send formats.
#[derive(Clone, Debug)]
pub(crate) struct Array<'a> {
    pub(crate) dimensions: SmallVec<[Dimension; 2]>,
    /// The flag of the header: room for NULLs. A slice without any may have it.
    pub(crate) flag: bool,
    pub(crate) items: Vec<Option<Cow<'a, [u8]>>>,
}

fn broken() -> Fail {
    Fail::Wire("an array is not in PostgreSQL's binary format")
}

impl<'a> Array<'a> {
    pub(crate) fn empty() -> Self {
        Self { dimensions: SmallVec::new(), flag: false, items: Vec::new() }
    }

    /// One dimension, counted from 1.
    pub(crate) fn list(items: Vec<Option<Cow<'a, [u8]>>>) -> Self {
        let mut array = Self { dimensions: SmallVec::new(), flag: false, items };
        if !array.items.is_empty() {
            let length = i32::try_from(array.items.len()).unwrap_or(i32::MAX);
            array.dimensions.push(Dimension { length, low: 1 });
        }
        array.count_nulls();
        array
    }

    /// Sets the flag by what the array holds.
    pub(crate) fn count_nulls(&mut self) {
        self.flag = self.items.iter().any(Option::is_none);
    }

    /// True when the flag says just what the elements say.
    pub(crate) fn is_exact(&self) -> bool {
        self.flag == self.items.iter().any(Option::is_none)
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Fail> {
        Self::read(bytes).ok_or_else(broken)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = bytes;
        let mut int = || -> Option<i32> {
            let (head, rest) = reader.split_first_chunk::<4>()?;
            reader = rest;
            Some(i32::from_be_bytes(*head))
        };
        let count = usize::try_from(int()?).ok().filter(|count| *count <= DIMENSIONS_MAX)?;
        let flag = int()? != 0;
        int()?;
        let mut dimensions = SmallVec::new();
        let mut total = usize::from(count > 0);
        for _ in 0..count {
            let dimension = Dimension { length: int()?, low: int()? };
            total = total.checked_mul(usize::try_from(dimension.length).ok()?)?;
            dimensions.push(dimension);
        }
        if total > bytes.len() / 4 {
            return None;
        }
        let mut items = Vec::with_capacity(total);
        for _ in 0..total {
            let (head, rest) = reader.split_first_chunk::<4>()?;
            reader = rest;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*head)) else {
                items.push(None);
                continue;
            };
            let (item, rest) = reader.split_at_checked(length)?;
            reader = rest;
            items.push(Some(Cow::Borrowed(item)));
        }
        Some(Self { dimensions, flag, items })
    }

    pub(crate) fn encode(&self, element: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + self.items.len() * 8);
        let count = i32::try_from(self.dimensions.len()).unwrap_or(0);
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&i32::from(self.flag).to_be_bytes());
        out.extend_from_slice(&element.to_be_bytes());
        for dimension in &self.dimensions {
            out.extend_from_slice(&dimension.length.to_be_bytes());
            out.extend_from_slice(&dimension.low.to_be_bytes());
        }
        for item in &self.items {
            match item {
                None => regraft_core::row::put_null(&mut out),
                Some(bytes) => regraft_core::row::put_value(&mut out, bytes),
            }
        }
        out
    }

    /// The place of the element with these subscripts; `None` when there is none.
    pub(crate) fn place(&self, subscripts: &[i64]) -> Option<usize> {
        if subscripts.len() != self.dimensions.len() || subscripts.is_empty() {
            return None;
        }
        let mut place = 0;
        for (subscript, dimension) in subscripts.iter().zip(&self.dimensions) {
            let offset = subscript - i64::from(dimension.low);
            if !(0..i64::from(dimension.length)).contains(&offset) {
                return None;
            }
            let length = usize::try_from(dimension.length).ok()?;
            place = place * length + usize::try_from(offset).ok()?;
        }
        Some(place)
    }

    /// The part between bounds, which are given for the first dimensions (`array_get_slice`).
    pub(crate) fn slice(mut self, bounds: &[(Option<i64>, Option<i64>)]) -> Self {
        if self.dimensions.is_empty() || bounds.len() > self.dimensions.len() {
            return Self::empty();
        }
        let mut ranges: SmallVec<[(i64, i64); 2]> = SmallVec::new();
        for (i, dimension) in self.dimensions.iter().enumerate() {
            let (low, length) = (i64::from(dimension.low), i64::from(dimension.length));
            let high = low + length - 1;
            let (from, to) = bounds.get(i).copied().unwrap_or((None, None));
            let (from, to) = (from.unwrap_or(low).max(low), to.unwrap_or(high).min(high));
            if from > to {
                return Self::empty();
            }
            ranges.push((from - low, to - low));
        }
        let lengths: SmallVec<[i64; 2]> =
            self.dimensions.iter().map(|dimension| i64::from(dimension.length)).collect();
        let items = std::mem::take(&mut self.items);
        let inside = |place: usize| {
            let mut place = i64::try_from(place).unwrap_or(i64::MAX);
            ranges.iter().zip(&lengths).rev().all(|((from, to), length)| {
                let at = place % length;
                place /= length;
                (*from..=*to).contains(&at)
            })
        };
        self.items =
            items.into_iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, v)| v).collect();
        for (dimension, (from, to)) in self.dimensions.iter_mut().zip(&ranges) {
            let length = i32::try_from(to - from + 1).unwrap_or(i32::MAX);
            *dimension = Dimension { length, low: 1 };
        }
        self
    }

    /// `array_cat`, both with elements.
    pub(crate) fn join(self, other: Self) -> Result<Self, Fail> {
        let mismatch = || Fail::error("2202E", "cannot concatenate incompatible arrays");
        let (a, b) = (&self.dimensions, &other.dimensions);
        let mut dimensions = if a.len() >= b.len() { a.clone() } else { b.clone() };
        let (inner, more) = if a.len() == b.len() {
            (a[1..] == b[1..], b[0].length)
        } else if a.len() + 1 == b.len() {
            (a[..] == b[1..], 1)
        } else if a.len() == b.len() + 1 {
            (a[1..] == b[..], 1)
        } else {
            return Err(mismatch());
        };
        if !inner {
            return Err(mismatch());
        }
        dimensions[0].length = dimensions[0].length.checked_add(more).ok_or(Fail::Doubt)?;
        let mut items = self.items;
        items.extend(other.items);
        Ok(Self { dimensions, flag: self.flag || other.flag, items })
    }
}

/// The elements of an array literal: `None` for NULL, and the lengths of its dimensions.
pub(crate) type Literal = (Vec<Option<String>>, SmallVec<[usize; 2]>);

/// Reads `{a,"b c",NULL,{…}}`; `None` for what is malformed, has bounds, or is written in a way
/// that versions take differently.
pub(crate) fn parse(text: &str) -> Option<Literal> {
    let text = text.trim_matches(' ');
    let mut items = Vec::new();
    if text.strip_prefix('{')?.strip_suffix('}')?.trim_matches(' ').is_empty() {
        return Some((items, SmallVec::new()));
    }
    let mut lengths: SmallVec<[usize; 2]> = SmallVec::new();
    let mut counts: SmallVec<[usize; 2]> = SmallVec::new();
    let mut depth_of_items = None;
    let mut rest = text;
    // Set where an element or an opening brace has to come.
    let mut wanted = true;
    loop {
        rest = rest.trim_start_matches(' ');
        let first = rest.chars().next()?;
        match first {
            '{' if wanted => {
                if counts.len() == DIMENSIONS_MAX {
                    return None;
                }
                counts.push(0);
                rest = &rest[1..];
            }
            '}' if !wanted => {
                rest = &rest[1..];
                let depth = counts.len();
                let count = counts.pop()? + 1;
                while lengths.len() < depth {
                    lengths.push(0);
                }
                let known = &mut lengths[depth - 1];
                if *known != 0 && *known != count {
                    return None;
                }
                *known = count;
                if counts.is_empty() {
                    break;
                }
            }
            ',' if !wanted => {
                rest = &rest[1..];
                *counts.last_mut()? += 1;
                wanted = true;
            }
            _ if wanted => {
                // All elements are equally deep.
                if *depth_of_items.get_or_insert(counts.len()) != counts.len() || counts.is_empty()
                {
                    return None;
                }
                let (item, after) = element(rest)?;
                items.push(item);
                rest = after;
                wanted = false;
            }
            _ => return None,
        }
    }
    let deep = depth_of_items == Some(lengths.len());
    let total: usize = lengths.iter().product();
    (rest.is_empty() && deep && total == items.len()).then_some((items, lengths))
}

fn element(rest: &str) -> Option<(Option<String>, &str)> {
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut item = String::new();
        let mut chars = quoted.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => return Some((Some(item), &quoted[i + 1..])),
                '\\' => item.push(chars.next()?.1),
                c => item.push(c),
            }
        }
        return None;
    }
    let end = rest.find([',', '}'])?;
    let item = rest[..end].trim_end_matches(' ');
    let odd =
        |c: char| "{\"\\".contains(c) || (c.is_ascii_whitespace() && c != ' ') || c == '\u{b}';
    if item.is_empty() || item.contains(odd) {
        return None;
    }
    let null = item.eq_ignore_ascii_case("null");
    Some(((!null).then(|| item.to_owned()), &rest[end..]))
}

/// `array_out`, over the texts of the elements.
pub(crate) fn print(dimensions: &[Dimension], items: &[Option<Cow<'_, str>>]) -> String {
    if dimensions.is_empty() {
        return "{}".into();
    }
    let mut out = String::new();
    if dimensions.iter().any(|dimension| dimension.low != 1) {
        out.push_str(&bounds(dimensions));
        out.push('=');
    }
    let mut sizes: SmallVec<[usize; 2]> = SmallVec::new();
    for i in 0..dimensions.len() {
        let lengths = dimensions[i..].iter().map(|d| usize::try_from(d.length).unwrap_or(1));
        sizes.push(lengths.product());
    }
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        sizes.iter().filter(|size| i % **size == 0).for_each(|_| out.push('{'));
        match item {
            None => out.push_str("NULL"),
            Some(text) => put(text, &mut out),
        }
        sizes.iter().filter(|size| (i + 1) % **size == 0).for_each(|_| out.push('}'));
    }
    out
}

fn put(text: &str, out: &mut String) {
    let special = |c: char| "{},\"\\ \t\n\r\u{b}\u{c}".contains(c);
    if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// `[1:2][1:3]`
pub(crate) fn bounds(dimensions: &[Dimension]) -> String {
    let one = |d: &Dimension| {
        let high = i64::from(d.low) + i64::from(d.length) - 1;
        format!("[{}:{high}]", d.low)
    };
    dimensions.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_malformed_is_not_read() {
        for text in [
            "",
            "{",
            "}",
            "{a",
            "{,}",
            "{a,}",
            "{{1},{2,3}}",
            "{1,{2}}",
            "{{}}",
            "{a}b",
            "{a\"b\"}",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        let (items, lengths) = parse(r#" {{ a b ,"c,\"d"},{NULL,"null"}} "#).unwrap();
        assert_eq!(lengths.as_slice(), [2, 2]);
        let wanted = [Some("a b"), Some("c,\"d"), None, Some("null")];
        assert_eq!(items.iter().map(Option::as_deref).collect::<Vec<_>>(), wanted);
    }

    proptest! {
        #[test]
        fn arbitrary_text_and_bytes_never_panic(
            text: String,
            braces in "[{}a,\"N ]{0,20}",
            bytes: Vec<u8>,
        ) {
            for text in [text, braces] {
                if let Some((items, lengths)) = parse(&text) {
                    prop_assert_eq!(items.is_empty(), lengths.is_empty());
                }
            }
            prop_assert!(Array::decode(&bytes).is_err() || bytes.len() >= 12);
        }

        #[test]
        fn what_is_printed_reads_back(items: Vec<Option<String>>) {
            let array = Array::list(items.iter().map(|_| None).collect());
            let texts: Vec<_> = items.iter().map(|item| item.as_deref().map(Cow::Borrowed)).collect();
            let found = parse(&print(&array.dimensions, &texts)).map(|found| found.0);
            prop_assert_eq!(found, Some(items));
        }
    }
}
