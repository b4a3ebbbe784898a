//! Where one band of lights ends and the next begins, on one side of one market.
//!
//! The edge of band j is the first entry whose cumulative weight passes j/n of the whole: an entry
//! stands behind as many edges as it does not precede. After a small move of the mark each edge is
//! near where it was: one pass over the screening column sums what surely lies before a window
//! around its last score, and only the rows that may lie within are scored. Where an edge has left
//! its window, or there is no such column, the group is binned as the stateless lights are; with
//! tiers, or where accounts count, the queue is sorted.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::bands::{Group, Rows};
use crate::bins::Measure;
use crate::book::estimate::{BLOCK, Block, Estimate};
use crate::book::tally::{MOST, ONES, Show, Sums};
use crate::book::value;
use crate::columns::Rate;
use crate::error::Result;
use crate::groups::Groups;
use crate::keys::{Keys, Rates, values};
use crate::lane::{LANE, Span, nice_error, with_lane};
use crate::lights::{Weight, light};
use crate::queue::Candidate;
use crate::rank::{Venue, queues};
use crate::score::Scorer;
use crate::select::CHUNK;
use crate::simd::{dispatch, prefetch};

/// What lights share out, and in how many bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Number of bands, 1 to 100.
    pub bands: u8,
    /// What they share out.
    pub weight: Weight,
}

/// How many of its last misses around where it is expected an edge is looked for, first and then.
const MISSES: [f64; 2] = [3.0, 24.0];
/// What is left of a miss that was larger than the last.
const FADING: f64 = 0.8;
/// Rows for each one that may be scored before binning is as quick.
const ROWS_A_SCORE: usize = 8;
const FEWEST_SCORES: usize = 256;

/// The first entry of each band but the first, where there is one.
#[derive(Debug, Clone)]
pub struct Edges {
    /// The book's version that they hold for.
    pub version: u64,
    /// Their scale.
    pub scale: Scale,
    /// Best first; several bands may begin with one entry.
    pub firsts: Vec<Option<Candidate>>,
    /// Value of a lot that they were found at.
    value: f64,
    drifts: Vec<Drift>,
}

/// How the score of an edge follows the mark.
#[derive(Debug, Clone, Copy)]
struct Drift {
    /// Products of moves of score and mark, and squares of the mark's, older ones fading: their
    /// quotient is the slope of the line through them.
    sums: (f64, f64),
    /// How far the edge was from where it was expected; infinite where that is not known yet.
    miss: f64,
}

impl Drift {
    const UNKNOWN: Self = Self { sums: (0.0, 0.0), miss: f64::INFINITY };

    /// The score expected after the value of a lot changed by `by`; no number without a slope.
    fn expected(self, was: f64, by: f64) -> f64 {
        was + self.sums.0 / self.sums.1 * by
    }

    /// What is known once the score has become another.
    fn learn(self, was: f64, is: f64, by: f64) -> Self {
        let miss = (is - self.expected(was, by)).abs();
        let faded = if self.miss.is_finite() { miss.max(FADING * self.miss) } else { miss };
        let sums = (FADING * self.sums.0 + (is - was) * by, FADING * self.sums.1 + by * by);
        Self { sums, miss: if miss.is_nan() { f64::INFINITY } else { faded } }
    }

    /// Where the edge is expected, and how far from there it is looked for.
    fn window(self, was: f64, by: f64, misses: f64) -> (f64, f64) {
        let expected = self.expected(was, by);
        let miss = if self.miss.is_finite() { misses * self.miss } else { (expected - was).abs() };
        (expected, miss.max(64.0 * nice_error(was)))
    }
}

