//! The level at which shares without rounding add up to an amount, exactly.

use std::cmp::Ordering;
use std::ops::Range;

use rayon::prelude::*;

use super::ratio::{Ratio, float};
use super::sample::{Bracket, Goal, Sample};
use super::{BLOCK, Rounding, Rows, Shared, View, count_marked, each_marked};
use crate::error::Result;
use crate::exact::multiply;
use crate::select::CHUNK;
use crate::simd::{Task, dispatch};

/// Distance, in parts of one, beyond which floats tell the order of two ratios.
pub const DOUBT: f64 = 1.0 / (1u64 << 48) as f64;
/// Rows of a block in doubt beyond which those that are tied are counted.
const MANY: u64 = BLOCK as u64 / 16;
/// Distance, in parts of one, by which a level that floats found may be wrong.
const APART: f64 = 1.0 / (1u64 << 40) as f64;
/// Passes after which nothing is expected any more.
const MOST_PASSES: u32 = 12;
/// Part of the sample that a first bracket, and one after it, may hold.
const FIRST_WIDE: f64 = 1.0 / 4.0;
const WIDE: f64 = 1.0 / 32.0;
/// Rows of a larger sample for each row of the request's.
const MORE: usize = 4;
/// Rows among which the level is found without another sample.
const FEW_ROWS: usize = 1 << 12;

/// A level, and what stands at it.
pub struct Found {
    /// The level.
    pub ratio: Ratio,
    /// Units shared, full rows and all.
    pub shared: u128,
    /// Weight of the rows that are not full.
    pub open: u128,
    /// The sample that found it.
    pub sample: Option<Sample>,
}

/// Finds the level for an amount; none where it is the whole capacity or more.
pub fn find(
    view: &View<'_>,
    amount: u128,
    rounding: Rounding,
    rescans: &mut u32,
) -> Result<Option<Found>> {
    if view.is_plain { plain(view, amount, rounding) } else { capped(view, amount, rescans) }
}

/// Where caps are the weights the sums alone say the level: only steps ask for a sample.
fn plain(view: &View<'_>, amount: u128, rounding: Rounding) -> Result<Option<Found>> {
    let open = scan(view, Aim::ALL)?.capacity;
    let is_sampled = rounding == Rounding::Smallest && amount < open;
    let rows = view.rows(0, view.weight.len());
    let sample = if is_sampled { Sample::new(rows, view.sample, true) } else { None };
    let found = || Found { ratio: Ratio::new(amount, open), shared: amount, open, sample };
    Ok((amount < open).then(found))
}

fn capped(view: &View<'_>, amount: u128, rescans: &mut u32) -> Result<Option<Found>> {
    let (mut sample, mut bracket) = draw(view, amount);
    let mut known = Bracket::ALL;
    let mut margin = 1.0;
    loop {
        let mut aim = Aim { bracket, ..Aim::ALL };
        if let Some(sample) = &sample {
            aim = Aim { bracket, tie: sample.tie(bracket).0, heavy: sample.heavy };
        }
        let sums = scan(view, aim)?;
        if amount >= sums.capacity {
            return Ok(None);
        }
        let shared = if view.shared == Shared::Kept { sums.capacity - amount } else { amount };
        let is_new = sample.as_mut().is_some_and(|sample| sample.learn(&sums.heavy));
        known = known.within(sums.side(shared, bracket));
        if let Some((ratio, open)) = narrow(view, sums, shared, aim) {
            return Ok(Some(Found { ratio, shared, open, sample }));
        }
        *rescans += 1;
        if !is_new && bracket.low < bracket.high {
            margin *= 8.0;
        }
        bracket = match &sample {
            Some(sample) if *rescans < MOST_PASSES => {
                // One wide bracket costs less than another pass, a second one as a rule does not.
                let wide = if is_new { FIRST_WIDE } else { WIDE };
                expected(view, sample, amount, margin, known, wide)
            }
            _ => Bracket::ALL,
        };
    }
}

