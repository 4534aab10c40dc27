//! Exact arithmetic with the scale rules of `numeric.c`.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{BASE, Digits, Numeric, Overflow, Sign, WIDTH};

/// Significant decimals that a division keeps at least (`NUMERIC_MIN_SIG_DIGITS`).
const DIVISION_DIGITS: i32 = 16;
/// Decimals that a division shows at most (`NUMERIC_MAX_DISPLAY_SCALE`).
const DISPLAY_SCALE_MAX: i32 = 1000;
/// Bound of the second argument of round and trunc (`NUMERIC_MAX_RESULT_SCALE`).
const ROUND_MAX: i32 = 2000;

type Wide = SmallVec<[u32; 16]>;

fn len(digits: &[u16]) -> i32 {
    i32::try_from(digits.len()).unwrap_or(i32::MAX)
}

impl Numeric {
    /// The digit that counts 10000 ^ `exponent`.
    fn digit_at(&self, exponent: i32) -> u32 {
        usize::try_from(self.weight - exponent)
            .ok()
            .and_then(|i| self.digits.get(i))
            .map_or(0, |d| u32::from(*d))
    }

    /// Exponent of the last digit.
    fn lowest(&self) -> i32 {
        if self.digits.is_empty() { 0 } else { self.weight - len(&self.digits) + 1 }
    }

    pub(crate) fn add(&self, other: &Self) -> Result<Self, Overflow> {
        if self.is_special() || other.is_special() {
            return Ok(add_special(self.sign, other.sign));
        }
        let scale = self.scale.max(other.scale);
        let sum = if self.is_negative() == other.is_negative() {
            self.combine(other, false, self.sign)
        } else {
            match self.compare_digits(other) {
                Ordering::Equal => Self::zero(),
                Ordering::Greater => self.combine(other, true, self.sign),
                Ordering::Less => other.combine(self, true, other.sign),
            }
        };
        Self { scale, ..sum }.checked()
    }

    pub(crate) fn subtract(&self, other: &Self) -> Result<Self, Overflow> {
        self.add(&other.clone().negate())
    }

    /// Adds or subtracts the digits of `other`, which are not the greater ones when subtracting.
    fn combine(&self, other: &Self, subtract: bool, sign: Sign) -> Self {
        let low = self.lowest().min(other.lowest());
        let high = self.weight.max(other.weight) + 1;
        let mut digits: Digits = (low..=high).map(|_| 0).collect();
        let last = digits.len() - 1;
        let mut carry = 0_i32;
        for (i, exponent) in (low..=high).enumerate() {
            let (a, b) = (self.digit_at(exponent) as i32, other.digit_at(exponent) as i32);
            let mut value = if subtract { a - b } else { a + b } + carry;
            carry = 0;
            if value < 0 {
                value += BASE as i32;
                carry = -1;
            } else if value >= BASE as i32 {
                value -= BASE as i32;
                carry = 1;
            }
            digits[last - i] = value as u16;
        }
        Self { sign, weight: high, scale: 0, digits }.normalize()
    }

    pub(crate) fn multiply(&self, other: &Self) -> Result<Self, Overflow> {
        if self.is_special() || other.is_special() {
            return Ok(multiply_special(self, other));
        }
        let mut wide: SmallVec<[u64; 16]> =
            SmallVec::from_elem(0, self.digits.len() + other.digits.len() + 1);
        for (i, a) in self.digits.iter().enumerate() {
            for (j, b) in other.digits.iter().enumerate() {
                wide[i + j + 1] += u64::from(*a) * u64::from(*b);
            }
        }
        wide.pop();
        let mut carry = 0_u64;
        let mut digits: Digits = wide.iter().map(|_| 0).collect();
        for i in (0..wide.len()).rev() {
            let value = wide[i] + carry;
            digits[i] = (value % u64::from(BASE)) as u16;
            carry = value / u64::from(BASE);
        }
        let same = self.is_negative() == other.is_negative();
        let product = Self {
            sign: if same { Sign::Plus } else { Sign::Minus },
            weight: self.weight + other.weight + 1,
            scale: self.scale + other.scale,
            digits,
        };
        let scale = product.scale.min(super::SCALE_MAX);
        let product = product.normalize();
        if product.scale > scale { product.round(scale).checked() } else { product.checked() }
    }

    pub(crate) fn divide(&self, other: &Self) -> Result<Self, Overflow> {
        if let Some(value) = self.divide_special(other)? {
            return Ok(value);
        }
        let (w1, d1) = (if self.digits.is_empty() { 0 } else { self.weight }, self.digits.first());
        let (w2, d2) = (other.weight, other.digits.first());
        let mut quotient_weight = w1 - w2;
        if d1.copied().unwrap_or(0) <= d2.copied().unwrap_or(0) {
            quotient_weight -= 1;
        }
        let scale = (DIVISION_DIGITS - quotient_weight * WIDTH)
            .max(self.scale)
            .max(other.scale)
            .clamp(0, DISPLAY_SCALE_MAX);
        self.quotient(other, scale / WIDTH + 2).round(scale).checked()
    }

