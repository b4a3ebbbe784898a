//! A screening column: two 32-bit floats a row that say whether it may reach a score.
//!
//! Rules that judge a row by itself and not by its size see two prices only: a, its entry value a
//! lot, and b, its bankruptcy value a lot (where its own equity is nothing). With d = 1 where it
//! gains as the mark v rises and -1 where it falls, the profit is d(v - a) and the equity d(v - b)
//! a lot, so that a score reaches T > 0 where l(v) >= T r(v) for two products l and r. Over a band
//! of marks l - T r is linear or convex, and largest at an end, or it is concave, and largest at
//! its vertex or at the end next to it: one or two points decide for the whole band.
//!
//! a and b are kept as 32-bit floats rounded to the side that raises the score, in units of a value
//! near the mark. A product of differences of such floats errs by a few parts in 2^24, which T,
//! lowered by 2^-20 of itself, covers.

use crate::book::bound::Bound;
use crate::book::table::fetched;
use crate::columns::Columns;
use crate::rule::{Basis, Factor, Loss, Rule};
use crate::simd::{Level, Task, dispatch, prefetch};

const BLOCK: usize = 128;
/// Rows ahead whose place is fetched meanwhile.
const AHEAD: usize = 16;
/// How much a score to reach is lowered: more than the roundings of both products.
const LOWER: f64 = 1.0 - 1.0 / (1u64 << 20) as f64;
/// Scores and marks beyond these leave the range in which 32-bit products are safe.
const FARTHEST: f64 = (1u64 << 16) as f64;
/// More than the roundings of a score in wide floats.
const OUTWARD: f64 = 1.0 / (1u64 << 30) as f64;
/// Prices beyond this, and entries below one over it, are no numbers here: nothing is told of their
/// rows.
const LARGEST: f64 = (1u64 << 40) as f64;
/// Added for a vertex that is off by a rounding, in units of the mark squared.
const VERTEX: f32 = 1.0 / (1u64 << 42) as f32;

/// What l and r are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Profit over entry value.
    Entry,
    /// Profit over entry value, times mark value over own equity.
    EntryLeverage,
    /// Profit over mark value.
    Mark,
    /// Profit over own equity, whether or not the mark value cancels.
    Equity,
    /// Price ratio.
    Ratio,
    /// Price ratio times mark value over own equity.
    RatioLeverage,
    /// Mark value over own equity.
    Leverage,
}

impl Form {
    fn of(rule: &Rule, columns: &Columns<'_>) -> Option<Self> {
        let is_own = columns.account.is_none() || rule.is_own_equity();
        let has_leverage = match rule.factor {
            Factor::None => false,
            Factor::BankruptcyDistance | Factor::NotionalOverEquity => true,
            _ => return None,
        };
        let reads_own = has_leverage || rule.basis == Basis::Equity;
        if rule.is_joint || (reads_own && !is_own) || rule.reads_two_equities() {
            return None;
        }
        // What divides at a loss may raise a ratio above what it is in profit.
        let is_plain = rule.loss != Loss::Divide || !has_leverage;
        match (rule.basis, has_leverage) {
            (Basis::EntryValue, false) => Some(Self::Entry),
            (Basis::EntryValue, true) => Some(Self::EntryLeverage),
            (Basis::MarkValue, false) => Some(Self::Mark),
            (Basis::MarkValue, true) | (Basis::Equity, false) => Some(Self::Equity),
            (Basis::PriceRatio, false) => Some(Self::Ratio),
            (Basis::PriceRatio, true) if is_plain => Some(Self::RatioLeverage),
            (Basis::Unit, true) if is_plain => Some(Self::Leverage),
            _ => None,
        }
    }
}

/// The column of one section.
#[derive(Debug, Clone)]
pub struct Coefficients {
    form: Form,
    /// 1 where the section gains as the mark rises, else -1.
    direction: f64,
    /// Value of a lot that counts as one.
    unit: f64,
    entry: Vec<f32>,
    bankruptcy: Vec<f32>,
}

/// The next float up or down, past the rounding that made this one.
fn nudge(value: f64, is_up: bool) -> f32 {
    let near = value as f32;
    if is_up { near.next_up() } else { near.next_down() }
}

impl Coefficients {
    /// The column of a section's rows; none where the rule does not stand on two prices.
    #[must_use]
    pub fn new(bound: &Bound<'_>, is_long: bool) -> Option<Self> {
        let form = Form::of(bound.rule, &bound.columns)?;
        let mut made = Self {
            form,
            direction: if is_long == bound.is_inverse { -1.0 } else { 1.0 },
            unit: (bound.band.0).log2().round().exp2(),
            entry: Vec::new(),
            bankruptcy: Vec::new(),
        };
        made.append(&bound.columns, 0);
        Some(made)
    }

