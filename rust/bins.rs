//! Bins of keys: 16-bit codes that fall with the score, their weights, and the codes around each
//! boundary of the bands.
//!
//! A key k becomes the bits of 1 + |k| / s with the sign of k, which is linear up to s and
//! logarithmic beyond; what lies between two sampled keys is stretched over the codes of a side,
//! the rest goes to its first and last. Every step is monotone, so that a lower code is a higher
//! key, whatever the sample was. Codes are no narrower than a step of a 32-bit float of 1 + |k| / s,
//! and s is at least 2^-11 where the window of a key is absolute: two keys that may be out of order
//! (four windows apart, see below) lie in one code or in neighbours.
//!
//! Where the weight of a boundary is reached in the codes a to b by key, it is reached between keys
//! two windows beyond them in the exact order, and whoever is in doubt against that row lies two
//! windows further: rows of the codes a - 1 to b + 1 are compared, all others are settled.

use crate::simd::{Level, Task, dispatch};

/// Rows that are coded in one go.
pub const STRIP: usize = 512;
/// Added to the codes of the short side.
pub const SHORT: u16 = 1 << 15;
/// Code of a row that is not in the queue, on the long side.
pub const LEFT_OUT: u16 = SHORT - 1;
/// In place of a light that a comparison has to find.
pub const PENDING: u8 = 255;

/// Most bins of a side, as a power of two.
const MOST_BITS: u32 = 10;
/// Bins of both sides.
const MOST_BINS: usize = 2 << MOST_BITS;
/// Last code of a row in the queue: the bin behind it is that of the left out.
const LAST: f32 = (SHORT as u32 - 1 - (SHORT as u32 >> 5)) as f32;
const FEWEST_BITS: u32 = 5;
/// Rows a bin, where that leaves bins enough.
const ROWS_A_BIN_BITS: u32 = 2;

/// Smallest s where windows are absolute.
const FINEST: f32 = 1.0 / (1u32 << 11) as f32;
/// Whole floats up to here carry their value in their lowest bits.
const MAGIC: f32 = 8_388_608.0;
const ONE: i32 = 0x3F80_0000;
/// Share of the sampled keys beyond each end of what is stretched.
const BEYOND: usize = 32;

/// How keys become codes.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    inverse: f32,
    low: [f32; 2],
    high: [f32; 2],
    top: [i32; 2],
    stretch: [f32; 2],
}

impl Scale {
    /// A scale from sampled keys of the long and the short side; `is_relative` says that windows
    /// shrink with their key.
    #[must_use]
    pub fn new(mut samples: [Vec<f32>; 2], is_relative: bool) -> Self {
        let mut sizes: Vec<f32> = samples.iter().flatten().map(|key| key.abs()).collect();
        sizes.sort_unstable_by(f32::total_cmp);
        let small = sizes.get(sizes.len() / 16).copied().unwrap_or(1.0);
        let large = sizes.last().copied().unwrap_or(1.0);
        let finest = if is_relative { (large * 1e-12).max(f32::MIN_POSITIVE) } else { FINEST };
        // Far below the largest float, so that no step of what follows overflows.
        let step = small.max(finest).min(1e30);
        let mut scale = Self {
            inverse: 1.0 / step,
            low: [0.0; 2],
            high: [0.0; 2],
            top: [0; 2],
            stretch: [1.0; 2],
        };
        let most = (step * 1e30).min(1e35);
        for (side, sample) in samples.iter_mut().enumerate() {
            sample.sort_unstable_by(f32::total_cmp);
            let beyond = sample.len() / BEYOND;
            if let (Some(&low), Some(&high)) =
                (sample.get(beyond), sample.get((sample.len() - beyond).wrapping_sub(1)))
            {
                scale.low[side] = low.clamp(-most, most);
                scale.high[side] = high.clamp(-most, most);
            }
            scale.top[side] = scale.step(scale.high[side]);
            let range = (scale.top[side] - scale.step(scale.low[side])) as f32;
            // A step keeps at least one code's width: codes never get narrower than floats.
            scale.stretch[side] = (LAST / range).min(1.0);
        }
        scale
    }

    /// Rises with the key.
    #[inline(always)]
    fn step(&self, key: f32) -> i32 {
        let steps = (1.0 + key.abs() * self.inverse).to_bits() as i32 - ONE;
        if key < 0.0 { -steps } else { steps }
    }
}

/// Weights of the bins of one group.
#[derive(Debug, Clone)]
pub struct Bins {
    sums: [i64; MOST_BINS],
    shift: u32,
    /// All bits that any size had, to tell whether the sums can have overflown.
    sizes: u64,
}

/// What a row weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Its lots.
    Lots,
    /// One.
    One,
}

