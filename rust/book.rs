//! A book that is kept between ticks: positions by market and side, changed in place.
//!
//! Every answer is that of the stateless kernel on the same rows. What is kept beside the rows
//! only says which of them need not be looked at: [`band`] for the head of a queue, [`edges`] for
//! lights.
//! Readers share the book; whoever changes it has it alone, so that each reader sees one tick.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::book::band::Band;
use crate::book::coefficients::Coefficients;
use crate::book::edges::Edges;
use crate::book::index::{Index, Place, SECTIONS};
use crate::book::keep::Pace;
use crate::book::pools::{Pools, Side};
use crate::book::table::Table;
use crate::columns::{Accounts, Columns, LIMIT, OWN_MARGIN, Rate};
use crate::error::{Error, Result};
use crate::rank::Venue;
use crate::rule::Rule;
use crate::score::Scorer;
use crate::simd::Level;

pub mod band;
pub mod bound;
pub mod coefficients;
pub mod edges;
pub mod estimate;
pub mod index;
mod keep;
mod order;
pub mod pools;
mod reads;
pub mod table;
pub mod tally;
mod writes;

pub use reads::{Cut, Edge, Order};

/// What a book is set up with beside its rows.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Rate of each market, by code.
    pub rates: Vec<Rate>,
    /// Rule of each market, or one for all.
    pub rules: Vec<Rule>,
    /// Instruction set to use.
    pub level: Level,
    /// Equity is the wallet plus the unrealised profit of the rows that point to the account.
    pub is_derived: bool,
}

/// One side of one market.
#[derive(Debug, Default)]
struct Section {
    table: Arc<Table>,
    /// Rows that do not stand where the order by account would have them.
    displaced: usize,
    /// Two numbers a row, where the rule stands on two prices.
    coefficients: Option<Coefficients>,
    band: RwLock<Option<Arc<Band>>>,
    edges: Mutex<Option<Arc<Edges>>>,
    pace: Mutex<Pace>,
}

impl Section {
    fn bytes(&self) -> usize {
        self.table.bytes() + self.coefficients.as_ref().map_or(0, Coefficients::bytes)
    }
}

/// Positions of many markets, kept.
#[derive(Debug)]
pub struct Book {
    setup: Setup,
    sections: Vec<Section>,
    index: Index,
    pools: Pools,
    /// Marks at which the bounds of equities are centred.
    reference: Vec<Rate>,
    /// How often the reference has moved.
    epoch: u64,
    version: u64,
    /// Equities of all accounts at a version, for passes over everything.
    equities: Mutex<Option<(u64, Arc<Vec<i64>>)>>,
}

/// While no mark is farther from its reference, bounds of equities hold.
const SHARE: f64 = 1.0 / 64.0;

