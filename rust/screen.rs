//! The pass over all rows of a selection: which of them may reach a cut, without dividing.
//!
//! A score that reaches a cut c > 0 belongs to a row in profit whose divisors are positive, so
//! n1·n2 >= c·d1·d2; every other row may be dropped. For c < 0 the same inequality holds for all
//! rows that reach it, with factor and divisor exchanged where the rule divides losses. With
//! u = 2^-53 the left side errs by at most 6u·w for the profit in it, w being entry value plus mark
//! value, times what multiplies it, and an own equity errs by as much wherever it stands; the
//! relative terms are covered by a cut that is lowered by 2^-30 of itself. `SLACK` is 32u, so that
//! no row that counts is lost; the few that come along are judged by their lane.

use crate::load::to_float;
use crate::places::{BITS, Bits, Found, PLACES};
use crate::rule::{Basis, Factor, Loss, NoEquity};
use crate::scatter::{MANY, Reading, ask, lower_bound};
use crate::score::Scorer;
use crate::simd::{Task, prefetch};

const BLOCK: usize = 128;
/// Sets of places in a block.
const SETS: usize = BLOCK / PLACES;
/// Rows ahead of the block that are fetched meanwhile.
const PAGE: usize = 512;
/// Blocks between asking for an account's line of memory and reading it.
const AHEAD: usize = 4;
/// Blocks that are looked through before the accounts of the first are read.
const PIECE: usize = 32;
/// Values of what a rule does not read.
static NOTHING: [i64; BLOCK] = [0; BLOCK];
const SLACK: f64 = 1.0 / (1u64 << 48) as f64;

// Codes of the formulas, const generics so that each loop is free of branches.
const ENTRY: u8 = 0;
const EQUITY: u8 = 1;
const ABSOLUTE: u8 = 2;
const RATIO: u8 = 3;
const WALLET: u8 = 4;
const MARK: u8 = 5;
const NONE: u8 = 0;
const NOTIONAL: u8 = 1;
const MAINTENANCE: u8 = 2;
// Where equities are read: in the position's own columns, in the account of each row, or in the
// accounts of some.
const OWN: u8 = 0;
const ALL: u8 = 1;
const SOME: u8 = 2;

/// What a block of rows reads beside lots and entry value, where accounts are judged.
struct Tables {
    worth: [[u64; SETS]; PIECE],
    equity: [i64; BLOCK],
    maintenance: [i64; BLOCK],
    wallet: [i64; BLOCK],
}

/// A pass over a range of rows.
pub struct Screen<'a, 's> {
    /// What scores.
    pub scorer: &'a Scorer<'s>,
    /// A floor below every score that counts, not 0.
    pub floor: f64,
    /// Side of the candidates.
    pub side: i8,
    /// First row.
    pub start: usize,
    /// Row behind the last.
    pub end: usize,
    /// How accounts are read.
    pub reading: &'a Reading,
    /// Where rows that may count are put, in increasing order.
    pub found: &'a mut Found,
}

/// Whether there is a division-free pass for the scorer's rule and columns down to a floor.
#[must_use]
pub fn is_screened(scorer: &Scorer<'_>, floor: f64) -> bool {
    let rule = scorer.rule;
    // Where losers or rows without equity score zero, every score lies above a floor below zero.
    let has_losses = matches!(rule.loss, Loss::Divide | Loss::Multiply)
        && rule.no_equity == NoEquity::LeaveOut
        && rule.basis != Basis::Wallet;
    let is_bounded = floor > 0.0 || (floor < 0.0 && has_losses);
    if !is_bounded {
        return false;
    }
    let basis = match rule.basis {
        Basis::EntryValue | Basis::MarkValue | Basis::Absolute | Basis::Wallet => true,
        Basis::Equity => rule.factor == Factor::None,
        Basis::PriceRatio | Basis::PriceRatioLiteral => rule.loss != Loss::Divide,
        Basis::InitialMargin | Basis::Unit => false,
    };
    let factor = matches!(
        rule.factor,
        Factor::None
            | Factor::BankruptcyDistance
            | Factor::NotionalOverEquity
            | Factor::MaintenanceOverEquity
    );
    // Rows judged on their own margin beside others judged by their account: the lanes mix them.
    let is_mixed = scorer.columns.account.is_some() && scorer.columns.margin.is_some();
    let is_own = rule.is_own_equity() && rule.basis != Basis::Wallet;
    basis && factor && !rule.is_joint && (!is_mixed || is_own)
}

