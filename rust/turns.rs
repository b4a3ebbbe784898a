//! One side of one market, asked again and again: each turn takes the head of what the ones before
//! have left.
//!
//! A row that is closed whole is gone. Of one that is closed in part, values are split by lots, and
//! what is left is rounded down.

use crate::book::table::Table;
use crate::columns::{Columns, Rate};
use crate::error::{Error, Result};
use crate::score::Scorer;
use crate::select::{Request, Selection, select_in_order};

/// What is asked of the side, and at which mark.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// What a lot is worth.
    pub rate: Rate,
    /// Lots to offset, more than zero.
    pub lots: i64,
}

/// How a side is asked.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Side of the candidates: +1 long, -1 short.
    pub side: i8,
    /// Rows that are never candidates, in increasing order.
    pub excluded: &'a [i64],
    /// Nothing is closed where not all can be.
    pub wants_all: bool,
}

/// What one turn closed.
#[derive(Debug, Default, PartialEq)]
pub struct Closed {
    /// Rows of the whole side, in queue order.
    pub rows: Vec<i64>,
    /// Lots closed of each.
    pub lots: Vec<i64>,
    /// Lots that each held before, positive.
    pub held: Vec<i64>,
    /// Entry value of each before.
    pub entry_value: Vec<i64>,
    /// Lots that nobody offset.
    pub unfilled: i64,
}

/// Closes every turn on what the ones before have left; the rate of the scorer is not read.
///
/// # Errors
/// As [`select_in_order`], or rows have no ids.
pub fn in_turn(scorer: &Scorer<'_>, terms: &Terms<'_>, turns: &[Turn]) -> Result<Vec<Closed>> {
    if scorer.columns.position_id.is_none() {
        return Err(Error::Missing { column: "position_id" });
    }
    scorer.columns.check(&scorer.accounts, scorer.rule)?;
    let mut left = Left::new(&scorer.columns, terms.excluded);
    turns.iter().map(|turn| left.close(scorer, terms, turn)).collect()
}

/// Rows that are gone are passed over until they are one in so many.
const PASSED_OVER: usize = 64;

/// What is left of a side.
struct Left {
    table: Table,
    /// Row of the whole side behind each.
    rows: Vec<u32>,
    /// Rows that are gone, rising.
    gone: Vec<i64>,
}

impl Left {
    fn new(columns: &Columns<'_>, excluded: &[i64]) -> Self {
        let rows = (0..columns.len() as u32).collect();
        let mut left = Self { table: Table::copied(columns), rows, gone: excluded.to_vec() };
        left.take_out(0);
        left
    }

    /// Takes one head and cuts it out.
    fn close(&mut self, scorer: &Scorer<'_>, terms: &Terms<'_>, turn: &Turn) -> Result<Closed> {
        let columns = self.table.columns();
        let nobody = Selection { unfilled: turn.lots, ..Selection::default() };
        let mut found = if columns.is_empty() {
            nobody.clone()
        } else {
            let request = Request { side: terms.side, lots: turn.lots, excluded: &self.gone };
            select_in_order(&Scorer { columns, rate: turn.rate, ..*scorer }, &request)?
        };
        if terms.wants_all && found.unfilled > 0 {
            found = nobody;
        }
        let read = |column: &[i64]| -> Vec<i64> {
            found.rows.iter().map(|&row| column[row as usize].abs()).collect()
        };
        let closed = Closed {
            held: read(columns.lots),
            entry_value: read(columns.entry_value),
            rows: found.rows.iter().map(|&row| i64::from(self.rows[row as usize])).collect(),
            lots: found.lots,
            unfilled: found.unfilled,
        };
        self.cut(&found.rows, &closed);
        Ok(closed)
    }

    fn cut(&mut self, rows: &[i64], closed: &Closed) {
        for ((&row, &lots), &held) in rows.iter().zip(&closed.lots).zip(&closed.held) {
            if lots == held {
                self.gone.push(row);
            } else {
                self.table.shrink(row as usize, held - lots, held);
            }
        }
        self.gone.sort_unstable();
        self.take_out(self.rows.len() / PASSED_OVER);
    }

    /// Takes the rows that are gone out where they are more than this.
    fn take_out(&mut self, most: usize) {
        if self.gone.len() > most {
            let kept = without(self.rows.len(), &self.gone);
            self.table.arrange(&kept);
            self.rows = kept.iter().map(|&row| self.rows[row as usize]).collect();
            self.gone.clear();
        }
    }
}

/// The rows of so many that are not named; the names rise.
fn without(rows: usize, named: &[i64]) -> Vec<u32> {
    let mut named = named.iter().peekable();
    let is_kept = |row: &u32| {
        while named.next_if(|&&one| one < i64::from(*row)).is_some() {}
        named.peek().is_none_or(|&&one| one != i64::from(*row))
    };
    (0..rows as u32).filter(is_kept).collect()
}
