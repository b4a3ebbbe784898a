//! The kernel's public face in Rust: worked examples and properties that need no Python.

use deleverage_core::columns::{Accounts, Columns, Rate};
use deleverage_core::error::Error;
use deleverage_core::lights::{Weight, light, lights};
use deleverage_core::order::order;
use deleverage_core::rank::{Venue, rank};
use deleverage_core::rule::{Basis, Factor, Loss, NoEquity, Rule, Tie};
use deleverage_core::score::Scorer;
use deleverage_core::select::{Request, Selection, select};
use deleverage_core::simd::Level;
use proptest::prelude::*;

fn rule(basis: Basis, factor: Factor, loss: Loss) -> Rule {
    let (no_equity, ties) = (NoEquity::LeaveOut, vec![Tie::Size]);
    Rule { basis, factor, loss, no_equity, is_joint: false, wallet_floor: 1, ties }
}

fn bitmex() -> Rule {
    rule(Basis::EntryValue, Factor::BankruptcyDistance, Loss::Divide)
}

fn strike() -> Rule {
    rule(Basis::Equity, Factor::None, Loss::Exclude)
}

const RATE: Rate = Rate { mark_num: 100, mark_den: 1, is_inverse: false };

fn scorer<'a>(columns: Columns<'a>, rule: &'a Rule, level: Level) -> Scorer<'a> {
    Scorer { columns, accounts: Accounts::default(), rate: RATE, rule, level }
}

/// A book of one market at a mark of 100: (signed lots, entry price, margin per lot).
struct Book {
    lots: Vec<i64>,
    entry_value: Vec<i64>,
    margin: Vec<i64>,
    position_id: Vec<u64>,
}

impl Book {
    fn new(rows: &[(i64, i64, i64)]) -> Self {
        Self {
            lots: rows.iter().map(|row| row.0).collect(),
            entry_value: rows.iter().map(|row| row.0.abs() * row.1).collect(),
            margin: rows.iter().map(|row| row.0.abs() * row.2).collect(),
            position_id: (0..rows.len() as u64).collect(),
        }
    }

    fn columns(&self) -> Columns<'_> {
        Columns {
            lots: &self.lots,
            entry_value: &self.entry_value,
            margin: Some(&self.margin),
            position_id: Some(&self.position_id),
            ..Columns::default()
        }
    }
}

fn head(book: &Book, rule: &Rule, lots: i64, level: Level) -> Selection {
    let request = Request { side: 1, lots, excluded: &[] };
    let found = select(&scorer(book.columns(), rule, level), &request);
    found.unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[test]
fn the_last_row_is_partial_and_lot_exact() {
    let book = Book::new(&[(10, 50, 5), (20, 80, 5), (30, 90, 5), (-60, 90, 5)]);
    let found = head(&book, &strike(), 25, Level::detect());
    assert_eq!(found.rows, [0, 1]);
    assert_eq!(found.lots, [10, 15]);
    assert_eq!((found.partial, found.unfilled), (Some(1), 0));
}

#[test]
fn more_than_the_side_leaves_a_rest() {
    let book = Book::new(&[(10, 50, 5), (20, 120, 50), (-60, 90, 5)]);
    let found = head(&book, &strike(), 100, Level::detect());
    assert_eq!((found.rows, found.unfilled), (vec![0], 90));
}

#[test]
fn a_missing_column_is_named() {
    let book = Book::new(&[(10, 50, 5)]);
    let columns = Columns { margin: None, ..book.columns() };
    let (rule, request) = (bitmex(), Request { side: 1, lots: 1, excluded: &[] });
    let refused = select(&scorer(columns, &rule, Level::detect()), &request);
    assert_eq!(refused, Err(Error::Missing { column: "margin" }));
}

#[test]
fn a_value_out_of_range_is_named() {
    let mut book = Book::new(&[(10, 50, 5), (10, 60, 5)]);
    book.entry_value[1] = 1 << 51;
    let (rule, request) = (bitmex(), Request { side: 1, lots: 1, excluded: &[] });
    let refused = select(&scorer(book.columns(), &rule, Level::detect()), &request);
    let Err(Error::Value { column, row, .. }) = refused else { panic!("expected a refusal") };
    assert_eq!((column, row), ("entry_value", 1));
}

#[test]
fn bands_end_where_the_share_is_reached() {
    let ends = [10, 30, 60, 70, 80, 100];
    let shown: Vec<u8> = ends.iter().map(|&end| light(end, 100, 5)).collect();
    assert_eq!(shown, [5, 4, 3, 2, 2, 1]);
}

fn rows() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    let row = (1i64..40, any::<bool>(), 60i64..140, 1i64..30);
    let signed = row.prop_map(|(lots, is_long, entry, margin)| {
        (if is_long { lots } else { -lots }, entry, margin)
    });
    prop::collection::vec(signed, 1..400)
}

proptest! {
    #[test]
    fn every_level_and_rule_takes_the_ranked_prefix(rows in rows(), lots in 1i64..2000) {
        let book = Book::new(&rows);
        for rule in [bitmex(), strike()] {
            let rates = [RATE];
            let venue = Venue {
                columns: book.columns(), accounts: Accounts::default(), market: None,
                rates: &rates, rule: &rule, level: Level::detect(),
            };
            let ranks = rank(&venue).unwrap();
            for level in Level::available() {
                let found = head(&book, &rule, lots, level);
                let closed: i64 = found.lots.iter().sum();
                prop_assert_eq!(closed + found.unfilled, lots);
                let ordered = order(&scorer(book.columns(), &rule, level), &found.rows).unwrap();
                let places: Vec<i64> = ordered.iter().map(|&row| ranks[row as usize]).collect();
                let prefix: Vec<i64> = (1..=found.rows.len() as i64).collect();
                prop_assert_eq!(places, prefix);
            }
        }
    }

    #[test]
    fn lights_fall_with_the_rank(rows in rows(), bands in 1u8..10) {
        let book = Book::new(&rows);
        let (rule, rates) = (bitmex(), [RATE]);
        let venue = Venue {
            columns: book.columns(), accounts: Accounts::default(), market: None,
            rates: &rates, rule: &rule, level: Level::detect(),
        };
        let ranks = rank(&venue).unwrap();
        let shown = lights(&venue, bands, Weight::Quantity).unwrap();
        for side in [true, false] {
            let mut queue: Vec<(i64, u8)> = (0..rows.len())
                .filter(|&row| (rows[row].0 > 0) == side && ranks[row] > 0)
                .map(|row| (ranks[row], shown[row]))
                .collect();
            queue.sort_unstable();
            prop_assert!(queue.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            prop_assert!(queue.last().is_none_or(|last| last.1 == 1));
        }
    }
}
