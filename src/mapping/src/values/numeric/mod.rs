//! PostgreSQL's `numeric`: exact decimals in base 10000, as `numeric_send` carries them.

mod arithmetic;
mod text;
mod wire;

use std::cmp::Ordering;

use smallvec::SmallVec;

pub(crate) use text::{Malformed, trim};

/// Digits of a value in base 10000, the most significant first.
type Digits = SmallVec<[u16; 8]>;

const BASE: u32 = 10_000;
/// Decimal digits in one base digit.
const WIDTH: i32 = 4;
/// Largest number of decimals that a value can have (`NUMERIC_DSCALE_MAX`).
const SCALE_MAX: i32 = 0x3fff;
/// Largest weight of the first digit (`NUMERIC_WEIGHT_MAX`).
const WEIGHT_MAX: i32 = 0x7fff;

/// Sign, or the kind of a value that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
    Nan,
    Infinity,
    MinusInfinity,
}

/// A `numeric`. Digits have no zeros at either end; zero has no digits.
#[derive(Clone, Debug)]
pub(crate) struct Numeric {
    sign: Sign,
    /// The first digit counts 10000 ^ weight.
    weight: i32,
    /// Decimals shown.
    scale: i32,
    digits: Digits,
}

/// What arithmetic can fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// 22003
    Range,
    /// 22012
    DivisionByZero,
}

impl Numeric {
    fn special(sign: Sign) -> Self {
        Self { sign, weight: 0, scale: 0, digits: Digits::new() }
    }

    pub(crate) fn zero() -> Self {
        Self::special(Sign::Plus)
    }

    fn is_special(&self) -> bool {
        !matches!(self.sign, Sign::Plus | Sign::Minus)
    }

    pub(crate) fn is_nan(&self) -> bool {
        self.sign == Sign::Nan
    }

    pub(crate) fn is_finite(&self) -> bool {
        !self.is_special()
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty() && !self.is_special()
    }

    fn is_negative(&self) -> bool {
        matches!(self.sign, Sign::Minus | Sign::MinusInfinity)
    }

    /// Removes zeros at both ends.
    fn normalize(mut self) -> Self {
        let leading = self.digits.iter().take_while(|d| **d == 0).count();
        if leading > 0 {
            self.digits.drain(..leading);
            self.weight -= i32::try_from(leading).unwrap_or(i32::MAX);
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() && !self.is_special() {
            self.sign = Sign::Plus;
            self.weight = 0;
        }
        self
    }

    fn checked(self) -> Result<Self, Overflow> {
        let fits = self.weight <= WEIGHT_MAX && (0..=SCALE_MAX).contains(&self.scale);
        if fits { Ok(self) } else { Err(Overflow::Range) }
    }

    pub(crate) fn from_i64(value: i64) -> Self {
        let mut rest = value.unsigned_abs();
        let mut digits = Digits::new();
        while rest > 0 {
            digits.push((rest % u64::from(BASE)) as u16);
            rest /= u64::from(BASE);
        }
        digits.reverse();
        let weight = i32::try_from(digits.len()).unwrap_or(0) - 1;
        let sign = if value < 0 { Sign::Minus } else { Sign::Plus };
        Self { sign, weight, scale: 0, digits }.normalize()
    }

    /// Rounded to an integer, half away from zero. `None` when it does not fit or is no number.
    pub(crate) fn to_i64(&self) -> Option<i64> {
        if self.is_special() {
            return None;
        }
        let whole = self.round(0);
        let mut value = 0_i128;
        for i in 0..=whole.weight.min(6) {
            let digit = usize::try_from(i).ok().and_then(|i| whole.digits.get(i)).copied();
            value = value * i128::from(BASE) + i128::from(digit.unwrap_or(0));
        }
        if whole.weight > 6 {
            return None;
        }
        i64::try_from(if whole.is_negative() { -value } else { value }).ok()
    }

    pub(crate) fn negate(mut self) -> Self {
        self.sign = match self.sign {
            Sign::Plus if self.digits.is_empty() => Sign::Plus,
            Sign::Plus => Sign::Minus,
            Sign::Minus => Sign::Plus,
            Sign::Infinity => Sign::MinusInfinity,
            Sign::MinusInfinity => Sign::Infinity,
            Sign::Nan => Sign::Nan,
        };
        self
    }

    pub(crate) fn abs(self) -> Self {
        if self.is_negative() { self.negate() } else { self }
    }

    fn rank(&self) -> i8 {
        match self.sign {
            Sign::MinusInfinity => -1,
            Sign::Plus | Sign::Minus => 0,
            Sign::Infinity => 1,
            // NaN equals itself and is greater than all else.
            Sign::Nan => 2,
        }
    }

    fn compare_digits(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                self.weight.cmp(&other.weight).then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }

    /// Order by value: `1.0` and `1.00` are equal.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        if self.is_special() || other.is_special() {
            return self.rank().cmp(&other.rank());
        }
        match (self.is_negative(), other.is_negative()) {
            (false, false) => self.compare_digits(other),
            (true, true) => other.compare_digits(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
#[path = "../../tests/numeric.rs"]
mod tests;
