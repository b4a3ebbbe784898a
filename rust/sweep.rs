//! A pass over all rows for the head of a side: rows surely before the cut are taken as they come,
//! rows that may be it are kept as candidates, all others are dropped.
//!
//! Units of rows come in waves that are spread over the whole book. After each wave the bracket
//! around the cut is narrowed by what is known so far; where that guess proves wrong the caller
//! finds out by the weights, so that it costs time and never changes an answer. Units and waves are
//! fixed, so that threads change nothing.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::error::Result;
use crate::lane::{LANE, Lane, Span, nice_error, with_lane};
use crate::queue::Candidate;
use crate::score::Scorer;
use crate::screen::{Screen, is_screened};
use crate::select::Request;
use crate::simd::{Task, dispatch};

/// Rows of a unit: few enough that the columns stay in a core's own cache between two looks.
const UNIT: usize = 1 << 12;
/// Every so manieth unit belongs to each wave but the last.
const STRIDES: [usize; 3] = [64, 16, 4];
/// Errors of the estimate that the bracket leaves below the expected cut: to fall short of it costs
/// another pass.
const ERRORS_BELOW: f64 = 4.0;
/// Errors of the estimate that the bracket leaves above the expected cut.
const ERRORS_ABOVE: f64 = 3.0;
/// Units that have to share the head before their differences say anything.
const FEWEST_UNITS: f64 = 12.0;

/// Where the cut is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Bracket {
    /// Rows behind this one are dropped.
    pub low: Option<Candidate>,
    /// Rows whose score is surely above this key are taken unseen.
    pub high: f64,
}

/// What a pass found.
#[derive(Debug)]
pub struct Kept {
    /// Rows surely before `bracket.high`, by units.
    pub taken: Vec<Taken>,
    /// Rows that may be the cut, or before it.
    pub near: Vec<Candidate>,
    /// The narrowest bracket used.
    pub bracket: Bracket,
}

/// Rows of a unit that are taken whole.
#[derive(Debug, Default)]
pub struct Taken {
    /// Rows in increasing order.
    pub rows: Vec<u32>,
    /// Their lots, positive.
    pub lots: Vec<i64>,
}

/// What a unit holds for the head.
#[derive(Default)]
struct Part {
    taken: Taken,
    near: Vec<Candidate>,
}

/// One tier of the candidates' side, and how much of its head is needed.
#[derive(Clone, Copy)]
pub struct Sweep<'a, 's> {
    /// What scores.
    pub scorer: &'a Scorer<'s>,
    /// What is asked for.
    pub request: &'a Request<'a>,
    /// The tier; none where the columns have none.
    pub tier: Option<u8>,
    /// Lots that are needed.
    pub need: i128,
    /// Whether the bracket may follow an estimate, or only what is proven.
    pub is_trusting: bool,
}

impl Kept {
    /// Lots that are taken.
    #[must_use]
    pub fn taken_weight(&self) -> i128 {
        self.taken.iter().map(Taken::weight).sum()
    }
}

impl Taken {
    fn weight(&self) -> i128 {
        self.lots.iter().map(|&lots| i128::from(lots)).sum()
    }
}

