//! The largest score that a row can have while its mark stays in a band and its equity in a spread.
//!
//! A score is a basis times a factor (or divided by it, at a loss). Each of the two is bounded by
//! itself: what moves with the mark is monotone in it, so its extremes lie at the ends of the band;
//! the product need not be monotone and is bounded by the product of the bounds. Whole numbers are
//! exact in floats; a profit errs by a few roundings of what it is the difference of, all else by
//! a few roundings of itself. Both are added on the side that raises the bound.

use crate::book::pools::Spread;
use crate::columns::{Accounts, Columns, OWN_MARGIN};
use crate::rule::{Basis, Factor, Loss, NoEquity, Rule};

/// More than the roundings of a difference, relative to what it is a difference of.
const SLACK: f64 = 1.0 / (1u64 << 48) as f64;
/// More than the roundings of a score, relative to itself.
const OUTWARD: f64 = 1.0 / (1u64 << 40) as f64;

/// More than a peak can be missed by, relative to the score there.
const PEAK: f64 = 1.0 / (1u64 << 30) as f64;

/// An interval; empty nowhere.
#[derive(Debug, Clone, Copy)]
struct Interval {
    low: f64,
    high: f64,
}

impl Interval {
    const ONE: Self = Self { low: 1.0, high: 1.0 };

    fn at(value: f64) -> Self {
        Self { low: value, high: value }
    }

    fn wider(self, by: f64) -> Self {
        Self { low: self.low - by, high: self.high + by }
    }

    fn plus(self, value: f64) -> Self {
        Self { low: self.low + value, high: self.high + value }
    }
}

/// What a bound is taken over.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// Rows.
    pub columns: Columns<'a>,
    /// Accounts; their equity is not read where there is a spread.
    pub accounts: Accounts<'a>,
    /// Where derived equities lie.
    pub spread: Option<Spread<'a>>,
    /// The rule.
    pub rule: &'a Rule,
    /// Least and largest value of a lot.
    pub band: (f64, f64),
    /// Inverse contract.
    pub is_inverse: bool,
}

/// Product in which nothing times no bound is nothing.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// A bound a share of itself higher; what is not finite stays.
fn raised(bound: f64, by: f64) -> f64 {
    if bound.is_finite() { bound + by * bound.abs() } else { bound }
}

fn money(column: Option<&[i64]>, row: usize) -> f64 {
    column.map_or(0.0, |values| values[row] as f64)
}