impl Bins {
    /// Empty bins for a group of `count` rows.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let bits = (usize::BITS - count.leading_zeros()).saturating_sub(ROWS_A_BIN_BITS);
        let shift = 15 - bits.clamp(FEWEST_BITS, MOST_BITS);
        Self { sums: [0; MOST_BINS], shift, sizes: 0 }
    }

    /// Adds the weights of another part of the group.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.wrapping_add(*part);
        }
        self.sizes |= other.sizes;
    }

    /// Whether sums of `count` rows are sure to be below 2^63.
    #[must_use]
    pub fn is_exact(&self, count: usize) -> bool {
        let bits = (u64::BITS - self.sizes.leading_zeros()) + (usize::BITS - count.leading_zeros());
        bits < i64::BITS
    }

    /// The weight of a side, and the codes around the boundaries of its bands.
    #[must_use]
    pub fn settle(&self, side: usize, bands: u8) -> Side {
        let count = 1usize << (15 - self.shift);
        // The last bin holds the rows that are left out.
        let sums = &self.sums[side * count..(side + 1) * count - 1];
        let whole: i128 = sums.iter().map(|sum| i128::from(*sum)).sum::<i128>().abs();
        let base = (side as u16) << 15;
        let mut found = Side { whole, doubts: Vec::new() };
        let (mut before, mut boundary) = (0i128, 1u8);
        let need = |boundary: u8| i128::from(boundary) * whole / i128::from(bands) + 1;
        for (bin, sum) in sums.iter().enumerate() {
            let after = before + i128::from(*sum).abs();
            let mut needs = Vec::new();
            // The entry behind boundary j is the first whose cumulative weight passes j/n.
            while boundary < bands && after >= need(boundary) {
                needs.push(need(boundary));
                boundary += 1;
            }
            if !needs.is_empty() {
                let first = base | (bin << self.shift) as u16;
                let last = base | (((bin + 1) << self.shift) - 1) as u16;
                found.push(Doubt {
                    low: first - u16::from(bin > 0),
                    high: last + 1,
                    first,
                    before,
                    needs,
                });
            }
            before = after;
        }
        found
    }
}

/// What the bins tell of one side.
#[derive(Debug, Clone)]
pub struct Side {
    /// Weight of the side.
    pub whole: i128,
    /// Disjoint ranges of codes, front first, that hold the boundaries.
    pub doubts: Vec<Doubt>,
}

impl Side {
    fn push(&mut self, doubt: Doubt) {
        match self.doubts.last_mut() {
            Some(last) if last.high >= doubt.low => {
                last.high = doubt.high;
                last.needs.extend(doubt.needs);
            }
            _ => self.doubts.push(doubt),
        }
    }
}

/// A range of codes whose rows have to be compared.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// First code.
    pub low: u16,
    /// Last code.
    pub high: u16,
    /// First code of the bin that holds the first boundary.
    pub first: u16,
    /// Weight of the side in front of `first`, that of the doubtful rows there included.
    pub before: i128,
    /// Cumulative weights at which the next light begins, rising.
    pub needs: Vec<i128>,
}

/// Codes of a strip of rows, and their weights into the bins.
pub fn count(level: Level, scale: &Scale, strip: Strip<'_>, measure: Measure, bins: &mut Bins) {
    dispatch(level, Count { scale, measure, strip, bins: Some(bins) });
}

/// Codes of a strip of rows.
pub fn code(level: Level, scale: &Scale, strip: Strip<'_>) {
    dispatch(level, Count { scale, measure: Measure::One, strip, bins: None });
}

/// Rows with their keys, and where their codes go; as many of each.
#[derive(Debug)]
pub struct Strip<'a> {
    /// Keys, minus infinity where a row is not in the queue.
    pub keys: &'a [f32],
    /// Signed lots.
    pub lots: &'a [i64],
    /// Codes.
    pub codes: &'a mut [u16],
}

struct Count<'a> {
    scale: &'a Scale,
    measure: Measure,
    strip: Strip<'a>,
    bins: Option<&'a mut Bins>,
}

const BLOCK: usize = 64;

impl Task for Count<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Strip { keys, lots, codes } = self.strip;
        let mut bins = self.bins;
        let (mut key, mut lot, mut out) = ([0f32; BLOCK], [1i64; BLOCK], [0u16; BLOCK]);
        let rows = keys.chunks(BLOCK).zip(lots.chunks(BLOCK)).zip(codes.chunks_mut(BLOCK));
        for ((keys, lots), codes) in rows {
            if let (Ok(keys), Ok(lots), Ok(codes)) =
                (keys.try_into(), lots.try_into(), codes.as_mut().try_into())
            {
                let codes: &mut [u16; BLOCK] = codes;
                encode(self.scale, keys, lots, codes);
                if let Some(bins) = bins.as_deref_mut() {
                    bins.weigh(self.measure, lots, codes);
                }
                continue;
            }
            key[..keys.len()].copy_from_slice(keys);
            lot[..lots.len()].copy_from_slice(lots);
            encode(self.scale, &key, &lot, &mut out);
            codes.copy_from_slice(&out[..codes.len()]);
            if let Some(bins) = bins.as_deref_mut() {
                bins.weigh(self.measure, lots, codes);
            }
        }
    }
}