    /// Takes up the rows from `first` on.
    pub fn append(&mut self, columns: &Columns<'_>, first: usize) {
        let rows = columns.len() - first;
        for column in [&mut self.entry, &mut self.bankruptcy] {
            if column.capacity() - column.len() < rows {
                column.reserve_exact(rows.max(column.len() / 16));
            }
        }
        for row in first..columns.len() {
            let (entry, bankruptcy) = self.pair(columns, row);
            self.entry.push(entry);
            self.bankruptcy.push(bankruptcy);
        }
    }

    /// Works some rows out anew: (row here, row there) pairs.
    pub fn write(&mut self, source: &Columns<'_>, pairs: &[(u32, u32)]) {
        for (turn, &(row, from)) in pairs.iter().enumerate() {
            if let Some(&(row, _)) = pairs.get(turn + AHEAD) {
                let line = row as usize..row as usize + 1;
                prefetch(&self.entry, line.clone());
                prefetch(&self.bankruptcy, line);
            }
            let row = row as usize;
            (self.entry[row], self.bankruptcy[row]) = self.pair(source, from as usize);
        }
    }

    /// Takes a row out; the last one moves into its place.
    pub fn swap_remove(&mut self, row: usize) {
        self.entry.swap_remove(row);
        self.bankruptcy.swap_remove(row);
    }

    /// Entry and bankruptcy value of a lot of each row, in units of [`Self::unit`].
    #[must_use]
    pub fn prices(&self) -> (&[f32], &[f32]) {
        (&self.entry, &self.bankruptcy)
    }

    /// Value of a lot that counts as one.
    #[must_use]
    pub fn unit(&self) -> f64 {
        self.unit
    }

    /// Whether the section gains as the mark rises.
    #[must_use]
    pub fn rises(&self) -> bool {
        self.direction > 0.0
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        4 * (self.entry.capacity() + self.bankruptcy.capacity())
    }

    fn pair(&self, columns: &Columns<'_>, row: usize) -> (f32, f32) {
        let lots = columns.lots[row].unsigned_abs() as f64 * self.unit;
        let entry = columns.entry_value[row] as f64;
        let margin = columns.margin.map_or(0.0, |margin| margin[row] as f64);
        let bankruptcy = entry - self.direction * margin;
        let rises = self.direction > 0.0;
        let (entry, bankruptcy) = (entry / lots, bankruptcy / lots);
        if entry.max(bankruptcy.abs()) > LARGEST || entry < 1.0 / LARGEST {
            return (f32::NAN, f32::NAN);
        }
        // Every form falls with the entry and rises with the bankruptcy value where the row gains
        // as the mark rises, and the other way round where it falls.
        (nudge(entry, !rises), nudge(bankruptcy, rises))
    }

    /// Whether the column tells which rows reach a score while the mark is in a band.
    #[must_use]
    pub fn is_ready(&self, score: f64, band: (f64, f64)) -> bool {
        let (low, high) = (band.0 / self.unit, band.1 / self.unit);
        let is_near = low > 1.0 / FARTHEST && high < FARTHEST;
        is_near && score > 1.0 / FARTHEST && score < FARTHEST
    }

    /// The largest scores of rows over a band, or zero where one is not above; no number where two
    /// prices do not tell it.
    ///
    /// Each form is monotone in the mark or has one peak, where the margin is above zero; ends and
    /// peak are worked out in wide floats from the prices that were rounded outward.
    #[must_use]
    pub fn uppers(&self, level: Level, rows: &[u32], band: (f64, f64)) -> Vec<f64> {
        let entry: Vec<f32> = fetched(&self.entry, rows).collect();
        let bankruptcy: Vec<f32> = fetched(&self.bankruptcy, rows).collect();
        let mut uppers = vec![0.0; rows.len()];
        let (low, high) = (band.0 / self.unit, band.1 / self.unit);
        let (entry, bankruptcy) = (entry.as_slice(), bankruptcy.as_slice());
        let uppers_of = Uppers { entry, bankruptcy, low, high, into: &mut uppers };
        dispatch(level, Formed(self, uppers_of));
        uppers
    }

    /// Rows of a range that may reach a score somewhere in a band; the rest surely do not.
    pub fn reach(
        &self,
        level: Level,
        score: f64,
        band: (f64, f64),
        (start, end): (usize, usize),
        kept: &mut Vec<u32>,
    ) {
        let screen = Screen {
            column: self,
            score: nudge(score * LOWER, false),
            low: nudge(band.0 / self.unit, false),
            high: nudge(band.1 / self.unit, true),
            start,
            end,
            kept,
        };
        dispatch(level, Formed(self, screen));
    }
}

