//! Borrowed columns of positions and accounts, checked once against the rule that reads them.

use crate::error::{Error, Result};
use crate::rule::{Basis, Factor, Rule, Tie};

/// Values stay below 2^51 in magnitude, so that they are whole numbers in a float.
pub const LIMIT: i64 = 1 << 51;

/// An `account` entry that says: this row is judged on its own margin.
pub const OWN_MARGIN: u32 = u32::MAX;

/// Columns of positions, one entry a row.
///
/// `lots` is signed, the sign is the side. Money stands in units of the settlement asset.
/// `account` points into [`Accounts`]; [`OWN_MARGIN`] means the row's own margin. `owner` numbers
/// the accounts themselves and only counts them.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)] // the names are the documentation
pub struct Columns<'a> {
    pub lots: &'a [i64],
    pub entry_value: &'a [i64],
    pub margin: Option<&'a [i64]>,
    pub maintenance_margin: Option<&'a [i64]>,
    pub initial_margin: Option<&'a [i64]>,
    pub open_value: Option<&'a [i64]>,
    pub leverage: Option<&'a [i64]>,
    pub profit_lots: Option<&'a [i64]>,
    pub profit_value: Option<&'a [i64]>,
    pub created_at: Option<&'a [i64]>,
    pub account: Option<&'a [u32]>,
    pub tier: Option<&'a [u8]>,
    pub owner: Option<&'a [u32]>,
    pub position_id: Option<&'a [u64]>,
}

/// Columns of accounts, money units.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)] // the names are the documentation
pub struct Accounts<'a> {
    pub equity: Option<&'a [i64]>,
    pub maintenance_margin: Option<&'a [i64]>,
    pub wallet_balance: Option<&'a [i64]>,
}

/// What a lot is worth at the mark: `mark_num / mark_den` money units, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Numerator, 0 < `mark_num` < 2^62.
    pub mark_num: i64,
    /// Denominator, 0 < `mark_den` < 2^62.
    pub mark_den: i64,
    /// Inverse contract: a long gains as the value falls.
    pub is_inverse: bool,
}

impl Rate {
    /// Checks the bounds.
    ///
    /// # Errors
    /// Numerator or denominator lies outside of (0, 2^62).
    pub fn check(&self) -> Result<()> {
        let expected = "more than 0 and less than 2^62";
        for (name, got) in [("mark_num", self.mark_num), ("mark_den", self.mark_den)] {
            if got <= 0 || got >= 1 << 62 {
                return Err(Error::Argument { name, expected, got });
            }
        }
        Ok(())
    }
}

