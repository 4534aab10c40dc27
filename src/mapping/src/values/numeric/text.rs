//! Reading and printing decimals as `numeric_in` and `numeric_out` do.

use std::fmt;

use super::{BASE, Digits, Numeric, Overflow, SCALE_MAX, Sign, WEIGHT_MAX, WIDTH};

/// Why a text is no numeric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// 22P02
    Syntax,
    /// 22003
    Range,
    /// Hexadecimal, octal, binary or underscored: some versions take it, others do not.
    ByVersion,
}

impl From<Overflow> for Malformed {
    fn from(_: Overflow) -> Self {
        Malformed::Range
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The text without the white space that PostgreSQL's number readers skip.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| u8::try_from(c).is_ok_and(is_space))
}

impl Numeric {
    /// Reads a decimal, `NaN` or an infinity.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let text = trim(text);
        let (negative, signed, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, true, &text[1..]),
            Some(b'+') => (false, true, &text[1..]),
            _ => (false, false, text),
        };
        if rest.eq_ignore_ascii_case("nan") && !signed {
            return Ok(Self::special(Sign::Nan));
        }
        if rest.eq_ignore_ascii_case("infinity") || rest.eq_ignore_ascii_case("inf") {
            return Ok(Self::special(if negative { Sign::MinusInfinity } else { Sign::Infinity }));
        }
        let value = Self::parse_decimal(rest.as_bytes()).map_err(|why| {
            let odd =
                rest.bytes().any(|b| matches!(b, b'_' | b'x' | b'X' | b'o' | b'O' | b'b' | b'B'));
            let starts = rest.starts_with(|c: char| c.is_ascii_digit());
            if why == Malformed::Syntax && odd && starts { Malformed::ByVersion } else { why }
        })?;
        Ok(if negative { value.negate() } else { value })
    }

    fn parse_decimal(bytes: &[u8]) -> Result<Self, Malformed> {
        let whole = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let mut at = whole;
        let mut fraction = 0;
        if bytes.get(at) == Some(&b'.') {
            fraction = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            at += 1 + fraction;
        }
        if whole + fraction == 0 {
            return Err(Malformed::Syntax);
        }
        let exponent = match bytes.get(at) {
            None => 0,
            Some(b'e' | b'E') => parse_exponent(&bytes[at + 1..])?,
            Some(_) => return Err(Malformed::Syntax),
        };
        let digit = |i: usize| if i < whole { bytes[i] } else { bytes[i + 1] } - b'0';
        let point = i64::try_from(whole).map_err(|_| Malformed::Range)? + exponent;
        let scale = (i64::try_from(fraction).map_err(|_| Malformed::Range)? - exponent).max(0);
        if scale > i64::from(SCALE_MAX)
            || point > (i64::from(WEIGHT_MAX) + 2) * i64::from(WIDTH) + (whole + fraction) as i64
        {
            return Err(Malformed::Range);
        }
        // Number i (from 0) of the decimal digits counts 10 ^ (point - 1 - i).
        let first = (point - 1).div_euclid(i64::from(WIDTH));
        let skew = (point - 1).rem_euclid(i64::from(WIDTH));
        let mut digits = Digits::new();
        // Decimal digits missing in front of the first base digit.
        let mut position = (i64::from(WIDTH) - 1 - skew) as usize;
        let mut current = 0_u16;
        for i in 0..whole + fraction {
            current = current * 10 + u16::from(digit(i));
            position += 1;
            if position == WIDTH as usize {
                digits.push(current);
                (current, position) = (0, 0);
            }
        }
        if position > 0 {
            digits.push(current * 10_u16.pow((WIDTH as usize - position) as u32));
        }
        let weight = i32::try_from(first).map_err(|_| Malformed::Range)?;
        let value = Self { sign: Sign::Plus, weight, scale: scale as i32, digits };
        Ok(value.normalize().checked()?)
    }

    /// Rounded to `precision` significant decimals, `scale` of them behind the point, as a
    /// `numeric(p, s)` column does. `None` when it does not fit.
    pub(crate) fn fit(self, precision: i32, scale: i32) -> Option<Self> {
        if self.is_nan() {
            return Some(self);
        }
        if self.is_special() {
            return None;
        }
        let rounded = self.round(scale);
        let before_point = match rounded.digits.first() {
            None => 0,
            Some(first) => rounded.weight * WIDTH + decimals(*first),
        };
        let zero = rounded.digits.is_empty();
        (zero || before_point <= precision - scale).then_some(rounded)
    }

    /// The closest `float8`.
    pub(crate) fn to_f64(&self) -> f64 {
        match self.sign {
            Sign::Nan => f64::NAN,
            Sign::Infinity => f64::INFINITY,
            Sign::MinusInfinity => f64::NEG_INFINITY,
            Sign::Plus | Sign::Minus => self.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    /// What the cast from float gives: rounded to `digits` significant decimals.
    pub(crate) fn from_f64(value: f64, digits: usize) -> Option<Self> {
        if value.is_nan() {
            return Some(Self::special(Sign::Nan));
        }
        if value.is_infinite() {
            return Some(Self::special(if value > 0.0 {
                Sign::Infinity
            } else {
                Sign::MinusInfinity
            }));
        }
        // printf's %.15g takes trailing zeros away; scientific form keeps the same digits.
        let text = format!("{:.*e}", digits - 1, value);
        let (mantissa, exponent) = text.split_once('e')?;
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        Self::parse(&format!("{mantissa}e{exponent}")).ok()
    }
}

fn decimals(digit: u16) -> i32 {
    match digit {
        1000.. => 4,
        100.. => 3,
        10.. => 2,
        _ => 1,
    }
}

fn parse_exponent(bytes: &[u8]) -> Result<i64, Malformed> {
    let (negative, digits) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::Syntax);
    }
    let mut value = 0_i64;
    for digit in digits {
        value = (value * 10 + i64::from(digit - b'0')).min(i64::from(i32::MAX));
    }
    if value >= i64::from(i32::MAX / 2) {
        return Err(Malformed::Range);
    }
    Ok(if negative { -value } else { value })
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sign {
            Sign::Nan => return f.write_str("NaN"),
            Sign::Infinity => return f.write_str("Infinity"),
            Sign::MinusInfinity => return f.write_str("-Infinity"),
            Sign::Minus => f.write_str("-")?,
            Sign::Plus => {}
        }
        let digit =
            |i: i32| usize::try_from(i).ok().and_then(|i| self.digits.get(i)).copied().unwrap_or(0);
        debug_assert!(self.digits.iter().all(|d| u32::from(*d) < BASE));
        if self.weight < 0 || self.digits.is_empty() {
            f.write_str("0")?;
        } else {
            write!(f, "{}", digit(0))?;
            for i in 1..=self.weight {
                write!(f, "{:04}", digit(i))?;
            }
        }
        if self.scale > 0 {
            f.write_str(".")?;
            let mut left = self.scale as usize;
            let mut i = if self.digits.is_empty() { 0 } else { self.weight + 1 };
            let mut buffer = [b'0'; 4];
            while left > 0 {
                let mut value = if i < 0 { 0 } else { digit(i) };
                for place in buffer.iter_mut().rev() {
                    *place = b'0' + (value % 10) as u8;
                    value /= 10;
                }
                let shown = left.min(WIDTH as usize);
                f.write_str(std::str::from_utf8(&buffer[..shown]).unwrap_or("0"))?;
                left -= shown;
                i += 1;
            }
        }
        Ok(())
    }
}
