//! Making a band: one pass that bounds every row and keeps those that may be at the head.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::book::band::{Band, Found, NO_FLOOR};
use crate::book::bound::Bound;
use crate::book::coefficients::Coefficients;
use crate::book::estimate::{BLOCK, Block, Estimate};
use crate::book::order::spread;
use crate::book::table::{fetched, fetching};
use crate::book::{Book, lock, value};
use crate::select::{CHUNK, RUN};
use crate::simd::{Level, prefetch};

/// Fewer rows are looked at all the time.
const FEWEST_ROWS: usize = 8;
const SAMPLES: usize = 1 << 14;
/// Lots that a sample has to promise for each lot asked for, and the least that will do. A sample
/// errs, and what it promises is mostly exceeded.
const ROOM: f64 = 1.25;
const LEAST_ROOM: f64 = 1.125;
/// About so many rows are kept however little is asked for: what is cut leaves the head.
const FEWEST_KEPT: usize = 1 << 12;
const NARROWEST: f64 = 1.0 / (1 << 14) as f64;
const WIDEST: f64 = 1.0 / 16.0;
const FIRST_WIDTH: f64 = 1.0 / 256.0;
/// Rows looked at for each row selected above which a band is too wide.
const MOST_EXCESS: f64 = 1.6;
/// Most queries that are answered by full passes before a band is tried again.
const LONGEST_REST: u32 = 64;

/// How wide the next band of a section will be, and whether it is worth the pass.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    width: f64,
    rest: u32,
    next_rest: u32,
    passes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, rest: 0, next_rest: 1, passes: 0 }
    }
}

impl Pace {
    /// Learns from the band before: one that the mark left too soon, in small steps, was too
    /// narrow; one that ran out of rows, or had to look at many more than were asked for, too wide.
    fn learn(&mut self, old: &Band, value: f64) {
        let scored = old.scored.load(Ordering::Relaxed) as usize;
        let (low, high) = old.ends;
        let beyond = (low - value).max(value - high);
        let by = if beyond <= 0.0 {
            0.5
        } else if beyond < high - low && scored < old.looked_at / 2 {
            1.5
        } else if old.excess() > MOST_EXCESS {
            0.8
        } else {
            1.0
        };
        self.width = (self.width * by).clamp(NARROWEST, WIDEST);
    }

    /// Whether a band is tried this time.
    fn is_due(&mut self) -> bool {
        let is_due = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        is_due
    }

    fn fail(&mut self) {
        self.rest = self.next_rest;
        self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
        self.width = (self.width / 2.0).max(NARROWEST);
    }
}

