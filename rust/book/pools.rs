//! The accounts that rows are judged by, and their equity as a function of the marks.
//!
//! Equity is either what the caller says, or it is derived: a base plus the unrealised profit of
//! every position that points to the account, each mark value rounded once, half to even. A
//! derived equity is worked out for one account at a time, from its legs, when someone asks. What
//! is kept for all accounts is their equity at reference marks and how far it can move: by the
//! gross value of the legs times the largest relative move of a mark, and a unit of rounding a leg.

use crate::book::index::Place;
use crate::book::table::Table;
use crate::columns::{Accounts, Columns, LIMIT, OWN_MARGIN, Rate};
use crate::error::{Error, Result};

/// A section as accounts see it: its rows and its market's rate.
pub type Side<'a> = (&'a Table, Rate);

/// The account table.
#[derive(Debug, Clone, Default)]
pub struct Pools {
    equity: Option<Vec<i64>>,
    maintenance_margin: Option<Vec<i64>>,
    wallet_balance: Option<Vec<i64>>,
    derived: Option<Derived>,
}

/// Equities that follow the marks.
#[derive(Debug, Clone, Default)]
struct Derived {
    base: Vec<i128>,
    legs: Vec<Vec<Place>>,
    reference: Vec<i128>,
    gross: Vec<f64>,
}

/// Where the equity of an account lies while no mark moves by more than a share.
#[derive(Debug, Clone, Copy)]
pub struct Spread<'a> {
    /// Equity at the reference marks.
    pub reference: &'a [i128],
    /// Gross value of the account's legs at those marks.
    pub gross: &'a [f64],
    /// Its legs: each mark value is rounded.
    pub legs: &'a [Vec<Place>],
    /// Largest relative move.
    pub share: f64,
}

/// Profit of a position in whole money units: its mark value rounded half to even.
#[must_use]
pub fn whole_profit(lots: i64, entry_value: i64, rate: Rate) -> i128 {
    let top = u128::from(lots.unsigned_abs()) * rate.mark_num as u128;
    let bottom = rate.mark_den as u128;
    let (quotient, rest) = match (u64::try_from(top), u64::try_from(bottom)) {
        _ if bottom == 1 => (top, 0),
        (Ok(top), Ok(bottom)) => (u128::from(top / bottom), u128::from(top % bottom)),
        _ => (top / bottom, top % bottom),
    };
    let is_above = rest > bottom - rest || (rest == bottom - rest && quotient % 2 == 1);
    let mark = (quotient + u128::from(is_above)) as i128;
    let kind = if rate.is_inverse { -1 } else { 1 };
    kind * i128::from(lots.signum()) * (mark - i128::from(entry_value))
}

fn gross(lots: i64, rate: Rate) -> f64 {
    // A hair more than it is: what is summed and taken away in floats stays on the safe side.
    lots.unsigned_abs() as f64 * (rate.mark_num as f64 / rate.mark_den as f64) * (1.0 + 1e-12)
}

fn checked(account: usize, equity: i128) -> Result<i64> {
    if equity.unsigned_abs() >= LIMIT as u128 {
        let (column, expected) = ("accounts.equity", "less than 2^51 in size at the marks in use");
        let value = equity.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        return Err(Error::Value { column, row: account, value, expected });
    }
    Ok(equity as i64)
}

impl Pools {
    /// Copies the tables; with `is_derived` equity is the wallet plus unrealised profit.
    ///
    /// # Errors
    /// The tables differ in length, or there is no wallet to derive from.
    pub fn new(accounts: &Accounts<'_>, is_derived: bool) -> Result<Self> {
        let tables = [accounts.equity, accounts.maintenance_margin, accounts.wallet_balance];
        let expected = tables.iter().flatten().map(|t| t.len()).next().unwrap_or(0);
        for (column, table) in ["equity", "maintenance_margin", "wallet_balance"].iter().zip(tables)
        {
            let got = table.map_or(expected, <[i64]>::len);
            if got != expected {
                return Err(Error::Length { column, got, expected });
            }
        }
        let owned = |table: Option<&[i64]>| table.map(<[i64]>::to_vec);
        let derived = match (is_derived, accounts.wallet_balance) {
            (false, _) => None,
            (true, None) => return Err(Error::Missing { column: "accounts.wallet_balance" }),
            (true, Some(wallet)) => Some(Derived {
                base: wallet.iter().map(|&money| i128::from(money)).collect(),
                legs: vec![Vec::new(); wallet.len()],
                reference: wallet.iter().map(|&money| i128::from(money)).collect(),
                gross: vec![0.0; wallet.len()],
            }),
        };
        Ok(Self {
            equity: if is_derived { None } else { owned(accounts.equity) },
            maintenance_margin: owned(accounts.maintenance_margin),
            wallet_balance: owned(accounts.wallet_balance),
            derived,
        })
    }

