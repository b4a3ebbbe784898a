//! Scores of a short run of rows in floats: the filter in front of the exact comparison.
//!
//! With u = 2^-53 a mark value carries a relative error of at most 4u, so a profit one of at most
//! 5u·w, where w is entry value plus mark value. A row is `nice` where that error, carried
//! through the formula, stays below 2^-28 (1 + |score|), and `tight` where it stays below
//! [`window`]: the tests are w·factor <= LIMIT·divisor and w <= LIMIT·own equity, LIMIT = 2^20 for
//! nice and 2^10 for tight. Whatever else a row may be (a divisor of zero, no equity, a
//! sign that rounding could turn), it is neither, and the exact rational decides.

use std::cell::RefCell;

use crate::columns::OWN_MARGIN;
pub use crate::load::{LANE, Span};
use crate::load::{Values, gather, load};
use crate::rule::{Basis, Factor, Loss, Rule};
use crate::score::Scorer;
use crate::simd::{Task, dispatch};

const NICE_ERROR: f64 = 1.0 / (1u64 << 28) as f64;

const NICE_LIMIT: f64 = (1u64 << 20) as f64;
const TIGHT_LIMIT: f64 = (1u64 << 10) as f64;
const SURE_SIGN: f64 = 1.0 / (1u64 << 40) as f64;
const TIGHT_ERROR: f64 = 1.0 / (1u64 << 38) as f64;
/// Scores of up to [`LANE`] rows and what they were made of.
#[derive(Debug)]
#[repr(C, align(64))] // vectors that straddle cache lines cost twice
pub struct Lane {
    /// Float scores; minus infinity where the rule excludes the row.
    pub key: Values,
    /// 1 where the float is within [`nice_error`], else 0; as wide as the keys, for the vectors.
    pub is_nice: [i64; LANE],
    /// Whether every value read lies within its range.
    pub is_valid: bool,
    /// What the scores are made of.
    pub parts: Parts,
    factor: Values,
}

/// Columns of a lane as floats.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Parts {
    /// Signed lots.
    pub lots: Values,
    seen: u64,
    mark: Values,
    entry: Values,
    profit: Values,
    size: Values,
    own_profit: Values,
    equity: Values,
    guard: Values,
    basis_num: Values,
    basis_den: Values,
    factor_num: Values,
    factor_den: Values,
}

/// Which columns stand where in a rule's formula.
struct Terms<'a> {
    basis_num: &'a Values,
    basis_den: &'a Values,
    factor_num: &'a Values,
    factor_den: &'a Values,
}

impl Parts {
    #[inline(always)]
    fn terms(&self, rule: &Rule) -> Terms<'_> {
        let (basis_num, basis_den) = match rule.basis {
            Basis::EntryValue => (&self.profit, &self.entry),
            Basis::MarkValue => (&self.profit, &self.mark),
            Basis::Equity => (&self.profit, &self.equity),
            Basis::InitialMargin => (&self.profit, &self.basis_den),
            Basis::Absolute | Basis::Unit => (&self.profit, &self.profit),
            Basis::Wallet | Basis::PriceRatio | Basis::PriceRatioLiteral => {
                (&self.basis_num, &self.basis_den)
            }
        };
        let (factor_num, factor_den) = match rule.factor {
            Factor::BankruptcyDistance | Factor::NotionalOverEquity => (&self.mark, &self.equity),
            Factor::MaintenanceOverEquity => (&self.factor_num, &self.equity),
            Factor::NotionalOverFlooredEquity => (&self.mark, &self.factor_den),
            Factor::None | Factor::LeverageSetting | Factor::OpenValueOverMargin => {
                (&self.factor_num, &self.factor_den)
            }
        };
        Terms { basis_num, basis_den, factor_num, factor_den }
    }
}

thread_local! {
    // A lane is larger than many a market: one a thread is kept rather than made for each.
    static LANES: RefCell<Vec<Box<Lane>>> = const { RefCell::new(Vec::new()) };
}

/// Lends a lane of this thread.
pub fn with_lane<T>(work: impl FnOnce(&mut Lane) -> T) -> T {
    let mut lane = LANES.with_borrow_mut(Vec::pop).unwrap_or_else(Lane::new);
    let result = work(&mut lane);
    LANES.with_borrow_mut(|lanes| lanes.push(lane));
    result
}

impl Lane {
    fn new() -> Box<Self> {
        let zero = [0.0; LANE];
        let parts = Parts {
            lots: zero,
            seen: 0,
            mark: zero,
            entry: zero,
            profit: zero,
            size: zero,
            own_profit: zero,
            equity: zero,
            guard: zero,
            basis_num: zero,
            basis_den: zero,
            factor_num: zero,
            factor_den: zero,
        };
        Box::new(Self { key: zero, is_nice: [0; LANE], is_valid: true, parts, factor: zero })
    }
}

