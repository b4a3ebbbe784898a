//! One row's key in floats, and whether it can be trusted.
//!
//! Unlike a lane this formula divides once and keeps nothing: a key is (basis · factor numerator)
//! / (basis divisor · factor divisor). With u = 2^-53 and w = entry value plus mark value a profit
//! is off by at most 5u·w and an own equity by as much, so that a row is settled where w · factor
//! <= 2^10 · divisor and w <= 2^10 · own equity. Whether a profit is a loss is certain from
//! |profit| > 2^-50 · w on; below that both readings of the rule are within the window where the
//! bound holds for the factor and for its inverse.

use crate::rule::{Basis, Loss, NoEquity, Rule};

const LIMIT: f64 = (1u64 << 10) as f64;
const SURE_SIGN: f64 = 1.0 / (1u64 << 50) as f64;
const SURE_EQUITY: f64 = 1.0 / (1u64 << 48) as f64;

// Codes of the formulas, const generics so that each loop is free of branches.
/// Basis: profit over entry value.
pub const ENTRY: u8 = 0;
/// Basis: profit over mark value.
pub const MARK: u8 = 1;
/// Basis: profit over equity.
pub const EQUITY: u8 = 2;
/// Basis: a price ratio.
pub const RATIO: u8 = 3;
/// Basis: profit over the wallet.
pub const WALLET: u8 = 4;
/// No factor.
pub const NONE: u8 = 0;
/// Factor: mark value over equity.
pub const NOTIONAL: u8 = 1;
/// Factor: maintenance margin over equity.
pub const MAINTENANCE: u8 = 2;
/// Factor: the leverage setting.
pub const LEVERAGE: u8 = 3;

/// Numbers of a rule that are the same for every row.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// 1 where a loss is divided by the factor, else 0.
    is_dividing: i64,
    /// 1 where a profit of doubtful sign may be read either way, else 0.
    is_either: i64,
    /// 1 where a loss has a score of its own, else 0, and which.
    is_replaced: i64,
    loss: f64,
    /// Whether a row without equity is left out; else it scores zero.
    is_left_out: bool,
    /// Whether a price ratio turns with the side.
    pub is_by_side: bool,
    /// Smallest wallet to divide by.
    pub wallet_floor: f64,
}

impl Terms {
    /// The numbers of a rule.
    #[must_use]
    pub fn new(rule: &Rule) -> Self {
        let is_ratio = matches!(rule.basis, Basis::PriceRatio | Basis::PriceRatioLiteral);
        let is_stepped = match rule.loss {
            Loss::Exclude => true,
            Loss::Zero | Loss::Divide => is_ratio,
            Loss::Multiply => false,
        };
        Self {
            is_dividing: flag(rule.loss == Loss::Divide),
            is_either: flag(!is_stepped),
            is_replaced: flag(matches!(rule.loss, Loss::Zero | Loss::Exclude)),
            loss: if rule.loss == Loss::Exclude { f64::NEG_INFINITY } else { 0.0 },
            is_left_out: rule.no_equity == NoEquity::LeaveOut,
            is_by_side: rule.basis == Basis::PriceRatio,
            wallet_floor: rule.wallet_floor as f64,
        }
    }
}

/// Whether an equity divides.
#[must_use]
pub const fn has_equity(basis: u8, factor: u8) -> bool {
    basis == EQUITY || factor == NOTIONAL || factor == MAINTENANCE
}

/// One row's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// Mark value.
    pub mark: f64,
    /// Profit.
    pub profit: f64,
    /// Mark value plus entry value: what the profit's error goes by.
    pub size: f64,
    /// Numerator of the basis.
    pub num: f64,
    /// Divisor of the basis.
    pub den: f64,
    /// Numerator of the factor.
    pub factor: f64,
    /// Divisor of the factor.
    pub divisor: f64,
    /// Equity that divides.
    pub equity: f64,
    /// Size that the equity's error goes by: none where the equity is a whole number.
    pub guard: f64,
}

