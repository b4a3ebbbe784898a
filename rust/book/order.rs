//! Order of many rows: spread over as many buckets as there are rows first, by their keys' bits.
//!
//! Bits of floats rise like their logarithm, over which the heads of queues lie rather evenly.
//! Where they do not, buckets are large and sorted as anything is.

use crate::queue::Candidate;
use crate::score::Scorer;

/// Fewer are sorted at once.
const FEW: usize = 512;
/// Rows of a bucket above which inserting each is slower than a sort.
const LARGE: u32 = 16;

/// Brings candidates of several tiers into queue order.
#[must_use]
pub fn sort(scorer: &Scorer<'_>, mut taken: Vec<Candidate>) -> Vec<Candidate> {
    let Some(tier) = scorer.columns.tier else {
        let mut sorted = spread(taken, |c| place(c.key));
        scorer.settle_order(&mut sorted);
        return sorted;
    };
    let of = |c: &Candidate| tier[c.row as usize];
    taken.sort_by_key(of);
    for part in taken.chunk_by_mut(|a, b| of(a) == of(b)) {
        scorer.sort(part);
    }
    taken
}

/// Larger keys have smaller places.
fn place(key: f64) -> u64 {
    let bits = key.to_bits();
    // Bits of floats below zero fall as the float rises.
    if bits >> 63 == 1 { bits } else { !(bits | 1 << 63) }
}

/// Sorts what has places, smallest first; equal places in no order.
#[must_use]
pub fn spread<T: Copy>(mut rows: Vec<T>, place: impl Fn(&T) -> u64) -> Vec<T> {
    let (first, last) = rows
        .iter()
        .map(&place)
        .fold((u64::MAX, 0), |(first, last), place| (first.min(place), last.max(place)));
    if rows.len() < FEW || first == last {
        rows.sort_unstable_by_key(place);
        return rows;
    }
    // As many buckets as a shift of the range leaves, up to two a row.
    let most = 2 * rows.len() as u64;
    let shift = (u64::BITS - (last - first).leading_zeros()).saturating_sub(most.ilog2());
    let bucket = |row: &T| ((place(row) - first) >> shift) as usize;
    let mut starts = vec![0u32; ((last - first) >> shift) as usize + 3];
    for row in &rows {
        starts[bucket(row) + 2] += 1;
    }
    let mut largest = 0;
    for at in 1..starts.len() {
        largest = largest.max(starts[at]);
        starts[at] += starts[at - 1];
    }
    // Each start moves to the end of its bucket, which is the start of the next.
    let mut sorted = rows.clone();
    for row in &rows {
        let at = &mut starts[bucket(row) + 1];
        sorted[*at as usize] = *row;
        *at += 1;
    }
    let is_large = |pair: &&[u32]| pair[1] - pair[0] > LARGE;
    let large = starts.windows(2).filter(|_| largest > LARGE).filter(is_large);
    large.for_each(|pair| {
        sorted[pair[0] as usize..pair[1] as usize].sort_unstable_by_key(&place);
    });
    insert(&mut sorted, place);
    sorted
}

/// Sorts what is nearly sorted.
fn insert<T: Copy>(rows: &mut [T], place: impl Fn(&T) -> u64) {
    for at in 1..rows.len() {
        let (row, mut to) = (rows[at], at);
        while to > 0 && place(&rows[to - 1]) > place(&row) {
            rows[to] = rows[to - 1];
            to -= 1;
        }
        rows[to] = row;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the keys are, they come out as a plain sort leaves them.
        #[test]
        fn a_spread_is_a_sort(
            keys in prop::collection::vec(
                prop_oneof![any::<f64>(), -1.0..1.0, Just(0.0), Just(7.0)], 0..1500,
            ),
        ) {
            let keys: Vec<f64> = keys.into_iter().filter(|key| !key.is_nan()).collect();
            let all = keys.iter().enumerate().map(|(row, &key)| Candidate::new(key, row, 1));
            let found = spread(all.collect(), |c| place(c.key));
            let found: Vec<u64> = found.iter().map(|c| c.key.to_bits()).collect();
            let mut wanted = keys;
            wanted.sort_unstable_by(|a, b| b.total_cmp(a));
            let wanted: Vec<u64> = wanted.into_iter().map(f64::to_bits).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
