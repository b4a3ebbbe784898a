//! What changes a book: all of a batch or nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use rayon::prelude::*;

use crate::book::band::Band;
use crate::book::bound::Bound;
use crate::book::coefficients::Coefficients;
use crate::book::index::{Place, SECTIONS};
use crate::book::table::Table;
use crate::book::{Book, SHARE, Section, value};
use crate::columns::{Accounts, Columns, OWN_MARGIN, Rate};
use crate::error::{Error, Result};
use crate::quantise::first_duplicate;
use crate::simd::prefetch;

/// A section that is none: where rows stand while they change places.
const NOWHERE: u32 = SECTIONS as u32 - 1;

fn repeated(ids: &[u64]) -> Result<()> {
    match first_duplicate(ids) {
        Some((_, row)) => Err(Error::Value {
            column: "position_id",
            row,
            value: ids[row] as i64,
            expected: "each id once",
        }),
        None => Ok(()),
    }
}

impl Book {
    /// Takes the first rows in: grouped by market and side, and by account where rows point to one.
    pub(super) fn fill(&mut self, columns: &Columns<'_>, market: Option<&[u32]>) -> Result<()> {
        let ids = columns.position_id.unwrap_or(&[]);
        repeated(ids)?;
        let mut groups = self.by_section(columns, market, 0..columns.len() as u32);
        self.sections.par_iter_mut().zip(groups.par_iter_mut()).for_each(|(section, rows)| {
            if let Some(account) = columns.account {
                rows.sort_by_key(|&row| account[row as usize]);
            }
            section.table = Arc::new(Table::picked(columns, rows));
        });
        for section in 0..self.sections.len() {
            self.enter(section as u32, 0)?;
            let value = value(self.rate(section));
            let bound = self.bound(section, (value, value));
            self.sections[section].coefficients = Coefficients::new(&bound, section % 2 == 0);
        }
        self.refer();
        Ok(())
    }

    /// Rows of a batch by the section that they belong to.
    fn by_section(
        &self,
        columns: &Columns<'_>,
        market: Option<&[u32]>,
        rows: impl Iterator<Item = u32> + Clone,
    ) -> Vec<Vec<u32>> {
        let mut counts = vec![0usize; self.sections.len()];
        let target = |row: u32| target(columns, market, row as usize) as usize;
        rows.clone().for_each(|row| counts[target(row)] += 1);
        let mut groups: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
        rows.for_each(|row| groups[target(row)].push(row));
        groups
    }

    /// Puts the rows of a section from `first` on into the index and among their accounts' legs.
    fn enter(&mut self, section: u32, first: usize) -> Result<()> {
        let rate = self.reference[section as usize / 2];
        let table = Arc::clone(&self.sections[section as usize].table);
        let sections = &self.sections;
        let id_at = |place: Place| sections[place.section as usize].table.ids()[place.row as usize];
        for (row, &id) in table.ids().iter().enumerate().skip(first) {
            let place = Place { section, row: row as u32 };
            if self.index.insert(id, place, id_at).is_err() {
                let (column, expected) = ("position_id", "each id once");
                return Err(Error::Value { column, row, value: id as i64, expected });
            }
            self.pools.join(&table.columns(), row, place, rate);
        }
        Ok(())
    }

    /// Centres the bounds of equities at the marks in use.
    pub(super) fn refer(&mut self) {
        self.reference.clone_from(&self.setup.rates);
        self.epoch += 1;
        let (sections, rates) = (&self.sections, &self.setup.rates);
        let sides = sections.iter().enumerate().map(|(i, s)| (s.table.as_ref(), rates[i / 2]));
        self.pools.refer(sides);
    }

    /// Adds new positions and overwrites known ones; the columns are those of the book.
    ///
    /// # Errors
    /// As [`Book::new`]; the book is then unchanged.
    pub fn upsert(&mut self, columns: &Columns<'_>, market: Option<&[u32]>) -> Result<()> {
        self.check_batch(columns, market)?;
        self.sections[0].table.check_same(columns)?;
        let ids = columns.position_id.unwrap_or(&[]);
        repeated(ids)?;
        let mut places = self.places(ids);
        let moved = |(row, place): (usize, &Option<Place>)| {
            place.filter(|place| place.section != target(columns, market, row)).map(|_| ids[row])
        };
        let moved: Vec<u64> = places.iter().enumerate().filter_map(moved).collect();
        if !moved.is_empty() {
            for &id in &moved {
                self.take_out(id);
            }
            places = self.places(ids);
        }
        let mut touched = BTreeSet::new();
        self.overwrite(columns, &places, &mut touched);
        let fresh = (0..ids.len() as u32).filter(|&row| places[row as usize].is_none());
        for (section, rows) in self.by_section(columns, market, fresh).iter().enumerate() {
            if !rows.is_empty() {
                self.insert(columns, section, rows, &mut touched)?;
            }
        }
        self.rebound(&touched);
        self.version += 1;
        Ok(())
    }

