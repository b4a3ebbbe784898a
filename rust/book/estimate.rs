//! Where each row's score surely lies, told from the two 32-bit prices of the screening column.
//!
//! Entry and bankruptcy value a lot, a and b, and the value v of a lot err by less than 2^-22 of
//! themselves, so that a profit d(v - a) errs by less than 2^-21 (v + a) and an equity d(v - b) by
//! less than 2^-21 (v + |b|), the rounding of the difference included. An equity that is larger
//! than eight times its error divides with a relative error of 8/7 of its own; all other roundings
//! are a few parts in 2^24 and covered by 2^-19. Rows whose profit or equity might have the other
//! sign, or whose prices are no numbers, are in doubt: their interval is everything.

use std::ops::Range;

use crate::book::coefficients::Coefficients;
use crate::rule::{Basis, Factor, Loss, NoEquity, Rule};
use crate::simd::{Level, Task, dispatch, prefetch};

/// Rows of a block.
pub const BLOCK: usize = 512;

/// More than the error of a difference, relative to the sum of its parts.
const DIFFERENCE: f32 = 1.0 / (1u32 << 21) as f32;
/// More than the roundings of a score, relative to itself.
const ROUNDINGS: f32 = 1.0 / (1u32 << 19) as f32;
/// Errors of an equity below which it may have either sign.
const SURE: f32 = 8.0;
/// More than what errors add to each other.
const TOGETHER: f32 = 1.25;
/// Values of a lot that are in range; prices are up to 2^40, so that no product leaves its own.
const FARTHEST: f64 = (1u64 << 16) as f64;

// Codes of the forms, const generics so that each loop is free of branches.
const ENTRY: u8 = 0;
const ENTRY_LEVERAGE: u8 = 1;
const MARK: u8 = 2;
const MARK_LEVERAGE: u8 = 3;
const EQUITY: u8 = 4;
const RATIO: u8 = 5;
const RATIO_LEVERAGE: u8 = 6;
const LEVERAGE: u8 = 7;

/// Least and largest score of each row of a block: minus infinity both where the row is surely not
/// in the queue, no bounds where nothing is known.
#[repr(C, align(64))]
pub struct Block {
    /// Least scores.
    pub low: [f32; BLOCK],
    /// Largest scores.
    pub high: [f32; BLOCK],
}

impl Block {
    /// Where nothing is known.
    pub const UNKNOWN: Self =
        Self { low: [f32::NEG_INFINITY; BLOCK], high: [f32::INFINITY; BLOCK] };
}

/// What scores of one section are estimated from at one mark.
#[derive(Clone, Copy)]
pub struct Estimate<'a> {
    entry: &'a [f32],
    bankruptcy: &'a [f32],
    rises: bool,
    mark: f32,
    form: u8,
    loss: Loss,
    no_equity: NoEquity,
}

impl<'a> Estimate<'a> {
    /// What a section's column tells at a value of a lot; none where it tells nothing.
    #[must_use]
    pub fn new(column: &'a Coefficients, rule: &Rule, value: f64) -> Option<Self> {
        let (entry, bankruptcy) = column.prices();
        let mark = value / column.unit();
        let has_leverage = rule.factor != Factor::None;
        let form = match (rule.basis, has_leverage) {
            (Basis::EntryValue, false) => ENTRY,
            (Basis::EntryValue, true) => ENTRY_LEVERAGE,
            (Basis::MarkValue, false) => MARK,
            (Basis::MarkValue, true) => MARK_LEVERAGE,
            (Basis::Equity, false) => EQUITY,
            (Basis::PriceRatio, false) => RATIO,
            (Basis::PriceRatio, true) => RATIO_LEVERAGE,
            (Basis::Unit, true) => LEVERAGE,
            _ => return None,
        };
        (mark > 1.0 / FARTHEST && mark < FARTHEST).then(|| Self {
            entry,
            bankruptcy,
            rises: column.rises(),
            mark: mark as f32,
            form,
            loss: rule.loss,
            no_equity: rule.no_equity,
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entry.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry.is_empty()
    }

    /// Asks for the prices of some rows.
    pub fn fetch(&self, rows: Range<usize>) {
        prefetch(self.entry, rows.clone());
        prefetch(self.bankruptcy, rows);
    }

    /// Fills the first places of a block with at most [`BLOCK`] rows.
    pub fn fill(&self, level: Level, rows: Range<usize>, block: &mut Block) {
        dispatch(level, Fill { estimate: self, rows, block });
    }
}

struct Fill<'a, 'e> {
    estimate: &'a Estimate<'e>,
    rows: Range<usize>,
    block: &'a mut Block,
}

impl Task for Fill<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.estimate.form {
            ENTRY => self.by_direction::<ENTRY>(),
            ENTRY_LEVERAGE => self.by_direction::<ENTRY_LEVERAGE>(),
            MARK => self.by_direction::<MARK>(),
            MARK_LEVERAGE => self.by_direction::<MARK_LEVERAGE>(),
            EQUITY => self.by_direction::<EQUITY>(),
            RATIO => self.by_direction::<RATIO>(),
            RATIO_LEVERAGE => self.by_direction::<RATIO_LEVERAGE>(),
            _ => self.by_direction::<LEVERAGE>(),
        }
    }
}

impl Fill<'_, '_> {
    #[inline(always)]
    fn by_direction<const FORM: u8>(self) {
        if self.estimate.rises { self.scan::<FORM, true>() } else { self.scan::<FORM, false>() }
    }

