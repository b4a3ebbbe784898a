//! Bins of keys: 16-bit codes that fall with the score, their weights, and the codes around each
//! boundary of the bands.
//!
//! A key k becomes the bits of 1 + |k| / s with the sign of k, which is linear up to s and
//! logarithmic beyond; what lies between two sampled keys is stretched over the codes of a side,
//! the rest goes to its first and last. Every step is monotone, so that a lower code is a higher
//! key, whatever the sample was. A code is no narrower than one step of 1 + |k| / s in 32 bits,
//! and s is at least 2^-11 where the window of a key is absolute: two keys that may be out of
//! order (four windows apart, see below) lie in one code or in neighbours.
//!
//! Where the weight of a boundary is reached in the codes a to b by key, it is reached, in the
//! exact order, at most two windows beyond them, and whoever is in doubt against that row lies at
//! most two windows further: rows of the codes a - 1 to b + 1 are compared, all others settled.

use crate::simd::{Level, Task, dispatch};

/// Rows that are coded in one go.
pub const STRIP: usize = 512;
/// Added to the codes of the short side.
pub const SHORT: u16 = 1 << 15;
/// Code of a row that is not in the queue, on the long side.
pub const LEFT_OUT: u16 = SHORT - 1;
/// Marks a light that is in doubt: no light is as high.
const DOUBT: u16 = 1 << 7;

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
/// Sampled keys for each that is the same as the one before: fewer where ties are many.
const ROWS_A_TIE: usize = 8;
/// Most sampled keys that are kept in order.
const MOST_BEYOND: usize = 8;

/// How keys become codes.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    inverse: f32,
    low: [f32; 2],
    high: [f32; 2],
    top: [i32; 2],
    stretch: [f32; 2],
    /// Whether many of the sampled keys were the same as the one before.
    pub is_tied: bool,
}

