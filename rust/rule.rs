//! The score rule as data; the members stand in the order of their codes.

use crate::error::{Error, Result};

/// What success is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Profit over entry value.
    EntryValue,
    /// Profit, not below zero, over the wallet, not below the floor.
    Wallet,
    /// Profit over initial margin.
    InitialMargin,
    /// Profit over equity.
    Equity,
    /// Profit in money units.
    Absolute,
    /// Price ratio in the profitable direction.
    PriceRatio,
    /// Mark over entry for both sides.
    PriceRatioLiteral,
    /// One: the factor alone decides.
    Unit,
    /// Profit over mark value.
    MarkValue,
}

/// What leverage is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// One.
    None,
    /// Mark value over its distance to the bankruptcy value.
    BankruptcyDistance,
    /// Mark value over equity.
    NotionalOverEquity,
    /// Maintenance margin over equity.
    MaintenanceOverEquity,
    /// Mark value over the larger of equity and maintenance margin.
    NotionalOverFlooredEquity,
    /// The leverage setting, in ppm.
    LeverageSetting,
    /// Cumulative open value over margin.
    OpenValueOverMargin,
}

/// What happens to a score at a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The factor divides.
    Divide,
    /// The factor multiplies, as in profit.
    Multiply,
    /// The score is zero.
    Zero,
    /// Without a profit there is no place in the queue.
    Exclude,
}

/// What happens where the rule divides by an equity that is not positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEquity {
    /// The entry is left out.
    LeaveOut,
    /// The score is zero.
    Zero,
}

/// A key that orders equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// Larger quantity first.
    Size,
    /// Larger profit first.
    Profit,
    /// Smaller wallet first.
    Balance,
    /// Later `created_at` first.
    Newest,
    /// Earlier `created_at` first.
    Oldest,
}

/// Why an entry has no place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It has one.
    Scored = 0,
    /// Equity is zero or negative where it divides.
    NoEquity = 2,
    /// The mark stands at or through the bankruptcy price.
    ThroughBankruptcy = 3,
    /// The rule takes winners only.
    NotInProfit = 4,
    /// What the basis divides by is not positive.
    NoBasis = 5,
    /// The factor is not defined, or a loss would be divided by zero.
    NoFactor = 6,
}

/// One venue edition's ranking rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What success is measured by.
    pub basis: Basis,
    /// What leverage is measured by.
    pub factor: Factor,
    /// What happens at a loss.
    pub loss: Loss,
    /// What happens without equity.
    pub no_equity: NoEquity,
    /// The profit is the joint one of both hedge legs.
    pub is_joint: bool,
    /// Smallest wallet to divide by, in money units, at least 1.
    pub wallet_floor: i64,
    /// Keys after the score; the position's id is always the last.
    pub ties: Vec<Tie>,
}

fn pick<T: Copy>(name: &'static str, all: &[T], code: u8) -> Result<T> {
    let expected = "the code of a member";
    all.get(usize::from(code)).copied().ok_or(Error::Argument { name, expected, got: code.into() })
}

impl Basis {
    /// The member with this code.
    ///
    /// # Errors
    /// No member has the code.
    pub fn from_code(code: u8) -> Result<Self> {
        use Basis::{
            Absolute, EntryValue, Equity, InitialMargin, MarkValue, PriceRatio, PriceRatioLiteral,
            Unit, Wallet,
        };
        let all = [
            EntryValue,
            Wallet,
            InitialMargin,
            Equity,
            Absolute,
            PriceRatio,
            PriceRatioLiteral,
            Unit,
            MarkValue,
        ];
        pick("basis", &all, code)
    }
}

impl Factor {
    /// The member with this code.
    ///
    /// # Errors
    /// No member has the code.
    pub fn from_code(code: u8) -> Result<Self> {
        use Factor::{
            BankruptcyDistance, LeverageSetting, MaintenanceOverEquity, None, NotionalOverEquity,
            NotionalOverFlooredEquity, OpenValueOverMargin,
        };
        let all = [
            None,
            BankruptcyDistance,
            NotionalOverEquity,
            MaintenanceOverEquity,
            NotionalOverFlooredEquity,
            LeverageSetting,
            OpenValueOverMargin,
        ];
        pick("factor", &all, code)
    }
}

impl Loss {
    /// The member with this code.
    ///
    /// # Errors
    /// No member has the code.
    pub fn from_code(code: u8) -> Result<Self> {
        pick("loss", &[Self::Divide, Self::Multiply, Self::Zero, Self::Exclude], code)
    }
}

impl NoEquity {
    /// The member with this code.
    ///
    /// # Errors
    /// No member has the code.
    pub fn from_code(code: u8) -> Result<Self> {
        pick("no_equity", &[Self::LeaveOut, Self::Zero], code)
    }
}

impl Tie {
    /// The member with this code.
    ///
    /// # Errors
    /// No member has the code.
    pub fn from_code(code: u8) -> Result<Self> {
        let all = [Self::Size, Self::Profit, Self::Balance, Self::Newest, Self::Oldest];
        pick("ties", &all, code)
    }
}

impl Rule {
    /// Whether an equity divides anywhere in the rule.
    #[must_use]
    pub fn reads_equity(&self) -> bool {
        self.basis == Basis::Equity
            || matches!(
                self.factor,
                Factor::BankruptcyDistance
                    | Factor::NotionalOverEquity
                    | Factor::MaintenanceOverEquity
                    | Factor::NotionalOverFlooredEquity
            )
    }

    /// Whether the equity is the position's own, whatever its margin mode.
    #[must_use]
    pub fn is_own_equity(&self) -> bool {
        self.factor == Factor::BankruptcyDistance
    }

    /// Whether the account's equity is read beside the position's own.
    #[must_use]
    pub fn reads_two_equities(&self) -> bool {
        self.basis == Basis::Equity && self.is_own_equity()
    }

    /// Whether the maintenance margin is read.
    #[must_use]
    pub fn reads_maintenance(&self) -> bool {
        matches!(self.factor, Factor::MaintenanceOverEquity | Factor::NotionalOverFlooredEquity)
    }

    /// Whether the wallet is read.
    #[must_use]
    pub fn reads_wallet(&self) -> bool {
        self.basis == Basis::Wallet || self.ties.contains(&Tie::Balance)
    }
}