impl Columns<'_> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lots.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }

    /// Checks lengths and that everything the rule reads is there.
    ///
    /// # Errors
    /// A column has another length than `lots`, or one that the rule reads is missing.
    pub fn check(&self, accounts: &Accounts<'_>, rule: &Rule) -> Result<()> {
        if self.len() > u32::MAX as usize {
            let expected = "fewer than 2^32 rows";
            return Err(Error::Argument { name: "lots", expected, got: self.len() as i64 });
        }
        self.check_lengths()?;
        self.check_rule(rule)?;
        self.check_accounts(accounts, rule)
    }

    fn check_lengths(&self) -> Result<()> {
        let columns = [
            ("entry_value", Some(self.entry_value.len())),
            ("margin", self.margin.map(<[i64]>::len)),
            ("maintenance_margin", self.maintenance_margin.map(<[i64]>::len)),
            ("initial_margin", self.initial_margin.map(<[i64]>::len)),
            ("open_value", self.open_value.map(<[i64]>::len)),
            ("leverage", self.leverage.map(<[i64]>::len)),
            ("profit_lots", self.profit_lots.map(<[i64]>::len)),
            ("profit_value", self.profit_value.map(<[i64]>::len)),
            ("created_at", self.created_at.map(<[i64]>::len)),
            ("account", self.account.map(<[u32]>::len)),
            ("tier", self.tier.map(<[u8]>::len)),
            ("owner", self.owner.map(<[u32]>::len)),
            ("position_id", self.position_id.map(<[u64]>::len)),
        ];
        for (column, length) in columns {
            if let Some(got) = length
                && got != self.len()
            {
                return Err(Error::Length { column, got, expected: self.len() });
            }
        }
        Ok(())
    }

    fn check_rule(&self, rule: &Rule) -> Result<()> {
        let clock = rule.ties.contains(&Tie::Newest) || rule.ties.contains(&Tie::Oldest);
        let needs_open = rule.factor == Factor::OpenValueOverMargin;
        let needed = [
            ("initial_margin", rule.basis == Basis::InitialMargin, self.initial_margin.is_some()),
            ("open_value", needs_open, self.open_value.is_some()),
            ("leverage", rule.factor == Factor::LeverageSetting, self.leverage.is_some()),
            ("margin", needs_open || self.needs_margin(rule), self.margin.is_some()),
            ("maintenance_margin", self.needs_maintenance(rule), self.maintenance_margin.is_some()),
            ("profit_lots", rule.is_joint, self.profit_lots.is_some()),
            ("profit_value", rule.is_joint, self.profit_value.is_some()),
            ("created_at", clock, self.created_at.is_some()),
        ];
        for (column, is_needed, is_given) in needed {
            if is_needed && !is_given {
                return Err(Error::Missing { column });
            }
        }
        Ok(())
    }

    fn needs_margin(&self, rule: &Rule) -> bool {
        let own = rule.is_own_equity() || self.account.is_none();
        own && (rule.reads_equity() || rule.reads_wallet())
    }

    fn needs_maintenance(&self, rule: &Rule) -> bool {
        rule.reads_maintenance() && self.account.is_none()
    }

    fn check_accounts(&self, accounts: &Accounts<'_>, rule: &Rule) -> Result<()> {
        let Some(account) = self.account else {
            return Ok(());
        };
        let equity = accounts.equity;
        let reads_equity =
            rule.reads_two_equities() || (rule.reads_equity() && !rule.is_own_equity());
        let needed = [
            ("accounts.equity", reads_equity, equity),
            ("accounts.maintenance_margin", rule.reads_maintenance(), accounts.maintenance_margin),
            ("accounts.wallet_balance", rule.reads_wallet(), accounts.wallet_balance),
        ];
        for (column, is_needed, given) in needed {
            if is_needed && given.is_none() && account.iter().any(|&a| a != OWN_MARGIN) {
                return Err(Error::Missing { column });
            }
        }
        Ok(())
    }

    /// Names the first value that lies outside of its range, or points outside of its table.
    #[must_use]
    pub fn first_out_of_range(&self, accounts: &Accounts<'_>) -> Error {
        let columns = [
            ("lots", Some(self.lots)),
            ("entry_value", Some(self.entry_value)),
            ("margin", self.margin),
            ("maintenance_margin", self.maintenance_margin),
            ("initial_margin", self.initial_margin),
            ("open_value", self.open_value),
            ("leverage", self.leverage),
            ("profit_lots", self.profit_lots),
            ("profit_value", self.profit_value),
            ("accounts.equity", accounts.equity),
            ("accounts.maintenance_margin", accounts.maintenance_margin),
            ("accounts.wallet_balance", accounts.wallet_balance),
        ];
        for (column, values) in columns {
            let outside = |value: &i64| !(-LIMIT..LIMIT).contains(value);
            if let Some((row, &value)) =
                values.and_then(|v| v.iter().enumerate().find(|(_, value)| outside(value)))
            {
                return Error::Value { column, row, value, expected: "less than 2^51 in size" };
            }
        }
        if let Some(row) = self.lots.iter().position(|&lots| lots == 0) {
            let expected = "a position that is not empty";
            return Error::Value { column: "lots", row, value: 0, expected };
        }
        let below = |value: &&i64| **value < 0;
        if let Some(row) = self.entry_value.iter().position(|value| below(&value)) {
            let (value, expected) = (self.entry_value[row], "0 or more; the side is in lots");
            return Error::Value { column: "entry_value", row, value, expected };
        }
        self.first_bad_account(accounts)
    }

    fn first_bad_account(&self, accounts: &Accounts<'_>) -> Error {
        let tables = [accounts.equity, accounts.maintenance_margin, accounts.wallet_balance];
        let rows = tables.iter().flatten().map(|table| table.len()).min().unwrap_or(0);
        let account = self.account.unwrap_or(&[]);
        let outside = |a: u32| a != OWN_MARGIN && a as usize >= rows;
        let (expected, row) = match account.iter().position(|&a| outside(a)) {
            Some(row) => ("a row of the account table", row),
            None => (
                "a row of the account table, for there are no own columns to judge it on",
                account.iter().position(|&a| a == OWN_MARGIN).unwrap_or(0),
            ),
        };
        let value = account.get(row).map_or(0, |&a| i64::from(a));
        Error::Value { column: "account", row, value, expected }
    }
}
