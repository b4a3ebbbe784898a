//! Keys of many rows at once: 32-bit floats that stand for scores where only bins are asked for.
//!
//! A key is the nearest 32-bit float of a float within [`window`](crate::lane::window) of the
//! exact score; how it is made, and when it is, says [`formula`](crate::formula). Where the floats
//! leave a row open it is scored exactly, one at a time.

use crate::columns::OWN_MARGIN;
use crate::error::Result;
use crate::exact::Exact;
use crate::formula::{
    ENTRY, EQUITY, LEVERAGE, MAINTENANCE, MARK, NONE, NOTIONAL, Parts, RATIO, Terms, WALLET,
    has_equity,
};
use crate::lane::{LANE, Span, with_lane};
use crate::load::to_float;
use crate::rank::Venue;
use crate::rule::{Basis, Factor};
use crate::score::Scorer;
use crate::simd::{Task, dispatch, prefetch};

/// Rows of a block: all that is gathered for it stays in the first-level cache.
const BLOCK: usize = 128;
/// Rows in doubt that are taken one by one, rather than their block once more.
const FEW: u64 = 16;
/// Rows ahead of the block that are fetched meanwhile.
const AHEAD: usize = 512;

/// Whose rate a row is worth.
#[derive(Debug, Clone, Copy)]
pub enum Rates<'a> {
    /// All rows belong to one market.
    One(usize),
    /// Code of each row's market.
    Each(&'a [u32]),
}

/// What keys are made of.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    venue: Venue<'a>,
    rates: Rates<'a>,
    values: &'a [(f64, f64)],
}

/// Value of a lot and sign of the kind of each market, as floats.
#[must_use]
pub fn values(venue: &Venue<'_>) -> Vec<(f64, f64)> {
    let value = |rate: &crate::columns::Rate| {
        (rate.mark_num as f64 / rate.mark_den as f64, if rate.is_inverse { -1.0 } else { 1.0 })
    };
    venue.rates.iter().map(value).collect()
}

impl<'a> Keys<'a> {
    /// Keys of a venue's rows; `values` are [`values`] of the same venue.
    #[must_use]
    pub fn new(venue: Venue<'a>, rates: Rates<'a>, values: &'a [(f64, f64)]) -> Self {
        Self { venue, rates, values }
    }

    /// Keys of the rows from `start` on; minus infinity where a row is not in the queue.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn fill(&self, start: usize, keys: &mut [f32]) -> Result<()> {
        if keys.len() >= BLOCK && is_fused(&self.venue) {
            if dispatch(self.venue.level, Fuse { keys: self, start, out: keys }) {
                return Ok(());
            }
            return Err(self.venue.columns.first_out_of_range(&self.venue.accounts));
        }
        let step = if matches!(self.rates, Rates::One(_)) { LANE } else { 1 };
        for (turn, part) in keys.chunks_mut(step).enumerate() {
            let row = start + turn * step;
            lane_keys(&self.scorer(row), Span::Run(row, part.len()), part)?;
        }
        Ok(())
    }

    fn scorer(&self, row: usize) -> Scorer<'a> {
        self.venue.scorer(match self.rates {
            Rates::One(market) => market,
            Rates::Each(market) => market[row] as usize,
        })
    }

    /// The key of a row that the floats could not settle.
    #[cold]
    fn exact(&self, row: usize) -> f32 {
        self.scorer(row).exact(row).map_or(f32::NEG_INFINITY, |score| Exact::to_f64(score) as f32)
    }
}

/// Keys of rows of one market by way of a lane.
///
/// # Errors
/// A value is out of range.
pub fn lane_keys(scorer: &Scorer<'_>, span: Span<'_>, keys: &mut [f32]) -> Result<()> {
    with_lane(|lane| {
        scorer.evaluate(span, lane);
        if !lane.is_valid {
            return Err(scorer.columns.first_out_of_range(&scorer.accounts));
        }
        for (place, out) in keys.iter_mut().enumerate() {
            let key = scorer.key(lane, place, span.row(place));
            *out = key.map_or(f32::NEG_INFINITY, |key| key as f32);
        }
        Ok(())
    })
}

