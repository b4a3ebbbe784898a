//! Shares in whole units, of which the largest ratio to the weight is as small as can be.
//!
//! A row holds `n` units at any level from `n / weight` up: these are its steps. The level is that
//! step, counted from the lowest, which fills the amount; rows that stand exactly on it differ by
//! their ids alone.

use std::cmp::Ordering;
use std::ops::Range;

use super::level::{DOUBT, Found};
use super::ratio::{Multiple, Ratio, float};
use super::sample::{AHEAD, Bracket, RUN, pick, visit};
use super::{BLOCK, Rows, Shared, View, each_chunk, each_marked};
use crate::columns::LIMIT;
use crate::load::whole;
use crate::simd::{Level, Stream, Task, dispatch, prefetch};

/// Steps a row, on average, that are listed one by one.
const FEW_STEPS: u128 = 4;
/// Steps of a sampled row beyond which no step of the sample is looked for.
const MOST_STEPS: i64 = 64;
/// Sampled standard errors to either side.
const ERRORS: f64 = 2.25;
/// Rows of a block with open steps beyond which ids are asked.
const MANY: u64 = BLOCK as u64 / 16;

/// Writes the units taken of every row; the level.
pub fn deal(view: &View<'_>, found: &Found, taken: &mut [i64], rescans: &mut u32) -> (u128, u128) {
    let mut margin = 1.0;
    loop {
        let cut = guess(view, found, margin);
        let (ranges, dealt) = pass(view, &cut, taken);
        let need = u128::try_from(found.shared as i128 - dealt).ok();
        let level = need.and_then(|need| Some((find(&ranges, need, view.level)?, need)));
        if let Some((level, need)) = level {
            let last = settle(view, taken, &ranges, level, need);
            if cut.holds(&last) {
                return level.ratio().parts();
            }
        }
        *rescans += 1;
        margin *= 8.0;
    }
}

/// Levels, and steps on them, between which the last step that is dealt out is expected.
struct Cut {
    bracket: Bracket,
    /// The steps before this one are dealt out.
    low: Option<Claim>,
    /// The steps after this one are not.
    high: Option<Claim>,
}

/// A row's step; steps are ordered by their ratio, then by this id.
#[derive(Debug, Clone, Copy)]
struct Claim {
    step: Step,
    id: u64,
}

impl Claim {
    fn order(&self, other: &Self) -> Ordering {
        let product = |a: Step, b: Step| i128::from(a.units) * i128::from(b.weight);
        let (own, others) = (product(self.step, other.step), product(other.step, self.step));
        own.cmp(&others).then(self.id.cmp(&other.id))
    }
}

impl Cut {
    /// Whether a step lies within, so that all beyond were dealt with rightly.
    fn holds(&self, claim: &Claim) -> bool {
        let level = claim.step.ratio().float;
        // The floats of two equal levels may differ, by less than the ends are moved apart.
        let slack = DOUBT / 4.0;
        let (low, high) = (self.bracket.low * (1.0 - slack), self.bracket.high * (1.0 + slack));
        (Bracket { low, high }).holds(level)
            && self.low.is_none_or(|low| low.order(claim).is_le())
            && self.high.is_none_or(|high| high.order(claim).is_ge())
    }
}

/// Where the sample expects the last step.
fn guess(view: &View<'_>, found: &Found, margin: f64) -> Cut {
    let start = found.ratio.float;
    // One more unit for every row is what rounding down can take away, as long as caps allow it.
    let most = margin * view.weight.len() as f64 / (found.open as f64).max(1.0);
    let high = if margin < 100.0 { start + most } else { f64::INFINITY };
    let everything = Cut { bracket: Bracket { low: start, high }, low: None, high: None };
    let Some(sample) = found.sample.as_ref().filter(|_| margin < 100.0) else {
        return everything;
    };
    let (bracket, place, error) =
        sample.bracket_of_steps(start, found.open as f64, margin, view.level);
    let Some(picked) = pick(view.weight.len(), view.sample, RUN) else {
        return Cut { bracket, ..everything };
    };
    let Some(mut claims) = dispatch(view.level, Claims { view, bracket, picked: &picked }) else {
        return Cut { bracket, ..everything };
    };
    // What lies at one level is told apart by ids, of which the sample has drawn some.
    let error = error + margin * ERRORS * (claims.len() as f64).sqrt() / 2.0;
    claims.sort_unstable_by(Claim::order);
    let low = (place >= error).then(|| claims.get((place - error) as usize).copied()).flatten();
    Cut { bracket, low, high: claims.get((place + error) as usize).copied() }
}