/// A sample, and where it expects the level; a larger one where that saves more than it costs.
fn draw(view: &View<'_>, amount: u128) -> (Option<Sample>, Bracket) {
    let rows = view.rows(0, view.weight.len());
    let Some(sample) = Sample::new(rows, view.sample, false) else {
        return (None, Bracket::ALL);
    };
    let bracket = expected(view, &sample, amount, 1.0, Bracket::ALL, FIRST_WIDE);
    let larger = MORE * view.sample;
    if sample.tie(bracket).1 < 2.0 * larger as f64 {
        return (Some(sample), bracket);
    }
    let sample = Sample::new(rows, larger, false).unwrap_or(sample);
    let bracket = expected(view, &sample, amount, 1.0, Bracket::ALL, FIRST_WIDE);
    (Some(sample), bracket)
}

/// Where the sample expects the level, within what is known of it; one of its own rows where
/// more than a part of them lie there.
fn expected(
    view: &View<'_>,
    sample: &Sample,
    amount: u128,
    margin: f64,
    known: Bracket,
    wide: f64,
) -> Bracket {
    let part = amount as f64 / sample.scale;
    let goal = match view.shared {
        Shared::Taken => Goal::Held(part),
        Shared::Kept => Goal::Lacking(part),
    };
    let guess = if margin < 100.0 { sample.bracket(goal, 0.0, margin) } else { Bracket::ALL };
    let bracket = guess.within(known);
    sample.middle(bracket, wide).map_or(bracket, |level| Bracket { low: level, high: level })
}

/// What one pass looks for.
#[derive(Clone, Copy)]
struct Aim {
    bracket: Bracket,
    /// Weight and cap of a row whose equals are counted.
    tie: Option<(i64, i64)>,
    /// Rows whose weight or cap is not below are listed.
    heavy: u64,
}

impl Aim {
    const ALL: Self = Self { bracket: Bracket::ALL, tie: None, heavy: u64::MAX };
}

/// What one pass over rows finds out about a bracket.
#[derive(Default)]
struct Sums {
    /// Sum of all caps.
    capacity: u128,
    /// Caps of the rows that are full below the bracket.
    full: u128,
    /// Weights of the rows that are open above it.
    open: u128,
    /// Weights and caps of rows that are full at one level, which many are.
    tied: (u128, u128),
    /// Weights and caps of the rest.
    weight: Vec<i64>,
    cap: Vec<i64>,
    /// Weight and cap of the rows that the sample could not foresee.
    heavy: Vec<(i64, i64)>,
}

impl Sums {
    fn rest(&self) -> Rows<'_> {
        Rows { weight: &self.weight, cap: &self.cap, free: i64::MAX }
    }

    /// The weights and caps of the rows between the ends of the bracket.
    fn between(&self) -> (u128, u128) {
        (total(&self.weight) + self.tied.0, total(&self.cap) + self.tied.1)
    }

    /// What a pass that did not find the level tells about it, as near as floats do.
    ///
    /// What is held grows ever slower with the level: a line that touches it at either end of the
    /// bracket reaches the amount too early, and so bounds the level from below.
    fn side(&self, shared: u128, bracket: Bracket) -> Bracket {
        let (weights, caps) = self.between();
        let (need, open) = (shared as f64 - self.full as f64, self.open as f64);
        let all = (weights + self.open) as f64;
        let touch = [need / all, (need - caps as f64) / open].map(|level| level * (1.0 - APART));
        let low = touch.into_iter().filter(|level| level.is_finite()).fold(0.0, f64::max);
        if bracket.low * all > need {
            Bracket { low, high: bracket.low }
        } else if bracket.high * open + (caps as f64) < need {
            Bracket { low: low.max(bracket.high), high: f64::INFINITY }
        } else {
            Bracket { low, high: f64::INFINITY }
        }
    }
}