impl Sweep<'_, '_> {
    /// Passes over all rows once.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn run(&self, low: Option<Candidate>) -> Result<Kept> {
        let units = self.scorer.columns.len().div_ceil(UNIT);
        let bracket = Bracket { low, high: f64::INFINITY };
        let mut kept = Kept { taken: Vec::new(), near: Vec::new(), bracket };
        let mut done = 0;
        for wave in waves(units) {
            let bracket = kept.bracket;
            let parts = wave
                .par_iter()
                .map(|&unit| with_lane(|lane| self.unit(unit, bracket, lane)))
                .collect::<Result<Vec<Part>>>()?;
            done += parts.len();
            kept.near.reserve_exact(parts.iter().map(|part| part.near.len()).sum());
            for part in &parts {
                kept.near.extend_from_slice(&part.near);
            }
            let share = done as f64 / units as f64;
            if done < units {
                self.narrow(&mut kept, &parts, share);
            }
            kept.taken.extend(parts.into_iter().map(|part| part.taken));
        }
        Ok(kept)
    }

    /// Lots of candidates.
    #[must_use]
    pub fn weight(&self, candidates: &[Candidate]) -> i128 {
        candidates.iter().map(|c| self.scorer.size(c)).sum()
    }

    fn unit(&self, unit: usize, bracket: Bracket, lane: &mut Lane) -> Result<Part> {
        let start = unit * UNIT;
        let end = self.scorer.columns.len().min(start + UNIT);
        let mut part = Part::default();
        let floor = bracket.low.map_or(0.0, |c| c.key - 4.0 * nice_error(c.key));
        if is_screened(self.scorer, floor) {
            let (scorer, side) = (self.scorer, self.request.side);
            let mut rows = Vec::with_capacity(UNIT);
            let screen = Screen { scorer, floor, side, start, end, kept: &mut rows };
            if !dispatch(scorer.level, screen) {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            for rows in rows.chunks(LANE) {
                self.keep(Span::Rows(rows), bracket, lane, &mut part)?;
            }
            return Ok(part);
        }
        for at in (start..end).step_by(LANE) {
            self.keep(Span::Run(at, LANE.min(end - at)), bracket, lane, &mut part)?;
        }
        Ok(part)
    }

    fn keep(
        &self,
        span: Span<'_>,
        bracket: Bracket,
        lane: &mut Lane,
        part: &mut Part,
    ) -> Result<()> {
        self.scorer.evaluate(span, lane);
        if !lane.is_valid {
            return Err(self.scorer.columns.first_out_of_range(&self.scorer.accounts));
        }
        let floor = bracket.low.map_or(f64::NEG_INFINITY, |c| c.key - 2.0 * nice_error(c.key));
        let ceiling = bracket.high + 4.0 * nice_error(bracket.high);
        let marks =
            dispatch(self.scorer.level, Reach { lane, floor, ceiling, side: self.request.side });
        let rows = u64::MAX >> (LANE - span.len());
        for place in Bits(marks.sure & rows) {
            let row = span.row(place);
            if self.is_candidate(row) {
                part.taken.rows.push(row as u32);
                part.taken.lots.push(self.scorer.columns.lots[row].unsigned_abs() as i64);
            }
        }
        for place in Bits(marks.near & rows) {
            let row = span.row(place);
            let found = self.scorer.key(lane, place, row).map(|key| self.candidate(key, row));
            let is_behind = |c: &Candidate| {
                bracket.low.is_some_and(|low| self.scorer.compare(c, &low) == Ordering::Greater)
            };
            if let Some(candidate) = found.filter(|c| self.is_candidate(row) && !is_behind(c)) {
                part.near.push(candidate);
            }
        }
        Ok(())
    }

    fn candidate(&self, key: f64, row: usize) -> Candidate {
        Candidate::new(key, row, self.scorer.columns.lots[row])
    }

    /// Whether a row of the side stands in the tier and is not excluded.
    #[inline]
    fn is_candidate(&self, row: usize) -> bool {
        let is_here = match (self.tier, self.scorer.columns.tier) {
            (Some(tier), Some(column)) => column[row] == tier,
            _ => true,
        };
        let excluded = self.request.excluded;
        is_here && (excluded.is_empty() || excluded.binary_search(&(row as i64)).is_err())
    }

    /// Candidates of the side among some rows, all of which have to be in range.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn candidates(&self, rows: &[u32], found: &mut Vec<Candidate>) -> Result<()> {
        let bracket = Bracket { low: None, high: f64::INFINITY };
        let mut part = Part::default();
        with_lane(|lane| {
            let mut lanes = rows.chunks(LANE);
            lanes.try_for_each(|rows| self.keep(Span::Rows(rows), bracket, lane, &mut part))
        })?;
        found.append(&mut part.near);
        Ok(())
    }

    /// Narrows the bracket by what the waves so far hold; `parts` are the units of the last.
    fn narrow(&self, kept: &mut Kept, parts: &[Part], share: f64) {
        let new: i128 = parts.iter().map(|part| part.taken.weight()).sum();
        let taken = kept.taken_weight() + new;
        let held = self.weight(&kept.near);
        let size = |c: &Candidate| self.scorer.size(c);
        // Enough is held already: nobody behind the cut so far can be before the last one.
        let proven = (taken + held >= self.need && taken < self.need).then_some(self.need);
        let mut lowest = proven;
        let expected = (self.need as f64 * share) as i128 - taken;
        if self.is_trusting && 0 < expected && expected <= held {
            let (middle, _) = self.scorer.find_cut(&mut kept.near, expected, size);
            let middle = kept.near[middle].key;
            if let Some(error) = self.error(parts, middle, share) {
                let error = (share * error) as i128;
                let target = expected - (ERRORS_ABOVE * error as f64) as i128;
                if target > 0 {
                    let (high, _) = self.scorer.find_cut(&mut kept.near, target, size);
                    kept.bracket.high = kept.near[high].key;
                }
                let target = taken + expected + (ERRORS_BELOW * error as f64) as i128;
                lowest = Some(proven.map_or(target, |proven| proven.min(target)));
            }
        }
        if let Some(target) = lowest.map(|target| target - taken).filter(|&target| target <= held) {
            let (low, _) = self.scorer.find_cut(&mut kept.near, target.max(1), size);
            kept.bracket.low = Some(kept.near[low]);
            kept.near.truncate(low + 1);
        }
    }

    /// Error of the lots above a key that are expected in all units, by the units of a wave.
    ///
    /// Neighbours are compared, so that a drift over the book is no error; none where too few units
    /// hold the lots.
    fn error(&self, parts: &[Part], key: f64, share: f64) -> Option<f64> {
        let above = |part: &Part| {
            let near = part.near.iter().filter(|c| c.key >= key).map(|c| self.scorer.size(c));
            (part.taken.weight() + near.sum::<i128>()) as f64
        };
        let sums: Vec<f64> = parts.iter().map(above).collect();
        let whole: f64 = sums.iter().sum();
        let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
        if whole * whole < FEWEST_UNITS * squares || whole <= 0.0 {
            return None;
        }
        let count = sums.len() as f64;
        let steps: f64 = sums.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
        let variance = steps / (2.0 * (count - 1.0));
        let rest = count * (1.0 - share) / share;
        Some((variance * rest * (rest + count) / count).sqrt())
    }
}