/// Bound of |float - exact| for a nice row.
#[must_use]
#[inline]
pub fn nice_error(key: f64) -> f64 {
    NICE_ERROR * (key.abs() + 1.0)
}

/// Half of the distance below which two keys are compared exactly.
#[must_use]
#[inline]
pub fn window(key: f64, is_relative: bool) -> f64 {
    TIGHT_ERROR * (key.abs() + if is_relative { 0.0 } else { 1.0 })
}

impl Scorer<'_> {
    /// Whether the window is relative only: scores in money units have no natural scale.
    #[must_use]
    #[inline]
    pub fn is_relative(&self) -> bool {
        self.rule.basis == Basis::Absolute
    }

    /// Fills the lane with the rows of the span.
    pub fn evaluate(&self, span: Span<'_>, lane: &mut Lane) {
        dispatch(self.level, Evaluate { scorer: self, span, lane });
    }

    /// The key that orders the row at a place of the lane; none where it is not in the queue.
    #[must_use]
    #[inline]
    pub fn key(&self, lane: &Lane, place: usize, row: usize) -> Option<f64> {
        if lane.is_nice[place] == 1 {
            if lane.key[place] == f64::NEG_INFINITY {
                return None;
            }
            if self.is_tight(lane, place) {
                return Some(lane.key[place]);
            }
        }
        self.exact(row).ok().map(crate::exact::Exact::to_f64)
    }

    fn is_tight(&self, lane: &Lane, place: usize) -> bool {
        let size = lane.parts.size[place];
        let factor = if self.rule.factor == Factor::None { 1.0 } else { lane.factor[place] };
        let profit = match self.rule.basis {
            Basis::Absolute => size <= TIGHT_LIMIT * lane.parts.profit[place].abs(),
            Basis::PriceRatio | Basis::PriceRatioLiteral | Basis::Unit => true,
            _ => size * factor <= TIGHT_LIMIT * lane.parts.terms(self.rule).basis_den[place],
        };
        profit && (!self.rule.reads_equity() || size <= TIGHT_LIMIT * lane.parts.guard[place])
    }

    #[inline(always)]
    fn fill(&self, span: Span<'_>, parts: &mut Parts) -> bool {
        parts.seen = 0;
        load(span, self.columns.lots, &mut parts.lots, &mut parts.seen);
        load(span, self.columns.entry_value, &mut parts.entry, &mut parts.seen);
        self.fill_profit(parts);
        if self.rule.is_joint {
            self.fill_joint(span, parts);
        }
        if self.rule.reads_equity() {
            self.fill_equity(span, parts);
        }
        self.fill_basis(span, parts);
        self.fill_factor(span, parts);
        parts.seen >> 52 == 0 && is_sound(parts, span.len())
    }

    #[inline(always)]
    fn value_per_lot(&self) -> f64 {
        self.rate.mark_num as f64 / self.rate.mark_den as f64
    }

    #[inline(always)]
    fn sign(&self) -> f64 {
        if self.rate.is_inverse { -1.0 } else { 1.0 }
    }

    #[inline(always)]
    fn fill_profit(&self, parts: &mut Parts) {
        let (value, kind) = (self.value_per_lot(), self.sign());
        for i in 0..LANE {
            let mark = parts.lots[i] * value;
            let entry = parts.entry[i].copysign(parts.lots[i]);
            parts.mark[i] = mark.abs();
            parts.profit[i] = kind * (mark - entry);
            parts.size[i] = mark.abs() + parts.entry[i];
        }
    }

    #[inline(always)]
    fn fill_joint(&self, span: Span<'_>, parts: &mut Parts) {
        let (value, kind) = (self.value_per_lot(), self.sign());
        parts.own_profit = parts.profit;
        if let (Some(lots), Some(entry)) = (self.columns.profit_lots, self.columns.profit_value) {
            load(span, lots, &mut parts.basis_num, &mut parts.seen);
            load(span, entry, &mut parts.basis_den, &mut parts.seen);
        }
        for i in 0..LANE {
            let mark = parts.basis_num[i] * value;
            parts.profit[i] = kind * (mark - parts.basis_den[i]);
            parts.size[i] += mark.abs() + parts.basis_den[i].abs();
        }
    }

    #[inline(always)]
    fn fill_equity(&self, span: Span<'_>, parts: &mut Parts) {
        match self.columns.account {
            Some(account) if !self.rule.is_own_equity() => {
                let table = self.accounts.equity;
                let own = self.columns.margin;
                gather(span, account, table, own, &mut parts.equity, &mut parts.seen);
                if own.is_some() {
                    self.mix_equity(span, account, parts);
                } else {
                    parts.guard = [f64::INFINITY; LANE];
                }
            }
            _ => {
                if let Some(margin) = self.columns.margin {
                    load(span, margin, &mut parts.equity, &mut parts.seen);
                }
                let own = if self.rule.is_joint { &parts.own_profit } else { &parts.profit };
                for i in 0..LANE {
                    parts.equity[i] += own[i];
                }
                parts.guard = parts.equity;
            }
        }
    }

    /// Adds the own profit to the rows that stand on their own margin.
    #[inline(always)]
    fn mix_equity(&self, span: Span<'_>, account: &[u32], parts: &mut Parts) {
        let own = if self.rule.is_joint { &parts.own_profit } else { &parts.profit };
        for (i, profit) in own.iter().enumerate().take(span.len()) {
            if account[span.row(i)] == OWN_MARGIN {
                parts.equity[i] += profit;
                parts.guard[i] = parts.equity[i];
            } else {
                parts.guard[i] = f64::INFINITY;
            }
        }
    }

    #[inline(always)]
    fn fill_wallet(&self, span: Span<'_>, parts: &mut Parts) {
        match (self.columns.account, self.columns.margin) {
            (Some(account), own) => {
                let table = self.accounts.wallet_balance;
                gather(span, account, table, own, &mut parts.basis_den, &mut parts.seen);
            }
            (None, Some(margin)) => load(span, margin, &mut parts.basis_den, &mut parts.seen),
            (None, None) => {}
        }
        let floor = self.rule.wallet_floor as f64;
        for i in 0..LANE {
            parts.basis_den[i] = parts.basis_den[i].max(floor);
            parts.basis_num[i] = parts.profit[i].max(0.0);
        }
    }

    #[inline(always)]
    fn fill_basis(&self, span: Span<'_>, parts: &mut Parts) {
        match self.rule.basis {
            Basis::Wallet => self.fill_wallet(span, parts),
            Basis::InitialMargin => {
                if let Some(margin) = self.columns.initial_margin {
                    load(span, margin, &mut parts.basis_den, &mut parts.seen);
                }
            }
            Basis::PriceRatio => self.fill_ratio(parts, true),
            Basis::PriceRatioLiteral => self.fill_ratio(parts, false),
            _ => {}
        }
    }

    #[inline(always)]
    fn fill_ratio(&self, parts: &mut Parts, by_side: bool) {
        let kind = self.sign();
        for i in 0..LANE {
            let up = if by_side { kind * parts.lots[i] } else { kind };
            let (mark, entry) = (parts.mark[i], parts.entry[i]);
            parts.basis_num[i] = if up > 0.0 { mark } else { entry };
            parts.basis_den[i] = if up > 0.0 { entry } else { mark };
        }
    }

    #[inline(always)]
    fn fill_maintenance(&self, span: Span<'_>, parts: &mut Parts) {
        let own = self.columns.maintenance_margin;
        match (self.columns.account, own) {
            (Some(account), _) => {
                let table = self.accounts.maintenance_margin;
                gather(span, account, table, own, &mut parts.factor_num, &mut parts.seen);
            }
            (None, Some(margin)) => load(span, margin, &mut parts.factor_num, &mut parts.seen),
            (None, None) => {}
        }
    }

    #[inline(always)]
    fn fill_factor(&self, span: Span<'_>, parts: &mut Parts) {
        match self.rule.factor {
            Factor::None | Factor::BankruptcyDistance | Factor::NotionalOverEquity => {}
            Factor::MaintenanceOverEquity => self.fill_maintenance(span, parts),
            Factor::NotionalOverFlooredEquity => {
                self.fill_maintenance(span, parts);
                for i in 0..LANE {
                    parts.factor_den[i] = parts.equity[i].max(parts.factor_num[i]);
                    parts.guard[i] = parts.guard[i].max(parts.factor_num[i]);
                }
            }
            Factor::LeverageSetting => {
                if let Some(leverage) = self.columns.leverage {
                    load(span, leverage, &mut parts.factor_num, &mut parts.seen);
                }
                parts.factor_den = [1_000_000.0; LANE];
            }
            Factor::OpenValueOverMargin => {
                if let (Some(value), Some(margin)) = (self.columns.open_value, self.columns.margin)
                {
                    load(span, value, &mut parts.factor_num, &mut parts.seen);
                    load(span, margin, &mut parts.factor_den, &mut parts.seen);
                }
            }
        }
    }
}