/// The sum of values below 2^51: so many at once do not overflow a word.
fn total(values: &[i64]) -> u128 {
    values.chunks(BLOCK).map(|values| values.iter().sum::<i64>() as u128).sum()
}

fn scan(view: &View<'_>, aim: Aim) -> Result<Sums> {
    let starts: Vec<usize> = (0..view.weight.len()).step_by(CHUNK).collect();
    let part = |&start: &usize| {
        let (rows, is_plain) = (view.rows(start, CHUNK), view.is_plain);
        let is_kept = view.shared == Shared::Kept;
        let mut sums = Sums::default();
        let pass = Pass { rows, aim, is_kept, is_plain, sums: &mut sums };
        dispatch(view.level, pass).then_some(sums)
    };
    let parts: Vec<Option<Sums>> = match starts.as_slice() {
        [start] => vec![part(start)],
        starts => starts.par_iter().map(part).collect(),
    };
    let parts = parts.into_iter().collect::<Option<Vec<_>>>();
    let parts = parts.ok_or_else(|| view.first_out_of_range())?;
    let mut all = Sums::default();
    let count = parts.iter().map(|part| part.weight.len()).sum();
    all.weight.reserve_exact(count);
    all.cap.reserve_exact(count);
    for part in parts {
        all.capacity += part.capacity;
        all.full += part.full;
        all.open += part.open;
        all.tied = (all.tied.0 + part.tied.0, all.tied.1 + part.tied.1);
        all.weight.extend_from_slice(&part.weight);
        all.cap.extend_from_slice(&part.cap);
        all.heavy.extend_from_slice(&part.heavy);
    }
    Ok(all)
}

struct Pass<'a> {
    rows: Rows<'a>,
    aim: Aim,
    is_kept: bool,
    is_plain: bool,
    sums: &'a mut Sums,
}

impl Task for Pass<'_> {
    /// Whether every value lies within its range.
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let Self { rows, aim, is_kept, is_plain, sums } = self;
        let count = rows.weight.len();
        for start in (0..count).step_by(BLOCK) {
            let end = count.min(start + BLOCK);
            let part = rows.part(start..end);
            if is_plain {
                let (total, seen) = part.add_up();
                if seen >> 51 != 0 {
                    return false;
                }
                sums.capacity += total as u128;
            } else if !part.split(rows.runs(start, end - start), aim, is_kept, sums) {
                return false;
            }
        }
        true
    }
}

impl Rows<'_> {
    /// The sum of the weights, and the bits that occur in them.
    #[inline(always)]
    fn add_up(self) -> (i64, u64) {
        let (mut total, mut seen) = (0i64, 0u64);
        for &weight in self.weight {
            total = total.wrapping_add(weight);
            seen |= weight as u64;
        }
        (total, seen)
    }

    /// Sums what is surely full and surely open, and keeps the rest; whether all is in range.
    #[inline(always)]
    fn split(
        self,
        runs: impl Iterator<Item = Range<usize>>,
        aim: Aim,
        is_kept: bool,
        sums: &mut Sums,
    ) -> bool {
        let mut rest = [0u8; BLOCK];
        let (mut capacity, mut full, mut open) = (0i64, 0i64, 0i64);
        let (mut seen, mut most) = (0u64, 0u64);
        let low = aim.bracket.low * (1.0 - DOUBT);
        let high = aim.bracket.high * (1.0 + DOUBT);
        // Below zero a weight that keeps is as good as none: its size counts.
        let sign = if is_kept { -1 } else { 0 };
        for run in runs {
            let (rows, rest) = (self.part(run.clone()), &mut rest[run]);
            for place in 0..rows.weight.len().min(rows.cap.len()).min(rest.len()) {
                let given = rows.weight[place];
                seen |= (given ^ (given >> 63 & sign)) as u64 | rows.cap[place] as u64;
                let (weight, cap) = rows.at(place);
                most |= (weight | cap) as u64;
                let (w, c) = (float(weight), float(cap));
                let is_full = c < low * w;
                let is_open = c >= high * w;
                capacity = capacity.wrapping_add(cap);
                full = full.wrapping_add(if is_full { cap } else { 0 });
                open = open.wrapping_add(if is_open { weight } else { 0 });
                rest[place] = u8::from(!(is_full | is_open));
            }
        }
        if seen >> 51 != 0 {
            return false;
        }
        sums.capacity += capacity as u128;
        sums.full += full as u128;
        sums.open += open as u128;
        if most >= aim.heavy {
            let rows = (0..self.weight.len()).map(|place| self.at(place));
            sums.heavy.extend(rows.filter(|row| (row.0 | row.1) as u64 >= aim.heavy));
        }
        if let Some(tie) = aim.tie.filter(|_| count_marked(&rest) > MANY) {
            let (weight, cap) = self.count(tie, &mut rest);
            sums.tied = (sums.tied.0 + weight as u128, sums.tied.1 + cap as u128);
        }
        each_marked(&rest, |place| {
            let (weight, cap) = self.at(place);
            if cap > 0 {
                sums.weight.push(weight);
                sums.cap.push(cap);
            }
        });
        true
    }
}

