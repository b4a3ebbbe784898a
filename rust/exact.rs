//! Scores as exact rationals, and their comparison in wide integers.

use std::cmp::Ordering;

/// A rational `sign * (num[0] * num[1]) / (den[0] * den[1])`, denominators positive.
///
/// Each part stays below 2^117 for columns below 2^51 and rates below 2^62.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    sign: i8,
    num: [u128; 2],
    den: [u128; 2],
}

impl Exact {
    /// Zero.
    pub const ZERO: Self = Self { sign: 0, num: [0, 0], den: [1, 1] };

    /// `basis.0 / basis.1 * factor.0 / factor.1`; denominators are positive.
    #[must_use]
    pub fn new(basis: (i128, i128), factor: (i128, i128)) -> Self {
        let sign = basis.0.signum() * factor.0.signum();
        if sign == 0 {
            return Self::ZERO;
        }
        let num = [basis.0.unsigned_abs(), factor.0.unsigned_abs()];
        Self { sign: sign as i8, num, den: [basis.1.unsigned_abs(), factor.1.unsigned_abs()] }
    }

    /// Sign, and the factors of numerator and denominator.
    #[must_use]
    pub fn parts(self) -> (i8, [u128; 2], [u128; 2]) {
        (self.sign, self.num, self.den)
    }

    /// The nearest float but for four roundings; zero is +0.0.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        let basis = self.num[0] as f64 / self.den[0] as f64;
        let factor = self.num[1] as f64 / self.den[1] as f64;
        f64::from(self.sign) * (basis * factor) + 0.0
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Exact {}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.sign.cmp(&other.sign);
        if signs != Ordering::Equal || self.sign == 0 {
            return signs;
        }
        let size = compare_cross(self, other);
        if self.sign > 0 { size } else { size.reverse() }
    }
}

/// Compares the magnitudes of two non-zero rationals by cross multiplication.
fn compare_cross(a: &Exact, b: &Exact) -> Ordering {
    let product = |pair: [u128; 2]| pair[0].checked_mul(pair[1]);
    if let (Some(an), Some(bd), Some(bn), Some(ad)) =
        (product(a.num), product(b.den), product(b.num), product(a.den))
    {
        return multiply(an, bd).cmp(&multiply(bn, ad));
    }
    let left = multiply_all([a.num[0], a.num[1], b.den[0], b.den[1]]);
    let right = multiply_all([b.num[0], b.num[1], a.den[0], a.den[1]]);
    left.iter().rev().cmp(right.iter().rev())
}

/// The 256-bit product as (high, low).
#[must_use]
pub fn multiply(a: u128, b: u128) -> (u128, u128) {
    let mask = u128::from(u64::MAX);
    let (a1, a0) = (a >> 64, a & mask);
    let (b1, b0) = (b >> 64, b & mask);
    let low = a0 * b0;
    let (middle, carry) = (a1 * b0).overflowing_add(a0 * b1);
    let (sum, overflow) = low.overflowing_add(middle << 64);
    let high = a1 * b1 + (middle >> 64) + (u128::from(carry) << 64) + u128::from(overflow);
    (high, sum)
}

/// The 512-bit product, lowest limb first.
fn multiply_all(factors: [u128; 4]) -> [u64; 8] {
    let mut product = [0u64; 8];
    product[0] = 1;
    for factor in factors {
        let limbs = [factor as u64, (factor >> 64) as u64];
        let mut next = [0u64; 8];
        for (shift, limb) in limbs.into_iter().enumerate() {
            let mut carry = 0u128;
            for i in 0..8 - shift {
                let at = i + shift;
                carry += u128::from(product[i]) * u128::from(limb) + u128::from(next[at]);
                next[at] = carry as u64;
                carry >>= 64;
            }
        }
        product = next;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn widest_parts_compare() {
        let big = (1i128 << 116) + 1;
        let a = Exact::new((big, big - 1), (big, big - 2));
        let b = Exact::new((big, big - 1), (big, big - 3));
        assert_eq!(a.cmp(&b), Ordering::Less);
        assert_eq!(a.cmp(&a), Ordering::Equal);
        let minus = Exact::new((-big, big - 1), (big, big - 2));
        assert_eq!(minus.cmp(&Exact::ZERO), Ordering::Less);
    }

    proptest! {
        #[test]
        fn equals_small_integer_arithmetic(
            a in -1000i128..1000, b in 1i128..1000, c in 0i128..1000, d in 1i128..1000,
            e in -1000i128..1000, f in 1i128..1000, g in 0i128..1000, h in 1i128..1000,
        ) {
            let left = Exact::new((a, b), (c, d));
            let right = Exact::new((e, f), (g, h));
            prop_assert_eq!(left.cmp(&right), (a * c * f * h).cmp(&(e * g * b * d)));
        }

        #[test]
        fn wide_path_equals_narrow_path(a in 1u128..1 << 60, b in 1u128..1 << 60) {
            let wide = multiply_all([a, b, 1, 1]);
            let (high, low) = multiply(a, b);
            prop_assert_eq!(high, 0);
            prop_assert_eq!(u128::from(wide[0]) | (u128::from(wide[1]) << 64), low);
        }

        #[test]
        fn the_256_bit_product_is_exact(a in any::<u128>(), b in any::<u128>()) {
            let wide = multiply_all([a, b, 1, 1]);
            let limb = |i: usize| u128::from(wide[i]) | (u128::from(wide[i + 1]) << 64);
            prop_assert_eq!(multiply(a, b), (limb(2), limb(0)));
        }
    }
}