impl Task for Screen<'_, '_> {
    /// Whether every value read lies within its range.
    type Output = bool;

    #[inline(always)]
    fn run(mut self) -> bool {
        match self.scorer.rule.basis {
            Basis::EntryValue => self.by_factor::<ENTRY>(),
            Basis::Equity => self.by_factor::<EQUITY>(),
            Basis::Absolute => self.by_factor::<ABSOLUTE>(),
            Basis::Wallet => self.by_factor::<WALLET>(),
            Basis::MarkValue => self.by_factor::<MARK>(),
            _ => self.by_factor::<RATIO>(),
        }
    }
}

impl Screen<'_, '_> {
    #[inline(always)]
    fn by_factor<const BASIS: u8>(&mut self) -> bool {
        match self.scorer.rule.factor {
            Factor::None => self.by_source::<BASIS, NONE>(),
            Factor::MaintenanceOverEquity => self.by_source::<BASIS, MAINTENANCE>(),
            _ => self.by_source::<BASIS, NOTIONAL>(),
        }
    }

    #[inline(always)]
    fn by_source<const BASIS: u8, const FACTOR: u8>(&mut self) -> bool {
        if self.scorer.columns.account.is_none() || self.scorer.rule.is_own_equity() {
            self.by_sign::<BASIS, FACTOR, OWN>()
        } else if self.reading.is_whole {
            self.by_sign::<BASIS, FACTOR, ALL>()
        } else {
            self.by_sign::<BASIS, FACTOR, SOME>()
        }
    }

    #[inline(always)]
    fn by_sign<const BASIS: u8, const FACTOR: u8, const SOURCE: u8>(&mut self) -> bool {
        if self.floor < 0.0 && self.scorer.rule.loss == Loss::Divide {
            self.scan::<BASIS, FACTOR, SOURCE, true>()
        } else {
            self.scan::<BASIS, FACTOR, SOURCE, false>()
        }
    }

    #[inline(always)]
    fn scan<const BASIS: u8, const FACTOR: u8, const SOURCE: u8, const SWAP: bool>(
        &mut self,
    ) -> bool {
        let columns = &self.scorer.columns;
        let mut seen = 0u64;
        let mut tables = Tables {
            worth: [[0; SETS]; PIECE],
            equity: [0; BLOCK],
            maintenance: [0; BLOCK],
            wallet: [0; BLOCK],
        };
        let blocks = (self.end - self.start) / BLOCK;
        for number in 0..blocks {
            let at = self.start + number * BLOCK;
            let mut sets = [u64::MAX; SETS];
            if SOURCE == SOME {
                let place = number % PIECE;
                if place == 0 {
                    let count = PIECE.min(blocks - number);
                    self.look_ahead::<BASIS, FACTOR>(at, count, &mut tables.worth);
                }
                if place + AHEAD < PIECE && number + AHEAD < blocks {
                    let ahead = at + AHEAD * BLOCK;
                    self.fetch::<BASIS, FACTOR>(ahead, tables.worth[place + AHEAD]);
                }
                sets = tables.worth[place];
            }
            if SOURCE != OWN && !self.gather::<BASIS, FACTOR>(at, sets, &mut tables) {
                return false;
            }
            let lots = &columns.lots[at..at + BLOCK];
            let entry = &columns.entry_value[at..at + BLOCK];
            let margin = block(columns.margin, at);
            let equity = if SOURCE == OWN { margin } else { &tables.equity };
            let wallet = if SOURCE == OWN { margin } else { &tables.wallet };
            let maintenance = if SOURCE == OWN {
                block(columns.maintenance_margin, at)
            } else {
                &tables.maintenance
            };
            let rows = Rows { lots, entry, equity, maintenance, wallet };
            self.judge::<BASIS, FACTOR, SOURCE, SWAP>(at, rows, sets, &mut seen);
        }
        let mut at = self.start + blocks * BLOCK;
        while at < self.end {
            let count = PLACES.min(self.end - at);
            self.found.add(at, u64::MAX >> (PLACES - count));
            at += count;
        }
        seen >> 52 == 0
    }

