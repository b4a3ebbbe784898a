//! From floats to whole numbers of a unit, exactly or not at all; wide products; repeated ids.
//!
//! A float is taken for n units of 10^-k if it is the double nearest to n * 10^-k. With |n| below
//! 2^51 two different n never share a double, and n / 10^k in doubles is that nearest one, because
//! n and 10^k are exact and division rounds once: so one division and one comparison decide.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::columns::LIMIT;

/// The finest unit that is looked for is 10^-`MOST_DIGITS`.
pub const MOST_DIGITS: u8 = 9;

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// 1.5 * 2^52: adding and taking it away rounds a float below 2^51 to a whole number.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// 2^51.
const BOUND: f64 = 2_251_799_813_685_248.0;

/// Rows that one task reads.
const CHUNK: usize = 1 << 15;

/// Rows that are tested together, without a branch between them.
const BLOCK: usize = 512;

/// The first row that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadRow(pub usize);

/// The whole number of units of 10^-k nearest to a value, as a float, and whether it is exact.
#[inline]
#[allow(clippy::float_cmp)] // equality of doubles is the definition here, not a tolerance
fn units(value: f64, power: f64) -> (f64, bool) {
    let scaled = value * power;
    let whole = (scaled + MAGIC) - MAGIC;
    // A NaN fails both comparisons.
    (whole, scaled.abs() < BOUND && whole.abs() < BOUND && whole / power == value)
}

/// Finds per market the smallest k <= 9 such that every value is the double nearest to n * 10^-k.
///
/// `market` gives each row's market code below `markets`; without it all rows are of one market.
/// A market without rows has k = 0.
///
/// # Errors
/// The first row that no such k holds (NaN, infinite, too fine, or n not below 2^51), or whose
/// market code is out of range.
pub fn decimals(values: &[f64], market: Option<&[u32]>, markets: usize) -> Result<Vec<u8>, BadRow> {
    let tasks = values.len().div_ceil(CHUNK);
    (0..tasks)
        .into_par_iter()
        .map(|task| {
            let rows = task * CHUNK..values.len().min((task + 1) * CHUNK);
            let values = &values[rows.clone()];
            let found = match market {
                None => digits_of_one(values).map(|digits| vec![digits; markets]),
                Some(codes) => digits_of_each(values, codes.get(rows.clone()), markets),
            };
            found.map_err(|bad| BadRow(bad.0 + rows.start))
        })
        .reduce(|| Ok(vec![0; markets]), merge)
}

/// Joins what two tasks found; of two bad rows the first counts.
fn merge(left: Result<Vec<u8>, BadRow>, right: Result<Vec<u8>, BadRow>) -> Result<Vec<u8>, BadRow> {
    match (left, right) {
        (Ok(mut left), Ok(right)) => {
            for (most, other) in left.iter_mut().zip(right) {
                *most = (*most).max(other);
            }
            Ok(left)
        }
        (Err(left), Err(right)) => Err(left.min(right)),
        (Err(bad), Ok(_)) | (Ok(_), Err(bad)) => Err(bad),
    }
}

fn digits_of_one(values: &[f64]) -> Result<u8, BadRow> {
    let mut digits = 0;
    for (index, block) in values.chunks(BLOCK).enumerate() {
        let power = POWERS[usize::from(digits)];
        if block.iter().fold(true, |all, &value| all & units(value, power).1) {
            continue;
        }
        for (row, &value) in block.iter().enumerate() {
            digits = raise(value, digits).ok_or(BadRow(index * BLOCK + row))?;
        }
    }
    Ok(digits)
}

fn digits_of_each(
    values: &[f64],
    codes: Option<&[u32]>,
    markets: usize,
) -> Result<Vec<u8>, BadRow> {
    let mut digits = vec![0; markets];
    for (row, &value) in values.iter().enumerate() {
        let code = codes.and_then(|codes| codes.get(row)).ok_or(BadRow(row))?;
        let most = digits.get_mut(*code as usize).ok_or(BadRow(row))?;
        *most = raise(value, *most).ok_or(BadRow(row))?;
    }
    Ok(digits)
}

