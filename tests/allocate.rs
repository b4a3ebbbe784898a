//! Allocation by the crate alone: worked examples and properties that need no Python.

use deleverage_core::allocate::{
    Allocation, Candidates, Request, Rounding, SAMPLES, Shared, allocate,
};
use deleverage_core::error::Error;
use deleverage_core::simd::Level;
use proptest::prelude::*;

fn request(amount: u128, shared: Shared, rounding: Rounding) -> Request {
    Request { amount, shared, rounding, sample: SAMPLES, level: Level::detect() }
}

fn run(weight: &[i64], cap: &[i64], request: &Request) -> Allocation {
    let candidates = Candidates { weight, cap: Some(cap), is_within_weight: false, id: None };
    allocate(&candidates, request).unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[test]
fn the_cut_accounts_end_at_one_leverage() {
    let (lots, equity) = ([60, 50, 40, 30], [300, 500, 800, 1500]);
    let found = run(&equity, &lots, &request(80, Shared::Kept, Rounding::Quota));
    assert_eq!(found.taken, [47, 28, 5, 0]);
    assert_eq!(found.outcome.level, Some((7, 160)));
}

#[test]
fn what_cannot_be_given_is_unfilled() {
    let found = run(&[1, 0, 2], &[5, 5, 5], &request(20, Shared::Taken, Rounding::Quota));
    assert_eq!(found.taken, [5, 0, 5]);
    assert_eq!((found.outcome.unfilled, found.outcome.level), (10, None));
}

#[test]
fn a_value_out_of_range_is_named() {
    let ask = request(1, Shared::Taken, Rounding::Quota);
    for (weight, cap, column, row) in
        [([1, -1], [1, 1], "weight", 1), ([1, 1], [1 << 51, 1], "cap", 0)]
    {
        let candidates =
            Candidates { weight: &weight, cap: Some(&cap), is_within_weight: false, id: None };
        let Err(Error::Value { column: named, row: at, .. }) = allocate(&candidates, &ask) else {
            panic!("expected a refusal")
        };
        assert_eq!((named, at), (column, row));
    }
}

#[test]
fn sums_wider_than_a_word_are_exact() {
    let most = (1i64 << 51) - 1;
    let weight = vec![most; 5000];
    let amount = 5000 * most as u128 / 2 + 1;
    for rounding in [Rounding::Quota, Rounding::Smallest] {
        let found = run(&weight, &weight, &request(amount, Shared::Taken, rounding));
        let total: u128 = found.taken.iter().map(|&units| units as u128).sum();
        assert_eq!(total, amount);
        assert!(found.taken.iter().all(|&units| (units - most / 2).abs() <= 1));
    }
}

#[test]
fn one_unit_of_large_sizes_comes_to_an_end() {
    // The level of one step and that of all shares are the same number here but for rounding.
    let weight: Vec<i64> = (0..200).map(|row| (1 << 50) - 977 * row * row * 30_011).collect();
    let cap: Vec<i64> = weight.iter().map(|weight| weight / 3).collect();
    let ask = Request { sample: 2, ..request(1, Shared::Kept, Rounding::Smallest) };
    let found = run(&weight, &cap, &ask);
    assert_eq!(found.taken.iter().sum::<i64>(), 1);
}

fn column() -> impl Strategy<Value = Vec<i64>> {
    let value = prop_oneof![0..20i64, 0..1_000_000i64, 0..1i64 << 51, Just((1i64 << 51) - 1)];
    prop::collection::vec(value, 200)
}

proptest! {
    #[test]
    fn sample_level_and_threads_change_nothing(
        weight in column(), cap in column(), part in 0u128..1000, sample in 1usize..50,
        is_kept in any::<bool>(), is_quota in any::<bool>(),
    ) {
        let shared = if is_kept { Shared::Kept } else { Shared::Taken };
        let rounding = if is_quota { Rounding::Quota } else { Rounding::Smallest };
        let placed = weight.iter().zip(&cap).filter(|(weight, _)| **weight > 0);
        let capacity: u128 = placed.map(|(_, &cap)| cap as u128).sum();
        let ask = request(capacity * part / 1000, shared, rounding);
        let whole = run(&weight, &cap, &ask);
        let total: u128 = whole.taken.iter().map(|&units| units as u128).sum();
        prop_assert_eq!(total + whole.outcome.unfilled, ask.amount);
        prop_assert!(whole.taken.iter().zip(&cap).all(|(taken, cap)| (0..=*cap).contains(taken)));
        for level in Level::available() {
            let found = run(&weight, &cap, &Request { sample, level, ..ask });
            prop_assert_eq!(&found.taken, &whole.taken);
            prop_assert_eq!(found.outcome.level, whole.outcome.level);
        }
    }
}