    #[inline(always)]
    fn judge<const BASIS: u8, const FACTOR: u8, const SOURCE: u8, const SWAP: bool>(
        &mut self,
        at: usize,
        rows: Rows<'_>,
        sets: [u64; SETS],
        seen: &mut u64,
    ) {
        let terms = Terms::new(self.scorer, self.side, self.floor);
        let other_side = if self.side > 0 { 0 } else { -1 };
        let mut verdicts = [0i64; BLOCK];
        let mut all = -1i64;
        let mut bits = *seen;
        for i in 0..BLOCK {
            let margin = terms.margin::<BASIS, FACTOR, SOURCE, SWAP>(&rows, i, &mut bits);
            // The sign bit says no: the score falls short, or the row stands on the other side.
            verdicts[i] = margin | (rows.lots[i] ^ other_side);
            all &= verdicts[i];
        }
        *seen = bits;
        if all < 0 {
            return;
        }
        for (part, verdicts) in verdicts.chunks_exact(PLACES).enumerate() {
            self.found.add(at + part * PLACES, set_of(verdicts) & sets[part]);
        }
    }

    /// Finds the rows of some blocks whose account matters, and asks for those of the first ones.
    #[inline(always)]
    fn look_ahead<const BASIS: u8, const FACTOR: u8>(
        &self,
        start: usize,
        count: usize,
        worth: &mut [[u64; SETS]; PIECE],
    ) {
        for (place, sets) in worth.iter_mut().enumerate().take(count) {
            *sets = self.worth::<BASIS>(start + place * BLOCK);
        }
        for place in 0..AHEAD.min(count) {
            self.fetch::<BASIS, FACTOR>(start + place * BLOCK, worth[place]);
        }
    }

    /// Asks for the accounts of some rows of a block: each may cost a line of memory of its own.
    #[inline(always)]
    fn fetch<const BASIS: u8, const FACTOR: u8>(&self, at: usize, sets: [u64; SETS]) {
        let Some(account) = self.scorer.columns.account else {
            return;
        };
        if let Some(codes) = self.codes::<BASIS, FACTOR>() {
            return ask(codes, &sets, &account[at..at + BLOCK]);
        }
        for table in self.tables::<BASIS, FACTOR>().iter().flatten() {
            ask(table, &sets, &account[at..at + BLOCK]);
        }
    }

    /// The tables that the rule reads: equity, maintenance margin, wallet.
    #[inline(always)]
    fn tables<const BASIS: u8, const FACTOR: u8>(&self) -> [Option<&[i64]>; 3] {
        let accounts = &self.scorer.accounts;
        [
            accounts.equity.filter(|_| FACTOR != NONE || BASIS == EQUITY),
            accounts.maintenance_margin.filter(|_| FACTOR == MAINTENANCE),
            accounts.wallet_balance.filter(|_| BASIS == WALLET),
        ]
    }

    /// Codes of the equities, where the larger equity is the lower score and nothing else is read.
    #[inline(always)]
    fn codes<const BASIS: u8, const FACTOR: u8>(&self) -> Option<&[u8]> {
        let is_divisor = match FACTOR {
            NONE => BASIS == EQUITY,
            NOTIONAL => BASIS != WALLET,
            _ => false,
        };
        let codes = &self.reading.codes[..];
        (is_divisor && self.floor > 0.0 && !codes.is_empty()).then_some(codes)
    }

