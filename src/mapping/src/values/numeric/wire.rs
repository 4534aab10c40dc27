//! `numeric_send` and `numeric_recv`:
//! <https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c>

use super::{BASE, Digits, Numeric, Sign};

const MINUS: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;
/// `numeric_send` reads the display scale of an infinity out of its sign bits.
const INFINITY_SCALE: u16 = 0x20;

impl Numeric {
    /// From the binary send format; `None` when it is not one.
    pub(crate) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let (head, digits) = bytes.split_at_checked(8)?;
        let short = |i: usize| head.get(i..i + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let count = usize::from(short(0)?);
        if digits.len() != count * 2 {
            return None;
        }
        let sign = match short(4)? {
            0 => Sign::Plus,
            MINUS => Sign::Minus,
            NAN => return Some(Self::special(Sign::Nan)),
            INFINITY => return Some(Self::special(Sign::Infinity)),
            MINUS_INFINITY => return Some(Self::special(Sign::MinusInfinity)),
            _ => return None,
        };
        let digits: Digits =
            digits.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
        if digits.iter().any(|d| u32::from(*d) >= BASE) {
            return None;
        }
        let weight = i32::from(short(2)?.cast_signed());
        Some(Self { sign, weight, scale: i32::from(short(6)?), digits }.normalize())
    }

    /// Appends the binary send format.
    pub(crate) fn write_binary(&self, out: &mut Vec<u8>) {
        let (sign, scale) = match self.sign {
            Sign::Plus => (0, self.scale as u16),
            Sign::Minus => (MINUS, self.scale as u16),
            Sign::Nan => (NAN, 0),
            Sign::Infinity => (INFINITY, INFINITY_SCALE),
            Sign::MinusInfinity => (MINUS_INFINITY, INFINITY_SCALE),
        };
        out.extend_from_slice(&(self.digits.len() as u16).to_be_bytes());
        out.extend_from_slice(&(self.weight as i16).to_be_bytes());
        out.extend_from_slice(&sign.to_be_bytes());
        out.extend_from_slice(&scale.to_be_bytes());
        for digit in &self.digits {
            out.extend_from_slice(&digit.to_be_bytes());
        }
    }
}