    fn places(&self, ids: &[u64]) -> Vec<Option<Place>> {
        let id_at = |place| self.id_at(place);
        let fetch = |place: Place| {
            let row = place.row as usize;
            prefetch(self.sections[place.section as usize].table.ids(), row..row + 1);
        };
        let chunks = ids.par_chunks(1 << 12).map(|ids| self.index.find_all(ids, id_at, fetch));
        chunks.flatten_iter().collect()
    }

    /// Overwrites the rows that have a place.
    fn overwrite(
        &mut self,
        columns: &Columns<'_>,
        places: &[Option<Place>],
        touched: &mut BTreeSet<u32>,
    ) {
        let mut pairs: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.sections.len()];
        for (from, place) in places.iter().enumerate() {
            if let Some(place) = place {
                pairs[place.section as usize].push((place.row, from as u32));
            }
        }
        for (section, pairs) in pairs.into_iter().enumerate().filter(|pairs| !pairs.1.is_empty()) {
            let rows: Vec<u32> = pairs.iter().map(|&(row, _)| row).collect();
            self.forget(section, &rows);
            self.leave(section, &rows, touched);
            let Section { table, coefficients, .. } = &mut self.sections[section];
            let table = Arc::make_mut(table);
            let price = || {
                if let Some(column) = coefficients {
                    column.write(columns, &pairs);
                }
            };
            rayon::join(|| table.write(columns, &pairs), price);
            self.join(section, &rows, touched);
            self.admit(section, &rows);
        }
    }

    fn insert(
        &mut self,
        columns: &Columns<'_>,
        section: usize,
        rows: &[u32],
        touched: &mut BTreeSet<u32>,
    ) -> Result<()> {
        let first = self.sections[section].table.len();
        let Section { table, coefficients, .. } = &mut self.sections[section];
        Arc::make_mut(table).append(columns, rows);
        if let Some(column) = coefficients {
            column.append(&table.columns(), first);
        }
        self.enter(section as u32, first)?;
        let rows: Vec<u32> = (first as u32..(first + rows.len()) as u32).collect();
        self.note_accounts(section, &rows, touched);
        self.admit(section, &rows);
        self.sections[section].displaced += rows.len();
        self.tidy(section);
        Ok(())
    }

    /// Brings a section back into the order by account once an eighth of its rows has left it.
    fn tidy(&mut self, section: usize) {
        let from = section as u32;
        let Section { table, displaced, coefficients, .. } = &mut self.sections[section];
        let columns = table.columns();
        let Some(account) = columns.account.filter(|_| *displaced * 8 > table.len() + 512) else {
            return;
        };
        let mut order: Vec<u32> = (0..table.len() as u32).collect();
        order.sort_by_key(|&row| (account[row as usize], row));
        *displaced = 0;
        let table = Arc::make_mut(table);
        for (old, new) in [(from, NOWHERE), (NOWHERE, from)] {
            for (to, &row) in order.iter().enumerate() {
                let at = if old == from { row } else { to as u32 };
                let (old, new) =
                    (Place { section: old, row: at }, Place { section: new, row: to as u32 });
                self.index.relocate(table.ids()[row as usize], old, new);
                self.pools.relocate(&table.columns(), row as usize, old, new);
            }
        }
        table.arrange(&order);
        if let Some(column) = coefficients {
            let all: Vec<(u32, u32)> = (0..table.len() as u32).map(|row| (row, row)).collect();
            column.write(&table.columns(), &all);
        }
    }

    /// Takes positions out.
    ///
    /// # Errors
    /// The book does not hold one, or it is named twice; the book is then unchanged.
    pub fn remove(&mut self, ids: &[u64]) -> Result<()> {
        repeated(ids)?;
        for at in 0..ids.len() {
            self.place(ids, at)?;
        }
        for &id in ids {
            self.take_out(id);
        }
        self.version += 1;
        Ok(())
    }

    fn take_out(&mut self, id: u64) {
        let Some(place) = self.index.find(id, |place| self.id_at(place)) else {
            return;
        };
        let (section, row) = (place.section as usize, place.row as usize);
        let mut touched = BTreeSet::new();
        self.forget(section, &[place.row]);
        self.leave(section, &[place.row], &mut touched);
        let sections = &self.sections;
        self.index
            .remove(id, place, |at| sections[at.section as usize].table.ids()[at.row as usize]);
        let Section { table, coefficients, .. } = &mut self.sections[section];
        let table = Arc::make_mut(table);
        table.swap_remove(row);
        if let Some(column) = coefficients {
            column.swap_remove(row);
        }
        if row < table.len() {
            let from = Place { section: place.section, row: table.len() as u32 };
            self.index.relocate(table.ids()[row], from, place);
            self.pools.relocate(&table.columns(), row, from, place);
            self.sections[section].displaced += 1;
        }
        self.rebound(&touched);
    }

    /// Sets marks: (market, rate) pairs. A market keeps its kind.
    ///
    /// # Errors
    /// There is no such market, a rate is out of range or of the other kind; no mark is then set.
    pub fn set_rates(&mut self, rates: &[(u32, Rate)]) -> Result<()> {
        for (market, rate) in rates {
            rate.check()?;
            self.section(*market as usize, 1)?;
            if self.setup.rates[*market as usize].is_inverse != rate.is_inverse {
                let (name, expected) = ("is_inverse", "the market's own kind");
                return Err(Error::Argument { name, expected, got: i64::from(rate.is_inverse) });
            }
        }
        let mut is_far = false;
        for (market, rate) in rates {
            let market = *market as usize;
            let moved = value(*rate) / value(self.reference[market]) - 1.0;
            is_far |= moved.abs() > SHARE * (1.0 - 1e-9);
            self.setup.rates[market] = *rate;
        }
        if is_far && self.pools.is_derived() {
            self.refer();
        }
        self.version += 1;
        Ok(())
    }

    /// Overwrites accounts: a wallet, an equity that is said, a maintenance margin.
    ///
    /// # Errors
    /// A row does not exist, a value is out of range, or a column is not the book's.
    pub fn update_accounts(&mut self, rows: &[u32], values: &Accounts<'_>) -> Result<()> {
        self.pools.update(rows, values)?;
        if self.pools.is_derived() {
            self.rebound(&rows.iter().copied().collect());
        } else {
            // Which rows point to an account is known for derived equities only.
            for section in &mut self.sections {
                section.band = RwLock::default();
            }
        }
        self.version += 1;
        Ok(())
    }

    fn leave(&mut self, section: usize, rows: &[u32], touched: &mut BTreeSet<u32>) {
        self.note_accounts(section, rows, touched);
        let (table, rate) = (&self.sections[section].table, self.reference[section / 2]);
        for &row in rows {
            let place = Place { section: section as u32, row };
            self.pools.leave(&table.columns(), row as usize, place, rate);
        }
    }

    fn join(&mut self, section: usize, rows: &[u32], touched: &mut BTreeSet<u32>) {
        self.note_accounts(section, rows, touched);
        let (table, rate) = (&self.sections[section].table, self.reference[section / 2]);
        for &row in rows {
            let place = Place { section: section as u32, row };
            self.pools.join(&table.columns(), row as usize, place, rate);
        }
    }

    /// Notes whose derived equity changes.
    fn note_accounts(&self, section: usize, rows: &[u32], touched: &mut BTreeSet<u32>) {
        if let Some(account) = self.sections[section].table.columns().account
            && self.pools.is_derived()
        {
            let theirs = rows.iter().map(|&row| account[row as usize]);
            touched.extend(theirs.filter(|&account| account != OWN_MARGIN));
        }
    }

    /// Bounds every row of some accounts anew.
    fn rebound(&mut self, accounts: &BTreeSet<u32>) {
        for &account in accounts {
            for leg in self.pools.legs(account).to_vec() {
                self.forget(leg.section as usize, &[leg.row]);
                self.admit(leg.section as usize, &[leg.row]);
            }
        }
    }

    /// Tells a band, if there is one, and drops it where it says so.
    fn tell(&mut self, section: usize, word: impl FnOnce(&Self, &mut Band) -> bool) {
        let slot = self.sections[section].band.get_mut();
        let Some(mut kept) = slot.ok().and_then(Option::take) else {
            return;
        };
        let is_kept = Arc::get_mut(&mut kept).is_some_and(|band| word(self, band));
        if is_kept && let Ok(slot) = self.sections[section].band.get_mut() {
            *slot = Some(kept);
        }
    }

    fn forget(&mut self, section: usize, rows: &[u32]) {
        self.tell(section, |book, band| {
            let ids = book.sections[section].table.ids();
            rows.iter().all(|&row| band.forget(ids[row as usize]))
        });
    }

    fn admit(&mut self, section: usize, rows: &[u32]) {
        self.tell(section, |book, band| {
            let bound = book.bound(section, band.ends);
            rows.iter().all(|&row| band.admit(&bound, row as usize))
        });
    }

    /// Bounds of a section's scores over a band of values of a lot.
    pub(super) fn bound(&self, section: usize, band: (f64, f64)) -> Bound<'_> {
        Bound {
            columns: self.sections[section].table.columns(),
            accounts: self.accounts(&[]),
            spread: self.pools.spread(SHARE),
            rule: self.rule(section),
            band,
            is_inverse: self.rate(section).is_inverse,
        }
    }
}

/// The section that a row of a batch belongs to.
fn target(columns: &Columns<'_>, market: Option<&[u32]>, row: usize) -> u32 {
    2 * market.map_or(0, |codes| codes[row]) + u32::from(columns.lots[row] < 0)
}