    /// The accounts' values of a block; false where a row points outside of its table.
    ///
    /// A gather may cost a line of memory, so that it is spared for rows that cannot reach the cut
    /// whatever their account holds. Their values are left as they are: they decide nothing.
    #[inline(always)]
    fn gather<const BASIS: u8, const FACTOR: u8>(
        &self,
        at: usize,
        sets: [u64; SETS],
        held: &mut Tables,
    ) -> bool {
        let Some(account) = self.scorer.columns.account else {
            return false;
        };
        let account = &account[at..at + BLOCK];
        let last = account.iter().fold(0, |last, &a| last.max(a)) as usize;
        if let Some(codes) = self.codes::<BASIS, FACTOR>() {
            // Who reaches the cut reaches it with less equity too: the lane reads how much it is.
            pick(sets, account, codes, &mut held.equity, lower_bound);
            return last < codes.len();
        }
        let values = [&mut held.equity, &mut held.maintenance, &mut held.wallet];
        let mut is_valid = true;
        for (table, values) in self.tables::<BASIS, FACTOR>().into_iter().zip(values) {
            if let Some(table) = table {
                is_valid &= last < table.len();
                pick(sets, account, table, values, |whole| whole);
            }
        }
        is_valid
    }

    /// Asks for columns of a later block: the machine foresees them to the end of a page of memory,
    /// and no farther, and the accounts' lines keep it busy.
    #[inline(always)]
    fn foresee(&self, at: usize) {
        let ahead = at + PAGE..at + PAGE + BLOCK;
        prefetch(self.scorer.columns.lots, ahead.clone());
        prefetch(self.scorer.columns.entry_value, ahead.clone());
        prefetch(self.scorer.columns.account.unwrap_or(&[]), ahead);
    }

    /// Rows of a block whose account matters: of the side, and in profit where the cut is above
    /// zero and losers cannot be.
    #[inline(always)]
    fn worth<const BASIS: u8>(&self, at: usize) -> [u64; SETS] {
        let terms = Terms::new(self.scorer, self.side, self.floor);
        self.foresee(at);
        let lots = &self.scorer.columns.lots[at..at + BLOCK];
        let entry = &self.scorer.columns.entry_value[at..at + BLOCK];
        let has_losers = terms.cut < 0.0 || (BASIS == RATIO && !terms.winners_only);
        let profits = i64::from(has_losers) - 1;
        let other_side = if self.side > 0 { 0 } else { -1 };
        let mut verdicts = [0i64; BLOCK];
        // What is out of range is found where the block is judged.
        let mut bits = 0;
        for i in 0..BLOCK {
            let mark = (to_float(lots[i], &mut bits) * terms.value).abs();
            let entry = to_float(entry[i], &mut bits);
            let profit = terms.direction * (mark - entry) + SLACK * (mark + entry);
            verdicts[i] = (profit.to_bits() as i64 & profits) | (lots[i] ^ other_side);
        }
        let mut sets = [0; SETS];
        for (set, verdicts) in sets.iter_mut().zip(verdicts.chunks_exact(PLACES)) {
            *set = set_of(verdicts);
        }
        sets
    }
}

struct Rows<'a> {
    lots: &'a [i64],
    entry: &'a [i64],
    equity: &'a [i64],
    maintenance: &'a [i64],
    wallet: &'a [i64],
}

/// What is the same for every row of a pass.
#[derive(Clone, Copy)]
struct Terms {
    value: f64,
    direction: f64,
    is_up: bool,
    winners_only: bool,
    wallet_floor: f64,
    cut: f64,
}

impl Terms {
    #[inline(always)]
    fn new(scorer: &Scorer<'_>, side: i8, cut: f64) -> Self {
        let (rule, rate) = (scorer.rule, scorer.rate);
        let kind = if rate.is_inverse { -1.0 } else { 1.0 };
        let direction = kind * f64::from(side);
        let is_literal = rule.basis == Basis::PriceRatioLiteral;
        Self {
            value: rate.mark_num as f64 / rate.mark_den as f64,
            direction,
            is_up: if is_literal { kind > 0.0 } else { direction > 0.0 },
            winners_only: rule.loss != Loss::Multiply,
            wallet_floor: rule.wallet_floor as f64,
            cut,
        }
    }

