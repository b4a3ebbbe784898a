//! Where one band of lights ends and the next begins, on one side of one market.
//!
//! The edge of band j is the first entry whose cumulative weight passes j/n of the whole: an entry
//! stands behind as many edges as it does not precede. After a small move of the mark each edge is
//! near where it was: one pass sums what lies before a window around its last score, and only the
//! rows within are ordered. Where an edge has left its window, the queue is sorted.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::error::Result;
use crate::groups::Groups;
use crate::lane::{LANE, Lane, Span, nice_error, with_lane};
use crate::lights::{Weight, light};
use crate::load::Values;
use crate::queue::Candidate;
use crate::rank::{Venue, queues};
use crate::score::Scorer;
use crate::select::CHUNK;
use crate::simd::{Task, dispatch};

/// What lights share out, and in how many bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Number of bands, 1 to 100.
    pub bands: u8,
    /// What they share out.
    pub weight: Weight,
}

/// Sides with fewer rows are sorted.
const FEW: usize = 512;
/// How many of its last moves around its last score an edge is looked for, first and then.
const MOVES: [f64; 2] = [3.0, 24.0];

/// The first entry of each band but the first, where there is one.
#[derive(Debug, Clone)]
pub struct Edges {
    /// The book's version that they hold for.
    pub version: u64,
    /// Their scale.
    pub scale: Scale,
    /// Best first; several bands may begin with one entry.
    pub firsts: Vec<Option<Candidate>>,
    /// How far each score has moved since the edges before.
    moves: Vec<f64>,
}

/// Where an edge is looked for, what lies before, and what is there.
#[derive(Debug, Clone)]
struct Window {
    high: f64,
    low: f64,
    before: i128,
    within: Vec<Candidate>,
}

/// What a pass found: the weight of the whole queue, and each window.
type Tally = (i128, Vec<Window>);

