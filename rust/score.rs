//! One row's score, exactly: the rational, its reason for having none, and what breaks ties.
//!
//! `Q` is the denominator of the rate. Everything that comes from the mark is carried `Q` times
//! too large, so that it is a whole number: a mark value is `|lots| * mark_num`, a money column
//! is multiplied by `Q`.

use std::cmp::Ordering;

use crate::columns::{Accounts, Columns, OWN_MARGIN, Rate};
use crate::exact::Exact;
use crate::rule::{Basis, Factor, Loss, NoEquity, Reason, Rule, Tie};
use crate::simd::Level;

const LEVERAGE_UNIT: i128 = 1_000_000;

/// Columns of one market, its rate and a rule: everything a score is made of.
#[derive(Debug, Clone, Copy)]
pub struct Scorer<'a> {
    /// Positions.
    pub columns: Columns<'a>,
    /// Accounts that `columns.account` points into.
    pub accounts: Accounts<'a>,
    /// What a lot is worth at the mark.
    pub rate: Rate,
    /// The venue's rule.
    pub rule: &'a Rule,
    /// Instruction set to use.
    pub level: Level,
}

impl<'a> Scorer<'a> {
    /// +1 where a long gains as the value rises, -1 for an inverse contract.
    #[must_use]
    pub fn kind(&self) -> i128 {
        if self.rate.is_inverse { -1 } else { 1 }
    }

    fn q(&self) -> i128 {
        i128::from(self.rate.mark_den)
    }

    fn mark_value(&self, row: usize) -> i128 {
        i128::from(self.columns.lots[row]).abs() * i128::from(self.rate.mark_num)
    }

    fn entry_value(&self, row: usize) -> i128 {
        i128::from(self.columns.entry_value[row]) * self.q()
    }

    /// The row's own profit times `Q`.
    fn own_profit(&self, row: usize) -> i128 {
        let direction = i128::from(self.columns.lots[row].signum());
        self.kind() * direction * (self.mark_value(row) - self.entry_value(row))
    }

    /// The profit that the rule looks at, times `Q`.
    #[must_use]
    pub fn profit(&self, row: usize) -> i128 {
        match (self.rule.is_joint, self.columns.profit_lots, self.columns.profit_value) {
            (true, Some(lots), Some(value)) => {
                let mark = i128::from(lots[row]) * i128::from(self.rate.mark_num);
                self.kind() * (mark - i128::from(value[row]) * self.q())
            }
            _ => self.own_profit(row),
        }
    }

    /// The row's account, unless it is judged on its own margin.
    fn account(&self, row: usize) -> Option<usize> {
        let account = self.columns.account?[row];
        (account != OWN_MARGIN).then_some(account as usize)
    }

    fn money(column: Option<&'a [i64]>, row: usize) -> i128 {
        column.map_or(0, |values| i128::from(values[row]))
    }

    fn own_equity(&self, row: usize) -> i128 {
        Self::money(self.columns.margin, row) * self.q() + self.own_profit(row)
    }

    fn equity(&self, row: usize) -> i128 {
        match self.account(row) {
            Some(account) => Self::money(self.accounts.equity, account) * self.q(),
            None => self.own_equity(row),
        }
    }

    fn maintenance(&self, row: usize) -> i128 {
        match self.account(row) {
            Some(account) => Self::money(self.accounts.maintenance_margin, account),
            None => Self::money(self.columns.maintenance_margin, row),
        }
    }

    fn wallet(&self, row: usize) -> i128 {
        match self.account(row) {
            Some(account) => Self::money(self.accounts.wallet_balance, account),
            None => Self::money(self.columns.margin, row),
        }
    }

    /// The row's exact score, or why it has none.
    ///
    /// # Errors
    /// The reason for which the row has no place in the queue.
    pub fn exact(&self, row: usize) -> Result<Exact, Reason> {
        let profit = self.profit(row);
        let basis = self.basis(row, profit)?;
        if !self.has_equity(row)? {
            return Ok(Exact::ZERO);
        }
        match self.rule.loss {
            Loss::Exclude if profit <= 0 => return Err(Reason::NotInProfit),
            Loss::Zero if profit < 0 => return Ok(Exact::ZERO),
            _ => {}
        }
        let factor = self.factor(row)?;
        if profit < 0 && self.rule.loss == Loss::Divide {
            if factor.0 == 0 {
                return Err(Reason::NoFactor);
            }
            return Ok(Exact::new(basis, (factor.1, factor.0)));
        }
        Ok(Exact::new(basis, factor))
    }