    /// Bits of n1·n2 + slack - c·d1·d2, whose sign says whether the row may reach the cut.
    #[inline(always)]
    fn margin<const BASIS: u8, const FACTOR: u8, const SOURCE: u8, const SWAP: bool>(
        &self,
        rows: &Rows<'_>,
        i: usize,
        bits: &mut u64,
    ) -> i64 {
        let mark = (to_float(rows.lots[i], bits) * self.value).abs();
        let entry = to_float(rows.entry[i], bits);
        let profit = self.direction * (mark - entry);
        let size = mark + entry;
        let equity = if BASIS != EQUITY && FACTOR == NONE {
            1.0
        } else if SOURCE == OWN {
            to_float(rows.equity[i], bits) + profit
        } else {
            to_float(rows.equity[i], bits)
        };
        let (num, den) = match BASIS {
            ENTRY => (profit, entry),
            MARK => (profit, mark),
            EQUITY => (profit, equity),
            WALLET => (profit, to_float(rows.wallet[i], bits).max(self.wallet_floor)),
            RATIO if self.is_up => (mark, entry),
            RATIO => (entry, mark),
            _ => (profit, 1.0),
        };
        let factor = match FACTOR {
            NOTIONAL => mark,
            MAINTENANCE => to_float(rows.maintenance[i], bits),
            _ => 1.0,
        };
        let divisor = if FACTOR == NONE { 1.0 } else { equity };
        let (factor, divisor) = if SWAP { (divisor, factor) } else { (factor, divisor) };
        let from_profit = if BASIS == RATIO { 0.0 } else { factor.abs() };
        let from_equity = match (SOURCE == OWN, BASIS, FACTOR) {
            (true, EQUITY, _) => self.cut.abs(),
            (true, _, NOTIONAL | MAINTENANCE) if SWAP => size,
            (true, _, NOTIONAL | MAINTENANCE) => self.cut.abs() * den,
            _ => 0.0,
        };
        let slack = SLACK * size * (from_profit + from_equity);
        let margin = (num * factor + slack) - self.cut * den * divisor;
        // A price ratio says nothing of the sign; elsewhere a loser cannot reach a positive cut.
        let is_signed = BASIS == RATIO && self.winners_only;
        let sign = if is_signed { (profit + SLACK * size).to_bits() } else { 0 };
        (margin.to_bits() | sign) as i64
    }
}

/// The places of verdicts that are not a no.
#[inline(always)]
fn set_of(verdicts: &[i64]) -> u64 {
    let mut set = 0;
    for (verdict, bit) in verdicts.iter().zip(&BITS) {
        set |= if *verdict >= 0 { *bit } else { 0 };
    }
    set
}

#[inline(always)]
fn block(column: Option<&[i64]>, at: usize) -> &[i64] {
    column.map_or(&NOTHING, |values| &values[at..at + BLOCK])
}

/// Values of the accounts of some rows, or of more where that is as quick.
#[inline(always)]
fn pick<T: Copy>(
    sets: [u64; SETS],
    account: &[u32],
    table: &[T],
    values: &mut [i64; BLOCK],
    whole: impl Fn(T) -> i64,
) {
    let blocks = account.chunks_exact(PLACES).zip(values.chunks_exact_mut(PLACES));
    for (&set, (account, values)) in sets.iter().zip(blocks) {
        if set.count_ones() < MANY {
            for place in Bits(set) {
                if let Some(&found) = table.get(account[place] as usize) {
                    values[place] = whole(found);
                }
            }
            continue;
        }
        // One load after the other: a vector's gather takes longer.
        for (value, &a) in values.iter_mut().zip(account) {
            match table.get(a as usize) {
                Some(&found) => *value = whole(found),
                None => return,
            }
        }
    }
}