impl Book {
    /// Passes over a section to make a band.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.sections.iter().map(|section| lock(&section.pace).passes).sum()
    }

    /// Makes a band around the mark in use; none where it would not be worth its pass.
    pub(super) fn keep(&self, section: usize, lots: i64, old: Option<&Band>) -> Option<Band> {
        let pace = &self.sections[section].pace;
        let mut width = {
            let mut pace = lock(pace);
            if let Some(old) = old.filter(|old| old.epoch == self.epoch) {
                pace.learn(old, value(self.rate(section)));
            }
            if !pace.is_due() {
                return None;
            }
            pace.passes += 1;
            pace.width
        };
        let mut made = self.gather(section, lots as f64, &mut width);
        if let (Some(made), Some(old)) = (&mut made, old) {
            made.follow(old);
        }
        let mut pace = lock(pace);
        if made.is_none() {
            pace.fail();
        } else {
            (pace.width, pace.next_rest) = (width, 1);
        }
        made
    }

    /// The rows that reach a floor above which there are enough lots; the width may be lessened.
    fn gather(&self, section: usize, lots: f64, width: &mut f64) -> Option<Band> {
        let rows = self.sections[section].table.len();
        if rows < FEWEST_ROWS {
            return None;
        }
        // Where there is no sample every row is found, however many are kept of them.
        let most = if rows < 2 * SAMPLES { rows } else { rows / 4 };
        let (value, mut aim) = (value(self.rate(section)), ROOM);
        while *width >= NARROWEST {
            let ends = (value * (1.0 - *width), value * (1.0 + *width));
            let bound = self.bound(section, ends);
            let Some(floor) = self.floor(section, &bound, aim * lots) else {
                *width /= 2.0;
                continue;
            };
            let found = spread(self.pass(section, &bound, floor, most)?, Found::place);
            let (found, floor) = head(bound.columns.lots, found, floor, ROOM * lots);
            let epoch = (ends, self.epoch);
            let band = Band::new(&bound.columns, &found, floor, epoch, self.pools.is_derived());
            if band.reach() >= LEAST_ROOM * lots || floor == NO_FLOOR {
                return Some(band);
            }
            aim *= 2.0;
        }
        None
    }

    /// A floor that about so many lots reach; none where it would screen nothing, because many may
    /// come near to no equity in so wide a band.
    fn floor(&self, section: usize, bound: &Bound<'_>, lots: f64) -> Option<(u8, f64)> {
        let column = self.sections[section].coefficients.as_ref();
        let column = column.filter(|column| column.is_ready(1.0, bound.band));
        let mut floor = sampled(bound, column, self.setup.level, lots);
        if column.is_some() && floor.1 <= 0.0 {
            // The column knows of losers only that they are.
            floor = sampled(bound, None, self.setup.level, lots);
        }
        let is_beyond = |column: &Coefficients| !column.is_ready(floor.1, bound.band);
        let is_blunt = floor.1 > 1.0 && column.map_or(floor.1 == f64::INFINITY, is_beyond);
        (!is_blunt).then_some(floor)
    }
}

/// The head of what was found in order: where there was no floor, so many lots and rows are enough.
fn head(
    column: &[i64],
    mut found: Vec<Found>,
    floor: (u8, f64),
    lots: f64,
) -> (Vec<Found>, (u8, f64)) {
    if floor != NO_FLOOR {
        return (found, floor);
    }
    let mut sum = 0.0;
    let end = found.iter().enumerate().position(|(at, one)| {
        let is_enough = sum > lots && at >= FEWEST_KEPT;
        sum += column[one.row() as usize].unsigned_abs() as f64;
        is_enough
    });
    let first = end.map(|end| found[end]);
    found.truncate(end.unwrap_or(found.len()));
    (found, first.map_or(floor, |first| (first.tier(), first.upper())))
}

/// A floor that about so many lots reach, by a sample.
fn sampled(bound: &Bound<'_>, column: Option<&Coefficients>, level: Level, lots: f64) -> (u8, f64) {
    let rows = bound.columns.len();
    let stride = rows / SAMPLES;
    if stride < 2 {
        return NO_FLOOR;
    }
    // As the stateless kernel samples: short runs, an odd number of rows between them.
    let step = (stride * RUN) | 1;
    let picked = (0..rows).step_by(step).flat_map(|start| start..rows.min(start + RUN));
    let picked: Vec<u32> = picked.map(|row| row as u32).collect();
    let sizes = fetched(bound.columns.lots, &picked).map(|lots| lots.unsigned_abs() as f64);
    let mut sample: Vec<Sized> = bounded(bound, column, level, &picked).zip(sizes).collect();
    let whole: f64 = sample.iter().map(|one| one.1).sum();
    let fewest = whole * FEWEST_KEPT as f64 / sample.len() as f64;
    let share = lots.max(fewest) * sample.len() as f64 / rows as f64;
    // Only the head of the sample is put in order, with room for what is large there.
    let head = (4.0 * sample.len() as f64 * share / whole) as usize + 64;
    let reached = if head < sample.len() {
        sample.select_nth_unstable_by_key(head, |one| one.0);
        reach(&mut sample[..head], share)
    } else {
        None
    };
    let reached = reached.or_else(|| reach(&mut sample, share));
    match reached {
        Some(one) if one.upper() > f64::NEG_INFINITY => (one.tier(), one.upper()),
        _ => NO_FLOOR,
    }
}