impl Rows<'_> {
    /// Takes the rows that are full at the level of one row out of the rest: their sums.
    #[inline(always)]
    fn count(self, tie: (i64, i64), rest: &mut [u8; BLOCK]) -> (i64, i64) {
        let (mut weights, mut caps) = (0i64, 0i64);
        for place in 0..self.weight.len() {
            let (weight, cap) = self.at(place);
            let (one, other) = (float(cap) * float(tie.0), float(tie.1) * float(weight));
            // Products below 2^102 whose floats are this near differ by less than 2^56.
            let is_near = (one - other).abs() <= one * DOUBT;
            let is_same = cap.wrapping_mul(tie.0) == tie.1.wrapping_mul(weight);
            let is_tied = is_near && is_same && rest[place] == 1;
            weights += if is_tied { weight } else { 0 };
            caps += if is_tied { cap } else { 0 };
            rest[place] &= u8::from(!is_tied);
        }
        (weights, caps)
    }
}

/// Narrows the bracket by samples of the rest until few rows are left, and solves for these.
fn narrow(view: &View<'_>, mut sums: Sums, shared: u128, aim: Aim) -> Option<(Ratio, u128)> {
    if let Some(tie) = aim.tie {
        sums = settle(sums, tie, shared);
    }
    while sums.weight.len() > FEW_ROWS {
        let Some(inner) = inner_bracket(view, &sums, shared) else {
            break;
        };
        let mut next = Sums::default();
        let pass = Pass {
            rows: sums.rest(),
            aim: Aim { bracket: inner, ..Aim::ALL },
            is_kept: false,
            is_plain: false,
            sums: &mut next,
        };
        dispatch(view.level, pass);
        next.full += sums.full;
        next.open += sums.open;
        let is_inside = next.weight.len() < sums.weight.len() && holds(&next, shared, inner);
        if !is_inside {
            break;
        }
        sums = next;
    }
    let (ratio, open) = solve(sums, shared)?;
    aim.bracket.holds(ratio.float).then_some((ratio, open))
}

fn inner_bracket(view: &View<'_>, sums: &Sums, shared: u128) -> Option<Bracket> {
    let sample = Sample::new(sums.rest(), view.sample.min(FEW_ROWS), false)?;
    let caps = total(&sums.cap);
    // Beyond the caps of the rest only open rows could hold more.
    let lacking = (sums.full + caps) as f64 - shared as f64;
    Some(sample.bracket(Goal::Lacking(lacking / sample.scale), sums.open as f64, 1.0))
}

