//! A pass over all rows for the head of a side: rows surely before the cut are taken as they come,
//! rows that may be it are kept as candidates, all others are dropped.
//!
//! Units of rows come in waves that are spread over the whole book. After each wave the bracket
//! around the cut is narrowed by what is known so far; where that guess proves wrong the caller
//! finds out by the weights, so that it costs time and never changes an answer. Units and waves are
//! fixed, so that threads change nothing.

use std::cmp::Ordering;
use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::lane::{LANE, Lane, Span, nice_error, with_lane};
use crate::places::{BITS, Bits, Found};
use crate::queue::Candidate;
use crate::scatter::Reading;
use crate::score::Scorer;
use crate::screen::{Screen, is_screened};
use crate::select::Request;
use crate::simd::{Task, dispatch};

/// Units of a large book.
const UNITS: usize = 256;
/// Rows that are screened before those that are left are scored: few enough that their columns stay
/// in a core's own cache in between.
const STEP: usize = 1 << 12;
/// Every so manieth unit belongs to each wave but the last.
const STRIDES: [usize; 3] = [64, 16, 4];
/// Errors of the estimate that the bracket leaves below the expected cut: to fall short of it costs
/// another pass.
const ERRORS_BELOW: f64 = 4.0;
/// Errors of the estimate that the bracket leaves above the expected cut.
const ERRORS_ABOVE: f64 = 3.0;
/// Errors of the estimate by which the expected cut may lie behind all that is kept.
const ERRORS_SHORT: f64 = 2.0;
/// Units that have to share the head before their differences say anything.
const FEWEST_UNITS: f64 = 2.0;

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
    /// How many near rows are worth thinning.
    crowd: usize,
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
    /// How accounts are read.
    pub reading: &'a Reading,
    /// Whether every row is kept with its key, to be brought into order.
    pub is_ordered: bool,
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
    /// Passes over all rows once; none where the first units show that the cut lies far behind the
    /// lowest row.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn run(&self, low: Option<Candidate>) -> Result<Option<Kept>> {
        let rows = self.scorer.columns.len();
        let size = (rows / UNITS).max(1).next_multiple_of(STEP);
        let units = rows.div_ceil(size);
        let bracket = Bracket { low, high: f64::INFINITY };
        let mut kept = Kept { taken: Vec::new(), near: Vec::new(), bracket };
        let mut done = 0;
        for wave in waves(units) {
            let bracket = kept.bracket;
            let parts = wave
                .par_iter()
                .map(|&unit| {
                    let rows = unit * size..rows.min((unit + 1) * size);
                    with_lane(|lane| self.unit(rows, bracket, lane))
                })
                .collect::<Result<Vec<Part>>>()?;
            done += parts.len();
            kept.near.reserve_exact(parts.iter().map(|part| part.near.len()).sum());
            for part in &parts {
                kept.near.extend_from_slice(&part.near);
            }
            let share = done as f64 / units as f64;
            if done < units && !self.narrow(&mut kept, &parts, share) {
                return Ok(None);
            }
            kept.taken.extend(parts.into_iter().map(|part| part.taken));
        }
        Ok(Some(kept))
    }

    /// Lots of candidates.
    #[must_use]
    pub fn weight(&self, candidates: &[Candidate]) -> i128 {
        candidates.iter().map(|c| self.scorer.size(c)).sum()
    }

    fn unit(&self, rows: Range<usize>, mut bracket: Bracket, lane: &mut Lane) -> Result<Part> {
        let mut part = Part::default();
        let mut found = None;
        let mut start = rows.start;
        while start < rows.end {
            let floor = bracket.low.map_or(0.0, |c| c.key - 4.0 * nice_error(c.key));
            if is_screened(self.scorer, floor) {
                let found = found.get_or_insert_with(|| Found::new(STEP + LANE));
                let end = rows.end.min(start + STEP);
                self.screen(start..end, floor, found)?;
                // A lane costs the same for one row as for many: what does not fill one waits.
                let left = if end == rows.end { 0 } else { found.rows().len() % LANE };
                let whole = found.rows().len() - left;
                for rows in found.rows()[..whole].chunks(LANE) {
                    self.keep(Span::Rows(rows), bracket, lane, &mut part)?;
                }
                found.drop_first(whole);
                start = end;
            } else {
                let span = Span::Run(start, LANE.min(rows.end - start));
                self.keep(span, bracket, lane, &mut part)?;
                start += LANE;
            }
            self.rise(&mut part, &mut bracket);
        }
        Ok(part)
    }

    /// Finds the rows of a range that may reach a floor.
    fn screen(&self, rows: Range<usize>, floor: f64, found: &mut Found) -> Result<()> {
        let (scorer, side) = (self.scorer, self.request.side);
        let (reading, start, end) = (self.reading, rows.start, rows.end);
        let screen = Screen { scorer, floor, side, start, end, reading, found };
        if dispatch(scorer.level, screen) {
            return Ok(());
        }
        Err(scorer.columns.first_out_of_range(&scorer.accounts))
    }

    /// Raises the lowest row where a unit holds all that is needed: who is behind that is spared.
    fn rise(&self, part: &mut Part, bracket: &mut Bracket) {
        if part.near.len() < part.crowd.max(LANE / 4) {
            return;
        }
        let need = self.need - part.taken.weight();
        if 0 < need && need <= self.weight(&part.near) {
            let (low, _) = self.scorer.find_cut(&mut part.near, need, |c| self.scorer.size(c));
            bracket.low = Some(part.near[low]);
            part.near.truncate(low + 1);
        }
        part.crowd = 2 * part.near.len();
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
    ///
    /// False where they show that the rows down to the lowest will not do.
    fn narrow(&self, kept: &mut Kept, parts: &[Part], share: f64) -> bool {
        let new: i128 = parts.iter().map(|part| part.taken.weight()).sum();
        let (taken, held) = (kept.taken_weight() + new, self.weight(&kept.near));
        let expected = (self.need as f64 * share) as i128 - taken;
        // Enough is held already: nobody behind the cut so far can be before the last one.
        let mut lowest = self.need - taken;
        if self.is_trusting && expected > held {
            let error = self.error(parts, f64::NEG_INFINITY, share).map(|error| error * share);
            let is_short = |error| ((expected - held) as f64) > ERRORS_SHORT * error;
            return kept.bracket.low.is_none() || !error.is_some_and(is_short);
        }
        if self.is_trusting && expected > 0 {
            let size = |c: &Candidate| self.scorer.size(c);
            let (middle, _) = self.scorer.find_cut(&mut kept.near, expected, size);
            if let Some(error) = self.error(parts, kept.near[middle].key, share) {
                let above = expected - (ERRORS_ABOVE * share * error) as i128;
                if above > 0 && !self.is_ordered {
                    let ahead = &mut kept.near[..=middle];
                    let (high, _) = self.scorer.find_cut(ahead, above, size);
                    kept.bracket.high = kept.bracket.high.min(kept.near[high].key);
                }
                lowest = lowest.min(expected + (ERRORS_BELOW * share * error) as i128);
            }
        }
        if 0 < lowest && lowest <= held {
            let (low, _) = self.scorer.find_cut(&mut kept.near, lowest, |c| self.scorer.size(c));
            kept.bracket.low = Some(kept.near[low]);
            kept.near.truncate(low + 1);
        }
        true
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
        // A few units know little of how far they lie apart.
        let doubt = 1.0 + 4.0 / (count - 1.0);
        Some(doubt * (variance * rest * (rest + count) / count).sqrt())
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

impl Task for Reach<'_> {
    type Output = Marks;

    #[inline(always)]
    fn run(self) -> Marks {
        let (mut reached, mut sure) = (0u64, 0u64);
        let side = f64::from(self.side);
        for i in 0..LANE {
            let (key, is_nice) = (self.lane.key[i], self.lane.is_nice[i] as u64);
            let is_side = u64::from(self.lane.parts.lots[i] * side > 0.0);
            let is_reached = is_side & (u64::from(key >= self.floor) | (1 - is_nice));
            let is_sure = is_side & is_nice & u64::from(key > self.ceiling);
            reached |= is_reached.wrapping_neg() & BITS[i];
            sure |= is_sure.wrapping_neg() & BITS[i];
        }
        Marks { near: reached & !sure, sure }
    }
}