/// The steps of picked rows in a bracket; none where a row has too many.
struct Claims<'a> {
    view: &'a View<'a>,
    bracket: Bracket,
    picked: &'a [u32],
}

impl Task for Claims<'_> {
    type Output = Option<Vec<Claim>>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut claims = Vec::new();
        for (row, weight, cap) in visit(self.view.rows(0, self.view.weight.len()), self.picked) {
            let [from, to] = ends(self.bracket).map(|level| floor(weight, cap, level));
            if to - from > MOST_STEPS {
                return None;
            }
            for units in from + 1..=to {
                claims.push(Claim { step: Step { units, weight }, id: self.view.key(row) });
            }
        }
        Some(claims)
    }
}

/// The ends of a bracket, a little further apart than floats may err.
#[inline(always)]
fn ends(bracket: Bracket) -> [f64; 2] {
    [bracket.low * (1.0 - DOUBT), bracket.high * (1.0 + DOUBT)]
}

/// Units of a row at a level.
#[inline(always)]
fn floor(weight: i64, cap: i64, level: f64) -> i64 {
    let units = (level * float(weight)).floor();
    // A comparison with NaN, infinity times no weight, is false: the cap, which is zero.
    if units < float(cap) { whole(units) as i64 } else { cap }
}

/// A row with steps between the ends of a bracket: those above `from`, up to `to`.
#[derive(Debug, Clone, Copy)]
struct Gap {
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

/// Writes the sure units of every row; rows with steps in the cut, and the sum of the units.
fn pass(view: &View<'_>, cut: &Cut, taken: &mut [i64]) -> (Vec<Gap>, i128) {
    let sides =
        each_chunk(taken, |first, taken| dispatch(view.level, Chunk { view, cut, first, taken }));
    let dealt = sides.iter().map(|side| side.units).sum();
    let mut ranges = Vec::with_capacity(sides.iter().map(|side| side.ranges.len()).sum());
    for side in &sides {
        ranges.extend_from_slice(&side.ranges);
    }
    (ranges, dealt)
}

struct Side {
    units: i128,
    ranges: Vec<Gap>,
}

struct Chunk<'a> {
    view: &'a View<'a>,
    cut: &'a Cut,
    first: usize,
    taken: &'a mut [i64],
}

impl Task for Chunk<'_> {
    type Output = Side;

    #[inline(always)]
    fn run(self) -> Side {
        let Self { view, cut, first, taken } = self;
        let is_kept = view.shared == Shared::Kept;
        let mut side = Side { units: 0, ranges: Vec::new() };
        let mut block =
            Block { from: [0; BLOCK], to: [0; BLOCK], ids: [0; BLOCK], taken: [0; BLOCK] };
        let (all, length) = (view.rows(0, view.weight.len()), taken.len());
        let mut taken = Stream::new(view.level, taken);
        for start in (0..length).step_by(BLOCK) {
            let (first, length) = (first + start, BLOCK.min(length - start));
            let rows = view.rows(first, length);
            if block.bound(rows, all.runs(first, length), ends(cut.bracket)) > MANY {
                // Ties at one level: their ids tell them apart.
                view.keys(first, &mut block.ids[..length]);
                block.tighten(rows, cut);
            }
            side.units += i128::from(block.write(rows, is_kept, first, &mut side.ranges));
            taken.push(&block.taken[..length]);
        }
        side
    }
}

/// Rows of a block: their units before and after the steps that the cut leaves open.
struct Block {
    from: [i64; BLOCK],
    to: [i64; BLOCK],
    ids: [u64; BLOCK],
    taken: [i64; BLOCK],
}

impl Block {
    /// Units at the ends of the bracket; how many rows have steps between.
    #[inline(always)]
    fn bound(
        &mut self,
        rows: Rows<'_>,
        runs: impl Iterator<Item = Range<usize>>,
        [low, high]: [f64; 2],
    ) -> u64 {
        let mut count = 0;
        for run in runs {
            let rows = rows.part(run.clone());
            let (below, above) = (&mut self.from[run.clone()], &mut self.to[run]);
            for place in 0..rows.weight.len().min(rows.cap.len()).min(below.len()).min(above.len())
            {
                let (weight, cap) = rows.at(place);
                let (from, to) = (floor(weight, cap, low), floor(weight, cap, high));
                count += u64::from(from < to);
                below[place] = from;
                above[place] = to;
            }
        }
        count
    }