    /// NaN, infinities and division by zero; `None` for two numbers that divide.
    fn divide_special(&self, other: &Self) -> Result<Option<Self>, Overflow> {
        if self.is_nan() || other.is_nan() {
            return Ok(Some(Self::special(Sign::Nan)));
        }
        if self.is_special() {
            if other.is_special() {
                return Ok(Some(Self::special(Sign::Nan)));
            }
            if other.is_zero() {
                return Err(Overflow::DivisionByZero);
            }
            let same = self.is_negative() == other.is_negative();
            let sign = if same { Sign::Infinity } else { Sign::MinusInfinity };
            return Ok(Some(Self::special(sign)));
        }
        if other.is_special() {
            return Ok(Some(Self::zero()));
        }
        if other.is_zero() {
            return Err(Overflow::DivisionByZero);
        }
        Ok(None)
    }

    /// The quotient of two numbers, cut after `places` base digits behind the point.
    fn quotient(&self, other: &Self, places: i32) -> Self {
        // Both as integers of digits: self = a * BASE^low1, other = b * BASE^low2.
        let shift = places + self.lowest() - other.lowest();
        let mut a: Wide = self.digits.iter().map(|d| u32::from(*d)).collect();
        let mut b: Wide = other.digits.iter().map(|d| u32::from(*d)).collect();
        if shift >= 0 {
            a.extend(std::iter::repeat_n(0, shift as usize));
        } else {
            b.extend(std::iter::repeat_n(0, shift.unsigned_abs() as usize));
        }
        let digits = long_division(&a, &b);
        let weight = len(&digits) - 1 - places;
        let same = self.is_negative() == other.is_negative();
        let sign = if same { Sign::Plus } else { Sign::Minus };
        Self { sign, weight, scale: places * WIDTH, digits }.normalize()
    }

    /// The quotient cut to a whole number, as `div` gives it.
    pub(crate) fn whole_quotient(&self, other: &Self) -> Result<Self, Overflow> {
        if let Some(value) = self.divide_special(other)? {
            return Ok(value);
        }
        let mut whole = self.quotient(other, 0);
        whole.scale = 0;
        whole.checked()
    }

    /// -1, 0 or 1; NaN stays.
    pub(crate) fn signum(&self) -> Self {
        if self.is_nan() {
            return self.clone();
        }
        Self::from_i64(self.compare(&Self::zero()) as i64)
    }

    pub(crate) fn modulo(&self, other: &Self) -> Result<Self, Overflow> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::special(Sign::Nan));
        }
        if self.is_special() {
            return if other.is_zero() {
                Err(Overflow::DivisionByZero)
            } else {
                Ok(Self::special(Sign::Nan))
            };
        }
        if other.is_special() {
            return Ok(self.clone());
        }
        if other.is_zero() {
            return Err(Overflow::DivisionByZero);
        }
        let mut whole = self.quotient(other, 0);
        whole.scale = 0;
        self.subtract(&other.multiply(&whole)?)
    }

    /// Rounded half away from zero to `scale` decimals; left of the point when it is negative.
    pub(crate) fn round(&self, scale: i32) -> Self {
        self.cut(scale.clamp(-ROUND_MAX, SCALE_LIMIT), true)
    }

    /// Cut to `scale` decimals.
    pub(crate) fn truncate(&self, scale: i32) -> Self {
        self.cut(scale.clamp(-ROUND_MAX, SCALE_LIMIT), false)
    }

    /// As `round(numeric, integer)` does: the argument's bound is smaller than that of a value.
    pub(crate) fn round_to(&self, scale: i32, nearest: bool) -> Result<Self, Overflow> {
        self.cut(scale.clamp(-ROUND_MAX, ROUND_MAX), nearest).checked()
    }

    fn cut(&self, scale: i32, nearest: bool) -> Self {
        if self.is_special() {
            return self.clone();
        }
        let shown = scale.max(0);
        // Decimal digits kept, counted from the start of the first base digit.
        let kept = (self.weight + 1) * WIDTH + scale;
        if kept < 0 || self.digits.is_empty() {
            return Self { scale: shown, ..Self::zero() };
        }
        let mut result = Self { scale: shown, ..self.clone() };
        let count = ((kept + WIDTH - 1) / WIDTH) as usize;
        let part = kept % WIDTH;
        if count > self.digits.len() || (count == self.digits.len() && part == 0) {
            return result;
        }
        if part == 0 {
            let carry = nearest && u32::from(self.digits[count]) >= BASE / 2;
            result.digits.truncate(count);
            if carry {
                result.carry_into(count);
            }
            return result.normalize();
        }
        result.digits.truncate(count);
        let unit = 10_u16.pow((WIDTH - part) as u32);
        if let Some(last) = result.digits.last_mut() {
            let extra = *last % unit;
            *last -= extra;
            if nearest && extra >= unit / 2 {
                *last += unit;
            }
            if u32::from(*last) >= BASE {
                *last -= BASE as u16;
                result.carry_into(count - 1);
            }
        }
        result.normalize()
    }

    /// Adds one to the digit before `index`.
    fn carry_into(&mut self, index: usize) {
        for digit in self.digits[..index].iter_mut().rev() {
            if u32::from(*digit) + 1 < BASE {
                *digit += 1;
                return;
            }
            *digit = 0;
        }
        self.digits.insert(0, 1);
        self.weight += 1;
    }

    /// The nearest whole number not below, or with `down` not above.
    pub(crate) fn whole(&self, down: bool) -> Self {
        let cut = self.truncate(0);
        if self.is_special() || cut.compare(self) == Ordering::Equal {
            return cut;
        }
        let away = self.is_negative() == down;
        if !away {
            return cut;
        }
        let one = Self::from_i64(if self.is_negative() { -1 } else { 1 });
        cut.add(&one).unwrap_or(cut)
    }
}