/// Numbers of the units by wave: a few that are spread over all rows, then more, then all others.
fn waves(units: usize) -> [Vec<usize>; 4] {
    let mut waves = [const { Vec::new() }; 4];
    for unit in 0..units {
        let wave = STRIDES.iter().position(|stride| unit % stride == stride / 3).unwrap_or(3);
        waves[wave].push(unit);
    }
    waves
}

/// Places of the bits that are set, lowest first.
pub struct Bits(pub u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let place = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (place < 64).then_some(place)
    }
}

/// Which places of a lane may reach a floor, and which of them are surely above a ceiling.
struct Reach<'a> {
    lane: &'a Lane,
    floor: f64,
    ceiling: f64,
    side: i8,
}

/// One bit a place.
struct Marks {
    near: u64,
    sure: u64,
}

/// The bit of each place: a sum over a table is a loop that vectorises.
pub const BITS: [u64; LANE] = {
    let mut bits = [0; LANE];
    let mut place = 0;
    while place < LANE {
        bits[place] = 1 << place;
        place += 1;
    }
    bits
};

impl Task for Reach<'_> {
    type Output = Marks;

    #[inline(always)]
    fn run(self) -> Marks {
        let (mut reached, mut sure) = (0u64, 0u64);
        let side = f64::from(self.side);
        for i in 0..LANE {
            let (key, is_nice) = (self.lane.key[i], self.lane.is_nice[i] == 1);
            let is_side = self.lane.parts.lots[i] * side > 0.0;
            let is_reached = is_side & ((key >= self.floor) | !is_nice);
            let is_sure = is_side & is_nice & (key > self.ceiling);
            reached |= if is_reached { BITS[i] } else { 0 };
            sure |= if is_sure { BITS[i] } else { 0 };
        }
        Marks { near: reached & !sure, sure }
    }
}