    /// Drops the steps before and after the ends of the cut, exactly.
    #[inline(always)]
    fn tighten(&mut self, rows: Rows<'_>, cut: &Cut) {
        if let Some(low) = cut.low {
            let ratio = low.step.ratio().words::<i64>();
            for place in 0..rows.weight.len().min(BLOCK) {
                let (units, rest) = ratio.of(rows.weight[place].max(0), LIMIT);
                let is_after = rest == 0 && self.ids[place] >= low.id;
                let units = units - i64::from(is_after);
                self.from[place] = units.max(self.from[place]).min(self.to[place]);
            }
        }
        if let Some(high) = cut.high {
            let ratio = high.step.ratio().words::<i64>();
            for place in 0..rows.weight.len().min(BLOCK) {
                let (units, rest) = ratio.of(rows.weight[place].max(0), LIMIT);
                let is_after = rest == 0 && self.ids[place] > high.id;
                let units = units - i64::from(is_after);
                self.to[place] = units.max(self.from[place]).min(self.to[place]);
            }
        }
    }

    /// Takes the units that are sure, and lists the rows that have open steps; the sure units.
    #[inline(always)]
    fn write(&mut self, rows: Rows<'_>, is_kept: bool, first: usize, ranges: &mut Vec<Gap>) -> i64 {
        let mut marks = [0u8; BLOCK];
        let mut units = 0i64;
        for place in 0..rows.weight.len().min(rows.cap.len()).min(BLOCK) {
            let from = self.from[place];
            units = units.wrapping_add(from);
            self.taken[place] = if is_kept { rows.at(place).1 - from } else { from };
            marks[place] = u8::from(from < self.to[place]);
        }
        each_marked(&marks, |place| {
            let (row, weight) = ((first + place) as u32, rows.weight[place]);
            ranges.push(Gap { row, weight, from: self.from[place], to: self.to[place] });
        });
        units
    }
}

/// The step that fills the need, counted from the lowest; none where there are not so many.
///
/// Ranges are narrowed until no step but the one found lies in them.
fn find(ranges: &[Gap], need: u128, level: Level) -> Option<Step> {
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
fn counts(range: &Gap, ratio: &Multiple<i64>) -> (i64, i64) {
    let (units, rest) = ratio.of(range.weight, LIMIT);
    let is_on = rest == 0 && units < LIMIT;
    let upto = units.clamp(range.from, range.to);
    let below = (units - i64::from(is_on)).clamp(range.from, range.to);
    (upto, below)
}

/// Counts the steps up to one, and those below it.
struct Count<'a> {
    ranges: &'a [Gap],
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
    ranges: &'a mut Vec<Gap>,
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
fn one_by_one(ranges: &[Gap], need: usize) -> Option<Step> {
    let steps = |range: &Gap| {
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
fn middle(ranges: &[Gap]) -> Option<Step> {
    let steps: u128 = ranges.iter().map(|range| (range.to - range.from) as u128).sum();
    let mut before = 0;
    let row = ranges.iter().find(|range| {
        before += (range.to - range.from) as u128;
        2 * before >= steps
    })?;
    Some(Step { units: row.from + (row.to - row.from + 1) / 2, weight: row.weight })
}

/// Deals out all steps up to the level; rows that stand on it, in the order of their keys.
///
/// The last step dealt out comes back.
fn settle(view: &View<'_>, taken: &mut [i64], ranges: &[Gap], level: Step, need: u128) -> Claim {
    let sign = if view.shared == Shared::Kept { -1 } else { 1 };
    // Rows of one id come in the order of the keys too; turned twice a row is itself.
    let turn = |row: u32| if sign < 0 { !row } else { row };
    let ratio = level.ratio().words::<i64>();
    let mut dealt = 0;
    let mut on = Vec::new();
    for (place, range) in ranges.iter().enumerate() {
        if let Some(next) = ranges.get(place + AHEAD) {
            prefetch(taken, next.row as usize..next.row as usize + 1);
        }
        let (units, rest) = ratio.of(range.weight, LIMIT);
        let is_on = rest == 0 && range.from < units && units <= range.to;
        let units = (units - i64::from(is_on)).clamp(range.from, range.to);
        taken[range.row as usize] += sign * (units - range.from);
        dealt += (units - range.from) as u128;
        if is_on {
            on.push((view.key(range.row), turn(range.row)));
        }
    }
    let last = (need - dealt) as usize - 1;
    on.select_nth_unstable(last);
    for &(_, row) in &on[..=last] {
        taken[turn(row) as usize] += sign;
    }
    Claim { step: level, id: on[last].0 }
}