/// Whether keys of a venue's rule are made in one loop, whatever the order of its rows.
#[must_use]
pub fn is_fused(venue: &Venue<'_>) -> bool {
    let rule = venue.rule;
    let basis = match rule.basis {
        Basis::EntryValue
        | Basis::MarkValue
        | Basis::PriceRatio
        | Basis::PriceRatioLiteral
        | Basis::Wallet => true,
        Basis::Equity => rule.factor == Factor::None,
        Basis::InitialMargin | Basis::Absolute | Basis::Unit => false,
    };
    let factor =
        !matches!(rule.factor, Factor::NotionalOverFlooredEquity | Factor::OpenValueOverMargin);
    basis && factor && !rule.is_joint
}

/// What a block of rows is scored from beside lots and entry value.
struct Block {
    value: [f64; BLOCK],
    kind: [f64; BLOCK],
    /// Equity of the account, or margin where the row stands on its own.
    equity: [i64; BLOCK],
    /// 1 where the row stands on its own margin, else 0.
    own: [f64; BLOCK],
    factor: [i64; BLOCK],
    wallet: [i64; BLOCK],
}

struct Fuse<'a, 'k> {
    keys: &'a Keys<'k>,
    start: usize,
    out: &'a mut [f32],
}

impl Task for Fuse<'_, '_> {
    /// Whether every value read lies within its range.
    type Output = bool;

    #[inline(always)]
    fn run(mut self) -> bool {
        match self.keys.venue.rule.basis {
            Basis::MarkValue => self.by_factor::<MARK>(),
            Basis::Equity => self.by_source::<EQUITY, NONE>(),
            Basis::PriceRatio | Basis::PriceRatioLiteral => self.by_factor::<RATIO>(),
            Basis::Wallet => self.by_factor::<WALLET>(),
            _ => self.by_factor::<ENTRY>(),
        }
    }
}

impl Fuse<'_, '_> {
    #[inline(always)]
    fn by_factor<const BASIS: u8>(&mut self) -> bool {
        match self.keys.venue.rule.factor {
            Factor::BankruptcyDistance | Factor::NotionalOverEquity => {
                self.by_source::<BASIS, NOTIONAL>()
            }
            Factor::MaintenanceOverEquity => self.by_source::<BASIS, MAINTENANCE>(),
            Factor::LeverageSetting => self.by_source::<BASIS, LEVERAGE>(),
            _ => self.by_source::<BASIS, NONE>(),
        }
    }

    #[inline(always)]
    fn by_source<const BASIS: u8, const FACTOR: u8>(&mut self) -> bool {
        let venue = &self.keys.venue;
        let is_own = venue.columns.account.is_none()
            || (venue.rule.is_own_equity() && BASIS != WALLET)
            || (BASIS != EQUITY && BASIS != WALLET && (FACTOR == NONE || FACTOR == LEVERAGE));
        if is_own {
            self.blocks::<BASIS, FACTOR, true>()
        } else {
            self.blocks::<BASIS, FACTOR, false>()
        }
    }

    #[inline(always)]
    fn blocks<const BASIS: u8, const FACTOR: u8, const OWN: bool>(&mut self) -> bool {
        let mut block = Block {
            value: [0.0; BLOCK],
            kind: [0.0; BLOCK],
            equity: [0; BLOCK],
            own: [1.0; BLOCK],
            factor: [0; BLOCK],
            wallet: [0; BLOCK],
        };
        if let Rates::One(market) = self.keys.rates {
            let (value, kind) = self.keys.values[market];
            (block.value, block.kind) = ([value; BLOCK], [kind; BLOCK]);
        }
        let terms = Terms::new(self.keys.venue.rule);
        let mut bits = 0u64;
        let last = self.out.len() - BLOCK;
        for at in (0..last).step_by(BLOCK) {
            self.block::<BASIS, FACTOR, OWN>(at, &terms, &mut block, &mut bits);
        }
        // The last block overlaps the one before: rows that come twice get the same key.
        self.block::<BASIS, FACTOR, OWN>(last, &terms, &mut block, &mut bits);
        bits >> 52 == 0
    }

