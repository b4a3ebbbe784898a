//! Narrow brackets around the boundaries of bands, and what a pass finds between them.

use crate::lane::{LANE, Lane, nice_error};
use crate::queue::Candidate;
use crate::score::Scorer;
use crate::simd::{Level, Task, dispatch};

/// Thresholds a side can have: two for each boundary of ten bands, and one for the left out.
const MOST: usize = 19;
/// Sampled standard errors that a bracket reaches to either side of its boundary.
const REACH: f64 = 4.5;

/// One side's brackets: keys in falling order, even ones open a bracket and odd ones close it.
#[derive(Debug, Clone)]
struct Thresholds {
    keys: [f64; MOST],
    count: usize,
    /// Boundaries (1..bands) inside of each bracket.
    inside: Vec<Vec<u8>>,
}

/// Brackets of both sides of a market.
#[derive(Debug, Clone)]
pub struct Brackets {
    sides: [Thresholds; 2],
    bands: u8,
}

/// What a pass found of one side.
#[derive(Debug, Clone)]
pub struct Side {
    weights: Vec<i128>,
    collected: Vec<Vec<Candidate>>,
    resolved: Vec<(u32, u8)>,
}

impl Side {
    /// Counts a row that lies between brackets.
    #[inline]
    pub fn weigh(&mut self, bin: usize, weight: u64) {
        self.weights[bin] += i128::from(weight);
    }

    /// Counts a row whose bin was settled by its own key; returns its light, provisional inside.
    pub fn admit(
        &mut self,
        brackets: &Brackets,
        code: usize,
        bin: usize,
        weight: u64,
        candidate: Candidate,
    ) -> u8 {
        self.weigh(bin, weight);
        if bin % 2 == 1 {
            self.collected[bin / 2].push(candidate);
        }
        brackets.fixed(code, bin).unwrap_or(0)
    }

    /// Adds what another part of the pass found.
    pub fn append(&mut self, other: Self) {
        for (mine, its) in self.weights.iter_mut().zip(other.weights) {
            *mine += its;
        }
        for (mine, mut its) in self.collected.iter_mut().zip(other.collected) {
            mine.append(&mut its);
        }
    }

    /// Rows inside of brackets with their lights, once resolved.
    pub fn lights(&self) -> impl Iterator<Item = (u32, u8)> + '_ {
        self.resolved.iter().copied()
    }
}

impl Brackets {
    /// Brackets from sampled (key, weight) pairs of the long and the short side.
    #[must_use]
    pub fn new(samples: [Vec<(f64, f64)>; 2], bands: u8) -> Self {
        Self { sides: samples.map(|sample| Thresholds::new(sample, bands)), bands }
    }

    /// Empty findings of both sides.
    #[must_use]
    pub fn sides(&self) -> [Side; 2] {
        self.sides.each_ref().map(|side| Side {
            weights: vec![0; MOST + 1],
            collected: vec![Vec::new(); side.inside.len()],
            resolved: Vec::new(),
        })
    }

    /// The bin of each place: the number of thresholds that its key lies below; rows that are not
    /// nice get the bin 255.
    #[must_use]
    pub fn bins(&self, level: Level, lane: &Lane) -> [u8; LANE] {
        dispatch(level, Bin { brackets: self, lane })
    }

    /// The bin of one key.
    #[must_use]
    pub fn bin(&self, code: usize, key: f64) -> usize {
        let side = &self.sides[code];
        side.keys[..side.count].iter().filter(|&&threshold| key < threshold).count()
    }

    /// The light of a bin that lies between brackets; none inside of a bracket and where the bin is
    /// not known.
    #[must_use]
    #[inline]
    pub fn fixed(&self, code: usize, bin: usize) -> Option<u8> {
        let side = &self.sides[code];
        if bin > side.count || bin % 2 == 1 {
            return None;
        }
        let passed: usize = side.inside[..bin / 2].iter().map(Vec::len).sum();
        Some(self.bands - passed as u8)
    }