const SCALE_LIMIT: i32 = super::SCALE_MAX;

fn add_special(a: Sign, b: Sign) -> Numeric {
    let infinite = |sign| matches!(sign, Sign::Infinity | Sign::MinusInfinity);
    let opposite = infinite(a) && infinite(b) && a != b;
    Numeric::special(if a == Sign::Nan || b == Sign::Nan || opposite {
        Sign::Nan
    } else if infinite(a) {
        a
    } else {
        b
    })
}

fn multiply_special(a: &Numeric, b: &Numeric) -> Numeric {
    Numeric::special(if a.is_nan() || b.is_nan() || a.is_zero() || b.is_zero() {
        Sign::Nan
    } else if a.is_negative() == b.is_negative() {
        Sign::Infinity
    } else {
        Sign::MinusInfinity
    })
}

/// Quotient of two digit strings, cut to a whole number (Knuth, volume 2, algorithm D).
fn long_division(a: &[u32], b: &[u32]) -> Digits {
    let b: &[u32] = &b[b.iter().take_while(|d| **d == 0).count()..];
    let narrow = |digit: u32| digit as u16;
    if b.is_empty() || a.len() < b.len() {
        return Digits::new();
    }
    if let [divisor] = b {
        let mut rest = 0;
        return a
            .iter()
            .map(|digit| {
                let value = rest * BASE + digit;
                rest = value % divisor;
                narrow(value / divisor)
            })
            .collect();
    }
    let factor = BASE / (b[0] + 1);
    let b = scale_up(b, factor);
    let b = &b[1..];
    let mut a = scale_up(a, factor);
    let n = b.len();
    let mut quotient = Digits::new();
    for j in 0..a.len() - n {
        let top = a[j] * BASE + a[j + 1];
        let mut guess = top / b[0];
        let mut rest = top % b[0];
        while guess >= BASE
            || u64::from(guess) * u64::from(b[1])
                > u64::from(rest) * u64::from(BASE) + u64::from(a[j + 2])
        {
            guess -= 1;
            rest += b[0];
            if rest >= BASE {
                break;
            }
        }
        if subtract_product(&mut a[j..=j + n], b, guess) {
            guess -= 1;
            add_back(&mut a[j..=j + n], b);
        }
        quotient.push(narrow(guess));
    }
    quotient
}

/// The digits times a small factor, with one more digit in front.
fn scale_up(digits: &[u32], factor: u32) -> Wide {
    let mut out: Wide = SmallVec::from_elem(0, digits.len() + 1);
    let mut carry = 0;
    for i in (0..digits.len()).rev() {
        let value = digits[i] * factor + carry;
        out[i + 1] = value % BASE;
        carry = value / BASE;
    }
    out[0] = carry;
    out
}

/// Takes `b * guess` from `a`; true when it was too much.
fn subtract_product(a: &mut [u32], b: &[u32], guess: u32) -> bool {
    let mut borrow = 0_i64;
    for i in (0..a.len()).rev() {
        let product = match i.checked_sub(1) {
            Some(k) => i64::from(b[k]) * i64::from(guess),
            None => 0,
        };
        let value = i64::from(a[i]) - product + borrow;
        let digit = value.rem_euclid(i64::from(BASE));
        borrow = (value - digit) / i64::from(BASE);
        a[i] = digit as u32;
    }
    borrow < 0
}

fn add_back(a: &mut [u32], b: &[u32]) {
    let mut carry = 0;
    for i in (0..a.len()).rev() {
        let value = a[i] + i.checked_sub(1).map_or(0, |k| b[k]) + carry;
        a[i] = value % BASE;
        carry = value / BASE;
    }
}
