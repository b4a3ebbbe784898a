//! A level as an exact ratio, and its multiples in whole units without a division.
//!
//! The product of a weight below 2^51 with the level's float is off by less than one unit as long
//! as it stays below 2^51: its floor is the exact one or a neighbour. The exact remainder, taken
//! modulo the word, tells which.

use crate::load::{to_float, whole};

/// A whole number below 2^51 as a float.
#[inline(always)]
#[must_use]
pub fn float(value: i64) -> f64 {
    to_float(value, &mut 0)
}

/// Units per weight, exactly `num / den`.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    num: u128,
    den: u128,
    /// Within four roundings of the ratio.
    pub float: f64,
}

/// Whole numbers that hold a remainder: a machine word where it is wide enough.
pub trait Word: Copy + Ord + Send + Sync {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The largest.
    const MOST: Self;

    /// The low bits of a number.
    fn of(value: u128) -> Self;
    /// `weight x num - units x den`, modulo the word.
    fn remainder(weight: i64, num: Self, units: i64, den: Self) -> Self;
    /// The sum.
    fn plus(self, other: Self) -> Self;
    /// The difference.
    fn minus(self, other: Self) -> Self;
    /// As a float.
    fn float(self) -> f64;
}

impl Word for i64 {
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const MOST: Self = Self::MAX;

    #[inline(always)]
    fn of(value: u128) -> Self {
        value as Self
    }

    #[inline(always)]
    fn remainder(weight: i64, num: Self, units: i64, den: Self) -> Self {
        weight.wrapping_mul(num).wrapping_sub(units.wrapping_mul(den))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    #[inline(always)]
    fn float(self) -> f64 {
        self as f64
    }
}

impl Word for i128 {
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const MOST: Self = Self::MAX;

    #[inline(always)]
    fn of(value: u128) -> Self {
        value as Self
    }

    #[inline(always)]
    fn remainder(weight: i64, num: Self, units: i64, den: Self) -> Self {
        let (weight, units) = (Self::from(weight), Self::from(units));
        weight.wrapping_mul(num).wrapping_sub(units.wrapping_mul(den))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    #[inline(always)]
    fn float(self) -> f64 {
        self as f64
    }
}

/// A ratio in words of one width.
#[derive(Debug, Clone, Copy)]
pub struct Multiple<W> {
    num: W,
    /// The denominator: remainders lie below it.
    pub den: W,
    float: f64,
}

impl Ratio {
    /// `num / den`; the denominator is not zero.
    #[must_use]
    pub fn new(num: u128, den: u128) -> Self {
        Self { num, den, float: num as f64 / den as f64 }
    }

    /// Numerator and denominator in lowest terms: rows on one level name it by other numbers.
    #[must_use]
    pub fn parts(&self) -> (u128, u128) {
        let (mut divisor, mut rest) = (self.den, self.num);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        (self.num / divisor, self.den / divisor)
    }

    /// Whether remainders and their doubles fit a machine word.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.den < 1 << 61
    }

    /// In words of one width.
    #[must_use]
    pub fn words<W: Word>(&self) -> Multiple<W> {
        Multiple { num: W::of(self.num), den: W::of(self.den), float: self.float }
    }
}

impl<W: Word> Multiple<W> {
    /// Within four roundings of the ratio.
    #[inline(always)]
    pub fn float(&self) -> f64 {
        self.float
    }

    /// Floor and remainder of `weight x ratio`, or the cap and nothing where that is less.
    #[inline(always)]
    pub fn of(&self, weight: i64, cap: i64) -> (i64, W) {
        let near = float(weight) * self.float;
        // Both are below 2^51 where it matters; beyond the cap the product is not looked at.
        let is_beyond = near >= float(cap) + 1.0;
        let units = if is_beyond { cap } else { whole(near.floor()) as i64 };
        let rest = W::remainder(weight, self.num, units, self.den);
        let is_high = rest < W::ZERO;
        let units = units - i64::from(is_high);
        let rest = if is_high { rest.plus(self.den) } else { rest };
        let is_low = rest >= self.den;
        let units = units + i64::from(is_low);
        let rest = if is_low { rest.minus(self.den) } else { rest };
        let is_full = is_beyond || units >= cap;
        if is_full { (cap, W::ZERO) } else { (units, rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::LIMIT;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![0..LIMIT, 0..1000i64, LIMIT - 3..LIMIT]
    }

    proptest! {
        #[test]
        fn a_multiple_is_floor_and_remainder(
            weight in value(), cap in value(), num in 0u128..1 << 83, den in 1u128..1 << 83,
            shift in 0u32..80,
        ) {
            let (num, den) = (num >> (shift / 2), (den >> shift).max(1));
            let product = (num >> 8) * weight as u128;
            let ratio = Ratio::new(num >> 8, den);
            let exact = product / den;
            let expected = if exact >= cap as u128 { (cap, 0) } else {
                (exact as i64, (product % den) as i128)
            };
            prop_assert_eq!(ratio.words::<i128>().of(weight, cap), expected);
            if ratio.is_narrow() {
                let (units, rest) = ratio.words::<i64>().of(weight, cap);
                prop_assert_eq!((units, i128::from(rest)), expected);
            }
        }
    }
}
