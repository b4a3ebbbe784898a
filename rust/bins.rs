//! Bins of keys, narrow around each boundary of the bands: what one pass counts and remembers.
//!
//! A sample tells where each boundary will lie and how far that may be off; six thresholds a
//! boundary, at fixed multiples of that error, cut the keys into bins. The pass notes each row's bin
//! in a byte and sums the weight of each bin. The bins that hold a boundary are then known
//! exactly, whatever the sample was, and only their rows are compared.

use crate::lane::{LANE, Lane, nice_error};
use crate::simd::{Level, Task, dispatch};

/// Most bands that bins are made for.
pub const MOST_BANDS: u8 = 10;
/// Bin of rows that are not in the queue.
pub const LEFT_OUT: u8 = 63;
/// Added to the bins of the short side.
pub const SHORT: u8 = 64;
/// Code of a row whose float is not to be trusted.
pub const UNKNOWN: u8 = 255;
/// Codes of both sides.
pub const CODES: usize = 128;

/// Where thresholds stand around a boundary, in sampled standard errors, falling keys.
const STEPS: [f64; 6] = [-3.0, -1.0, -0.3, 0.3, 1.0, 3.0];
const MOST: usize = STEPS.len() * (MOST_BANDS as usize - 1);

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

    /// The code of each place of a lane.
    #[must_use]
    pub fn codes(&self, level: Level, lane: &Lane) -> [u8; LANE] {
        dispatch(level, Code { bins: self, lane })
    }

    /// The bin of one key: the number of thresholds that it lies below.
    #[must_use]
    pub fn bin(&self, side: usize, key: f64) -> u8 {
        let below = self.keys[side][..self.count].iter().filter(|&&threshold| key < threshold);
        below.count() as u8
    }

    /// Number of bins of a side.
    #[must_use]
    pub fn len(&self) -> usize {
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

struct Code<'a> {
    bins: &'a Bins,
    lane: &'a Lane,
}

impl Task for Code<'_> {
    type Output = [u8; LANE];

    #[inline(always)]
    fn run(self) -> [u8; LANE] {
        let [long, short] = &self.bins.keys;
        let mut codes = [0i64; LANE];
        for t in 0..self.bins.count {
            let (above, below) = (long[t], short[t]);
            for i in 0..LANE {
                let threshold = if self.lane.lots[i] > 0.0 { above } else { below };
                codes[i] += i64::from(self.lane.key[i] < threshold);
            }
        }
        for i in 0..LANE {
            let bin = if self.lane.key[i] < f64::MIN { i64::from(LEFT_OUT) } else { codes[i] };
            let side = if self.lane.lots[i] > 0.0 { 0 } else { i64::from(SHORT) };
            codes[i] = if self.lane.is_nice[i] == 1 { bin + side } else { i64::from(UNKNOWN) };
        }
        codes.map(|code| code as u8)
    }
}
