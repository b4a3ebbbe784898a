//! Bins of keys, narrow around each boundary of the bands: what one pass counts and remembers.
//!
//! A sample tells where each boundary will lie and how far that may be off; six thresholds a
//! boundary, at fixed multiples of that error, cut the keys into bins. The pass notes each row's
//! bin in a byte and sums the weight of each bin. The bins that hold a boundary are then known
//! exactly, whatever the sample was, and only their rows are compared.

use crate::lane::{LANE, Lane, nice_error};
use crate::load::whole;
use crate::simd::{Level, Task, dispatch};

/// Most bands that bins are made for.
pub const MOST_BANDS: u8 = 10;
/// Bin of rows that are not in the queue.
pub const LEFT_OUT: u8 = 63;
/// Added to the bins of the short side.
pub const SHORT: u8 = 64;
/// Codes from here up are not settled: the row's own key decides.
pub const OPEN: u8 = 128;
/// Codes of both sides.
pub const CODES: usize = 128;

/// Where thresholds stand around a boundary, in sampled standard errors, falling keys.
const STEPS: [f64; 6] = [-3.0, -1.0, -0.3, 0.3, 1.0, 3.0];
const MOST: usize = STEPS.len() * (MOST_BANDS as usize - 1);
/// Thresholds of the usual five bands: a count known to the compiler stays in registers.
const USUAL: usize = STEPS.len() * 4;

/// Thresholds of both sides, in falling order.
#[derive(Debug, Clone)]
pub struct Bins {
    keys: [[f64; MOST]; 2],
    count: usize,
}

impl Bins {
    /// Bins from sampled (key, weight) pairs of the long and the short side.
    #[must_use]
    pub fn new(samples: [Vec<(f64, f64)>; 2], bands: u8) -> Self {
        let count = STEPS.len() * usize::from(bands - 1);
        Self { keys: samples.map(|sample| thresholds(sample, bands)), count }
    }

    /// The code of each place of a lane, [`OPEN`] or more where it takes a closer look; and lots
    /// without sign.
    pub fn codes(&self, level: Level, lane: &Lane, codes: &mut Codes) {
        dispatch(level, Code { bins: self, lane, codes });
    }

    /// The bin of one key: the number of thresholds that it lies below.
    #[must_use]
    pub fn bin(&self, side: usize, key: f64) -> u8 {
        let below = self.keys[side][..self.count].iter().filter(|&&threshold| key < threshold);
        below.count() as u8
    }

    /// Number of bins of a side.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.count + 1
    }

    /// Whether a key lies so near to an edge of its bin that rows beyond might change places
    /// with it.
    #[must_use]
    pub fn is_near_edge(&self, side: usize, bin: usize, key: f64) -> bool {
        let doubt = 2.0 * nice_error(key);
        let above = bin > 0 && key + doubt >= self.keys[side][bin - 1];
        let below = bin < self.count && key - doubt <= self.keys[side][bin];
        above || below
    }
}

fn thresholds(mut sample: Vec<(f64, f64)>, bands: u8) -> [f64; MOST] {
    let mut keys = [f64::MIN; MOST];
    sample.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut whole = 0.0;
    let mut squares = 0.0;
    let sums: Vec<(f64, f64)> = sample
        .iter()
        .map(|(_, weight)| {
            whole += weight;
            squares += weight * weight;
            (whole, squares)
        })
        .collect();
    for boundary in 1..bands {
        let share = f64::from(boundary) / f64::from(bands);
        let at = sums.partition_point(|sum| sum.0 < share * whole);
        let above = sums.get(at).map_or(squares, |sum| sum.1);
        let spread = above * (1.0 - share).powi(2) + (squares - above) * share.powi(2);
        for (place, step) in STEPS.iter().enumerate() {
            let target = share * whole + step * spread.sqrt();
            let found = sums.partition_point(|sum| sum.0 < target);
            let key = match sample.get(found) {
                // A group of ties at the boundary is to lie within one bin.
                Some(&(key, _)) => key - step.signum() * 4.0 * nice_error(key),
                // The lowest of floats still lies above the minus infinity of the left out.
                None => f64::MIN,
            };
            keys[usize::from(boundary - 1) * STEPS.len() + place] = key;
        }
    }
    // Neighbouring boundaries of a small sample overlap.
    keys.sort_unstable_by(|a, b| b.total_cmp(a));
    keys
}

/// Codes and sizes of a lane.
#[derive(Debug)]
pub struct Codes {
    /// Code of each place.
    pub codes: [u8; LANE],
    /// Lots of each place, without sign.
    pub sizes: [u64; LANE],
}

struct Code<'a> {
    bins: &'a Bins,
    lane: &'a Lane,
    codes: &'a mut Codes,
}

impl Task for Code<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut passed = [0i64; LANE];
        if self.bins.count == USUAL {
            self.pass::<USUAL>(0, &mut passed);
        } else {
            for first in (0..self.bins.count).step_by(STEPS.len()) {
                self.pass::<{ STEPS.len() }>(first, &mut passed);
            }
        }
        let (left_out, short) = (i64::from(LEFT_OUT), i64::from(SHORT));
        for i in 0..LANE {
            let bin = if self.lane.key[i] >= f64::MIN { passed[i] } else { left_out };
            let side = if self.lane.parts.lots[i] > 0.0 { 0 } else { short };
            let code = bin + side + ((1 - self.lane.is_nice[i]) << 7);
            self.codes.codes[i] = code as u8;
            self.codes.sizes[i] = whole(self.lane.parts.lots[i].abs());
        }
    }
}

impl Code<'_> {
    /// Adds how many of `COUNT` thresholds each key lies below.
    #[inline(always)]
    fn pass<const COUNT: usize>(&self, first: usize, passed: &mut [i64; LANE]) {
        let [long, short] = &self.bins.keys;
        let (mut above, mut below) = ([0.0; COUNT], [0.0; COUNT]);
        above.copy_from_slice(&long[first..first + COUNT]);
        below.copy_from_slice(&short[first..first + COUNT]);
        for i in 0..LANE {
            let (key, is_long) = (self.lane.key[i], self.lane.parts.lots[i] > 0.0);
            let mut count = 0;
            for t in 0..COUNT {
                count += i64::from(key < if is_long { above[t] } else { below[t] });
            }
            passed[i] += count;
        }
    }
}