struct Screen<'a> {
    column: &'a Coefficients,
    score: f32,
    low: f32,
    high: f32,
    start: usize,
    end: usize,
    kept: &'a mut Vec<u32>,
}

// Codes of the forms and of the direction, const generics so that each loop is free of branches.
const ENTRY: u8 = 0;
const ENTRY_LEVERAGE: u8 = 1;
const MARK: u8 = 2;
const EQUITY: u8 = 3;
const RATIO: u8 = 4;
const RATIO_LEVERAGE: u8 = 5;
const LEVERAGE: u8 = 6;

/// A loop that is free of branches for one form and one direction.
trait Loop {
    fn run<const FORM: u8, const RISES: bool>(self);
}

/// The loop of a column's form and direction.
struct Formed<'a, T>(&'a Coefficients, T);

impl<T: Loop> Task for Formed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.0.form {
            Form::Entry => self.by_direction::<ENTRY>(),
            Form::EntryLeverage => self.by_direction::<ENTRY_LEVERAGE>(),
            Form::Mark => self.by_direction::<MARK>(),
            Form::Equity => self.by_direction::<EQUITY>(),
            Form::Ratio => self.by_direction::<RATIO>(),
            Form::RatioLeverage => self.by_direction::<RATIO_LEVERAGE>(),
            Form::Leverage => self.by_direction::<LEVERAGE>(),
        }
    }
}

impl<T: Loop> Formed<'_, T> {
    #[inline(always)]
    fn by_direction<const FORM: u8>(self) {
        if self.0.rises() {
            self.1.run::<FORM, true>();
        } else {
            self.1.run::<FORM, false>();
        }
    }
}

impl Loop for Screen<'_> {
    #[inline(always)]
    fn run<const FORM: u8, const RISES: bool>(self) {
        for at in (self.start..self.end).step_by(BLOCK) {
            let count = BLOCK.min(self.end - at);
            let entry = &self.column.entry[at..at + count];
            let bankruptcy = &self.column.bankruptcy[at..at + count];
            let mut verdicts = [0u8; BLOCK];
            for i in 0..count {
                verdicts[i] = self.judge::<FORM, RISES>(entry[i], bankruptcy[i]) as u8;
            }
            // Few rows stay: eight verdicts are one number, and most of these are nothing.
            for (turn, eight) in verdicts.as_chunks::<8>().0.iter().enumerate() {
                let mut rest = u64::from_le_bytes(*eight);
                while rest != 0 {
                    let place = 8 * turn + rest.trailing_zeros() as usize / 8;
                    self.kept.push((at + place) as u32);
                    rest &= rest - 1;
                }
            }
        }
    }
}

impl Screen<'_> {
    /// 1 where the row may reach the score; what cannot be told (no number) may.
    #[inline(always)]
    fn judge<const FORM: u8, const RISES: bool>(&self, a: f32, b: f32) -> u32 {
        // Who has no profit, or no equity, at the better end has none anywhere.
        let best = if RISES { self.high } else { self.low };
        let (profit, equity) = parts::<RISES>(best, a, b);
        let needs_profit = matches!(FORM, ENTRY | ENTRY_LEVERAGE | MARK | EQUITY);
        let needs_equity = matches!(FORM, ENTRY_LEVERAGE | EQUITY | RATIO_LEVERAGE | LEVERAGE);
        let is_out =
            u32::from(needs_profit && profit <= 0.0) | u32::from(needs_equity && equity <= 0.0);
        let falls_short = if FORM == ENTRY_LEVERAGE && !RISES {
            // (a - v) v - T a (b - v) is concave in v, with its vertex at a (1 + T) / 2.
            let vertex = a * (0.5 + 0.5 * self.score);
            let v = vertex.max(self.low).min(self.high);
            let (profit, equity) = parts::<RISES>(v, a, b);
            u32::from(profit * v + VERTEX * v * v < self.score * a * equity)
        } else {
            self.falls_short::<FORM, RISES>(self.low, a, b)
                & self.falls_short::<FORM, RISES>(self.high, a, b)
        };
        1 - (is_out | falls_short)
    }

    #[inline(always)]
    fn falls_short<const FORM: u8, const RISES: bool>(&self, v: f32, a: f32, b: f32) -> u32 {
        let score = self.score;
        let (profit, equity) = parts::<RISES>(v, a, b);
        let falls_short = match FORM {
            ENTRY => profit < score * a,
            ENTRY_LEVERAGE => profit * v < score * a * equity,
            MARK => profit < score * v,
            EQUITY => profit < score * equity,
            RATIO if RISES => v < score * a,
            RATIO => a < score * v,
            RATIO_LEVERAGE if RISES => v * v < score * a * equity,
            RATIO_LEVERAGE => a < score * equity,
            _ => v < score * equity,
        };
        u32::from(falls_short)
    }
}