/// Whether every row has lots, and none an entry value below zero.
#[inline(always)]
fn is_sound(parts: &Parts, count: usize) -> bool {
    let mut broken = 0;
    for i in 0..LANE {
        let is_row = i64::from(i < count);
        broken |= is_row & (i64::from(parts.lots[i] == 0.0) | i64::from(parts.entry[i] < 0.0));
    }
    broken == 0
}

struct Evaluate<'a, 's> {
    scorer: &'a Scorer<'s>,
    span: Span<'a>,
    lane: &'a mut Lane,
}

impl Task for Evaluate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (scorer, lane) = (self.scorer, self.lane);
        lane.is_valid = scorer.fill(self.span, &mut lane.parts);
        let rule = scorer.rule;
        match rule.basis {
            Basis::Absolute => by_factor::<ABSOLUTE>(rule, lane),
            Basis::PriceRatio | Basis::PriceRatioLiteral => by_factor::<RATIO>(rule, lane),
            Basis::Unit => by_factor::<UNIT>(rule, lane),
            _ => by_factor::<PROFIT>(rule, lane),
        }
        if rule.reads_two_equities() && scorer.columns.account.is_some() {
            // A lane holds one equity a row: the rationals decide.
            lane.is_nice = [0; LANE];
        }
    }
}