impl Bound<'_> {
    fn kind(&self) -> f64 {
        if self.is_inverse { -1.0 } else { 1.0 }
    }

    /// Mark values of the row.
    fn mark(&self, row: usize) -> Interval {
        let lots = self.columns.lots[row].unsigned_abs() as f64;
        Interval { low: lots * self.band.0, high: lots * self.band.1 }
    }

    /// The row's own profit at the least and at the largest mark, and its error.
    fn own_profit(&self, row: usize) -> (f64, f64, f64) {
        let (mark, entry) = (self.mark(row), self.columns.entry_value[row] as f64);
        let direction = self.kind() * self.columns.lots[row].signum() as f64;
        let (first, last) = (direction * (mark.low - entry), direction * (mark.high - entry));
        (first, last, SLACK * (mark.high + entry))
    }

    fn profit(&self, row: usize) -> Interval {
        let (first, last, slack) = match (self.columns.profit_lots, self.columns.profit_value) {
            (Some(lots), Some(value)) if self.rule.is_joint => {
                let (lots, value) = (lots[row] as f64, value[row] as f64);
                let at = |mark: f64| self.kind() * (lots * mark - value);
                let size = lots.abs() * self.band.1 + value.abs();
                (at(self.band.0), at(self.band.1), SLACK * size)
            }
            _ => self.own_profit(row),
        };
        Interval { low: first.min(last), high: first.max(last) }.wider(slack)
    }

    /// Own equity at the least and at the largest mark.
    fn own_ends(&self, row: usize) -> [Interval; 2] {
        let (first, last, slack) = self.own_profit(row);
        let margin = money(self.columns.margin, row);
        let slack = slack + SLACK * margin.abs();
        [first, last].map(|profit| Interval::at(profit).plus(margin).wider(slack))
    }

    fn own_equity(&self, row: usize) -> Interval {
        let [first, last] = self.own_ends(row);
        Interval { low: first.low.min(last.low), high: first.high.max(last.high) }
    }

    fn account(&self, row: usize) -> Option<usize> {
        let account = self.columns.account?[row];
        (account != OWN_MARGIN).then_some(account as usize)
    }

    fn equity(&self, row: usize) -> Interval {
        let Some(account) = self.account(row) else {
            return self.own_equity(row);
        };
        match self.spread {
            Some(spread) => {
                let reference = spread.reference[account] as f64;
                // Each leg is rounded to a unit, here and at the reference.
                let by = spread.gross[account] * spread.share;
                let legs = spread.legs[account].len() as f64;
                Interval::at(reference).wider(by + legs + SLACK * reference.abs())
            }
            None => Interval::at(money(self.accounts.equity, account)),
        }
    }

    fn of_account(&self, table: Option<&[i64]>, own: Option<&[i64]>, row: usize) -> f64 {
        self.account(row).map_or_else(|| money(own, row), |account| money(table, account))
    }

    fn maintenance(&self, row: usize) -> f64 {
        let table = self.accounts.maintenance_margin;
        self.of_account(table, self.columns.maintenance_margin, row)
    }

    /// The largest score of the row: minus infinity where it cannot have one.
    #[must_use]
    pub fn upper(&self, row: usize) -> f64 {
        let Some(peaks) = self.peaks(row) else {
            return self.product(row);
        };
        let at = |mark: f64| Self { band: (mark, mark), ..*self }.product(row);
        let most = peaks.into_iter().map(at).fold(f64::NEG_INFINITY, f64::max);
        // A peak that is off by a rounding is lower by the square of it.
        raised(most, PEAK)
    }

    /// Where a score that reads the row's own equity can be largest: the ends of the band, and the
    /// mark at which profit and leverage balance. None where nothing is known but the product.
    ///
    /// With a entry and b bankruptcy value a lot, d = 1 or -1, b not below zero and a margin above
    /// it (so that d(a - b) > 0), the scores d(v - a)/(v - b) are monotone; d(v - a) v/(v - b)
    /// rises for d = 1, and for d = -1 has one peak at b - sqrt(b(b - a)); (v - a) v/(v - b)^2 has
    /// one at ab/(2b - a). Losses that are divided are convex in v or 1/v, and largest at an end.
    fn peaks(&self, row: usize) -> Option<[f64; 3]> {
        let is_own = self.account(row).is_none()
            || (self.rule.is_own_equity() && self.rule.basis != Basis::Equity);
        let has_leverage =
            matches!(self.rule.factor, Factor::BankruptcyDistance | Factor::NotionalOverEquity);
        let is_known = match self.rule.basis {
            Basis::EntryValue | Basis::InitialMargin | Basis::Absolute => {
                has_leverage || self.rule.factor == Factor::MaintenanceOverEquity
            }
            Basis::MarkValue => has_leverage,
            Basis::Equity => has_leverage || self.rule.factor == Factor::None,
            _ => false,
        };
        let margin = money(self.columns.margin, row);
        let ends = self.own_ends(row);
        let (lots, entry) = (self.columns.lots[row], self.columns.entry_value[row] as f64);
        let direction = self.kind() * lots.signum() as f64;
        let bankruptcy = entry - direction * margin;
        let is_sound = margin > 0.0 && bankruptcy >= 0.0 && ends.iter().all(|end| end.low > 0.0);
        if !is_known || !is_own || self.rule.is_joint || !is_sound {
            return None;
        }
        let (a, b) = (entry / lots.unsigned_abs() as f64, bankruptcy / lots.unsigned_abs() as f64);
        let (low, high) = self.band;
        let peak = match self.rule.basis {
            Basis::Equity if has_leverage => a * b / (2.0 * b - a),
            Basis::EntryValue | Basis::InitialMargin | Basis::Absolute
                if has_leverage && direction < 0.0 =>
            {
                b - (b * (b - a)).sqrt()
            }
            _ => low,
        };
        // Outside of the band, or nowhere, it is no peak.
        let peak = if peak > low && peak < high { peak } else { low };
        Some([low, high, peak])
    }

    /// The product of the bounds of basis and factor.
    fn product(&self, row: usize) -> f64 {
        let profit = self.profit(row);
        let is_zeroed = self.rule.no_equity == NoEquity::Zero && self.rule.reads_equity();
        let Some(basis) = self.basis(row, profit) else {
            // Without equity there is a zero even where equity is the basis.
            let is_zero = is_zeroed && self.rule.basis == Basis::Equity;
            return if is_zero { 0.0 } else { f64::NEG_INFINITY };
        };
        let has_loss = profit.low <= 0.0;
        let is_zero = is_zeroed || (self.rule.loss == Loss::Zero && has_loss);
        let mut upper = if is_zero { 0.0 } else { f64::NEG_INFINITY };
        let Some(factor) = self.factor(row) else {
            return upper;
        };
        if profit.high >= 0.0 {
            upper = upper.max(times(basis.high, factor.high));
        }
        if has_loss && matches!(self.rule.loss, Loss::Divide | Loss::Multiply) {
            let inverse = Interval { low: 1.0 / factor.high, high: 1.0 / factor.low };
            let factor = if self.rule.loss == Loss::Divide { inverse } else { factor };
            // Where the basis is a profit it is not above zero here, and largest times the least.
            let basis = if self.is_signed() { basis.high.min(0.0) } else { basis.high };
            let by = if basis < 0.0 { factor.low } else { factor.high };
            upper = upper.max(times(basis, by));
        }
        raised(upper, OUTWARD)
    }

    fn is_signed(&self) -> bool {
        !matches!(self.rule.basis, Basis::PriceRatio | Basis::PriceRatioLiteral | Basis::Unit)
    }

    /// Bounds of the basis; none where it is not defined anywhere in the band.
    fn basis(&self, row: usize, profit: Interval) -> Option<Interval> {
        let entry = self.columns.entry_value[row] as f64;
        let over = |den: Interval| {
            if den.high <= 0.0 {
                return None;
            }
            // Where the divisor may come near to nothing there is no bound.
            let low = den.low.max(f64::MIN_POSITIVE);
            let least = if profit.low < 0.0 { profit.low / low } else { profit.low / den.high };
            let most = if profit.high > 0.0 { profit.high / low } else { profit.high / den.high };
            Some(Interval { low: least, high: most })
        };
        match self.rule.basis {
            Basis::EntryValue => over(Interval::at(entry)),
            Basis::InitialMargin => over(Interval::at(money(self.columns.initial_margin, row))),
            Basis::MarkValue => over(self.mark(row).wider(SLACK * self.mark(row).high)),
            Basis::Equity => over(self.equity(row)),
            Basis::Absolute => Some(profit),
            Basis::Unit => Some(Interval::ONE),
            Basis::Wallet => {
                let wallet =
                    self.of_account(self.accounts.wallet_balance, self.columns.margin, row);
                let wallet = wallet.max(self.rule.wallet_floor as f64);
                let most = profit.high.max(0.0) / wallet;
                Some(Interval { low: profit.low.max(0.0) / wallet, high: most })
            }
            Basis::PriceRatio => self.ratio(row, self.columns.lots[row].signum() as f64),
            Basis::PriceRatioLiteral => self.ratio(row, 1.0),
        }
    }

    fn ratio(&self, row: usize, sign: f64) -> Option<Interval> {
        let (mark, entry) = (self.mark(row), self.columns.entry_value[row] as f64);
        if entry <= 0.0 {
            return None;
        }
        Some(if self.kind() * sign > 0.0 {
            Interval { low: mark.low / entry, high: mark.high / entry }
        } else {
            Interval { low: entry / mark.high, high: entry / mark.low }
        })
    }

    /// Bounds of the factor; none where it is not defined anywhere in the band.
    fn factor(&self, row: usize) -> Option<Interval> {
        let mark = self.mark(row);
        let money = |column| Interval::at(money(column, row));
        match self.rule.factor {
            Factor::None => Some(Interval::ONE),
            Factor::BankruptcyDistance => self.own_leverage(row),
            Factor::NotionalOverEquity if self.account(row).is_none() => self.own_leverage(row),
            Factor::NotionalOverEquity => quotient(mark, self.equity(row)),
            Factor::MaintenanceOverEquity => {
                quotient(Interval::at(self.maintenance(row)), self.equity(row))
            }
            Factor::NotionalOverFlooredEquity => {
                let (equity, floor) = (self.equity(row), self.maintenance(row));
                let equity = Interval { low: equity.low.max(floor), high: equity.high.max(floor) };
                quotient(mark, equity)
            }
            Factor::LeverageSetting => {
                quotient(money(self.columns.leverage), Interval::at(1_000_000.0))
            }
            Factor::OpenValueOverMargin => {
                quotient(money(self.columns.open_value), money(self.columns.margin))
            }
        }
    }

    /// Mark value over own equity: both are linear in the mark, so their quotient is monotone
    /// wherever the equity does not pass through nothing.
    fn own_leverage(&self, row: usize) -> Option<Interval> {
        let (mark, [first, last]) = (self.mark(row), self.own_ends(row));
        if first.low > 0.0 && last.low > 0.0 {
            let one = quotient(Interval::at(mark.low), first)?;
            let other = quotient(Interval::at(mark.high), last)?;
            return Some(Interval { low: one.low.min(other.low), high: one.high.max(other.high) });
        }
        quotient(mark, self.own_equity(row))
    }
}