/// The smallest k from `least` on that holds the value.
///
/// A value too large for `least` may still be whole: the caller sees its size when it quantises.
fn raise(value: f64, least: u8) -> Option<u8> {
    let holds = |digits: u8| units(value, POWERS[usize::from(digits)]).1;
    (least..=MOST_DIGITS).find(|&digits| holds(digits)).or_else(|| {
        let is_coarser = (0..least).any(holds);
        is_coarser.then_some(least)
    })
}

/// Turns values into whole numbers of 10^-`exponent`.
///
/// # Errors
/// The first row whose value is not the double nearest to n * 10^-`exponent` with |n| < 2^51, and
/// row 0 if `exponent` is above 22.
pub fn quantise(values: &[f64], exponent: u8) -> Result<Vec<i64>, BadRow> {
    let power = *POWERS.get(usize::from(exponent)).ok_or(BadRow(0))?;
    let mut whole = vec![0; values.len()];
    first_bad(&mut whole, |start, whole| {
        let values = &values[start..start + whole.len()];
        for (block, (out, input)) in whole.chunks_mut(BLOCK).zip(values.chunks(BLOCK)).enumerate() {
            let mut is_exact = true;
            for (out, &value) in out.iter_mut().zip(input) {
                let (number, is_whole) = units(value, power);
                is_exact &= is_whole;
                // Below 2^51 the sum with MAGIC holds the number in its low bits.
                *out = ((number + MAGIC).to_bits() as i64) - (MAGIC.to_bits() as i64);
            }
            if !is_exact {
                let row = input.iter().position(|&value| !units(value, power).1).unwrap_or(0);
                return Err(BadRow(start + block * BLOCK + row));
            }
        }
        Ok(())
    })?;
    Ok(whole)
}

/// How a value follows from a row's lots and price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Valuation {
    /// Numerator, more than 0.
    pub num: i64,
    /// Denominator, more than 0.
    pub den: i64,
    /// Inverse contract: the price divides.
    pub is_inverse: bool,
}