// How the basis is made; const generics, so that each loop is free of branches.
const PROFIT: u8 = 0;
const ABSOLUTE: u8 = 1;
const RATIO: u8 = 2;
const UNIT: u8 = 3;

// The loss rules, likewise.
const DIVIDE: u8 = 0;
const MULTIPLY: u8 = 1;
const ZERO: u8 = 2;
const EXCLUDE: u8 = 3;

#[inline(always)]
fn by_factor<const BASIS: u8>(rule: &Rule, lane: &mut Lane) {
    if rule.factor == Factor::None {
        by_loss::<BASIS, false>(rule, lane);
    } else {
        by_loss::<BASIS, true>(rule, lane);
    }
}

#[inline(always)]
fn by_loss<const BASIS: u8, const FACTOR: bool>(rule: &Rule, lane: &mut Lane) {
    match rule.loss {
        Loss::Divide => finish::<BASIS, FACTOR, DIVIDE>(rule, lane),
        Loss::Multiply => finish::<BASIS, FACTOR, MULTIPLY>(rule, lane),
        Loss::Zero => finish::<BASIS, FACTOR, ZERO>(rule, lane),
        Loss::Exclude => finish::<BASIS, FACTOR, EXCLUDE>(rule, lane),
    }
}

/// Divides first, then multiplies: basis, factor, product, and whether the row is nice.
#[inline(always)]
fn finish<const BASIS: u8, const FACTOR: bool, const LOSS: u8>(rule: &Rule, lane: &mut Lane) {
    let Lane { key, is_nice, factor: factors, parts, .. } = lane;
    let terms = parts.terms(rule);
    // Lanes are lent: where no equity is read, its guard is that of an earlier use.
    let is_free = i64::from(!rule.reads_equity());
    for i in 0..LANE {
        let (profit, size) = (parts.profit[i], parts.size[i]);
        let is_loss = profit < 0.0;
        let mut nice = 1i64;
        let mut factor = 1.0;
        if FACTOR {
            let (num, den) = (terms.factor_num[i], terms.factor_den[i]);
            let swap = LOSS == DIVIDE && is_loss;
            let (top, bottom) = if swap { (den, num) } else { (num, den) };
            factor = top / bottom;
            nice &= i64::from(den > 0.0) & i64::from(num >= 0.0) & i64::from(bottom > 0.0);
            factors[i] = factor;
        }
        let (num, den) = (terms.basis_num[i], terms.basis_den[i]);
        let basis = match BASIS {
            PROFIT | RATIO => num / den,
            ABSOLUTE => num,
            _ => 1.0,
        };
        nice &= match BASIS {
            PROFIT => i64::from(size * factor <= NICE_LIMIT * den) & i64::from(den > 0.0),
            ABSOLUTE => i64::from(size <= NICE_LIMIT * profit.abs()),
            RATIO => i64::from(den > 0.0) & i64::from(num > 0.0),
            _ => 1,
        };
        let is_stepped = LOSS == ZERO && (BASIS == RATIO || BASIS == UNIT);
        if LOSS == DIVIDE || LOSS == EXCLUDE || is_stepped {
            nice &= i64::from(profit.abs() > SURE_SIGN * size);
        }
        nice &= is_free | i64::from(size <= NICE_LIMIT * parts.guard[i]);
        let product = if FACTOR { basis * factor } else { basis };
        let score = match LOSS {
            ZERO if is_loss => 0.0,
            EXCLUDE if is_loss => f64::NEG_INFINITY,
            _ => product,
        };
        key[i] = score + 0.0;
        is_nice[i] = nice;
    }
}