/// Bounds of a quotient that is defined where the divisor is above zero and the dividend not below.
fn quotient(num: Interval, den: Interval) -> Option<Interval> {
    if den.high <= 0.0 || num.high < 0.0 {
        return None;
    }
    // Nothing over a divisor that may be nothing is nothing.
    let high = if num.high == 0.0 { 0.0 } else { num.high / den.low.max(0.0) };
    Some(Interval { low: num.low.max(0.0) / den.high, high })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::book::table::Table;
    use crate::columns::Rate;
    use crate::score::Scorer;
    use crate::simd::Level;
    use proptest::prelude::*;

    /// A rule by the codes of its members.
    pub fn member(basis: u8, factor: u8, loss: u8) -> Rule {
        Rule {
            basis: Basis::from_code(basis).unwrap(),
            factor: Factor::from_code(factor).unwrap(),
            loss: Loss::from_code(loss).unwrap(),
            no_equity: if factor.is_multiple_of(2) { NoEquity::LeaveOut } else { NoEquity::Zero },
            is_joint: false,
            wallet_floor: 1,
            ties: Vec::new(),
        }
    }

    /// Rows of one side with entries and margins of every kind around marks of 1 to 600.
    pub fn random_book(seed: u64, side: i64) -> Table {
        let mut state = seed | 1;
        let mut next = |below: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as i64 % below
        };
        let mut columns: Vec<Vec<i64>> = vec![Vec::new(); 7];
        for _ in 0..24 {
            let count = 1 + next(9);
            let entry = count * next(600);
            let figures = [
                side * count,
                entry,
                next(2 * entry + 9) / (1 + next(20)) - next(3),
                next(entry + 1),
                next(entry + 1),
                next(entry + 1),
                next(9) * 500_000,
            ];
            columns.iter_mut().zip(figures).for_each(|(column, figure)| column.push(figure));
        }
        let ids: Vec<u64> = (0..24).collect();
        let rows: Vec<u32> = (0..24).collect();
        let [lots, entry_value, margin, maintenance, initial, open, leverage] =
            [0, 1, 2, 3, 4, 5, 6].map(|place| columns[place].as_slice());
        let source = Columns {
            lots,
            entry_value,
            margin: Some(margin),
            maintenance_margin: Some(maintenance),
            initial_margin: Some(initial),
            open_value: Some(open),
            leverage: Some(leverage),
            position_id: Some(&ids),
            ..Columns::default()
        };
        Table::picked(&source, &rows)
    }

    impl Table {
        /// What bounds the rows.
        #[must_use]
        pub fn bound<'a>(
            &'a self,
            rule: &'a Rule,
            band: (f64, f64),
            is_inverse: bool,
        ) -> Bound<'a> {
            let columns = self.columns();
            Bound { columns, accounts: Accounts::default(), spread: None, rule, band, is_inverse }
        }

        /// The largest exact score of a row at marks all over a band.
        #[must_use]
        pub fn largest(
            &self,
            rule: &Rule,
            row: usize,
            (low, high): (i64, i64),
            is_inverse: bool,
        ) -> f64 {
            let score = |place: i64| {
                let rate =
                    Rate { mark_num: 16 * low + place * (high - low), mark_den: 16, is_inverse };
                let (columns, accounts) = (self.columns(), Accounts::default());
                let scorer = Scorer { columns, accounts, rate, rule, level: Level::BASELINE };
                scorer.exact(row).map_or(f64::NEG_INFINITY, crate::exact::Exact::to_f64)
            };
            (0..=16).map(score).fold(f64::NEG_INFINITY, f64::max)
        }
    }

    proptest! {
        /// Whatever the rule, no exact score at any mark of the band lies above its bound.
        #[test]
        fn a_bound_is_never_too_low(
            seed in any::<u64>(), basis in 0u8..9, factor in 0u8..7, loss in 0u8..4,
            is_long in any::<bool>(), is_inverse in any::<bool>(), at in 1i64..400, by in 0i64..200,
        ) {
            let rule = member(basis, factor, loss);
            let held = random_book(seed, if is_long { 1 } else { -1 });
            let bound = held.bound(&rule, (at as f64, (at + by) as f64), is_inverse);
            for row in 0..bound.columns.len() {
                let score = held.largest(&rule, row, (at, at + by), is_inverse);
                prop_assert!(score <= bound.upper(row), "row {row}: {score}");
            }
        }
    }
}
