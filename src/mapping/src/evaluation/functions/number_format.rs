//! to_char over integers and numeric, for formats of digits, group commas and a decimal point.

use super::{Entry, REFUSED, Run};
use crate::values::numeric::Numeric;
use crate::values::types::Type;
use crate::values::types::Type::{Float4, Float8, Int4, Int8, Text};
use crate::values::value::{Evaluated, Fail, Value};

const fn entry(kind: &'static [Type], result: Type, run: Run) -> Entry {
    super::entry("to_char", kind, result, run).stable().literal(1, is_known)
}

pub(crate) const ENTRIES: &[Entry] = &[
    entry(&[Int4, Text], Text, to_char),
    entry(&[Int8, Text], Text, to_char),
    entry(&[Type::Numeric, Text], Text, to_char),
    entry(&[Float4, Text], REFUSED, |_| Err(Fail::Doubt)),
    entry(&[Float8, Text], REFUSED, |_| Err(Fail::Doubt)),
    entry(&[Type::Interval, Text], REFUSED, |_| Err(Fail::Doubt)),
];

/// A format, taken apart.
struct Format<'f> {
    /// Nothing is padded.
    bare: bool,
    /// Digits and commas before the point.
    whole: &'f str,
    /// Digits behind it.
    part: Option<&'f str>,
}

/// Longest format.
const LENGTH_MAX: usize = 60;

impl<'f> Format<'f> {
    /// `None` for a format that is not taken.
    fn new(format: &'f str) -> Option<Self> {
        let rest = format.strip_prefix("FM").or_else(|| format.strip_prefix("fm"));
        let bare = rest.is_some();
        let rest = rest.unwrap_or(format);
        let (whole, part) = match rest.split_once('.') {
            Some((whole, part)) => (whole, Some(part)),
            None => (rest, None),
        };
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|b| matches!(b, b'0' | b'9'));
        let plain = digits(&whole.replace(',', ""))
            && whole.starts_with(['0', '9'])
            && whole.ends_with(['0', '9'])
            && part.is_none_or(digits)
            // Without padding, zeros at the end are left out at a 9.
            && !(bare && part.is_some_and(|part| part.contains('9')));
        (plain && rest.len() <= LENGTH_MAX).then_some(Self { bare, whole, part })
    }
}

/// True when a format, given as a constant, can be evaluated here.
pub(crate) fn is_known(format: &str) -> bool {
    Format::new(format).is_some()
}

fn to_char<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [value, Value::Text(format)] = arguments else {
        return Err(Fail::Wire("to_char got other types than it was compiled for"));
    };
    let format = Format::new(format).ok_or(Fail::Doubt)?;
    let number = match value {
        Value::Int(value) => Numeric::from_i64(*value),
        Value::Numeric(value) if value.is_finite() => value.clone(),
        _ => return Err(Fail::Doubt),
    };
    let decimals = format.part.map_or(0, str::len);
    let text = number.round(i32::try_from(decimals).unwrap_or(0)).to_string();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => (' ', text.as_str()),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let places = format.whole.bytes().filter(|byte| *byte != b',').count();
    // What does not fit is shown as number signs; what is less than 1, without its zero before a 9.
    let hidden = whole == "0" && format.part.is_some() && !format.whole.contains('0');
    if whole.len() > places || hidden {
        return Err(Fail::Doubt);
    }
    let mut out = String::new();
    let mut digits = whole.chars();
    let (mut place, mut started) = (0, false);
    for mark in format.whole.chars() {
        if mark != ',' {
            place += 1;
        }
        let given = mark != ',' && places - place < whole.len();
        if !started && (given || mark == '0') {
            started = true;
            if !(format.bare && sign == ' ') {
                out.push(sign);
            }
        }
        if !started {
            out.push_str(if format.bare { "" } else { " " });
        } else if mark == ',' {
            out.push(',');
        } else {
            out.push(if given { digits.next().unwrap_or('0') } else { '0' });
        }
    }
    if format.part.is_some() {
        out.push('.');
        out.push_str(part);
    }
    Ok(Value::text(out))
}
