//! Where one band of lights ends and the next begins, on one side of one market.
//!
//! The edge of band j is the first entry whose cumulative weight passes j/n of the whole: an entry
//! stands behind as many edges as it does not precede.

use std::cmp::Ordering;

use crate::error::Result;
use crate::groups::Groups;
use crate::lights::{Weight, light};
use crate::queue::Candidate;
use crate::rank::{Venue, queues};
use crate::score::Scorer;

/// What lights share out, and in how many bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Number of bands, 1 to 100.
    pub bands: u8,
    /// What they share out.
    pub weight: Weight,
}

/// The first entry of each band but the first, where there is one.
#[derive(Debug, Clone)]
pub struct Edges {
    /// The book's version that they hold for.
    pub version: u64,
    /// Their scale.
    pub scale: Scale,
    /// Best first; several bands may begin with one entry.
    pub firsts: Vec<Option<Candidate>>,
}

impl Edges {
    /// Finds the edges of a section's queue.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn new(venue: &Venue<'_>, scale: Scale, version: u64) -> Result<Self> {
        let groups = Groups::new(venue.columns.len(), None, venue.rates)?;
        let mut firsts = vec![None; usize::from(scale.bands) - 1];
        for segment in &groups.segments {
            for queue in queues(venue, &groups, segment)? {
                let weights = weights(venue, scale.weight, &queue);
                let whole: i128 = weights.iter().sum();
                let mut cumulative = 0;
                for (candidate, weight) in queue.iter().zip(weights) {
                    cumulative += weight;
                    let behind = scale.bands - light(cumulative, whole, scale.bands);
                    for first in &mut firsts[..usize::from(behind)] {
                        first.get_or_insert(*candidate);
                    }
                }
            }
        }
        Ok(Self { version, scale, firsts })
    }

    /// The light of an entry.
    #[must_use]
    pub fn light(&self, scorer: &Scorer<'_>, candidate: &Candidate) -> u8 {
        let is_behind = |first: &&Option<Candidate>| {
            first.is_some_and(|first| compare(scorer, candidate, &first) != Ordering::Less)
        };
        self.scale.bands - self.firsts.iter().take_while(is_behind).count() as u8
    }
}

/// Orders two entries of a side: tier, score, ties, id.
#[must_use]
pub fn compare(scorer: &Scorer<'_>, a: &Candidate, b: &Candidate) -> Ordering {
    let tiers = scorer
        .columns
        .tier
        .map_or(Ordering::Equal, |tier| tier[a.row as usize].cmp(&tier[b.row as usize]));
    tiers.then_with(|| scorer.compare(a, b))
}

/// Weight of each entry of a queue in order; an account counts at its first.
fn weights(venue: &Venue<'_>, weight: Weight, queue: &[Candidate]) -> Vec<i128> {
    let columns = &venue.columns;
    match (weight, columns.owner) {
        (Weight::Quantity, _) => {
            let size = |c: &Candidate| columns.lots[c.row as usize].unsigned_abs().into();
            queue.iter().map(size).collect()
        }
        (Weight::Accounts, Some(owner)) => {
            let mut seen = std::collections::HashSet::new();
            let is_first = |c: &Candidate| i128::from(seen.insert(owner[c.row as usize]));
            queue.iter().map(is_first).collect()
        }
        _ => vec![1; queue.len()],
    }
}