/// A row of a sample, and its lots.
type Sized = (Found, f64);

/// The row in which so many lots are surely reached, largest bounds first.
fn reach(sample: &mut [Sized], lots: f64) -> Option<Found> {
    sample.sort_unstable_by_key(|one| one.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    let reached = sample.iter().find(|(_, size)| {
        sum += size;
        squares += size * size;
        // Two errors of the sum, and a few rows at least.
        sum - 2.0 * f64::sqrt(squares) > lots
    });
    reached.map(|one| one.0)
}

/// Rows that may stand anywhere, each with the bound that costs less.
fn bounded<'a>(
    bound: &'a Bound<'_>,
    column: Option<&Coefficients>,
    level: Level,
    rows: &'a [u32],
) -> impl Iterator<Item = Found> + 'a {
    let uppers = match column {
        Some(column) => column.uppers(level, rows, bound.band),
        None => Vec::new(),
    };
    let is_told = column.is_some();
    let fetch = move |line: Range<usize>| {
        if !is_told {
            prefetch(bound.columns.lots, line.clone());
            prefetch(bound.columns.entry_value, line);
        }
    };
    fetching(rows, fetch).enumerate().map(move |(place, row)| {
        let tier = bound.columns.tier.map_or(0, |tier| tier[row]);
        let told = uppers.get(place).copied().filter(|upper| !upper.is_nan());
        Found::new(tier, told.unwrap_or_else(|| bound.upper(row)), row as u32)
    })
}