/// Values of rows in money units: |lots| * price * num / den, inverse |lots| * num / (price * den).
///
/// Each is rounded once, half to even. The second result is the first row that had to be rounded.
///
/// # Errors
/// The first row whose value is not below 2^51, whose price is not positive, or that has no price.
pub fn values(
    lots: &[i64],
    prices: &[i64],
    by: Valuation,
) -> Result<(Vec<i64>, Option<usize>), BadRow> {
    let mut out = vec![0; lots.len()];
    let rounded = std::sync::atomic::AtomicUsize::new(usize::MAX);
    first_bad(&mut out, |start, out| {
        let mut first = usize::MAX;
        for (index, out) in out.iter_mut().enumerate() {
            let row = start + index;
            let price = *prices.get(row).ok_or(BadRow(row))?;
            let (value, is_exact) = value(lots[row], price, by).ok_or(BadRow(row))?;
            if !is_exact {
                first = first.min(row);
            }
            *out = value;
        }
        rounded.fetch_min(first, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    })?;
    let first = rounded.into_inner();
    Ok((out, (first != usize::MAX).then_some(first)))
}

/// One row's value and whether it is exact.
#[inline]
fn value(lots: i64, price: i64, by: Valuation) -> Option<(i64, bool)> {
    if price <= 0 || by.num <= 0 || by.den <= 0 {
        return None;
    }
    let lots = u128::from(lots.unsigned_abs());
    let (num, den) = (by.num as u128, by.den as u128);
    let price = price as u128;
    let (top, bottom) = if by.is_inverse {
        (lots.checked_mul(num)?, price.checked_mul(den)?)
    } else {
        (lots.checked_mul(price)?.checked_mul(num)?, den)
    };
    let (quotient, rest) = divide(top, bottom);
    let is_above = rest > bottom - rest || (rest == bottom - rest && quotient % 2 == 1);
    let rounded = quotient + u128::from(is_above);
    (rounded < LIMIT as u128).then_some((rounded as i64, rest == 0))
}

/// Quotient and remainder; a 64-bit division where both fit is several times faster.
#[inline]
fn divide(top: u128, bottom: u128) -> (u128, u128) {
    if bottom == 1 {
        return (top, 0);
    }
    match (u64::try_from(top), u64::try_from(bottom)) {
        (Ok(top), Ok(bottom)) => (u128::from(top / bottom), u128::from(top % bottom)),
        _ => (top / bottom, top % bottom),
    }
}

/// Shares of values: the floor of value * part / whole, row by row.
///
/// # Errors
/// The first row where `whole` is not positive, `part` is not in 0..=whole, or a column ends.
pub fn shares(values: &[i64], parts: &[i64], wholes: &[i64]) -> Result<Vec<i64>, BadRow> {
    let mut out = vec![0; values.len()];
    first_bad(&mut out, |start, out| {
        for (index, out) in out.iter_mut().enumerate() {
            let row = start + index;
            let (part, whole) = match (parts.get(row), wholes.get(row)) {
                (Some(&part), Some(&whole)) if whole > 0 && (0..=whole).contains(&part) => {
                    (part, whole)
                }
                _ => return Err(BadRow(row)),
            };
            *out =
                (i128::from(values[row]) * i128::from(part)).div_euclid(i128::from(whole)) as i64;
        }
        Ok(())
    })?;
    Ok(out)
}

/// Fills a column in parallel; of several refused rows the first is reported.
fn first_bad<F>(out: &mut [i64], fill: F) -> Result<(), BadRow>
where
    F: Fn(usize, &mut [i64]) -> Result<(), BadRow> + Sync,
{
    let bad = out
        .par_chunks_mut(CHUNK)
        .enumerate()
        .filter_map(|(task, chunk)| fill(task * CHUNK, chunk).err())
        .min();
    bad.map_or(Ok(()), Err)
}

/// Finds the first row whose id stands in an earlier row, and that earlier row: (earlier, later).
///
/// Fast where ids already increase; else a bitmap where they are dense, else a sort of a copy.
#[must_use]
pub fn first_duplicate(ids: &[u64]) -> Option<(usize, usize)> {
    if ids.par_windows(2).all(|pair| pair[0] < pair[1]) {
        return None;
    }
    let least = ids.par_iter().min().copied().unwrap_or(0);
    let most = ids.par_iter().max().copied().unwrap_or(0);
    let range = most - least;
    // A bitmap takes no more room than a copy that is sorted would.
    let has_repeat = if range / 64 < ids.len() as u64 {
        repeats_in_bitmap(ids, least, range)
    } else {
        let mut sorted = ids.to_vec();
        sorted.par_sort_unstable();
        sorted.par_windows(2).any(|pair| pair[0] == pair[1])
    };
    if has_repeat { locate_duplicate(ids) } else { None }
}

fn repeats_in_bitmap(ids: &[u64], least: u64, range: u64) -> bool {
    let mut seen = vec![0_u64; (range / 64 + 1) as usize];
    ids.iter().any(|&id| {
        let offset = id - least;
        let bit = 1 << (offset % 64);
        let word = &mut seen[(offset / 64) as usize];
        let is_repeat = *word & bit != 0;
        *word |= bit;
        is_repeat
    })
}

fn locate_duplicate(ids: &[u64]) -> Option<(usize, usize)> {
    let mut seen = HashSet::new();
    let later = ids.iter().position(|&id| !seen.insert(id))?;
    let earlier = ids.iter().position(|&id| id == ids[later])?;
    Some((earlier, later))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of n * 10^-k is found with k digits, and comes back as n.
    #[test]
    fn a_decimal_written_as_a_float_is_found_again() {
        for digits in 0..=MOST_DIGITS {
            for number in [1_i64, 3, 7, 123_457, 1_000_000_007, 2_251_799_813_685_247] {
                let value: f64 = format!("{number}e-{digits}").parse().unwrap();
                let column = vec![value, -value];
                let found = decimals(&column, None, 1).unwrap()[0];
                assert!(found <= digits, "{value} {found}");
                assert_eq!(quantise(&column, digits).unwrap(), vec![number, -number]);
            }
        }
    }

    /// A float that is one step beside the nearest double of a decimal is refused.
    #[test]
    fn the_next_float_is_refused() {
        let beside = f64::from_bits(0.1_f64.to_bits() + 1);
        assert_eq!(quantise(&[0.1, beside], 9), Err(BadRow(1)));
        assert_eq!(decimals(&[0.1, beside], None, 1), Err(BadRow(1)));
        assert_eq!(quantise(&[0.1 + 0.2], 1), Err(BadRow(0)));
    }

    /// NaN, infinities and 2^51 units or more are refused, with the first bad row of all tasks.
    #[test]
    fn what_is_no_number_of_units_is_refused() {
        let mut column = vec![1.0; 3 * CHUNK];
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2_251_799_813_685_248.0, 1e300] {
            column[CHUNK + 7] = bad;
            column[2 * CHUNK + 1] = bad;
            assert_eq!(quantise(&column, 0), Err(BadRow(CHUNK + 7)));
            assert_eq!(decimals(&column, None, 1), Err(BadRow(CHUNK + 7)));
        }
        assert_eq!(quantise(&[1.0], 23), Err(BadRow(0)));
    }

    /// Each market has its own digits; a market without rows has none.
    #[test]
    fn markets_have_digits_of_their_own() {
        let found = decimals(&[0.5, 12.0, 0.125, 3.0], Some(&[0, 1, 0, 1]), 3);
        assert_eq!(found, Ok(vec![3, 0, 0]));
        assert_eq!(decimals(&[1.0], Some(&[3]), 3), Err(BadRow(0)));
        assert_eq!(decimals(&[], None, 1), Ok(vec![0]));
    }

    /// The order of rows does not change what is found, even with a value too large to be scaled.
    #[test]
    fn a_large_whole_value_takes_no_digits() {
        let large = 2_000_000_000_000_000.0;
        assert_eq!(decimals(&[large, 0.001], None, 1), Ok(vec![3]));
        assert_eq!(decimals(&[0.001, large], None, 1), Ok(vec![3]));
        assert_eq!(quantise(&[0.001, large], 3), Err(BadRow(1)));
    }

    /// Negative zero is zero.
    #[test]
    fn negative_zero_is_zero() {
        assert_eq!(quantise(&[-0.0], 2), Ok(vec![0]));
    }

    /// A value is rounded once, half to even, and says so.
    #[test]
    fn values_round_half_to_even() {
        let by = Valuation { num: 1, den: 2, is_inverse: false };
        assert_eq!(values(&[1, 3, -5, 4], &[1, 1, 1, 1], by), Ok((vec![0, 2, 2, 2], Some(0))));
        let inverse = Valuation { num: 10, den: 1, is_inverse: true };
        assert_eq!(values(&[3, 1], &[2, 4], inverse), Ok((vec![15, 2], Some(1))));
        assert_eq!(values(&[4], &[2], inverse), Ok((vec![20], None)));
    }

    /// A product beyond 64 bits is exact; a value of 2^51 or more is refused.
    #[test]
    fn values_are_wide() {
        let by = Valuation { num: 1, den: 1_000_000_000_000, is_inverse: false };
        let lots = 1_000_000_000_001;
        assert_eq!(values(&[lots], &[lots], by), Ok((vec![1_000_000_000_002], Some(0))));
        assert_eq!(values(&[1, LIMIT], &[1, LIMIT], by), Err(BadRow(1)));
        assert_eq!(values(&[1], &[0], by), Err(BadRow(0)));
        assert_eq!(values(&[1], &[], by), Err(BadRow(0)));
    }

    /// A share is the floor, for negative values too.
    #[test]
    fn shares_are_floors() {
        assert_eq!(shares(&[10, -10, 7], &[1, 1, 3], &[3, 3, 3]), Ok(vec![3, -4, 7]));
        assert_eq!(shares(&[1, 1], &[1, 4], &[1, 3]), Err(BadRow(1)));
    }

    /// The first repeated id is found whichever way is taken: increasing, dense, or far apart.
    #[test]
    fn a_repeated_id_is_found() {
        assert_eq!(first_duplicate(&[]), None);
        assert_eq!(first_duplicate(&[1, 2, 9]), None);
        assert_eq!(first_duplicate(&[3, 1, 2, 1, 3]), Some((1, 3)));
        assert_eq!(first_duplicate(&[u64::MAX, 1, 5, u64::MAX, 5]), Some((0, 3)));
        assert_eq!(first_duplicate(&[u64::MAX, 0]), None);
        assert_eq!(first_duplicate(&[0, 64, 63, 0]), Some((0, 3)));
    }
}