    /// Orders what lies inside of the brackets and lights it; false where a boundary does not lie
    /// well inside of its bracket.
    pub fn resolve(
        &self,
        code: usize,
        side: &mut Side,
        scorer: &Scorer<'_>,
        is_quantity: bool,
    ) -> bool {
        let whole: i128 = side.weights.iter().sum();
        let mut before = 0i128;
        for (bracket, boundaries) in self.sides[code].inside.iter().enumerate() {
            before += side.weights[2 * bracket];
            let found = &mut side.collected[bracket];
            scorer.sort(found);
            let edges = &self.sides[code].keys[2 * bracket..2 * bracket + 2];
            let passed: usize = self.sides[code].inside[..bracket].iter().map(Vec::len).sum();
            let mut light = self.bands - passed as u8;
            let mut next = boundaries.iter().peekable();
            for candidate in found.iter() {
                before += if is_quantity { scorer.size(candidate) } else { 1 };
                while let Some(&&boundary) = next.peek() {
                    if before * i128::from(self.bands) <= whole * i128::from(boundary) {
                        break;
                    }
                    // The first entry behind the boundary: its order against all that was only
                    // counted has to be beyond doubt.
                    let doubt = 2.0 * nice_error(candidate.key);
                    if candidate.key + doubt >= edges[0] || candidate.key - doubt <= edges[1] {
                        return false;
                    }
                    light -= 1;
                    next.next();
                }
                side.resolved.push((candidate.row, light));
            }
            if next.peek().is_some() {
                return false;
            }
        }
        true
    }
}

impl Thresholds {
    fn new(mut sample: Vec<(f64, f64)>, bands: u8) -> Self {
        sample.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut cumulative = 0.0;
        let mut square = 0.0;
        let sums: Vec<(f64, f64)> = sample
            .iter()
            .map(|(_, weight)| {
                cumulative += weight;
                square += weight * weight;
                (cumulative, square)
            })
            .collect();
        let mut brackets: Vec<(f64, f64, Vec<u8>)> = Vec::new();
        for boundary in 1..bands {
            let share = f64::from(boundary) / f64::from(bands);
            let (high, low) = bracket(&sample, &sums, share);
            match brackets.last_mut() {
                Some(last) if last.1 <= high => {
                    last.1 = last.1.min(low);
                    last.2.push(boundary);
                }
                _ => brackets.push((high, low, vec![boundary])),
            }
        }
        let mut keys = [f64::NEG_INFINITY; MOST];
        for (i, (high, low, _)) in brackets.iter().enumerate() {
            keys[2 * i] = *high;
            keys[2 * i + 1] = *low;
        }
        let inside: Vec<Vec<u8>> = brackets.into_iter().map(|bracket| bracket.2).collect();
        Self { keys, count: 2 * inside.len(), inside }
    }
}

/// Keys between which a share of the weight is reached, as far as a sample can tell.
fn bracket(sample: &[(f64, f64)], sums: &[(f64, f64)], share: f64) -> (f64, f64) {
    let Some(&(whole, squares)) = sums.last() else {
        return (f64::INFINITY, f64::MIN);
    };
    let at = sums.partition_point(|sum| sum.0 < share * whole);
    let above = sums[at.min(sums.len() - 1)].1;
    let spread = above * (1.0 - share).powi(2) + (squares - above) * share.powi(2);
    let error = REACH * spread.sqrt() + 2.0 * whole / sample.len() as f64;
    let first = sums.partition_point(|sum| sum.0 < share * whole - error);
    let last = sums.partition_point(|sum| sum.0 < share * whole + error);
    let widen = |key: f64| 4.0 * nice_error(key);
    let high =
        if first == 0 { f64::INFINITY } else { sample[first - 1].0 + widen(sample[first - 1].0) };
    // The lowest of floats still lies above the minus infinity of the left out.
    let low = sample.get(last).map_or(f64::MIN, |&(key, _)| key - widen(key));
    (high, low)
}

struct Bin<'a> {
    brackets: &'a Brackets,
    lane: &'a Lane,
}

impl Task for Bin<'_> {
    type Output = [u8; LANE];

    #[inline(always)]
    fn run(self) -> [u8; LANE] {
        let [long, short] = &self.brackets.sides;
        let mut bins = [0i64; LANE];
        for t in 0..long.count.max(short.count) {
            let (above, below) = (long.keys[t], short.keys[t]);
            for i in 0..LANE {
                let threshold = if self.lane.lots[i] > 0.0 { above } else { below };
                bins[i] += i64::from(self.lane.key[i] < threshold);
            }
        }
        for i in 0..LANE {
            let is_known = self.lane.is_nice[i] & i64::from(self.lane.key[i] >= f64::MIN);
            bins[i] |= 255 * (1 - is_known);
        }
        bins.map(|bin| bin as u8)
    }
}
