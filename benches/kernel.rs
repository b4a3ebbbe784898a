//! Kernel verbs on a log-normal book of one market, beside the floor: `cargo bench`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deleverage_core::columns::{Accounts, Columns, Rate};
use deleverage_core::floor::{Reads, floor};
use deleverage_core::lights::{Weight, lights};
use deleverage_core::rank::{Venue, rank};
use deleverage_core::rule::{Basis, Factor, Loss, NoEquity, Rule, Tie};
use deleverage_core::select::{Request, select};
use deleverage_core::simd::Level;

const MARK: i64 = 6_125_000;

struct Book {
    lots: Vec<i64>,
    entry_value: Vec<i64>,
    margin: Vec<i64>,
    position_id: Vec<u64>,
}

/// A multiplicative generator is enough: the book only has to be the same each time.
fn book(rows: usize) -> Book {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut made = Book {
        lots: Vec::new(),
        entry_value: Vec::new(),
        margin: Vec::new(),
        position_id: Vec::new(),
    };
    for row in 0..rows {
        let size = 1 + (1i64 << next(14)) + next(100) as i64;
        let price = MARK - 300_000 + next(600_000) as i64;
        let leverage = [2, 3, 5, 10, 20][next(5) as usize];
        made.lots.push(if next(2) == 0 { size } else { -size });
        made.entry_value.push(size * price);
        made.margin.push(size * price / leverage);
        made.position_id.push(row as u64);
    }
    made
}

fn verbs(criterion: &mut Criterion) {
    let rule = Rule {
        basis: Basis::EntryValue,
        factor: Factor::BankruptcyDistance,
        loss: Loss::Divide,
        no_equity: NoEquity::LeaveOut,
        is_joint: false,
        wallet_floor: 1,
        ties: vec![Tie::Size],
    };
    let rates = [Rate { mark_num: MARK, mark_den: 1, is_inverse: false }];
    for rows in [1_000usize, 100_000, 1_000_000] {
        let book = book(rows);
        let columns = Columns {
            lots: &book.lots,
            entry_value: &book.entry_value,
            margin: Some(&book.margin),
            position_id: Some(&book.position_id),
            ..Columns::default()
        };
        let accounts = Accounts::default();
        let level = Level::detect();
        let venue = Venue { columns, accounts, market: None, rates: &rates, rule: &rule, level };
        let lots = book.lots.iter().filter(|&&lots| lots < 0).map(|lots| -lots).sum::<i64>() / 1000;
        let request = Request { side: -1, lots: lots.max(1), excluded: &[] };
        let mut group = criterion.benchmark_group(format!("{rows} rows"));
        group.throughput(Throughput::Elements(rows as u64));
        let read: [&[i64]; 3] = [&book.lots, &book.entry_value, &book.margin];
        let reads = Reads { columns: &read, gather: None };
        group.bench_function("floor", |b| b.iter(|| black_box(floor(reads, 1))));
        group.bench_function("select 0.1 %", |b| {
            b.iter(|| black_box(select(&venue.scorer(0), &request)));
        });
        group.bench_function("lights", |b| {
            b.iter(|| black_box(lights(&venue, 5, Weight::Quantity)));
        });
        group.bench_function("rank", |b| b.iter(|| black_box(rank(&venue))));
        group.finish();
    }
}

criterion_group!(benches, verbs);
criterion_main!(benches);