    fn basis(&self, row: usize, profit: i128) -> Result<(i128, i128), Reason> {
        let entry = self.entry_value(row);
        let up = self.kind() * i128::from(self.columns.lots[row].signum());
        let ratio = |is_mark_over_entry| {
            let mark = self.mark_value(row);
            if is_mark_over_entry { (mark, entry) } else { (entry, mark) }
        };
        let (num, den) = match self.rule.basis {
            Basis::EntryValue => (profit, entry),
            Basis::Wallet => {
                let wallet = self.wallet(row).max(i128::from(self.rule.wallet_floor));
                (profit.max(0), wallet * self.q())
            }
            Basis::InitialMargin => {
                (profit, Self::money(self.columns.initial_margin, row) * self.q())
            }
            Basis::Equity => (profit, self.equity(row).max(1)),
            Basis::Absolute => (profit, self.q()),
            Basis::PriceRatio => ratio(up > 0),
            Basis::PriceRatioLiteral => ratio(self.kind() > 0),
            Basis::Unit => (1, 1),
            Basis::MarkValue => (profit, self.mark_value(row)),
        };
        if num <= 0 && matches!(self.rule.basis, Basis::PriceRatio | Basis::PriceRatioLiteral) {
            return Err(Reason::NoBasis);
        }
        if den <= 0 { Err(Reason::NoBasis) } else { Ok((num, den)) }
    }

    /// Whether the equity that divides is positive; false means: the score is zero.
    fn has_equity(&self, row: usize) -> Result<bool, Reason> {
        if !self.rule.reads_equity() {
            return Ok(true);
        }
        let by_basis = self.rule.basis != Basis::Equity || self.equity(row) > 0;
        let (by_factor, reason) = match self.rule.factor {
            Factor::BankruptcyDistance => (self.own_equity(row) > 0, Reason::ThroughBankruptcy),
            Factor::NotionalOverEquity | Factor::MaintenanceOverEquity => {
                (self.equity(row) > 0, Reason::NoEquity)
            }
            Factor::NotionalOverFlooredEquity => (self.floored_equity(row) > 0, Reason::NoEquity),
            _ => (true, Reason::NoEquity),
        };
        match self.rule.no_equity {
            _ if by_basis && by_factor => Ok(true),
            NoEquity::Zero => Ok(false),
            NoEquity::LeaveOut if !by_basis => Err(Reason::NoEquity),
            NoEquity::LeaveOut => Err(reason),
        }
    }

    fn floored_equity(&self, row: usize) -> i128 {
        self.equity(row).max(self.maintenance(row) * self.q())
    }

    fn factor(&self, row: usize) -> Result<(i128, i128), Reason> {
        let mark = self.mark_value(row);
        let (num, den) = match self.rule.factor {
            Factor::None => (1, 1),
            Factor::BankruptcyDistance => (mark, self.own_equity(row)),
            Factor::NotionalOverEquity => (mark, self.equity(row)),
            Factor::MaintenanceOverEquity => (self.maintenance(row) * self.q(), self.equity(row)),
            Factor::NotionalOverFlooredEquity => (mark, self.floored_equity(row)),
            Factor::LeverageSetting => (Self::money(self.columns.leverage, row), LEVERAGE_UNIT),
            Factor::OpenValueOverMargin => {
                let margin = Self::money(self.columns.margin, row);
                (Self::money(self.columns.open_value, row), margin)
            }
        };
        if num < 0 || den <= 0 { Err(Reason::NoFactor) } else { Ok((num, den)) }
    }

    /// A whole number that orders rows of equal score by one of the rule's keys, first to last.
    #[must_use]
    pub fn tie_key(&self, tie: Tie, row: usize) -> i128 {
        let clock = Self::money(self.columns.created_at, row);
        match tie {
            Tie::Size => -i128::from(self.columns.lots[row].unsigned_abs()),
            Tie::Profit => -self.profit(row),
            Tie::Balance => self.wallet(row),
            Tie::Newest => -clock,
            Tie::Oldest => clock,
        }
    }

    /// Orders two rows of equal tier and score: the rule's keys, then the position's id.
    #[must_use]
    pub fn compare_ties(&self, a: usize, b: usize) -> Ordering {
        for tie in &self.rule.ties {
            let ordering = self.tie_key(*tie, a).cmp(&self.tie_key(*tie, b));
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        match self.columns.position_id {
            Some(ids) => ids[a].cmp(&ids[b]).then(a.cmp(&b)),
            None => a.cmp(&b),
        }
    }
}