    /// Number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        let tables = [&self.equity, &self.maintenance_margin, &self.wallet_balance];
        tables.into_iter().flatten().map(Vec::len).next().unwrap_or(0)
    }

    /// Whether there is no account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether equities follow the marks.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.derived.is_some()
    }

    /// The tables with an equity that was worked out before.
    #[must_use]
    pub fn accounts<'a>(&'a self, equity: Option<&'a [i64]>) -> Accounts<'a> {
        Accounts {
            equity: equity.or(self.equity.as_deref()),
            maintenance_margin: self.maintenance_margin.as_deref(),
            wallet_balance: self.wallet_balance.as_deref(),
        }
    }

    /// What bounds derived equities; none where equity is what the caller says.
    #[must_use]
    pub fn spread(&self, share: f64) -> Option<Spread<'_>> {
        let derived = self.derived.as_ref()?;
        let Derived { reference, gross, legs, .. } = derived;
        Some(Spread { reference, gross, legs, share })
    }

    /// Legs of an account whose equity follows the marks.
    #[must_use]
    pub fn legs(&self, account: u32) -> &[Place] {
        self.derived.as_ref().map_or(&[], |derived| &derived.legs[account as usize])
    }

    /// Takes up a position that points to an account, at the reference rate of its market.
    pub fn join(&mut self, columns: &Columns<'_>, row: usize, place: Place, rate: Rate) {
        if let Some((derived, account)) = self.derived_of(columns, row) {
            derived.legs[account].push(place);
            derived.weigh(account, columns, row, rate, 1);
        }
    }

    /// Lets a position go; it has to be told before its row is overwritten.
    pub fn leave(&mut self, columns: &Columns<'_>, row: usize, place: Place, rate: Rate) {
        if let Some((derived, account)) = self.derived_of(columns, row) {
            derived.legs[account].retain(|leg| *leg != place);
            derived.weigh(account, columns, row, rate, -1);
            if derived.legs[account].is_empty() {
                derived.gross[account] = 0.0;
            }
        }
    }

    /// Says that a position moved to another row.
    pub fn relocate(&mut self, columns: &Columns<'_>, row: usize, from: Place, to: Place) {
        if let Some((derived, account)) = self.derived_of(columns, row) {
            for leg in derived.legs[account].iter_mut().filter(|leg| **leg == from) {
                *leg = to;
            }
        }
    }

    fn derived_of(&mut self, columns: &Columns<'_>, row: usize) -> Option<(&mut Derived, usize)> {
        let account = columns.account?[row];
        if account == OWN_MARGIN {
            return None;
        }
        self.derived.as_mut().map(|derived| (derived, account as usize))
    }

    /// Moves the reference to other marks: the only sweep over all accounts.
    pub fn refer<'a>(&mut self, sides: impl Iterator<Item = Side<'a>>) {
        let Some(derived) = &mut self.derived else {
            return;
        };
        let mut sums = derived.base.clone();
        let mut reach = vec![0.0; sums.len()];
        for (table, rate) in sides {
            let columns = table.columns();
            for (row, &account) in columns.account.unwrap_or(&[]).iter().enumerate() {
                if account != OWN_MARGIN {
                    let (lots, entry) = (columns.lots[row], columns.entry_value[row]);
                    sums[account as usize] += whole_profit(lots, entry, rate);
                    reach[account as usize] += gross(lots, rate);
                }
            }
        }
        derived.reference = sums;
        derived.gross = reach;
    }

    /// Gives every account the base that makes its equity at the reference marks the given one.
    pub fn rebase(&mut self, equity: &[i64]) {
        if let Some(derived) = &mut self.derived {
            for (account, &equity) in equity.iter().enumerate() {
                derived.base[account] += i128::from(equity) - derived.reference[account];
                derived.reference[account] = equity.into();
            }
        }
    }

    /// Exact equity of one account.
    ///
    /// # Errors
    /// It leaves its range at these marks.
    pub fn equity<'a>(&self, account: u32, side: impl Fn(u32) -> Side<'a>) -> Result<i64> {
        let at = account as usize;
        let Some(derived) = &self.derived else {
            return Ok(self.equity.as_ref().map_or(0, |equity| equity[at]));
        };
        let profit = |leg: &Place| {
            let (table, rate) = side(leg.section);
            let (columns, row) = (table.columns(), leg.row as usize);
            whole_profit(columns.lots[row], columns.entry_value[row], rate)
        };
        let sum: i128 = derived.legs[at].iter().map(profit).sum();
        checked(at, derived.base[at] + sum)
    }

    /// Exact equities of all accounts, for a pass over everything; empty where none is derived.
    ///
    /// # Errors
    /// One leaves its range at these marks.
    pub fn equities<'a>(&self, sides: impl Iterator<Item = Side<'a>>) -> Result<Vec<i64>> {
        let base = self.derived.as_ref().map_or_else(Vec::new, |derived| derived.base.clone());
        let mut fresh =
            Self { derived: Some(Derived { base, ..Derived::default() }), ..Self::default() };
        fresh.refer(sides);
        let sums = fresh.derived.map_or_else(Vec::new, |derived| derived.reference);
        sums.into_iter().enumerate().map(|(account, sum)| checked(account, sum)).collect()
    }

    /// Overwrites rows of the table; a derived equity takes the change of its wallet.
    ///
    /// # Errors
    /// A row does not exist, a value is out of range, or the batch has other columns.
    pub fn update(&mut self, rows: &[u32], values: &Accounts<'_>) -> Result<()> {
        self.check_update(rows, values)?;
        for (place, &row) in rows.iter().enumerate() {
            let row = row as usize;
            if let (Some(derived), Some(wallet), Some(given)) =
                (&mut self.derived, &self.wallet_balance, values.wallet_balance)
            {
                let change = i128::from(given[place] - wallet[row]);
                derived.base[row] += change;
                derived.reference[row] += change;
            }
            let tables = [
                (&mut self.equity, values.equity),
                (&mut self.maintenance_margin, values.maintenance_margin),
                (&mut self.wallet_balance, values.wallet_balance),
            ];
            for (kept, given) in tables {
                if let (Some(kept), Some(given)) = (kept, given) {
                    kept[row] = given[place];
                }
            }
        }
        Ok(())
    }

    fn check_update(&self, rows: &[u32], values: &Accounts<'_>) -> Result<()> {
        let tables = [
            ("accounts.equity", &self.equity, values.equity),
            ("accounts.maintenance_margin", &self.maintenance_margin, values.maintenance_margin),
            ("accounts.wallet_balance", &self.wallet_balance, values.wallet_balance),
        ];
        for (column, kept, given) in tables {
            let (got, expected) = (given.map_or(0, <[i64]>::len), rows.len());
            if given.is_some() && (kept.is_none() || got != expected) {
                let expected = if kept.is_none() { 0 } else { expected };
                return Err(Error::Length { column, got, expected });
            }
            let outside = |value: &i64| !(-LIMIT + 1..LIMIT).contains(value);
            if let Some(row) = given.and_then(|values| values.iter().position(outside)) {
                let value = given.map_or(0, |values| values[row]);
                return Err(Error::Value {
                    column,
                    row,
                    value,
                    expected: "less than 2^51 in size",
                });
            }
        }
        if let Some(row) = rows.iter().position(|&row| row as usize >= self.len()) {
            let (value, expected) = (i64::from(rows[row]), "a row of the account table");
            return Err(Error::Value { column: "accounts", row, value, expected });
        }
        Ok(())
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let legs: usize = self.derived.iter().flat_map(|d| &d.legs).map(|l| 8 * l.capacity()).sum();
        let tables = [&self.equity, &self.maintenance_margin, &self.wallet_balance];
        let kept: usize = tables.into_iter().flatten().map(|table| 8 * table.len()).sum();
        legs + kept + self.derived.as_ref().map_or(0, |derived| 64 * derived.base.len())
    }
}

impl Derived {
    /// Adds or takes away what a position does to its account at the reference marks.
    fn weigh(&mut self, account: usize, columns: &Columns<'_>, row: usize, rate: Rate, sign: i8) {
        let (lots, entry) = (columns.lots[row], columns.entry_value[row]);
        self.reference[account] += i128::from(sign) * whole_profit(lots, entry, rate);
        let reach = f64::from(sign) * gross(lots, rate);
        // Taking away in floats may leave too little: a hair is added either way.
        self.gross[account] = (self.gross[account] + reach) * (1.0 + 1e-12) + reach.abs() * 1e-12;
    }
}