    #[inline(always)]
    fn block<const BASIS: u8, const FACTOR: u8, const OWN: bool>(
        &mut self,
        at: usize,
        terms: &Terms,
        block: &mut Block,
        bits: &mut u64,
    ) {
        let columns = &self.keys.venue.columns;
        let start = self.start + at;
        if let Rates::Each(market) = self.keys.rates {
            for (place, &code) in market[start..start + BLOCK].iter().enumerate() {
                (block.value[place], block.kind[place]) = self.keys.values[code as usize];
            }
        }
        if !OWN {
            self.gather::<BASIS, FACTOR>(start, block);
        }
        let margin = slice(columns.margin, start, &block.equity);
        let factor = match FACTOR {
            LEVERAGE => slice(columns.leverage, start, &block.factor),
            _ => slice(columns.maintenance_margin, start, &block.factor),
        };
        let rows = Rows {
            lots: &columns.lots[start..start + BLOCK],
            entry: &columns.entry_value[start..start + BLOCK],
            equity: if OWN { margin } else { &block.equity },
            factor: if OWN || FACTOR == LEVERAGE { factor } else { &block.factor },
            wallet: if OWN { margin } else { &block.wallet },
            value: &block.value,
            kind: &block.kind,
            own: &block.own,
        };
        let ahead = start + AHEAD..start + AHEAD + BLOCK;
        prefetch(columns.lots, ahead.clone());
        prefetch(columns.entry_value, ahead.clone());
        if OWN && (FACTOR == NOTIONAL || FACTOR == MAINTENANCE || BASIS == EQUITY) {
            prefetch(columns.margin.unwrap_or(&[]), ahead);
        }
        let out = &mut self.out[at..at + BLOCK];
        let (mut seen, mut doubt) = (0u64, 0u64);
        for (i, out) in out.iter_mut().enumerate() {
            let parts = rows.parts::<BASIS, FACTOR, OWN>(terms, i, &mut seen);
            let key = parts.quick::<BASIS, FACTOR, OWN>(terms);
            doubt += u64::from(key.is_nan());
            *out = key as f32;
        }
        if doubt > 0 {
            rows.look_again::<BASIS, FACTOR, OWN>(terms, doubt, out, &mut seen);
            if seen >> 52 == 0 {
                self.settle(start, at);
            }
        }
        *bits |= seen;
    }

    /// Scores exactly what the floats left open.
    fn settle(&mut self, start: usize, at: usize) {
        for (place, out) in self.out[at..at + BLOCK].iter_mut().enumerate() {
            if out.is_nan() {
                *out = self.keys.exact(start + place);
            }
        }
    }

    /// Values of the rows' accounts, or of the rows themselves where they stand on their own.
    #[inline(always)]
    fn gather<const BASIS: u8, const FACTOR: u8>(&self, start: usize, block: &mut Block) {
        let Venue { columns, accounts, rule, .. } = &self.keys.venue;
        let rows = start..start + BLOCK;
        let account = columns.account.map_or(&[][..], |account| &account[rows.clone()]);
        for (own, &code) in block.own.iter_mut().zip(account) {
            *own = if code == OWN_MARGIN || rule.is_own_equity() { 1.0 } else { 0.0 };
        }
        let margin = columns.margin.map(|margin| &margin[rows.clone()]);
        if rule.is_own_equity() {
            block.equity.copy_from_slice(margin.unwrap_or(&[i64::MIN; BLOCK]));
        } else if FACTOR != NONE || BASIS == EQUITY {
            pick(account, accounts.equity, margin, &mut block.equity);
        }
        if FACTOR == MAINTENANCE {
            let own = columns.maintenance_margin.map(|margin| &margin[rows]);
            pick(account, accounts.maintenance_margin, own, &mut block.factor);
        }
        if BASIS == WALLET {
            pick(account, accounts.wallet_balance, margin, &mut block.wallet);
        }
    }
}

/// Columns of a block.
struct Rows<'a> {
    lots: &'a [i64],
    entry: &'a [i64],
    equity: &'a [i64],
    factor: &'a [i64],
    wallet: &'a [i64],
    value: &'a [f64; BLOCK],
    kind: &'a [f64; BLOCK],
    own: &'a [f64; BLOCK],
}

