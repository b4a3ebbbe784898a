//! Blocks of rows between the edges of bands, by where their scores lie: what weighs how much above
//! each edge, and which light each row shows. Rows that may lie on either side are named.

use crate::book::estimate::{BLOCK, Block};
use crate::simd::Task;

/// Most edges that are looked for in one pass.
pub const MOST: usize = 32;
/// Places that are looked at in one go.
const RUN: usize = 16;

/// Sizes where each row counts as one.
pub static ONES: [i64; BLOCK] = [1; BLOCK];

/// Weights of a block: of the rows that are surely in the queue, and of those surely above each
/// window; 2^60 at most.
pub struct Weights {
    /// Of all of them.
    pub whole: u64,
    /// Of those above each window.
    pub before: [u64; MOST],
}

/// Sums up the rows of a block.
pub struct Sums<'a> {
    /// Where their scores lie; open rows are taken out of it.
    pub block: &'a mut Block,
    /// What they weigh, all of one sign.
    pub lots: &'a [i64],
    /// The windows, each by its upper and its lower end.
    pub bounds: &'a [(f32, f32)],
    /// Row of the first place.
    pub at: usize,
    /// Rows that may lie in a window: they count nowhere yet.
    pub open: &'a mut Vec<u32>,
}

impl Task for Sums<'_> {
    type Output = Weights;

    #[inline(always)]
    fn run(self) -> Weights {
        let count = self.lots.len();
        let doubts = doubts(self.block, count, self.bounds);
        for place in places(&doubts) {
            self.open.push((self.at + place) as u32);
            self.block.low[place] = f32::NEG_INFINITY;
        }
        let mut found = Weights { whole: 0, before: [0; MOST] };
        // Lots of a side have one sign: the sum's size is the sum of sizes.
        let weight = |above: f32| {
            let rows = self.block.low[..count].iter().zip(self.lots);
            let sum: i64 = rows.map(|(&low, &lots)| if low > above { lots } else { 0 }).sum();
            sum.unsigned_abs()
        };
        found.whole = weight(f32::NEG_INFINITY);
        for (before, &(high, _)) in found.before.iter_mut().zip(self.bounds) {
            *before = weight(high);
        }
        found
    }
}

/// Lights the rows of a block.
pub struct Show<'a> {
    /// Where their scores lie.
    pub block: &'a Block,
    /// The edges, each by its upper and its lower end.
    pub bounds: &'a [(f32, f32)],
    /// Number of bands.
    pub bands: u8,
    /// Row of the first place.
    pub at: usize,
    /// Their lights.
    pub lights: &'a mut [u8],
    /// Rows whose light is not certain yet.
    pub open: &'a mut Vec<u32>,
}

impl Task for Show<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let count = self.lights.len();
        let mut behind = [0u32; BLOCK];
        for &(_, low) in self.bounds {
            for (behind, &high) in behind.iter_mut().zip(&self.block.high) {
                *behind += u32::from(high < low);
            }
        }
        for ((light, behind), &high) in self.lights.iter_mut().zip(behind).zip(&self.block.high) {
            let shown = u32::from(self.bands) - behind;
            *light = if high > f32::NEG_INFINITY { shown as u8 } else { 0 };
        }
        let doubts = doubts(self.block, count, self.bounds);
        self.open.extend(places(&doubts).map(|place| (self.at + place) as u32));
    }
}

/// 1 for each of the first rows of a block that may lie between two bounds, or of which nothing is
/// known.
#[inline(always)]
#[allow(clippy::needless_bitwise_bool)] // a branch would keep the loop from being vectors
fn doubts(block: &Block, count: usize, bounds: &[(f32, f32)]) -> [u32; BLOCK] {
    let mut doubts = [0u32; BLOCK];
    for (doubt, &high) in doubts.iter_mut().zip(&block.high) {
        *doubt = u32::from(high == f32::INFINITY);
    }
    for &(top, bottom) in bounds {
        for (place, doubt) in doubts.iter_mut().enumerate() {
            let is_near = (block.low[place] <= top) & (block.high[place] >= bottom);
            *doubt |= u32::from(is_near);
        }
    }
    doubts[count..].fill(0);
    doubts
}

/// The places that are marked, most of them in few of the runs that are looked at.
fn places(doubts: &[u32; BLOCK]) -> impl Iterator<Item = usize> {
    let runs = doubts.chunks_exact(RUN).enumerate();
    let marked = runs.filter(|(_, run)| run.iter().fold(0, |any, doubt| any | doubt) != 0);
    marked.flat_map(|(turn, run)| {
        let places = run.iter().enumerate().filter(|(_, doubt)| **doubt != 0);
        places.map(move |(place, _)| turn * RUN + place)
    })
}