impl Parts {
    /// The key where it is settled by the few tests that nearly every row passes, else NaN.
    ///
    /// With positive top and size the bound on the product implies that all divisors are positive.
    #[inline(always)]
    #[must_use]
    pub fn quick<const BASIS: u8, const FACTOR: u8, const OWN: bool>(self, terms: &Terms) -> f64 {
        let Self { profit, num, den, factor, divisor, equity, .. } = self;
        let small = self.size * (1.0 / LIMIT);
        let is_loss = flag(profit < 0.0);
        let swap = if FACTOR == NONE { 0 } else { terms.is_dividing & is_loss };
        let top = if swap == 1 { divisor } else { factor };
        let bottom = if swap == 1 { factor } else { divisor };
        let below = den * bottom;
        let mut sure = flag(profit.abs() > small * (SURE_SIGN * LIMIT)) & flag(self.mark > 0.0);
        if BASIS == RATIO {
            sure &= flag(num > 0.0) & flag(below > 0.0);
        } else {
            sure &= flag(small * top <= below);
        }
        if FACTOR == MAINTENANCE || FACTOR == LEVERAGE {
            sure &= flag(factor > 0.0);
        }
        if has_equity(BASIS, FACTOR) {
            sure &= flag(if OWN { small } else { self.guard * (1.0 / LIMIT) } <= equity);
            sure &= if OWN { 1 } else { flag(equity > 0.0) };
        }
        // Chosen before the division: one that might not be needed would become a branch.
        let num = if terms.is_replaced & is_loss == 1 { terms.loss } else { num };
        let num = if sure == 1 { num } else { f64::NAN };
        num * top / below
    }

    /// The key, NaN where it is in doubt.
    #[inline(always)]
    #[must_use]
    pub fn careful<const BASIS: u8, const FACTOR: u8>(self, terms: &Terms) -> f64 {
        if !has_equity(BASIS, FACTOR) {
            return self.settled::<BASIS, FACTOR>(terms, 1);
        }
        let is_positive = flag(self.guard <= LIMIT * self.equity) & flag(self.equity > 0.0);
        let key = self.settled::<BASIS, FACTOR>(terms, is_positive);
        let has_basis = flag(BASIS == EQUITY) | self.has_basis::<BASIS>();
        let zero = if has_basis == 1 { 0.0 } else { f64::NAN };
        let without = if terms.is_left_out { f64::NEG_INFINITY } else { zero };
        if self.equity <= -SURE_EQUITY * self.guard { without } else { key }
    }

    #[inline(always)]
    fn has_basis<const BASIS: u8>(self) -> i64 {
        flag(self.den > 0.0) & flag(BASIS != RATIO || self.num > 0.0)
    }

    #[inline(always)]
    fn settled<const BASIS: u8, const FACTOR: u8>(self, terms: &Terms, is_sure: i64) -> f64 {
        let Self { profit, size, num, den, factor, divisor, .. } = self;
        let is_loss = flag(profit < 0.0);
        let is_clear = flag(profit.abs() > SURE_SIGN * size);
        let swap = if FACTOR == NONE { 0 } else { terms.is_dividing & is_loss };
        let top = if swap == 1 { divisor } else { factor };
        let bottom = if swap == 1 { factor } else { divisor };
        let below = den * bottom;
        let mut sure = is_sure & flag(below > 0.0) & flag(factor >= 0.0);
        if BASIS == RATIO {
            sure &= flag(num > 0.0) & (is_clear | terms.is_either);
        } else {
            let is_either = if FACTOR == NONE {
                1
            } else {
                flag(size * bottom <= LIMIT * (den * top)) | (1 - terms.is_dividing)
            };
            sure &= flag(size * top <= LIMIT * below) & (is_clear | (is_either & terms.is_either));
        }
        let key = if sure == 1 { num } else { f64::NAN } * top / below;
        let at_a_loss = terms.is_replaced & is_loss & is_clear & is_sure;
        if at_a_loss & self.has_basis::<BASIS>() == 1 { terms.loss } else { key }
    }
}

/// A truth as wide as the floats, for the vectors.
#[inline(always)]
fn flag(truth: bool) -> i64 {
    i64::from(truth)
}