impl Rows<'_> {
    /// Keys of the rows that the few tests leave in doubt, of which there are so many.
    #[inline(always)]
    fn look_again<const BASIS: u8, const FACTOR: u8, const OWN: bool>(
        &self,
        terms: &Terms,
        doubt: u64,
        keys: &mut [f32],
        seen: &mut u64,
    ) {
        if doubt <= FEW {
            for (i, key) in keys.iter_mut().enumerate().filter(|(_, key)| key.is_nan()) {
                *key = self.one::<BASIS, FACTOR, OWN>(terms, i, seen);
            }
            return;
        }
        for (i, key) in keys.iter_mut().enumerate() {
            let parts = self.parts::<BASIS, FACTOR, OWN>(terms, i, seen);
            *seen |= u64::from(parts.mark == 0.0) << 63;
            *key = parts.careful::<BASIS, FACTOR>(terms) as f32;
        }
    }

    #[inline(never)]
    fn one<const BASIS: u8, const FACTOR: u8, const OWN: bool>(
        &self,
        terms: &Terms,
        i: usize,
        seen: &mut u64,
    ) -> f32 {
        let parts = self.parts::<BASIS, FACTOR, OWN>(terms, i, seen);
        *seen |= u64::from(parts.mark == 0.0) << 63;
        parts.careful::<BASIS, FACTOR>(terms) as f32
    }

    /// One row's numbers; `seen` gets a bit from 52 up where a value is out of range.
    #[inline(always)]
    fn parts<const BASIS: u8, const FACTOR: u8, const OWN: bool>(
        &self,
        terms: &Terms,
        i: usize,
        seen: &mut u64,
    ) -> Parts {
        let (lots, entry) = (to_float(self.lots[i], seen), to_float(self.entry[i], seen));
        // An entry value below zero is out of range as well.
        *seen |= self.entry[i] as u64 & 1 << 63;
        let signed = lots * self.value[i];
        let mark = signed.abs();
        let profit = self.kind[i] * (signed - entry.copysign(lots));
        let size = mark + entry;
        let mut equity = 1.0;
        if has_equity(BASIS, FACTOR) {
            let money = to_float(self.equity[i], seen);
            equity = if OWN { money + profit } else { money + self.own[i] * profit };
        }
        let up = if terms.is_by_side { self.kind[i] * lots } else { self.kind[i] };
        let (num, den) = match BASIS {
            MARK => (profit, mark),
            EQUITY => (profit, equity),
            WALLET => (profit.max(0.0), to_float(self.wallet[i], seen).max(terms.wallet_floor)),
            RATIO if up > 0.0 => (mark, entry),
            RATIO => (entry, mark),
            _ => (profit, entry),
        };
        let factor = match FACTOR {
            NOTIONAL => mark,
            MAINTENANCE | LEVERAGE => to_float(self.factor[i], seen),
            _ => 1.0,
        };
        let divisor = match FACTOR {
            NONE => 1.0,
            LEVERAGE => 1_000_000.0,
            _ => equity,
        };
        let guard = if OWN { size } else { size * self.own[i] };
        Parts { mark, profit, size, num, den, factor, divisor, equity, guard }
    }
}

#[inline(always)]
fn slice<'a>(column: Option<&'a [i64]>, start: usize, other: &'a [i64; BLOCK]) -> &'a [i64] {
    column.map_or(other, |values| &values[start..start + BLOCK])
}

/// Values of accounts; what points into nowhere is out of range.
#[inline(always)]
fn pick(account: &[u32], table: Option<&[i64]>, own: Option<&[i64]>, values: &mut [i64; BLOCK]) {
    let table = table.unwrap_or(&[]);
    for (place, (value, &code)) in values.iter_mut().zip(account).enumerate() {
        *value = match table.get(code as usize) {
            Some(&found) => found,
            None if code == OWN_MARGIN => own.map_or(i64::MIN, |own| own[place]),
            None => i64::MIN,
        };
    }
}
