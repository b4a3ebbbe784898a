//! Shares in whole units, of which the largest ratio to the weight is as small as can be.
//!
//! A row holds `n` units at any level from `n / weight` up: these are its steps. The level is that
//! step, counted from the lowest, which fills the amount; rows that stand exactly on it differ by
//! their ids alone.

use rayon::prelude::*;

use super::level::{DOUBT, Found};
use super::ratio::{Multiple, Ratio, float};
use super::sample::Bracket;
use super::{BLOCK, Rows, Shared, View, each_marked};
use crate::columns::LIMIT;
use crate::load::whole;
use crate::select::CHUNK;
use crate::simd::{Level, Task, dispatch};

/// Steps a row, on average, that are listed one by one.
const FEW_STEPS: u128 = 4;

/// Writes the units taken of every row; the level.
pub fn deal(view: &View<'_>, found: &Found, shared: &mut [i64], rescans: &mut u32) -> (u128, u128) {
    let mut margin = 1.0;
    loop {
        let bracket = match &found.sample {
            Some(sample) if margin < 100.0 => {
                let (start, open) = (found.ratio.float, found.open as f64);
                sample.bracket_of_steps(start, open, margin, view.level)
            }
            _ => Bracket { low: found.ratio.float, high: f64::INFINITY },
        };
        let (ranges, dealt) = pass(view, bracket, shared);
        let need = found.shared as i128 - dealt;
        let level = u128::try_from(need).ok().and_then(|need| find(&ranges, need, view.level));
        if let Some(level) = level.filter(|level| bracket.holds(level.ratio().float)) {
            settle(view, shared, &ranges, level, need as u128);
            if view.shared == Shared::Kept {
                keep(view, shared);
            }
            return level.ratio().parts();
        }
        *rescans += 1;
        margin *= 8.0;
    }
}

/// A row with steps between the ends of a bracket: those above `from`, up to `to`.
#[derive(Debug, Clone, Copy)]
struct Range {
    row: u32,
    weight: i64,
    from: i64,
    to: i64,
}

/// One step: so many units of so much weight.
#[derive(Debug, Clone, Copy)]
struct Step {
    units: i64,
    weight: i64,
}

impl Step {
    fn ratio(self) -> Ratio {
        Ratio::new(self.units as u128, self.weight as u128)
    }
}

/// From what is kept to what is taken.
fn keep(view: &View<'_>, shared: &mut [i64]) {
    shared.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, units)| {
        let rows = view.rows(chunk * CHUNK, units.len());
        for (place, units) in units.iter_mut().enumerate() {
            *units = rows.at(place).1 - *units;
        }
    });
}

/// Writes the sure units of every row; rows with steps in the bracket, and the sum of the units.
fn pass(view: &View<'_>, bracket: Bracket, shared: &mut [i64]) -> (Vec<Range>, i128) {
    let sides: Vec<Side> = shared
        .par_chunks_mut(CHUNK)
        .enumerate()
        .map(|(chunk, shared)| {
            let first = chunk * CHUNK;
            let rows = view.rows(first, shared.len());
            dispatch(view.level, Chunk { rows, bracket, first, shared })
        })
        .collect();
    let dealt = sides.iter().map(|side| side.units).sum();
    let mut ranges = Vec::with_capacity(sides.iter().map(|side| side.ranges.len()).sum());
    for side in &sides {
        ranges.extend_from_slice(&side.ranges);
    }
    (ranges, dealt)
}

struct Side {
    units: i128,
    ranges: Vec<Range>,
}

struct Chunk<'a> {
    rows: Rows<'a>,
    bracket: Bracket,
    first: usize,
    shared: &'a mut [i64],
}

impl Task for Chunk<'_> {
    type Output = Side;

    #[inline(always)]
    fn run(self) -> Side {
        let Self { rows, bracket, first, shared } = self;
        let mut side = Side { units: 0, ranges: Vec::new() };
        for (block, shared) in shared.chunks_mut(BLOCK).enumerate() {
            let (start, end) = (block * BLOCK, block * BLOCK + shared.len());
            let part =
                Rows { weight: &rows.weight[start..end], cap: &rows.cap[start..end], ..rows };
            part.steps(bracket, first + start, shared, &mut side);
        }
        side
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn steps(self, bracket: Bracket, first: usize, shared: &mut [i64], side: &mut Side) {
        let mut tops = [0i64; BLOCK];
        let mut marks = [0u8; BLOCK];
        let mut units = 0i64;
        let low = bracket.low * (1.0 - DOUBT);
        let high = bracket.high * (1.0 + DOUBT);
        for place in 0..shared.len().min(self.weight.len()).min(self.cap.len()) {
            let (weight, cap) = self.at(place);
            let (w, c) = (float(weight), float(cap));
            let (low, high) = ((low * w).floor(), (high * w).floor());
            // A comparison with NaN, infinity times no weight, is false: the cap, which is zero.
            let base = if low < c { whole(low) as i64 } else { cap };
            let top = if high < c { whole(high) as i64 } else { cap };
            shared[place] = base;
            tops[place] = top;
            units += base;
            marks[place] = u8::from(base < top);
        }
        side.units += i128::from(units);
        each_marked(&marks, |place| {
            let (row, weight) = ((first + place) as u32, self.weight[place]);
            side.ranges.push(Range { row, weight, from: shared[place], to: tops[place] });
        });
    }
}

