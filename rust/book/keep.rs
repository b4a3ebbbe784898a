//! Making a band: one pass that bounds every row and keeps those that may be at the head.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::book::band::{Band, Found, NO_FLOOR};
use crate::book::bound::Bound;
use crate::book::coefficients::Coefficients;
use crate::book::{Book, lock, value};
use crate::select::{CHUNK, RUN};

/// Fewer rows are looked at all the time.
const FEWEST_ROWS: usize = 8;
const SAMPLES: usize = 1 << 14;
/// Lots that are kept for each lot asked for.
const ROOM: f64 = 1.5;
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
        let value = value(self.rate(section));
        let width = {
            let mut pace = lock(pace);
            if let Some(old) = old.filter(|old| old.epoch == self.epoch) {
                pace.learn(old, value);
            }
            if !pace.is_due() {
                return None;
            }
            pace.passes += 1;
            pace.width
        };
        let ends = (value * (1.0 - width), value * (1.0 + width));
        let bound = self.bound(section, ends);
        let made = self.gather(section, &bound, lots).map(|(found, floor)| {
            let epoch = (ends, self.epoch);
            Band::new(&bound.columns, &found, floor, epoch, self.pools.is_derived())
        });
        if made.is_none() {
            lock(pace).fail();
        } else {
            lock(pace).next_rest = 1;
        }
        made
    }
}

impl Book {
    /// Rows in the order of their bounds that hold enough lots, and the floor others are below.
    fn gather(
        &self,
        section: usize,
        bound: &Bound<'_>,
        lots: i64,
    ) -> Option<(Vec<Found>, (u8, f64))> {
        let rows = bound.columns.len();
        if rows < FEWEST_ROWS {
            return None;
        }
        let most = if rows <= SAMPLES { rows } else { rows / 4 };
        let size =
            |found: &Found| i128::from(bound.columns.lots[found.row as usize].unsigned_abs());
        let column = self.sections[section].coefficients.as_ref();
        let column = column.filter(|column| column.is_ready(1.0, bound.band));
        let mut aim = ROOM;
        loop {
            let mut floor = sampled(bound, column, aim * lots as f64);
            if column.is_some() && floor.1 <= 0.0 {
                // The column knows of losers only that they are.
                floor = sampled(bound, None, aim * lots as f64);
            }
            let mut found = self.pass(section, bound, floor, most)?;
            let wanted = (ROOM * lots as f64) as i128;
            let reached: i128 = found.iter().map(size).sum();
            if reached < wanted && floor != NO_FLOOR {
                aim *= 4.0;
                continue;
            }
            found.par_sort_unstable_by_key(Found::key);
            let mut sum = 0;
            let end = found.iter().position(|one| {
                sum += size(one);
                sum > wanted
            });
            let floor = match end {
                Some(end) if end + 1 < found.len() => {
                    let first = found[end + 1];
                    found.truncate(end + 1);
                    (first.tier, first.upper)
                }
                _ => floor,
            };
            return Some((found, floor));
        }
    }
}

/// A floor that about so many lots reach, by a sample.
fn sampled(bound: &Bound<'_>, column: Option<&Coefficients>, lots: f64) -> (u8, f64) {
    let rows = bound.columns.len();
    let stride = rows / SAMPLES;
    if stride < 2 {
        return NO_FLOOR;
    }
    // As the stateless kernel samples: short runs, an odd number of rows between them.
    let step = (stride * RUN) | 1;
    let picked = (0..rows).step_by(step).flat_map(|start| start..rows.min(start + RUN));
    let mut sample: Vec<Found> = picked.map(|row| found(bound, column, row)).collect();
    let share = lots * sample.len() as f64 / rows as f64;
    sample.sort_unstable_by_key(Found::key);
    let size = |one: &Found| bound.columns.lots[one.row as usize].unsigned_abs() as f64;
    let (mut sum, mut squares) = (0.0, 0.0);
    let reached = sample.iter().find(|one| {
        sum += size(one);
        squares += size(one) * size(one);
        // Two errors of the sum, and a few rows at least.
        sum - 2.0 * f64::sqrt(squares) > share
    });
    match reached {
        Some(one) if one.upper > f64::NEG_INFINITY => (one.tier, one.upper),
        _ => NO_FLOOR,
    }
}

/// A row with the bound that costs less.
fn found(bound: &Bound<'_>, column: Option<&Coefficients>, row: usize) -> Found {
    let tier = bound.columns.tier.map_or(0, |tier| tier[row]);
    let upper = column.and_then(|column| column.upper(row, bound.band));
    Found::new(tier, upper.unwrap_or_else(|| bound.upper(row)), row as u32)
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
        // Rows of tiers before the floor's are needed whatever their score.
        let column = self.sections[section].coefficients.as_ref();
        let column = column.filter(|column| floor.0 == 0 && column.is_ready(floor.1, bound.band));
        let count = AtomicUsize::new(0);
        let chunk = |start: usize| {
            if count.load(Ordering::Relaxed) > most {
                return Vec::new();
            }
            let end = rows.min(start + CHUNK);
            let reached: Vec<Found> = if let Some(column) = column {
                let mut rows = Vec::new();
                column.reach(self.setup.level, floor.1, bound.band, (start, end), &mut rows);
                let all = rows.into_iter().map(|row| found(bound, Some(column), row as usize));
                all.filter(|one| one.reaches(floor)).collect()
            } else {
                let all = (start..end).map(|row| found(bound, None, row));
                all.filter(|one| one.reaches(floor)).collect()
            };
            count.fetch_add(reached.len(), Ordering::Relaxed);
            reached
        };
        let starts: Vec<usize> = (0..rows).step_by(CHUNK).collect();
        let parts: Vec<Vec<Found>> = starts.par_iter().map(|&start| chunk(start)).collect();
        (count.into_inner() <= most).then(|| parts.concat())
    }
}