/// Profit and equity a lot at a mark.
#[inline(always)]
fn parts<const RISES: bool>(v: f32, a: f32, b: f32) -> (f32, f32) {
    if RISES { (v - a, v - b) } else { (a - v, b - v) }
}

struct Uppers<'a> {
    entry: &'a [f32],
    bankruptcy: &'a [f32],
    low: f64,
    high: f64,
    into: &'a mut [f64],
}

impl Loop for Uppers<'_> {
    #[inline(always)]
    fn run<const FORM: u8, const RISES: bool>(self) {
        let (band, count) = ((self.low, self.high), self.into.len());
        let (entry, bankruptcy) = (&self.entry[..count], &self.bankruptcy[..count]);
        for place in 0..count {
            let (a, b) = (f64::from(entry[place]), f64::from(bankruptcy[place]));
            self.into[place] = most::<FORM, RISES>(band, a, b);
        }
    }
}

/// The largest score over a band; no number where there is no telling.
#[inline(always)]
#[allow(clippy::needless_bitwise_bool)] // a branch would keep the loop from being vectors
fn most<const FORM: u8, const RISES: bool>((low, high): (f64, f64), a: f64, b: f64) -> f64 {
    let at = |v: f64| {
        let (profit, equity) = if RISES { (v - a, v - b) } else { (a - v, b - v) };
        match FORM {
            ENTRY => profit / a,
            ENTRY_LEVERAGE => profit * v / (a * equity),
            MARK => profit / v,
            EQUITY => profit / equity,
            RATIO if RISES => v / a,
            RATIO => a / v,
            RATIO_LEVERAGE if RISES => v * v / (a * equity),
            RATIO_LEVERAGE => a / equity,
            _ => v / equity,
        }
    };
    // An equity of nothing within reach, or no margin, has no bound here.
    let (margin, least_equity) = if RISES { (a - b, low - b) } else { (b - a, b - high) };
    let is_plain = (margin > 0.0) & (b >= 0.0) & (least_equity > 0.0);
    let is_told = (a > 0.0) & (is_plain | matches!(FORM, ENTRY | MARK | RATIO));
    let mut most = at(low).max(at(high));
    if FORM == ENTRY_LEVERAGE && !RISES {
        let peak = b - (b * (b - a)).sqrt();
        // Outside of the band, or nowhere, it is no peak.
        most = most.max(at(if (peak > low) & (peak < high) { peak } else { low }));
    }
    let upper = (most + OUTWARD * most.abs()).max(0.0);
    if is_told & (most.abs() < f64::INFINITY) { upper } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::bound::tests::{member, random_book};
    use proptest::prelude::*;

    proptest! {
        /// No row is dropped, nor bounded too low, whose exact score reaches the floor in the band.
        #[test]
        fn a_screen_drops_no_row_that_counts(
            seed in any::<u64>(), basis in 0u8..9, factor in 0u8..4, loss in 0u8..4,
            is_long in any::<bool>(), is_inverse in any::<bool>(), at in 1i64..400, by in 0i64..200,
        ) {
            let rule = member(basis, factor, loss);
            let held = random_book(seed, if is_long { 1 } else { -1 });
            let bound = held.bound(&rule, (at as f64, (at + by) as f64), is_inverse);
            let Some(column) = Coefficients::new(&bound, is_long) else { return Ok(()) };
            for floor in [0.001, 0.03, 0.2, 1.0, 3.0, 40.0] {
                let mut kept = Vec::new();
                let rows = (0, bound.columns.len());
                column.reach(Level::detect(), floor, bound.band, rows, &mut kept);
                for row in 0..bound.columns.len() {
                    let score = held.largest(&rule, row, (at, at + by), is_inverse);
                    let is_kept = kept.contains(&(row as u32));
                    prop_assert!(is_kept || score < floor, "row {row}: {score} >= {floor}");
                }
            }
            let rows: Vec<u32> = (0..bound.columns.len() as u32).collect();
            let uppers = column.uppers(Level::detect(), &rows, bound.band);
            for (row, upper) in uppers.iter().enumerate() {
                let score = held.largest(&rule, row, (at, at + by), is_inverse);
                prop_assert!(score <= *upper || upper.is_nan(), "row {row}: {score} > {upper}");
            }
            for level in Level::available() {
                let again = column.uppers(level, &rows, bound.band);
                let is_same = |(one, two): (&f64, f64)| one.to_bits() == two.to_bits();
                prop_assert!(uppers.iter().zip(again).all(is_same));
            }
        }
    }
}
