//! A large sort by key: chunks are spread over buckets of about equal size, each bucket over cells
//! of equal width, so that what is left to do lies within a cell and in a core's own cache.
//!
//! Only keys are looked at: who is in doubt against a neighbour is settled afterwards.

use rayon::prelude::*;

use crate::queue::{Candidate, by_key};

/// Steps from all keys to a bucket.
const STEPS: u32 = 9;
/// Buckets of a large sort.
const BUCKETS: usize = 1 << STEPS;
/// Keys of a sample that is worth splitting by.
pub const SAMPLES: usize = 32 * BUCKETS;
/// Most cells of a bucket.
const CELLS: usize = 1 << 13;
/// Candidates of a cell that are brought into order by moving each past its neighbours.
const FEW: u32 = 24;

/// Keys between buckets, as a tree: the children of a node stand at twice its place and behind it.
#[derive(Debug)]
pub struct Splitters(Vec<f64>);

/// Candidates of a chunk, bucket by bucket.
#[derive(Debug)]
pub struct Piece {
    candidates: Vec<Candidate>,
    starts: Vec<u32>,
}

impl Splitters {
    /// Splitters of a sample of keys.
    #[must_use]
    pub fn new(mut sample: Vec<f64>) -> Self {
        sample.sort_unstable_by(|a, b| b.total_cmp(a));
        let mut tree = vec![0.0; BUCKETS];
        for step in 0..STEPS {
            let width = BUCKETS >> step;
            for (turn, node) in tree[1 << step..2 << step].iter_mut().enumerate() {
                let place = (turn * width + width / 2) * sample.len() / BUCKETS;
                *node = sample.get(place).copied().unwrap_or(0.0);
            }
        }
        Self(tree)
    }

    /// Spreads the candidates of a chunk.
    #[must_use]
    pub fn spread(&self, candidates: &[Candidate]) -> Piece {
        let mut starts = vec![0u32; BUCKETS + 1];
        let mut buckets = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let bucket = self.bucket(candidate.key);
            starts[bucket + 1] += 1;
            buckets.push(bucket as u16);
        }
        let mut spread = candidates.to_vec();
        scatter(candidates, buckets.iter().map(|&bucket| bucket.into()), &mut starts, &mut spread);
        Piece { candidates: spread, starts }
    }

    /// How many splitters are larger than a key.
    #[inline]
    fn bucket(&self, key: f64) -> usize {
        let mut node = 1;
        for _ in 0..STEPS {
            node = 2 * node + usize::from(self.0[node % BUCKETS] > key);
        }
        node - BUCKETS
    }
}

impl Piece {
    /// Number of candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    fn bucket(&self, bucket: usize) -> &[Candidate] {
        &self.candidates[self.starts[bucket] as usize..self.starts[bucket + 1] as usize]
    }
}

/// All candidates of some pieces that were spread by the same splitters, larger keys first.
#[must_use]
pub fn join(pieces: &[Piece]) -> Vec<Candidate> {
    let count: usize = pieces.iter().map(Piece::len).sum();
    let nobody = Candidate::new(0.0, 0, 0);
    let mut all: Vec<Candidate> = (0..count).into_par_iter().map(|_| nobody).collect();
    let (mut rest, mut work) = (&mut all[..], Vec::with_capacity(BUCKETS));
    for bucket in 0..BUCKETS {
        let count = pieces.iter().map(|piece| piece.bucket(bucket).len()).sum();
        let (mine, after) = rest.split_at_mut(count);
        work.push((bucket, mine));
        rest = after;
    }
    work.into_par_iter().for_each(|(bucket, mine)| {
        let mut found = Vec::with_capacity(mine.len());
        for piece in pieces {
            found.extend_from_slice(piece.bucket(bucket));
        }
        sort(&found, mine);
    });
    all
}

/// Sorts a bucket into a place of its size.
fn sort(found: &[Candidate], sorted: &mut [Candidate]) {
    let high = found.iter().fold(f64::NEG_INFINITY, |high, c| high.max(c.key));
    let low = found.iter().fold(f64::INFINITY, |low, c| low.min(c.key));
    let cells = found.len().min(CELLS);
    // Whatever rounding does, a smaller key never comes into an earlier cell.
    let scale = cells as f64 / (high - low);
    let cell = |c: &Candidate| (((high - c.key) * scale) as usize).min(cells - 1);
    let mut starts = vec![0u32; cells + 1];
    for candidate in found {
        starts[cell(candidate) + 1] += 1;
    }
    let most = starts.iter().copied().max().unwrap_or(0);
    scatter(found, found.iter().map(cell), &mut starts, sorted);
    if most <= FEW {
        insert(sorted);
        return;
    }
    for ends in starts.windows(2) {
        sorted[ends[0] as usize..ends[1] as usize].sort_unstable_by(by_key);
    }
}

/// Puts each candidate where its group has room; `starts` counts each group behind its own place,
/// and tells afterwards where each begins.
fn scatter(
    found: &[Candidate],
    groups: impl Iterator<Item = usize>,
    starts: &mut [u32],
    spread: &mut [Candidate],
) {
    let mut sum = 0;
    for start in &mut *starts {
        sum += *start;
        *start = sum;
    }
    let mut next = starts.to_vec();
    for (candidate, group) in found.iter().zip(groups) {
        spread[next[group] as usize] = *candidate;
        next[group] += 1;
    }
}

/// Sorts what is nearly in order.
fn insert(sorted: &mut [Candidate]) {
    for end in 1..sorted.len() {
        let candidate = sorted[end];
        let mut place = end;
        while place > 0 && sorted[place - 1].key < candidate.key {
            sorted[place] = sorted[place - 1];
            place -= 1;
        }
        sorted[place] = candidate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spreads chunks by a sample of the keys and joins them.
    fn sorted(keys: &[f64], sampled: usize) -> Vec<f64> {
        let candidates: Vec<Candidate> =
            keys.iter().enumerate().map(|(row, &key)| Candidate::new(key, row, 1)).collect();
        let splitters = Splitters::new(keys.iter().copied().take(sampled).collect());
        let pieces: Vec<Piece> =
            candidates.chunks(700).map(|part| splitters.spread(part)).collect();
        let joined = join(&pieces);
        let mut rows: Vec<u32> = joined.iter().map(|c| c.row).collect();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..keys.len() as u32));
        joined.iter().map(|c| c.key).collect()
    }

    proptest! {
        #[test]
        fn keys_come_in_order_whatever_the_sample(
            wide in prop::collection::vec(-1e60..1e60f64, 0..3000),
            narrow in prop::collection::vec(0.5..0.500_000_1_f64, 0..3000),
            tied in 0..3000usize,
            sampled in 0..2000usize,
        ) {
            let mut keys = [narrow, vec![0.5; tied], wide].concat();
            let found = sorted(&keys, sampled);
            keys.sort_unstable_by(|a, b| b.total_cmp(a));
            prop_assert_eq!(found, keys);
        }
    }
}