impl Edges {
    /// Finds the edges of a section's queue.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn new(venue: &Venue<'_>, scale: Scale, version: u64, old: Option<&Self>) -> Result<Self> {
        let near = old
            .filter(|old| old.scale == scale)
            .and_then(|old| MOVES.iter().find_map(|moves| old.near(venue, *moves)));
        let mut found = match near {
            Some(firsts) => Self { version, scale, firsts, moves: Vec::new() },
            None => Self::sorted(venue, scale, version)?,
        };
        let was = |place: usize| old.and_then(|old| old.firsts.get(place).copied().flatten());
        let pairs = found.firsts.iter().enumerate().map(|(place, first)| (*first, was(place)));
        found.moves = pairs
            .enumerate()
            .map(|(place, pair)| match pair {
                (Some(first), Some(was)) => {
                    let last = old.map_or(0.0, |old| old.moves[place]);
                    (first.key - was.key).abs().max(0.9 * last)
                }
                _ => 0.0,
            })
            .collect();
        Ok(found)
    }

    fn sorted(venue: &Venue<'_>, scale: Scale, version: u64) -> Result<Self> {
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
        Ok(Self { version, scale, firsts, moves: Vec::new() })
    }

    /// The edges where they are near these; none where one is not, or the scale is not by rows.
    fn near(&self, venue: &Venue<'_>, moves: f64) -> Option<Vec<Option<Candidate>>> {
        let columns = &venue.columns;
        let by_owner = self.scale.weight == Weight::Accounts && columns.owner.is_some();
        let is_small = columns.len() < FEW || self.firsts.len() > MOST;
        if is_small || columns.tier.is_some() || by_owner {
            return None;
        }
        let window = |(first, moved): (&Option<Candidate>, &f64)| {
            let key = first.as_ref()?.key;
            let by = (moves * moved).max(64.0 * nice_error(key));
            Some(Window { high: key + by, low: key - by, before: 0, within: Vec::new() })
        };
        let windows: Option<Vec<Window>> =
            self.firsts.iter().zip(&self.moves).map(window).collect();
        let (scorer, windows) = (venue.scorer(0), windows?);
        let starts: Vec<usize> = (0..columns.len()).step_by(CHUNK).collect();
        let parts = starts.par_iter().map(|&start| {
            let end = columns.len().min(start + CHUNK);
            with_lane(|lane| self.tally(&scorer, start..end, &windows, lane))
        });
        let empty = || (0, windows.clone());
        let (whole, mut windows) = parts.reduce(empty, add);
        let edge = |(place, window): (usize, &mut Window)| {
            let need =
                (place as i128 + 1) * whole / i128::from(self.scale.bands) + 1 - window.before;
            let weight = |c: &Candidate| self.weigh(scorer.size(c));
            let within: i128 = window.within.iter().map(weight).sum();
            if need <= 0 || need > within {
                return None;
            }
            let (cut, _) = scorer.find_cut(&mut window.within, need, weight);
            let first = window.within[cut];
            // Who might change places with it in doubt has to have been among those within.
            let doubt = 8.0 * nice_error(first.key);
            let is_inside = first.key + doubt < window.high && first.key - doubt > window.low;
            is_inside.then_some(Some(first))
        };
        windows.iter_mut().enumerate().map(edge).collect()
    }

    fn weigh(&self, lots: i128) -> i128 {
        if self.scale.weight == Weight::Quantity { lots } else { 1 }
    }

    fn tally(
        &self,
        scorer: &Scorer<'_>,
        rows: std::ops::Range<usize>,
        windows: &[Window],
        lane: &mut Lane,
    ) -> Tally {
        let (mut whole, mut found) = (0i128, windows.to_vec());
        let by_lots = self.scale.weight == Weight::Quantity;
        let bounds: Vec<(f64, f64)> = windows.iter().map(|w| (w.high, w.low)).collect();
        let end = rows.end;
        for at in rows.step_by(LANE) {
            let span = Span::Run(at, LANE.min(end - at));
            scorer.evaluate(span, lane);
            for place in 0..span.len() {
                if lane.is_nice[place] == 0 {
                    let key = scorer.key(lane, place, at + place);
                    lane.key[place] = key.unwrap_or(f64::NEG_INFINITY);
                }
            }
            let mut sizes = [1i64; LANE];
            if by_lots {
                sizes[..span.len()].copy_from_slice(&scorer.columns.lots[at..at + span.len()]);
            }
            lane.key[span.len()..].fill(f64::NEG_INFINITY);
            let keys = &lane.key;
            let sums = dispatch(scorer.level, Sums { keys, sizes: &sizes, bounds: &bounds });
            whole += i128::from(sums.whole);
            for (place, window) in found.iter_mut().enumerate() {
                window.before += i128::from(sums.before[place]);
                if sums.is_within >> place & 1 == 1 {
                    window.collect(scorer, at, span.len(), lane);
                }
            }
        }
        (whole, found)
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

/// Adds what two parts found.
fn add((whole, mut windows): Tally, (more, others): Tally) -> Tally {
    for (window, mut other) in windows.iter_mut().zip(others) {
        window.before += other.before;
        window.within.append(&mut other.within);
    }
    (whole + more, windows)
}

impl Window {
    fn collect(&mut self, scorer: &Scorer<'_>, at: usize, count: usize, lane: &Lane) {
        for place in 0..count {
            if lane.key[place] > self.high || lane.key[place] < self.low {
                continue;
            }
            if let Some(key) = scorer.key(lane, place, at + place) {
                self.within.push(Candidate::new(key, at + place, scorer.columns.lots[at + place]));
            }
        }
    }
}

/// Most edges that are looked for in one pass.
const MOST: usize = 32;

/// Weights of a lane: of all keys, and of those above each window; 2^57 at most.
struct Weights {
    whole: u64,
    before: [u64; MOST],
    /// A bit for each window that holds a key.
    is_within: u32,
}

struct Sums<'a> {
    keys: &'a Values,
    sizes: &'a [i64; LANE],
    bounds: &'a [(f64, f64)],
}

impl Task for Sums<'_> {
    type Output = Weights;

    #[inline(always)]
    fn run(self) -> Weights {
        let mut found = Weights { whole: 0, before: [0; MOST], is_within: 0 };
        for i in 0..LANE {
            let size = self.sizes[i].unsigned_abs();
            found.whole += if self.keys[i] >= f64::MIN { size } else { 0 };
        }
        for (place, &(high, low)) in self.bounds.iter().enumerate().take(MOST) {
            let (mut before, mut any) = (0, 0);
            for i in 0..LANE {
                let (key, size) = (self.keys[i], self.sizes[i].unsigned_abs());
                before += if key > high { size } else { 0 };
                any |= u64::from(key <= high) & u64::from(key >= low);
            }
            found.before[place] = before;
            found.is_within |= (any as u32) << place;
        }
        found
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