/// One side of one market, and what its column tells of it.
pub struct Ranked<'a> {
    /// The side, as the stateless kernel takes it.
    pub venue: Venue<'a>,
    /// Where scores lie.
    pub estimate: Option<Estimate<'a>>,
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
    pub fn new(
        ranked: &Ranked<'_>,
        scale: Scale,
        version: u64,
        old: Option<&Self>,
    ) -> Result<Self> {
        let old = old.filter(|old| old.scale == scale);
        let near = old.and_then(|old| MISSES.iter().find_map(|misses| old.near(ranked, *misses)));
        if let Some(firsts) = near {
            return Ok(Self::made(firsts, scale, version, (ranked.venue.rates[0], old)));
        }
        let mut lights = vec![0; ranked.venue.columns.len()];
        Self::lit(&ranked.venue, scale, version, old, &mut lights)
    }

    /// Finds the edges and lights all rows on the way.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn lit(
        venue: &Venue<'_>,
        scale: Scale,
        version: u64,
        old: Option<&Self>,
        lights: &mut [u8],
    ) -> Result<Self> {
        let firsts = match binned(venue, scale, lights)? {
            Some(firsts) => firsts,
            None => sorted(venue, scale, lights)?,
        };
        let old = old.filter(|old| old.scale == scale);
        Ok(Self::made(firsts, scale, version, (venue.rates[0], old)))
    }

    fn made(
        firsts: Vec<Option<Candidate>>,
        scale: Scale,
        version: u64,
        (rate, old): (Rate, Option<&Self>),
    ) -> Self {
        let value = value(rate);
        let drift = |(place, first): (usize, &Option<Candidate>)| {
            let old = old?;
            let (was, is) = (old.firsts[place].as_ref()?.key, first.as_ref()?.key);
            Some(old.drifts[place].learn(was, is, value - old.value))
        };
        let drifts = firsts.iter().enumerate().map(|one| drift(one).unwrap_or(Drift::UNKNOWN));
        let drifts = drifts.collect();
        Self { version, scale, firsts, value, drifts }
    }

    /// The edges where they are near these; none where one is not, or nothing tells which are.
    fn near(&self, ranked: &Ranked<'_>, misses: f64) -> Option<Vec<Option<Candidate>>> {
        let estimate = ranked.estimate.as_ref().filter(|_| self.firsts.len() <= MOST)?;
        let moved = value(ranked.venue.rates[0]) - self.value;
        let window = |(first, drift): (&Option<Candidate>, &Drift)| {
            let (key, by) = drift.window(first.as_ref()?.key, moved, misses);
            let window = Window { high: key + by, low: key - by, before: 0, within: Vec::new() };
            (key + by).is_finite().then_some(window)
        };
        let windows: Option<Vec<Window>> =
            self.firsts.iter().zip(&self.drifts).map(window).collect();
        let (scorer, windows) = (ranked.venue.scorer(0), windows?);
        let starts: Vec<usize> = (0..estimate.len()).step_by(CHUNK).collect();
        let parts = starts.par_iter().map(|&start| {
            let end = estimate.len().min(start + CHUNK);
            self.tally(&scorer, estimate, start..end, &windows)
        });
        let both = |a: Option<Tally>, b: Option<Tally>| Some(add(a?, b?));
        let (whole, mut windows) = parts.reduce_with(both)??;
        let edge = |(place, window): (usize, &mut Window)| {
            let need =
                (place as i128 + 1) * whole / i128::from(self.scale.bands) + 1 - window.before;
            window.edge(&scorer, need, |c| self.weigh(scorer.size(c)))
        };
        windows.iter_mut().enumerate().map(|one| edge(one).map(Some)).collect()
    }

    fn weigh(&self, lots: i128) -> i128 {
        if self.scale.weight == Weight::Quantity { lots } else { 1 }
    }

    /// What some rows hold; none where too many of them would have to be scored.
    fn tally(
        &self,
        scorer: &Scorer<'_>,
        estimate: &Estimate<'_>,
        rows: std::ops::Range<usize>,
        windows: &[Window],
    ) -> Option<Tally> {
        let (mut whole, mut found) = (0i128, windows.to_vec());
        let bounds: Vec<(f32, f32)> = windows.iter().map(|w| outward(w.high, w.low)).collect();
        let (mut block, mut open) = (Block::UNKNOWN, Vec::new());
        let most = FEWEST_SCORES.max(rows.len() / ROWS_A_SCORE);
        for at in rows.clone().step_by(BLOCK) {
            let end = rows.end.min(at + BLOCK);
            let ahead = end..rows.end.min(end + BLOCK);
            prefetch(scorer.columns.lots, ahead.clone());
            estimate.fetch(ahead);
            estimate.fill(scorer.level, at..end, &mut block);
            let lots = match self.scale.weight {
                Weight::Quantity => &scorer.columns.lots[at..end],
                _ => &ONES[..end - at],
            };
            let sums = Sums { block: &mut block, lots, bounds: &bounds, at, open: &mut open };
            let sums = dispatch(scorer.level, sums);
            if open.len() > most {
                return None;
            }
            whole += i128::from(sums.whole);
            for (window, before) in found.iter_mut().zip(sums.before) {
                window.before += i128::from(before);
            }
        }
        for candidate in scored(scorer, &open).into_iter().flatten() {
            let weight = self.weigh(scorer.size(&candidate));
            whole += weight;
            for window in &mut found {
                window.take(candidate, weight);
            }
        }
        Some((whole, found))
    }

    /// Lights rows from `start` on; these have to be their edges.
    pub fn show(&self, ranked: &Ranked<'_>, start: usize, lights: &mut [u8]) {
        let scorer = ranked.venue.scorer(0);
        let mut open = Vec::new();
        if let Some(estimate) = ranked.estimate.as_ref().filter(|_| self.firsts.len() <= MOST) {
            let doubt = |first: &Candidate| {
                let by = 8.0 * nice_error(first.key);
                outward(first.key + by, first.key - by)
            };
            let bounds: Vec<(f32, f32)> = self.firsts.iter().flatten().map(doubt).collect();
            let mut block = Block::UNKNOWN;
            for (turn, lights) in lights.chunks_mut(BLOCK).enumerate() {
                let at = start + turn * BLOCK;
                estimate.fetch(at + lights.len()..at + lights.len() + BLOCK);
                estimate.fill(scorer.level, at..at + lights.len(), &mut block);
                let bands = self.scale.bands;
                let show =
                    Show { block: &block, bounds: &bounds, bands, at, lights, open: &mut open };
                dispatch(scorer.level, show);
            }
        } else {
            open.extend((start..start + lights.len()).map(|row| row as u32));
        }
        for (&row, found) in open.iter().zip(scored(&scorer, &open)) {
            let light = found.map_or(0, |candidate| self.light(&scorer, &candidate));
            lights[row as usize - start] = light;
        }
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

impl Window {
    fn take(&mut self, candidate: Candidate, weight: i128) {
        if candidate.key > self.high {
            self.before += weight;
        } else if candidate.key >= self.low {
            self.within.push(candidate);
        }
    }

    /// The candidate in which the need is reached; none where it may be one that is not here.
    fn edge(
        &mut self,
        scorer: &Scorer<'_>,
        need: i128,
        weight: impl Fn(&Candidate) -> i128,
    ) -> Option<Candidate> {
        let within: i128 = self.within.iter().map(&weight).sum();
        if need <= 0 || need > within {
            return None;
        }
        let (cut, _) = scorer.find_cut(&mut self.within, need, weight);
        let first = self.within[cut];
        // Who might change places with it in doubt has to have been among those within.
        let doubt = 8.0 * nice_error(first.key);
        let is_inside = first.key + doubt < self.high && first.key - doubt > self.low;
        is_inside.then_some(first)
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

/// Two bounds as 32-bit floats that lie no nearer.
fn outward(high: f64, low: f64) -> (f32, f32) {
    ((high as f32).next_up(), (low as f32).next_down())
}

/// Candidates of some rows; none where a row is not in the queue.
#[must_use]
pub fn scored(scorer: &Scorer<'_>, rows: &[u32]) -> Vec<Option<Candidate>> {
    let mut found = Vec::with_capacity(rows.len());
    with_lane(|lane| {
        for part in rows.chunks(LANE) {
            scorer.evaluate(Span::Rows(part), lane);
            for (place, &row) in part.iter().enumerate() {
                let key = scorer.key(lane, place, row as usize);
                let lots = scorer.columns.lots[row as usize];
                found.push(key.map(|key| Candidate::new(key, row as usize, lots)));
            }
        }
    });
    found
}

/// Lights by bins, and the first entry of each band but the first; none where the rows have tiers
/// or share accounts that count, or their weights might not fit.
fn binned(
    venue: &Venue<'_>,
    scale: Scale,
    lights: &mut [u8],
) -> Result<Option<Vec<Option<Candidate>>>> {
    let by_owner = scale.weight == Weight::Accounts && venue.columns.owner.is_some();
    if venue.columns.tier.is_some() || by_owner {
        return Ok(None);
    }
    let values = values(venue);
    let by_lots = scale.weight == Weight::Quantity;
    let group = Group {
        scorer: venue.scorer(0),
        keys: Keys::new(*venue, Rates::One(0), &values),
        rows: Rows::Run(0..venue.columns.len()),
        measure: if by_lots { Measure::Lots } else { Measure::One },
    };
    let is_lit = group.light(scale.bands, lights)?;
    Ok(is_lit.then(|| firsts(&venue.scorer(0), scale.bands, lights)))
}

/// The first entry of each band but the first, from the lights of all rows.
fn firsts(scorer: &Scorer<'_>, bands: u8, lights: &[u8]) -> Vec<Option<Candidate>> {
    let parts = lights.par_chunks(CHUNK).enumerate();
    let parts = parts.map(|(turn, lights)| heads(scorer, turn * CHUNK, bands, lights));
    let mut heads = parts.reduce(
        || vec![None; usize::from(bands)],
        |a, b| a.into_iter().zip(b).map(|(a, b)| ahead(scorer, a, b)).collect(),
    );
    // A band without entries begins with the next one's first.
    for light in 1..heads.len() {
        heads[light] = heads[light].or(heads[light - 1]);
    }
    heads.split_off(1).into_iter().rev().collect()
}

/// The first entry of each light but the highest, among rows from `start` on.
fn heads(scorer: &Scorer<'_>, start: usize, bands: u8, lights: &[u8]) -> Vec<Option<Candidate>> {
    let mut heads = vec![None; usize::from(bands)];
    with_lane(|lane| {
        for (turn, lights) in lights.chunks(LANE).enumerate() {
            let start = start + turn * LANE;
            scorer.evaluate(Span::Run(start, lights.len()), lane);
            for (place, &light) in
                lights.iter().enumerate().filter(|one| (1..bands).contains(one.1))
            {
                let row = start + place;
                let key = scorer.key(lane, place, row);
                let own = key.map(|key| Candidate::new(key, row, scorer.columns.lots[row]));
                let head = &mut heads[usize::from(light)];
                *head = ahead(scorer, *head, own);
            }
        }
    });
    heads
}

/// Whichever of two entries of one tier comes first.
fn ahead(scorer: &Scorer<'_>, a: Option<Candidate>, b: Option<Candidate>) -> Option<Candidate> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if scorer.compare(&a, &b) == Ordering::Less { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// As [`binned`], whatever the rows are.
fn sorted(venue: &Venue<'_>, scale: Scale, lights: &mut [u8]) -> Result<Vec<Option<Candidate>>> {
    let groups = Groups::new(venue.columns.len(), None, venue.rates)?;
    let mut firsts = vec![None; usize::from(scale.bands) - 1];
    lights.fill(0);
    for segment in &groups.segments {
        for queue in queues(venue, &groups, segment)? {
            let weights = weights(venue, scale.weight, &queue);
            let whole: i128 = weights.iter().sum();
            let mut cumulative = 0;
            for (candidate, weight) in queue.iter().zip(weights) {
                cumulative += weight;
                let light = light(cumulative, whole, scale.bands);
                lights[candidate.row as usize] = light;
                for first in &mut firsts[..usize::from(scale.bands - light)] {
                    first.get_or_insert(*candidate);
                }
            }
        }
    }
    Ok(firsts)
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