impl Scale {
    /// A scale from sampled keys of the long and the short side, a few dozen of them;
    /// `is_relative` says that windows shrink with their key.
    #[must_use]
    pub fn new(samples: &[Vec<f32>; 2], is_relative: bool) -> Self {
        let count = samples[0].len() + samples[1].len();
        let sizes = || samples.iter().flatten().map(|key| key.abs());
        let small = lowest(sizes(), count / 16).unwrap_or(1.0);
        let large = sizes().fold(0.0, f32::max);
        let finest = if is_relative { (large * 1e-12).max(f32::MIN_POSITIVE) } else { FINEST };
        // Far below the largest float, so that no step of what follows overflows.
        let step = small.max(finest).min(1e30);
        let most = (step * 1e30).min(1e35);
        let mut scale = Self {
            inverse: 1.0 / step,
            low: [0.0; 2],
            high: [0.0; 2],
            top: [0; 2],
            stretch: [1.0; 2],
            is_tied: ties(samples) * ROWS_A_TIE > count,
        };
        for (side, sample) in samples.iter().enumerate() {
            let beyond = sample.len() / BEYOND;
            let low = lowest(sample.iter().copied(), beyond).unwrap_or(0.0);
            let high = -lowest(sample.iter().map(|key| -key), beyond).unwrap_or(0.0);
            scale.low[side] = low.clamp(-most, most);
            scale.high[side] = high.clamp(-most, most);
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

/// How many values are the same as the one before.
fn ties(samples: &[Vec<f32>; 2]) -> usize {
    let is_tie = |pair: &&[f32]| pair[0].total_cmp(&pair[1]).is_eq();
    samples.iter().map(|sample| sample.windows(2).filter(is_tie).count()).sum()
}

/// The value with `beyond` values below it, at most [`MOST_BEYOND`]; none of no values.
fn lowest(values: impl Iterator<Item = f32>, beyond: usize) -> Option<f32> {
    let last = beyond.min(MOST_BEYOND);
    let mut kept = [f32::INFINITY; MOST_BEYOND + 1];
    let mut count = 0;
    for value in values {
        count += 1;
        if value < kept[last] {
            let mut place = last;
            while place > 0 && kept[place - 1] > value {
                kept[place] = kept[place - 1];
                place -= 1;
            }
            kept[place] = value;
        }
    }
    (count > 0).then_some(kept[last.min(count.max(1) - 1)])
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

    /// The codes around the boundaries of a side's bands.
    ///
    /// Sums have to be exact.
    #[must_use]
    pub fn settle(&self, side: usize, bands: u8) -> Vec<Doubt> {
        let count = 1usize << (15 - self.shift);
        // The last bin holds the rows that are left out.
        let sums = &self.sums[side * count..(side + 1) * count - 1];
        let whole = sums.iter().sum::<i64>().unsigned_abs();
        let (share, rest) = (whole / u64::from(bands), whole % u64::from(bands));
        // The entry behind boundary j is the first whose cumulative weight passes j/n.
        let need_of = |boundary: u8| {
            let boundary = u64::from(boundary);
            boundary * share + boundary * rest / u64::from(bands) + 1
        };
        let base = (side as u16) << 15;
        let mut found: Vec<Doubt> = Vec::with_capacity(usize::from(bands));
        let (mut before, mut boundary) = (0u64, 1u8);
        let mut need = need_of(1);
        for (bin, sum) in sums.iter().enumerate() {
            let after = before + sum.unsigned_abs();
            if after >= need && boundary < bands {
                let first = base | (bin << self.shift) as u16;
                let high = base + ((bin + 1) << self.shift) as u16;
                let low = first - u16::from(bin > 0);
                match found.last_mut() {
                    Some(last) if last.high >= low => last.high = high,
                    _ => found.push(Doubt { low, high, first, before, needs: Vec::new() }),
                }
                while after >= need && boundary < bands {
                    if let Some(last) = found.last_mut() {
                        last.needs.push(need);
                    }
                    boundary += 1;
                    need = need_of(boundary);
                }
            }
            before = after;
        }
        found
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
    pub before: u64,
    /// Cumulative weights at which the next light begins, rising.
    pub needs: Vec<u64>,
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
    // Taken out of their arrays: a choice between two values is one blend, between two places not.
    let (low, low_short) = (scale.low[0], scale.low[1]);
    let (high, high_short) = (scale.high[0], scale.high[1]);
    let (top, top_short) = (scale.top[0], scale.top[1]);
    let (stretch, stretch_short) = (scale.stretch[0], scale.stretch[1]);
    let mut wide = [0i32; BLOCK];
    for i in 0..BLOCK {
        let short = is_short[i] < 0;
        let low = if short { low_short } else { low };
        let high = if short { high_short } else { high };
        let top = if short { top_short } else { top };
        let stretch = if short { stretch_short } else { stretch };
        let key = if keys[i] > low { keys[i] } else { low };
        let key = if key < high { key } else { high };
        let below = (top - scale.step(key)) as f32 * stretch;
        let code = (below + MAGIC).to_bits() as i32 & 0x7FFF;
        let code = if keys[i] < f32::MIN { i32::from(LEFT_OUT) } else { code };
        wide[i] = code | (is_short[i] & i32::from(SHORT));
    }
    for i in 0..BLOCK {
        codes[i] = wide[i] as u16;
    }
}

impl Bins {
    #[inline(always)]
    fn weigh(&mut self, measure: Measure, lots: &[i64], codes: &[u16]) {
        let mut bins = [0u16; BLOCK];
        for (bin, code) in bins.iter_mut().zip(codes) {
            *bin = code >> self.shift;
        }
        let bins = &bins[..lots.len()];
        if measure == Measure::One {
            for &bin in bins {
                self.sums[usize::from(bin) % MOST_BINS] += 1;
            }
            return;
        }
        let (fours, rest) = bins.as_chunks::<4>();
        let (lots_of_fours, lots_of_rest) = lots.as_chunks::<4>();
        let mut add = |bin: u16, lots: i64| {
            let sum = &mut self.sums[usize::from(bin) % MOST_BINS];
            *sum = sum.wrapping_add(lots);
        };
        for (bins, lots) in fours.iter().zip(lots_of_fours) {
            for place in 0..4 {
                add(bins[place], lots[place]);
            }
        }
        for (bin, lots) in rest.iter().zip(lots_of_rest) {
            add(*bin, *lots);
        }
        let mut sizes = 0;
        for lots in lots {
            sizes |= (lots ^ (lots >> 63)) as u64;
        }
        self.sizes |= sizes;
    }
}

/// A row in doubt.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Its place.
    pub place: u32,
    /// Its code.
    pub code: u16,
}

/// Lights of the codes between the doubts; the rows within a doubt are noted, the first of all
/// being at the place `start`.
pub fn write(
    level: Level,
    lamps: &Lamps,
    codes: &[u16],
    lights: &mut [u8],
    start: usize,
    doubtful: &mut Vec<Pending>,
) {
    dispatch(level, Write { lamps, codes, lights, start, doubtful });
}

/// Codes at which lights change.
#[derive(Debug, Default)]
pub struct Lamps {
    bands: u16,
    /// Last code of each doubt, and by how much the light falls behind it.
    falls: Vec<(u16, u16)>,
    /// First code of each doubt, and the number of codes behind that.
    doubts: Vec<(u16, u16)>,
}

impl Lamps {
    /// Lamps of both sides.
    #[must_use]
    pub fn new(sides: &[Vec<Doubt>; 2], bands: u8) -> Self {
        let mut lamps = Self { bands: bands.into(), ..Self::default() };
        for (number, side) in sides.iter().enumerate() {
            let mut fallen = 0u16;
            for doubt in side {
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
    start: usize,
    doubtful: &'a mut Vec<Pending>,
}

impl Task for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let blocks = self.codes.chunks(BLOCK).zip(self.lights.chunks_mut(BLOCK));
        for (turn, (codes, lights)) in blocks.enumerate() {
            let start = self.start + turn * BLOCK;
            if let (Ok(codes), Ok(lights)) = (codes.try_into(), lights.as_mut().try_into()) {
                self.lamps.show(codes, lights, start, self.doubtful);
                continue;
            }
            let (mut block, mut shown) = ([LEFT_OUT; BLOCK], [0; BLOCK]);
            block[..codes.len()].copy_from_slice(codes);
            self.lamps.show(&block, &mut shown, start, self.doubtful);
            lights.copy_from_slice(&shown[..lights.len()]);
        }
    }
}

impl Lamps {
    #[inline(always)]
    fn show(
        &self,
        codes: &[u16; BLOCK],
        lights: &mut [u8; BLOCK],
        start: usize,
        doubtful: &mut Vec<Pending>,
    ) {
        let mut light = [self.bands; BLOCK];
        for &(high, fall) in &self.falls {
            for i in 0..BLOCK {
                light[i] = light[i].wrapping_sub(if codes[i] > high { fall } else { 0 });
            }
        }
        let mut doubt = [0u16; BLOCK];
        for &(low, length) in &self.doubts {
            for i in 0..BLOCK {
                doubt[i] |= if codes[i].wrapping_sub(low) <= length { DOUBT } else { 0 };
            }
        }
        let mut any = 0;
        for i in 0..BLOCK {
            let is_in = codes[i] & LEFT_OUT != LEFT_OUT;
            any |= doubt[i];
            let shown = if is_in { light[i] } else { 0 };
            lights[i] = (shown | doubt[i]) as u8;
        }
        if any != 0 {
            note(codes, lights, start, doubtful);
        }
    }
}

/// Notes the rows of a block that are marked.
fn note(codes: &[u16; BLOCK], lights: &[u8; BLOCK], start: usize, doubtful: &mut Vec<Pending>) {
    let (words, _) = lights.as_chunks::<8>();
    for (turn, word) in words.iter().enumerate() {
        let mut marks = u64::from_le_bytes(*word) & (u64::MAX / 255 * u64::from(DOUBT));
        while marks != 0 {
            let place = turn * 8 + (marks.trailing_zeros() / 8) as usize;
            doubtful.push(Pending { place: (start + place) as u32, code: codes[place % BLOCK] });
            marks &= marks - 1;
        }
    }
}