    #[inline(always)]
    fn scan<const FORM: u8, const RISES: bool>(self) {
        // A copy: what is written below cannot change it.
        let estimate = *self.estimate;
        let count = self.rows.len().min(BLOCK);
        let entry = &estimate.entry[self.rows.start..][..count];
        let bankruptcy = &estimate.bankruptcy[self.rows.start..][..count];
        let (low, high) = (&mut self.block.low[..count], &mut self.block.high[..count]);
        for place in 0..count {
            (low[place], high[place]) =
                estimate.bounds::<FORM, RISES>(entry[place], bankruptcy[place]);
        }
    }
}

impl Estimate<'_> {
    #[inline(always)]
    #[allow(clippy::needless_bitwise_bool)] // a branch would keep the loop from being vectors
    fn bounds<const FORM: u8, const RISES: bool>(&self, a: f32, b: f32) -> (f32, f32) {
        let has_leverage =
            matches!(FORM, ENTRY_LEVERAGE | MARK_LEVERAGE | RATIO_LEVERAGE | LEVERAGE);
        let has_equity = has_leverage || FORM == EQUITY;
        let by_entry = matches!(FORM, ENTRY | ENTRY_LEVERAGE)
            || (RISES && matches!(FORM, RATIO | RATIO_LEVERAGE));
        let v = self.mark;
        let (profit, equity) = if RISES { (v - a, v - b) } else { (a - v, b - v) };
        let (profit_error, equity_error) = (DIFFERENCE * (v + a), DIFFERENCE * (v + b.abs()));
        // One division for both quotients.
        let (price, money) =
            (if by_entry { a } else { 1.0 }, if has_equity { equity.abs() } else { 1.0 });
        let inverse = 1.0 / (price * money);
        let (over_price, over_money, over_mark) = (money * inverse, price * inverse, 1.0 / v);
        let (basis, basis_error) = match FORM {
            ENTRY | ENTRY_LEVERAGE => (profit * over_price, profit_error * over_price),
            MARK | MARK_LEVERAGE => (profit * over_mark, profit_error * over_mark),
            EQUITY => (profit, profit_error),
            RATIO | RATIO_LEVERAGE if RISES => (v * over_price, 0.0),
            RATIO | RATIO_LEVERAGE => (a * over_mark, 0.0),
            _ => (1.0, 0.0),
        };
        let is_loss = profit < 0.0;
        let factor = if FORM == EQUITY {
            over_money
        } else if !has_leverage {
            1.0
        } else if is_loss & (self.loss == Loss::Divide) {
            money * over_mark
        } else {
            v * over_money
        };
        let score = basis * factor;
        let relative =
            if has_equity { TOGETHER * equity_error * over_money + ROUNDINGS } else { ROUNDINGS };
        let error = TOGETHER * basis_error * factor + score.abs() * relative;
        // Neither holds where a price is no number.
        let is_sure = (profit.abs() > profit_error) & (!has_equity | (money > SURE * equity_error));
        let is_broke = has_equity & (equity < 0.0);
        let is_out = if is_broke {
            self.no_equity == NoEquity::LeaveOut
        } else {
            is_loss & (self.loss == Loss::Exclude)
        };
        let is_zero = is_broke | (is_loss & (self.loss == Loss::Zero));
        let (low, high) = if is_zero { (0.0, 0.0) } else { (score - error, score + error) };
        let (low, high) = if is_out { (f32::NEG_INFINITY, f32::NEG_INFINITY) } else { (low, high) };
        if is_sure { (low, high) } else { (f32::NEG_INFINITY, f32::INFINITY) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::bound::tests::{member, random_book};
    use crate::columns::{Accounts, Rate};
    use crate::exact::Exact;
    use crate::score::Scorer;
    use proptest::prelude::*;

    proptest! {
        /// The exact score of a row lies within its bounds; who is surely out has none.
        #[test]
        fn a_score_lies_within_its_bounds(
            seed in any::<u64>(), basis in 0u8..9, factor in 0u8..4, loss in 0u8..4,
            keeps_broke in any::<bool>(), is_long in any::<bool>(), is_inverse in any::<bool>(),
            num in 1i64..60_000, by in 0u32..3,
        ) {
            let mut rule = member(basis, factor, loss);
            rule.no_equity = if keeps_broke { NoEquity::Zero } else { NoEquity::LeaveOut };
            let held = random_book(seed, if is_long { 1 } else { -1 });
            let rate = Rate { mark_num: num, mark_den: 10i64.pow(by), is_inverse };
            let value = rate.mark_num as f64 / rate.mark_den as f64;
            let bound = held.bound(&rule, (value, value), is_inverse);
            let Some(column) = Coefficients::new(&bound, is_long) else { return Ok(()) };
            let Some(estimate) = Estimate::new(&column, &rule, value) else { return Ok(()) };
            let (columns, accounts, level) = (held.columns(), Accounts::default(), Level::detect());
            let scorer = Scorer { columns, accounts, rate, rule: &rule, level };
            let mut block = Block::UNKNOWN;
            estimate.fill(level, 0..columns.len(), &mut block);
            for row in 0..columns.len() {
                let (low, high) = (f64::from(block.low[row]), f64::from(block.high[row]));
                match scorer.exact(row).map(Exact::to_f64) {
                    Ok(score) => {
                        prop_assert!(low <= score && score <= high, "{low} {score} {high}");
                    }
                    Err(_) => prop_assert!(low == f64::NEG_INFINITY, "row {row}: {low} {high}"),
                }
                prop_assert!(low <= high);
            }
            for other in Level::available() {
                let mut again = Block::UNKNOWN;
                estimate.fill(other, 0..columns.len(), &mut again);
                prop_assert_eq!(block.low.map(f32::to_bits), again.low.map(f32::to_bits));
                prop_assert_eq!(block.high.map(f32::to_bits), again.high.map(f32::to_bits));
            }
        }
    }
}