/// Whether the level of the rest lies surely within a bracket.
fn holds(sums: &Sums, shared: u128, bracket: Bracket) -> bool {
    let (weights, caps) = (total(&sums.weight), total(&sums.cap));
    let need = shared as f64 - sums.full as f64;
    let slack = 1.0 - 16.0 * DOUBT;
    let at_low = bracket.low * (weights + sums.open) as f64;
    // At the lower end every row of the rest is open, at the upper end every one is full.
    let at_high = bracket.high * sums.open as f64 + caps as f64;
    let scale = DOUBT * (shared as f64 + sums.full as f64);
    at_low < need * slack - scale && need < at_high * slack - scale
}

/// Decides about the rows that are tied, and about those that this decides with them.
fn settle(sums: Sums, tie: (i64, i64), shared: u128) -> Sums {
    let (mut full, mut open) = (sums.full, sums.open);
    let mut rows: Vec<(i64, i64)> = sums.weight.into_iter().zip(sums.cap).collect();
    let rest = halve(&mut rows, tie, sums.tied, shared, (&mut full, &mut open));
    let (weight, cap) = rest.iter().copied().unzip();
    Sums { full, open, weight, cap, ..Sums::default() }
}

/// The exact level, and the weight that is open there.
fn solve(sums: Sums, amount: u128) -> Option<(Ratio, u128)> {
    let (mut full, mut open) = (sums.full, sums.open);
    let mut rows: Vec<(i64, i64)> = sums.weight.into_iter().zip(sums.cap).collect();
    let mut rows = rows.as_mut_slice();
    while let Some(&pivot) = rows.get(rows.len() / 2) {
        rows = halve(rows, pivot, (0, 0), amount, (&mut full, &mut open));
    }
    let need = amount.checked_sub(full)?;
    (open > 0).then(|| (Ratio::new(need, open), open))
}

/// Decides about the rows on one side of a pivot and those at its level; the rows left.
///
/// `tied` are weights and caps of rows at the level of the pivot that are not listed.
fn halve<'a>(
    rows: &'a mut [(i64, i64)],
    pivot: (i64, i64),
    tied: (u128, u128),
    amount: u128,
    (full, open): (&mut u128, &mut u128),
) -> &'a mut [(i64, i64)] {
    let (less, same) = partition(rows, pivot);
    let (caps, weights) = rows[..same].iter().fold((tied.1, tied.0), add);
    let (_, above) = rows[same..].iter().fold((0, 0), add);
    let need = amount.checked_sub(*full + caps);
    // Whether the rows at the pivot's own level hold the amount or more.
    let is_reached = need.is_none_or(|need| {
        multiply(pivot.1 as u128, *open + above) >= multiply(need, pivot.0 as u128)
    });
    if is_reached {
        let (_, below) = rows[..less].iter().fold((0, 0), add);
        *open += above + (weights - below);
        &mut rows[..less]
    } else {
        *full += caps;
        &mut rows[same..]
    }
}

fn add(sums: (u128, u128), row: &(i64, i64)) -> (u128, u128) {
    (sums.0 + row.1 as u128, sums.1 + row.0 as u128)
}

/// Orders rows by the level at which they are full.
fn compare(a: (i64, i64), b: (i64, i64)) -> Ordering {
    (i128::from(a.1) * i128::from(b.0)).cmp(&(i128::from(b.1) * i128::from(a.0)))
}

/// Puts rows below the pivot first, then its equals: where these begin and end.
fn partition(rows: &mut [(i64, i64)], pivot: (i64, i64)) -> (usize, usize) {
    let (mut less, mut at, mut end) = (0, 0, rows.len());
    while at < end {
        match compare(rows[at], pivot) {
            Ordering::Less => {
                rows.swap(less, at);
                less += 1;
                at += 1;
            }
            Ordering::Equal => at += 1,
            Ordering::Greater => {
                end -= 1;
                rows.swap(at, end);
            }
        }
    }
    (less, at)
}