/// The step that fills the need, counted from the lowest; none where there are not so many.
///
/// Ranges are narrowed until no step but the one found lies in them.
fn find(ranges: &[Range], need: u128, level: Level) -> Option<Step> {
    let steps: u128 = ranges.iter().map(|range| (range.to - range.from) as u128).sum();
    if need == 0 || need > steps {
        return None;
    }
    let mut open = ranges.to_vec();
    let mut need = need;
    loop {
        let steps: u128 = open.iter().map(|range| (range.to - range.from) as u128).sum();
        if steps <= FEW_STEPS * open.len() as u128 {
            return one_by_one(&open, need as usize);
        }
        let pivot = middle(&open)?;
        let (upto, below) = dispatch(level, Count { ranges: &open, pivot });
        if below < need && need <= upto {
            return Some(pivot);
        }
        let is_below = need <= below;
        if !is_below {
            need -= upto;
        }
        dispatch(level, Narrow { ranges: &mut open, pivot, is_below });
    }
}

/// Units of a range up to a step, and below it.
#[inline(always)]
fn counts(range: &Range, ratio: &Multiple<i64>) -> (i64, i64) {
    let (units, rest) = ratio.of(range.weight, LIMIT);
    let is_on = rest == 0 && units < LIMIT;
    let upto = units.clamp(range.from, range.to);
    let below = (units - i64::from(is_on)).clamp(range.from, range.to);
    (upto, below)
}

/// Counts the steps up to one, and those below it.
struct Count<'a> {
    ranges: &'a [Range],
    pivot: Step,
}

impl Task for Count<'_> {
    type Output = (u128, u128);

    #[inline(always)]
    fn run(self) -> (u128, u128) {
        let ratio = self.pivot.ratio().words::<i64>();
        let (mut upto, mut below) = (0u128, 0u128);
        for range in self.ranges {
            let (a, b) = counts(range, &ratio);
            upto += (a - range.from) as u128;
            below += (b - range.from) as u128;
        }
        (upto, below)
    }
}

/// Drops the steps from one on, or those up to it, and ranges that have none left.
struct Narrow<'a> {
    ranges: &'a mut Vec<Range>,
    pivot: Step,
    is_below: bool,
}

impl Task for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ratio = self.pivot.ratio().words::<i64>();
        self.ranges.retain_mut(|range| {
            let (upto, below) = counts(range, &ratio);
            if self.is_below {
                range.to = below;
            } else {
                range.from = upto;
            }
            range.from < range.to
        });
    }
}

/// The step that fills the need, among all of them in a list.
fn one_by_one(ranges: &[Range], need: usize) -> Option<Step> {
    let steps = |range: &Range| {
        let weight = range.weight;
        (range.from + 1..=range.to).map(move |units| Step { units, weight })
    };
    // One division rounds correctly: floats that differ are in the order of the ratios.
    let mut keyed: Vec<(f64, Step)> = ranges
        .iter()
        .flat_map(steps)
        .map(|step| (float(step.units) / float(step.weight), step))
        .collect();
    let cross = |a: Step, b: Step| i128::from(a.units) * i128::from(b.weight);
    let order = |a: &(f64, Step), b: &(f64, Step)| {
        a.0.total_cmp(&b.0).then_with(|| cross(a.1, b.1).cmp(&cross(b.1, a.1)))
    };
    (0 < need && need <= keyed.len()).then(|| keyed.select_nth_unstable_by(need - 1, order).1.1)
}

/// A step near the middle of all: the middle one of the row that holds the middle of the steps.
fn middle(ranges: &[Range]) -> Option<Step> {
    let steps: u128 = ranges.iter().map(|range| (range.to - range.from) as u128).sum();
    let mut before = 0;
    let row = ranges.iter().find(|range| {
        before += (range.to - range.from) as u128;
        2 * before >= steps
    })?;
    Some(Step { units: row.from + (row.to - row.from + 1) / 2, weight: row.weight })
}

/// Deals out all steps up to the level; rows that stand on it, in the order of their ids.
fn settle(view: &View<'_>, shared: &mut [i64], ranges: &[Range], level: Step, need: u128) {
    let ratio = level.ratio().words::<i64>();
    let mut dealt = 0;
    let mut on = Vec::new();
    for range in ranges {
        let (units, rest) = ratio.of(range.weight, LIMIT);
        let is_on = rest == 0 && range.from < units && units <= range.to;
        let units = (units - i64::from(is_on)).clamp(range.from, range.to);
        shared[range.row as usize] = units;
        dealt += (units - range.from) as u128;
        if is_on {
            on.push(range.row);
        }
    }
    let left = (need - dealt) as usize;
    // Of what is taken the smaller id gives first; of what is kept it is the first to keep less.
    let is_kept = view.shared == Shared::Kept;
    let order = |a: &u32, b: &u32| if is_kept { view.by_id(*b, *a) } else { view.by_id(*a, *b) };
    if left < on.len() {
        on.select_nth_unstable_by(left, order);
    }
    for &row in &on[..left] {
        shared[row as usize] += 1;
    }
}
