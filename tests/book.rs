//! A kept book in Rust: many read while one writes, and every answer is that of one moment.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use deleverage_core::book::edges::Scale;
use deleverage_core::book::{Book, Order, Setup};
use deleverage_core::columns::{Accounts, Columns, Rate};
use deleverage_core::lights::Weight;
use deleverage_core::rule::{Basis, Factor, Loss, NoEquity, Rule, Tie};
use deleverage_core::simd::Level;

const ROWS: usize = 4_000;
const MARKS: [i64; 5] = [1_000, 1_001, 997, 1_400, 999];
const SCALE: Scale = Scale { bands: 5, weight: Weight::Quantity };
const LOTS: i64 = 300;

/// Columns of a book of one market, drawn by a linear congruence.
struct Drawn {
    lots: Vec<i64>,
    entry_value: Vec<i64>,
    margin: Vec<i64>,
    position_id: Vec<u64>,
}

impl Drawn {
    fn new() -> Self {
        let mut state = 7u64;
        let mut next = |below: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as i64 % below
        };
        let lots: Vec<i64> =
            (0..ROWS).map(|row| (1 + next(9)) * if row % 2 == 0 { 1 } else { -1 }).collect();
        let entry_value: Vec<i64> =
            lots.iter().map(|lots| lots.abs() * (800 + next(400))).collect();
        let margin = entry_value.iter().map(|entry| 1 + entry / (1 + next(20))).collect();
        Self { lots, entry_value, margin, position_id: (0..ROWS as u64).map(|id| 3 * id).collect() }
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

    fn book(&self) -> Book {
        let setup = Setup {
            rates: vec![rate(MARKS[0])],
            rules: vec![Rule {
                basis: Basis::EntryValue,
                factor: Factor::BankruptcyDistance,
                loss: Loss::Divide,
                no_equity: NoEquity::LeaveOut,
                is_joint: false,
                wallet_floor: 1,
                ties: vec![Tie::Size],
            }],
            level: Level::detect(),
            is_derived: false,
        };
        let made = Book::new(&self.columns(), None, &Accounts::default(), setup);
        made.unwrap_or_else(|refusal| panic!("{refusal}"))
    }
}

fn rate(mark: i64) -> Rate {
    Rate { mark_num: mark, mark_den: 1, is_inverse: false }
}

/// What a book says of its long side: who is cut, and how many show each light.
fn told(book: &Book) -> (BTreeMap<u64, i64>, Vec<usize>) {
    let order = Order { market: 0, side: 1, lots: LOTS, excluded: &[], is_ordered: false };
    let cut = book.select(&order).unwrap_or_else(|refusal| panic!("{refusal}"));
    let lights = book.lights(SCALE).unwrap_or_else(|refusal| panic!("{refusal}"));
    let mut counts = vec![0; 6];
    for light in lights {
        counts[usize::from(light)] += 1;
    }
    (cut.ids.into_iter().zip(cut.lots).collect(), counts)
}

#[test]
fn readers_see_one_moment_while_one_writes() {
    let drawn = Drawn::new();
    let wanted = MARKS.map(|mark| {
        let mut alone = drawn.book();
        alone.set_rates(&[(0, rate(mark))]).unwrap_or_else(|refusal| panic!("{refusal}"));
        told(&alone)
    });
    let (book, is_done) = (RwLock::new(drawn.book()), AtomicBool::new(false));
    let answers = AtomicUsize::new(0);
    let read = || {
        while !is_done.load(Ordering::Acquire) {
            let held = book.read().unwrap_or_else(|broken| panic!("{broken}"));
            let place = MARKS.iter().position(|&mark| mark == held.rates()[0].mark_num);
            assert_eq!(Some(told(&held)), place.map(|place| wanted[place].clone()));
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|threads| {
        let readers: Vec<_> = (0..3).map(|_| threads.spawn(read)).collect();
        let mut turn = 0;
        while answers.load(Ordering::Relaxed) < 60 || turn < 60 {
            turn += 1;
            let mut held = book.write().unwrap_or_else(|broken| panic!("{broken}"));
            let change = match turn % 3 {
                0 => held.upsert(&drawn.columns(), None),
                1 => held
                    .remove(&drawn.position_id[..50])
                    .and_then(|()| held.upsert(&drawn.columns(), None)),
                _ => held.set_rates(&[(0, rate(MARKS[turn % MARKS.len()]))]),
            };
            change.unwrap_or_else(|refusal| panic!("{refusal}"));
            drop(held);
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        is_done.store(true, Ordering::Release);
    });
    assert!(answers.into_inner() >= 60, "every reader went on to the end");
}

#[test]
fn readers_at_once_get_one_answer() {
    let drawn = Drawn::new();
    let book = drawn.book();
    let alone = told(&drawn.book());
    std::thread::scope(|threads| {
        let readers: Vec<_> = (0..4).map(|_| threads.spawn(|| told(&book))).collect();
        for reader in readers {
            assert_eq!(reader.join().ok(), Some(alone.clone()));
        }
    });
}

#[test]
fn a_snapshot_outlives_what_is_written_after_it() {
    let drawn = Drawn::new();
    let mut book = drawn.book();
    let before = book.tables();
    let ids = before[0].ids().to_vec();
    book.remove(&ids[..100]).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(before[0].ids(), ids);
    assert_eq!(book.tables()[0].len(), ids.len() - 100);
}