/// The value of a lot as a float, a few roundings off.
fn value(rate: Rate) -> f64 {
    rate.mark_num as f64 / rate.mark_den as f64
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// A book of the rows of `columns`, which need ids; without `market` all belong to market 0.
    ///
    /// # Errors
    /// A column, a market's code, a rate or a value is not what the rules need, or an id stands
    /// there twice.
    pub fn new(
        columns: &Columns<'_>,
        market: Option<&[u32]>,
        accounts: &Accounts<'_>,
        setup: Setup,
    ) -> Result<Self> {
        for rate in &setup.rates {
            rate.check()?;
        }
        let (markets, rules) = (setup.rates.len(), setup.rules.len());
        if markets == 0 || 2 * markets >= SECTIONS || (rules != 1 && rules != markets) {
            let expected = "1 to 2^19 - 1 rates, and one rule or as many";
            return Err(Error::Argument { name: "rates", expected, got: markets as i64 });
        }
        let sections = (0..2 * markets)
            .map(|_| Section { table: Arc::new(Table::like(columns)), ..Section::default() });
        let mut book = Self {
            sections: sections.collect(),
            index: Index::with_room(columns.len()),
            pools: Pools::new(accounts, setup.is_derived)?,
            reference: setup.rates.clone(),
            epoch: 0,
            version: 0,
            equities: Mutex::new(None),
            setup,
        };
        book.check_batch(columns, market)?;
        book.fill(columns, market)?;
        Ok(book)
    }

    /// Gives every account the base that makes its derived equity the given one at these marks.
    ///
    /// # Errors
    /// There is not one equity for each account.
    pub fn rebase(&mut self, equity: &[i64]) -> Result<()> {
        if equity.len() != self.pools.len() {
            let (got, expected) = (equity.len(), self.pools.len());
            return Err(Error::Length { column: "accounts.equity", got, expected });
        }
        self.refer();
        self.pools.rebase(equity);
        self.version += 1;
        Ok(())
    }

    /// Number of positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sections.iter().map(|section| section.table.len()).sum()
    }

    /// Whether there is no position.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often the book has been changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Rates of the markets.
    #[must_use]
    pub fn rates(&self) -> &[Rate] {
        &self.setup.rates
    }

    /// The rows of every side of every market, shared: a later change copies what it touches.
    #[must_use]
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.sections.iter().map(|section| Arc::clone(&section.table)).collect()
    }

    /// Equity at the marks in use, maintenance margin and wallet of the accounts.
    ///
    /// # Errors
    /// A derived equity leaves its range.
    pub fn account_tables(&self) -> Result<[Option<Vec<i64>>; 3]> {
        let equities = self.all_equities()?;
        let accounts = self.accounts(&equities);
        let tables = [accounts.equity, accounts.maintenance_margin, accounts.wallet_balance];
        Ok(tables.map(|table| table.map(<[i64]>::to_vec)))
    }

    /// Bytes of rows, index, accounts and what is kept beside them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let tables: usize = self.sections.iter().map(Section::bytes).sum();
        tables + self.index.bytes() + self.pools.bytes()
    }

    /// The section of a side of a market.
    ///
    /// # Errors
    /// There is no such market, or the side is neither 1 nor -1.
    fn section(&self, market: usize, side: i8) -> Result<usize> {
        if side != 1 && side != -1 {
            return Err(Error::Argument { name: "side", expected: "1 or -1", got: side.into() });
        }
        if market >= self.setup.rates.len() {
            let expected = "the code of a market of the book";
            return Err(Error::Argument { name: "market", expected, got: market as i64 });
        }
        Ok(2 * market + usize::from(side < 0))
    }

    fn rule(&self, section: usize) -> &Rule {
        &self.setup.rules[(section / 2).min(self.setup.rules.len() - 1)]
    }

    fn rate(&self, section: usize) -> Rate {
        self.setup.rates[section / 2]
    }

    fn side_at(&self, section: u32) -> Side<'_> {
        let section = section as usize;
        (&self.sections[section].table, self.rate(section))
    }

    fn sides(&self) -> impl Iterator<Item = Side<'_>> {
        (0..self.sections.len() as u32).map(|section| self.side_at(section))
    }

    fn id_at(&self, place: Place) -> u64 {
        self.sections[place.section as usize].table.ids()[place.row as usize]
    }

    /// Where a position stands.
    ///
    /// # Errors
    /// The book does not hold it.
    fn place(&self, ids: &[u64], at: usize) -> Result<Place> {
        self.index.find(ids[at], |place| self.id_at(place)).ok_or(Error::Value {
            column: "position_id",
            row: at,
            value: ids[at] as i64,
            expected: "a position of the book",
        })
    }

    /// Equities of all accounts at the marks in use, worked out once a version.
    fn all_equities(&self) -> Result<Arc<Vec<i64>>> {
        if !self.pools.is_derived() {
            return Ok(Arc::new(Vec::new()));
        }
        let mut kept = lock(&self.equities);
        if let Some((version, equities)) = kept.as_ref()
            && *version == self.version
        {
            return Ok(Arc::clone(equities));
        }
        let equities = Arc::new(self.pools.equities(self.sides())?);
        *kept = Some((self.version, Arc::clone(&equities)));
        Ok(equities)
    }

    fn accounts<'a>(&'a self, equities: &'a [i64]) -> Accounts<'a> {
        self.pools.accounts(self.pools.is_derived().then_some(equities))
    }

    fn scorer<'a>(&'a self, section: usize, equities: &'a [i64]) -> Scorer<'a> {
        Scorer {
            columns: self.sections[section].table.columns(),
            accounts: self.accounts(equities),
            rate: self.rate(section),
            rule: self.rule(section),
            level: self.setup.level,
        }
    }

    /// One section as the stateless kernel takes it.
    fn venue<'a>(&'a self, section: usize, equities: &'a [i64]) -> Venue<'a> {
        Venue {
            columns: self.sections[section].table.columns(),
            accounts: self.accounts(equities),
            market: None,
            rates: std::slice::from_ref(&self.setup.rates[section / 2]),
            rule: self.rule(section),
            level: self.setup.level,
        }
    }

    /// Checks a batch of rows against everything that will read them.
    fn check_batch(&self, columns: &Columns<'_>, market: Option<&[u32]>) -> Result<()> {
        if columns.position_id.is_none() {
            return Err(Error::Missing { column: "position_id" });
        }
        let accounts = self.accounts(&[]);
        for rule in &self.setup.rules {
            columns.check(&accounts, rule)?;
        }
        let codes = market.unwrap_or(&[]);
        if market.map_or(self.setup.rates.len() > 1, |codes| codes.len() != columns.len()) {
            let (got, expected) = (codes.len(), columns.len());
            return Err(Error::Length { column: "market", got, expected });
        }
        if let Some(row) = codes.iter().position(|&code| code as usize >= self.setup.rates.len()) {
            let expected = "the code of a market of the book";
            let value = i64::from(codes[row]);
            return Err(Error::Value { column: "market", row, value, expected });
        }
        if self.has_values(columns) { Ok(()) } else { Err(columns.first_out_of_range(&accounts)) }
    }

    /// Whether every value lies within its range and every account in the table.
    fn has_values(&self, columns: &Columns<'_>) -> bool {
        let within = |values: &[i64]| {
            let seen = values.iter().fold(0, |seen, &v| seen | v.wrapping_add(LIMIT) as u64);
            seen >> 52 == 0
        };
        let others = [
            columns.margin,
            columns.maintenance_margin,
            columns.initial_margin,
            columns.open_value,
            columns.leverage,
            columns.profit_lots,
            columns.profit_value,
        ];
        let any = |reads: fn(&Rule) -> bool| self.setup.rules.iter().any(reads);
        let (by_margin, by_maintenance) =
            (any(|rule| rule.reads_equity() || rule.reads_wallet()), any(Rule::reads_maintenance));
        let is_read = by_margin || by_maintenance || self.pools.is_derived();
        let has_own = (columns.margin.is_some() || !by_margin)
            && (columns.maintenance_margin.is_some() || !by_maintenance);
        let accounts = if is_read { self.pools.len() } else { usize::MAX };
        let stands = |&a: &u32| if a == OWN_MARGIN { has_own } else { (a as usize) < accounts };
        within(columns.lots)
            && within(columns.entry_value)
            && others.into_iter().flatten().all(within)
            && columns.lots.iter().all(|&lots| lots != 0)
            && columns.entry_value.iter().all(|&value| value >= 0)
            && columns.account.is_none_or(|account| account.iter().all(stands))
    }
}