/// How rows that cannot reach a floor anywhere in a band are dropped without bounding each.
enum Screen<'a> {
    /// By products of their two prices, where the floor is above zero.
    Products(&'a Coefficients, (f64, f64)),
    /// By what their two prices tell at both ends of the band, where it is not: a row that loses at
    /// both ends has its largest score at one of them, whatever the rule does with losses, unless
    /// its equity changes its sign in between; all others may reach the floor.
    Ends(Box<[Estimate<'a>; 2]>),
    /// Not at all.
    All,
}

impl<'a> Screen<'a> {
    fn new(column: Option<&'a Coefficients>, bound: &Bound<'_>, floor: (u8, f64)) -> Self {
        // Rows of tiers before the floor's are needed whatever their score.
        let Some(column) = column.filter(|_| floor.0 == 0) else {
            return Self::All;
        };
        if column.is_ready(floor.1, bound.band) {
            return Self::Products(column, bound.band);
        }
        let at = |value| Estimate::new(column, bound.rule, value);
        match (at(bound.band.0), at(bound.band.1)) {
            (Some(low), Some(high)) if floor.1 <= 0.0 => Self::Ends(Box::new([low, high])),
            _ => Self::All,
        }
    }

    /// The column, where it bounds rows that reach the floor.
    fn column(&self) -> Option<&'a Coefficients> {
        match self {
            Self::Products(column, _) => Some(column),
            _ => None,
        }
    }

    /// Rows that may reach the floor.
    fn reach(&self, level: Level, floor: f64, rows: Range<usize>) -> Vec<u32> {
        let mut found = Vec::new();
        match self {
            Self::Products(column, band) => {
                column.reach(level, floor, *band, (rows.start, rows.end), &mut found);
            }
            Self::Ends(ends) => {
                let (mut first, mut last) = (Block::UNKNOWN, Block::UNKNOWN);
                for at in rows.clone().step_by(BLOCK) {
                    let part = at..rows.end.min(at + BLOCK);
                    ends[0].fill(level, part.clone(), &mut first);
                    ends[1].fill(level, part.clone(), &mut last);
                    let (first, last) = (&first.high[..part.len()], &last.high[..part.len()]);
                    let floor = (floor as f32).next_down();
                    for (row, (&first, &last)) in part.zip(first.iter().zip(last)) {
                        let is_out = [first, last].map(|high| high == f32::NEG_INFINITY);
                        if first >= floor || last >= floor || is_out[0] != is_out[1] {
                            found.push(row as u32);
                        }
                    }
                }
            }
            Self::All => found.extend(rows.map(|row| row as u32)),
        }
        found
    }
}

impl Book {
    /// Every row that reaches a floor, in the order of the rows; none where there are too many.
    fn pass(
        &self,
        section: usize,
        bound: &Bound<'_>,
        floor: (u8, f64),
        most: usize,
    ) -> Option<Vec<Found>> {
        let rows = bound.columns.len();
        let screen = Screen::new(self.sections[section].coefficients.as_ref(), bound, floor);
        let count = AtomicUsize::new(0);
        let chunk = |start: usize| {
            if count.load(Ordering::Relaxed) > most {
                return Vec::new();
            }
            let end = rows.min(start + CHUNK);
            let rows = screen.reach(self.setup.level, floor.1, start..end);
            let all = bounded(bound, screen.column(), self.setup.level, &rows);
            let reached: Vec<Found> = all.filter(|one| one.reaches(floor)).collect();
            count.fetch_add(reached.len(), Ordering::Relaxed);
            reached
        };
        let starts: Vec<usize> = (0..rows).step_by(CHUNK).collect();
        let parts: Vec<Vec<Found>> = starts.par_iter().map(|&start| chunk(start)).collect();
        (count.into_inner() <= most).then(|| parts.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::bound::tests::{member, random_book};
    use crate::rule::NoEquity;
    use proptest::prelude::*;

    proptest! {
        /// A row found keeps tier and row; its bound is raised a little and orders as it did.
        #[test]
        fn a_row_found_is_bounded_from_above(
            tier in any::<u8>(), row in any::<u32>(),
            upper in any::<f64>().prop_filter("a number", |upper| !upper.is_nan()),
            other in prop_oneof![any::<f64>(), -2.0..2.0, Just(0.0), Just(f64::NEG_INFINITY)],
        ) {
            let one = Found::new(tier, upper, row);
            prop_assert_eq!((one.tier(), one.row()), (tier, row));
            prop_assert!(upper <= one.upper());
            let hair = upper.abs() / f64::from(1 << 14) + f64::from(f32::MIN_POSITIVE);
            let is_far = upper.abs() > f64::from(f32::MAX) / 2.0;
            prop_assert!(is_far || one.upper() <= upper + hair);
            prop_assert_eq!(upper == f64::NEG_INFINITY, one.upper() == f64::NEG_INFINITY);
            if upper <= other {
                prop_assert!(one >= Found::new(tier, other, row));
            }
            let behind = Found::new(tier.saturating_add(1), upper, row);
            prop_assert!(one < behind || tier == u8::MAX);
        }

        /// No row is dropped whose exact score reaches a floor, above zero or below, in the band.
        #[test]
        fn a_screen_keeps_every_row_that_reaches(
            seed in any::<u64>(), basis in 0u8..9, factor in 0u8..4, loss in 0u8..4,
            keeps_broke in any::<bool>(), is_long in any::<bool>(), is_inverse in any::<bool>(),
            at in 1i64..400, by in 0i64..200,
        ) {
            let mut rule = member(basis, factor, loss);
            rule.no_equity = if keeps_broke { NoEquity::Zero } else { NoEquity::LeaveOut };
            let held = random_book(seed, if is_long { 1 } else { -1 });
            let bound = held.bound(&rule, (at as f64, (at + by) as f64), is_inverse);
            let column = Coefficients::new(&bound, is_long);
            for floor in [-40.0, -3.0, -1.0, -0.2, -0.03, -0.001, 0.0, 0.03, 1.0] {
                let screen = Screen::new(column.as_ref(), &bound, (0, floor));
                let kept = screen.reach(Level::detect(), floor, 0..bound.columns.len());
                for row in 0..bound.columns.len() {
                    let score = held.largest(&rule, row, (at, at + by), is_inverse);
                    let is_kept = kept.contains(&(row as u32));
                    prop_assert!(is_kept || score < floor, "row {row}: {score} >= {floor}");
                }
            }
        }
    }
}