#[inline(always)]
fn encode(scale: &Scale, keys: &[f32; BLOCK], lots: &[i64; BLOCK], codes: &mut [u16; BLOCK]) {
    let mut is_short = [0i32; BLOCK];
    for i in 0..BLOCK {
        is_short[i] = (lots[i] >> 63) as i32;
    }
    let mut wide = [0i32; BLOCK];
    for i in 0..BLOCK {
        let short = is_short[i] != 0;
        let low = if short { scale.low[1] } else { scale.low[0] };
        let high = if short { scale.high[1] } else { scale.high[0] };
        let top = if short { scale.top[1] } else { scale.top[0] };
        let stretch = if short { scale.stretch[1] } else { scale.stretch[0] };
        let key = if keys[i] > low { keys[i] } else { low };
        let key = if key < high { key } else { high };
        let below = (top - scale.step(key)) as f32 * stretch;
        let code = (below + MAGIC).to_bits() as i32 & 0x7FFF;
        let code = if keys[i] == f32::NEG_INFINITY { i32::from(LEFT_OUT) } else { code };
        wide[i] = code | (is_short[i] & i32::from(SHORT));
    }
    for i in 0..BLOCK {
        codes[i] = wide[i] as u16;
    }
}

impl Bins {
    #[inline(always)]
    fn weigh(&mut self, measure: Measure, lots: &[i64], codes: &[u16]) {
        let shift = self.shift;
        if measure == Measure::One {
            for code in codes {
                self.sums[usize::from(code >> shift) % MOST_BINS] += 1;
            }
            return;
        }
        let mut sizes = 0;
        for (code, lots) in codes.iter().zip(lots) {
            let sum = &mut self.sums[usize::from(code >> shift) % MOST_BINS];
            *sum = sum.wrapping_add(*lots);
        }
        for lots in lots {
            sizes |= (lots ^ (lots >> 63)) as u64;
        }
        self.sizes |= sizes;
    }
}

/// Lights of the codes between the doubts, [`PENDING`] within.
pub fn write(level: Level, lamps: &Lamps, codes: &[u16], lights: &mut [u8]) {
    dispatch(level, Write { lamps, codes, lights });
}

/// Codes at which lights change.
#[derive(Debug, Default)]
pub struct Lamps {
    bands: u16,
    /// Last code of each doubt, and by how much the light falls behind it.
    falls: Vec<(u16, u16)>,
    /// First code of each doubt and the number of codes behind that.
    doubts: Vec<(u16, u16)>,
}

impl Lamps {
    /// Lamps of both sides.
    #[must_use]
    pub fn new(sides: &[Side; 2], bands: u8) -> Self {
        let mut lamps = Self { bands: bands.into(), ..Self::default() };
        for (number, side) in sides.iter().enumerate() {
            let mut fallen = 0u16;
            for doubt in &side.doubts {
                let fall = doubt.needs.len() as u16;
                fallen += fall;
                lamps.falls.push((doubt.high, fall));
                lamps.doubts.push((doubt.low, doubt.high - doubt.low));
            }
            if number == 0 {
                // The short side starts anew.
                lamps.falls.push((SHORT - 1, fallen.wrapping_neg()));
            }
        }
        lamps
    }
}

struct Write<'a> {
    lamps: &'a Lamps,
    codes: &'a [u16],
    lights: &'a mut [u8],
}

impl Task for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (codes, lights) in self.codes.chunks(BLOCK).zip(self.lights.chunks_mut(BLOCK)) {
            if let (Ok(codes), Ok(lights)) = (codes.try_into(), lights.as_mut().try_into()) {
                self.lamps.show(codes, lights);
                continue;
            }
            let (mut block, mut shown) = ([LEFT_OUT; BLOCK], [0; BLOCK]);
            block[..codes.len()].copy_from_slice(codes);
            self.lamps.show(&block, &mut shown);
            lights.copy_from_slice(&shown[..lights.len()]);
        }
    }
}

impl Lamps {
    #[inline(always)]
    fn show(&self, codes: &[u16; BLOCK], lights: &mut [u8; BLOCK]) {
        let mut light = [self.bands; BLOCK];
        for &(high, fall) in &self.falls {
            for i in 0..BLOCK {
                light[i] = light[i].wrapping_sub(if codes[i] > high { fall } else { 0 });
            }
        }
        let mut pending = [0u16; BLOCK];
        for &(low, length) in &self.doubts {
            for i in 0..BLOCK {
                pending[i] |= if codes[i].wrapping_sub(low) <= length { u16::MAX } else { 0 };
            }
        }
        for i in 0..BLOCK {
            let is_in = codes[i] & LEFT_OUT != LEFT_OUT;
            lights[i] = (if is_in { light[i] } else { 0 } | pending[i]) as u8;
        }
    }
}

/// Places of the pending lights.
pub fn pending(lights: &[u8]) -> impl Iterator<Item = usize> {
    // A light is 100 at most: only a pending one has the highest bit of its byte.
    let words = lights.chunks(8).enumerate().map(|(turn, part)| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        (turn * 8, u64::from_le_bytes(word) & 0x8080_8080_8080_8080)
    });
    words.filter(|(_, bits)| *bits != 0).flat_map(|(at, bits)| {
        (0..8).filter(move |place| bits >> (8 * place) & 0x80 != 0).map(move |place| at + place)
    })
}
