//! Exactly the head of one side's queue that offsets a quantity.
//!
//! A cut is sampled at a fixed stride, with a margin; one pass keeps the rows that reach it; among
//! those the true cut is selected, not sorted. Where the sampled cut proves too high it is lowered
//! and the pass repeated. Chunks are fixed, so that threads change nothing.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::lane::{LANE, Lane, Span, nice_error, with_lane};
use crate::queue::Candidate;
use crate::score::Scorer;
use crate::screen::{Screen, is_screened};
use crate::simd::{Task, dispatch};

/// Rows of a chunk: the unit of parallel work.
pub const CHUNK: usize = 1 << 16;
/// Chunks after which the kept rows are cut back to what is needed.
const WAVE: usize = 64;
const SAMPLES: usize = 1 << 14;
const FEWEST_SAMPLES: f64 = 6.0;
/// Rows of a sampled run.
pub const RUN: usize = 4;

/// What to offset.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Side of the candidates: +1 long, -1 short.
    pub side: i8,
    /// Lots to offset, more than zero.
    pub lots: i64,
    /// Rows that are no candidates, in increasing order.
    pub excluded: &'a [i64],
}

/// The head of the queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Selected rows, in no promised order.
    pub rows: Vec<i64>,
    /// Lots closed of each, positive; all of the row's, except for the partial one.
    pub lots: Vec<i64>,
    /// The last row taken and its float score.
    pub cut: Option<(i64, f64)>,
    /// The row that is not taken whole.
    pub partial: Option<i64>,
    /// Lots that the side could not offset.
    pub unfilled: i64,
    /// Passes that had to be repeated because the sampled cut was too high.
    pub rescans: u32,
}

/// Selects the head of the queue, tier by tier.
///
/// # Errors
/// A column or the rate is not what the rule needs, a value is out of range, or the request's
/// side or lots are.
pub fn select(scorer: &Scorer<'_>, request: &Request<'_>) -> Result<Selection> {
    scorer.columns.check(&scorer.accounts, scorer.rule)?;
    scorer.rate.check()?;
    let (side, lots) = (request.side, request.lots);
    if side != 1 && side != -1 {
        return Err(Error::Argument { name: "side", expected: "1 or -1", got: side.into() });
    }
    if lots <= 0 {
        return Err(Error::Argument { name: "lots", expected: "more than 0", got: lots });
    }
    let tiers = scorer.columns.tier.map_or(0, |tier| tier.iter().copied().max().unwrap_or(0));
    let mut selection = Selection { unfilled: lots, ..Selection::default() };
    for tier in 0..=tiers {
        let scan = Scan { scorer, request, tier: scorer.columns.tier.map(|_| tier) };
        scan.take(&mut selection)?;
        if selection.unfilled == 0 {
            break;
        }
    }
    Ok(selection)
}

/// One tier of the candidates' side.
struct Scan<'a, 's> {
    scorer: &'a Scorer<'s>,
    request: &'a Request<'a>,
    tier: Option<u8>,
}

impl Scan<'_, '_> {
    fn take(&self, selection: &mut Selection) -> Result<()> {
        let need = i128::from(selection.unfilled);
        let mut margin = 1.0;
        loop {
            let cut = self.sample(need, margin)?;
            let mut kept = self.pass(cut, need)?;
            if cut.is_none() || self.weight(&kept) >= need {
                self.deliver(&mut kept, selection);
                return Ok(());
            }
            selection.rescans += 1;
            margin *= 8.0;
        }
    }

    fn weight(&self, candidates: &[Candidate]) -> i128 {
        candidates.iter().map(|c| self.scorer.size(c)).sum()
    }

    /// A row that the cut is expected not to fall behind; none where all rows are needed.
    fn sample(&self, need: i128, margin: f64) -> Result<Option<Candidate>> {
        let rows = self.scorer.columns.len();
        let stride = rows / SAMPLES;
        if stride < 2 {
            return Ok(None);
        }
        // Short runs cost one cache line a column where single rows cost one each; an odd number of
        // rows between them is no divisor of a period of 2^k rows.
        let step = (stride * RUN) | 1;
        let starts = (0..rows).step_by(step);
        let picked: Vec<u32> =
            starts.flat_map(|start| start..rows.min(start + RUN)).map(|row| row as u32).collect();
        let mut found = Vec::with_capacity(picked.len());
        with_lane(|lane| {
            let mut lanes = picked.chunks(LANE);
            lanes.try_for_each(|rows| self.keep(Span::Rows(rows), None, lane, &mut found))
        })?;
        let total = self.weight(&found);
        let size = |c: &Candidate| self.scorer.size(c) as f64;
        let squares: f64 = found.iter().map(|c| size(c) * size(c)).sum();
        let share = need as f64 * picked.len() as f64 / rows as f64;
        // What a sample holds of a share varies by the root of share times size: two and a half
        // errors.
        let error = (share * squares / (total.max(1) as f64)).sqrt();
        let mean = total as f64 / found.len().max(1) as f64;
        let need = (share + margin * (2.5 * error + FEWEST_SAMPLES * mean)) as i128;
        if need >= total || found.is_empty() {
            return Ok(None);
        }
        let (cut, _) = self.scorer.find_cut(&mut found, need, |c| self.scorer.size(c));
        // Weight may sit in a few large rows: some rows at least have to lie before the cut.
        let fewest = (FEWEST_SAMPLES * margin) as usize;
        if cut >= fewest {
            return Ok(Some(found[cut]));
        }
        if found.len() <= fewest {
            return Ok(None);
        }
        let (cut, _) = self.scorer.find_cut(&mut found, fewest as i128, |_| 1);
        Ok(Some(found[cut]))
    }

    /// Rows of the side that reach the cut, in the order of the rows.
    fn pass(&self, mut cut: Option<Candidate>, need: i128) -> Result<Vec<Candidate>> {
        let rows = self.scorer.columns.len();
        let starts: Vec<usize> = (0..rows).step_by(CHUNK).collect();
        let mut kept: Vec<Candidate> = Vec::new();
        for wave in starts.chunks(WAVE) {
            let parts: Vec<Result<Vec<Candidate>>> = wave
                .par_iter()
                .map(|&start| with_lane(|lane| self.chunk(start, cut, lane)))
                .collect();
            let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
            kept.reserve_exact(parts.iter().map(Vec::len).sum());
            for part in parts {
                kept.extend_from_slice(&part);
            }
            if starts.len() > WAVE && self.weight(&kept) >= need {
                let size = |c: &Candidate| self.scorer.size(c);
                let (last, _) = self.scorer.find_cut(&mut kept, need, size);
                cut = Some(kept[last]);
                kept.truncate(last + 1);
            }
        }
        Ok(kept)
    }

    fn chunk(
        &self,
        start: usize,
        cut: Option<Candidate>,
        lane: &mut Lane,
    ) -> Result<Vec<Candidate>> {
        let end = self.scorer.columns.len().min(start + CHUNK);
        let mut kept = Vec::new();
        let floor = cut.map_or(0.0, |c| c.key - 4.0 * nice_error(c.key));
        if is_screened(self.scorer, floor) {
            let (scorer, side, mut rows) = (self.scorer, self.request.side, Vec::new());
            let screen = Screen { scorer, floor, side, start, end, kept: &mut rows };
            if !dispatch(scorer.level, screen) {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            for rows in rows.chunks(LANE) {
                self.keep(Span::Rows(rows), cut, lane, &mut kept)?;
            }
            return Ok(kept);
        }
        for at in (start..end).step_by(LANE) {
            let span = Span::Run(at, LANE.min(end - at));
            self.keep(span, cut, lane, &mut kept)?;
        }
        Ok(kept)
    }

    fn keep(
        &self,
        span: Span<'_>,
        cut: Option<Candidate>,
        lane: &mut Lane,
        kept: &mut Vec<Candidate>,
    ) -> Result<()> {
        self.scorer.evaluate(span, lane);
        if !lane.is_valid {
            return Err(self.scorer.columns.first_out_of_range(&self.scorer.accounts));
        }
        let floor = cut.map_or(f64::NEG_INFINITY, |c| c.key - 2.0 * nice_error(c.key));
        let marks = dispatch(self.scorer.level, Reach { lane, floor, side: self.request.side });
        if !marks.any {
            return Ok(());
        }
        for place in 0..span.len() {
            if marks.keep[place] == 1 {
                self.admit(span.row(place), place, cut, lane, kept);
            }
        }
        Ok(())
    }

    #[inline]
    fn admit(
        &self,
        row: usize,
        place: usize,
        cut: Option<Candidate>,
        lane: &Lane,
        kept: &mut Vec<Candidate>,
    ) {
        let lots = self.scorer.columns.lots[row];
        if (lots > 0) != (self.request.side > 0) || lots == 0 {
            return;
        }
        if let (Some(tier), Some(column)) = (self.tier, self.scorer.columns.tier)
            && column[row] != tier
        {
            return;
        }
        let Some(key) = self.scorer.key(lane, place, row) else {
            return;
        };
        let candidate = Candidate::new(key, row, lots);
        if cut.is_some_and(|cut| self.scorer.compare(&candidate, &cut) == Ordering::Greater) {
            return;
        }
        if self.request.excluded.binary_search(&(row as i64)).is_err() {
            kept.push(candidate);
        }
    }

    /// Cuts the kept rows to the need and books them.
    fn deliver(&self, kept: &mut [Candidate], selection: &mut Selection) {
        let need = i128::from(selection.unfilled);
        let total = self.weight(kept);
        if kept.is_empty() {
            return;
        }
        let size = |c: &Candidate| self.scorer.size(c);
        let (last, before) = self.scorer.find_cut(kept, need.min(total), size);
        let closed = need.min(total) - before;
        let cut = kept[last];
        for candidate in &kept[..last] {
            selection.rows.push(i64::from(candidate.row));
            selection.lots.push(size(candidate) as i64);
        }
        selection.rows.push(i64::from(cut.row));
        selection.lots.push(closed as i64);
        selection.cut = Some((i64::from(cut.row), cut.key));
        if closed < size(&cut) {
            selection.partial = Some(i64::from(cut.row));
        }
        selection.unfilled -= (before + closed) as i64;
    }
}

/// Which places of a lane may reach a floor.
struct Reach<'a> {
    lane: &'a Lane,
    floor: f64,
    side: i8,
}

struct Marks {
    keep: [i64; LANE],
    any: bool,
}

impl Task for Reach<'_> {
    type Output = Marks;

    #[inline(always)]
    fn run(self) -> Marks {
        let mut keep = [0i64; LANE];
        let mut any = 0;
        let side = f64::from(self.side);
        for i in 0..LANE {
            let reached = i64::from(self.lane.key[i] >= self.floor) | (1 - self.lane.is_nice[i]);
            keep[i] = reached & i64::from(self.lane.parts.lots[i] * side > 0.0);
            any |= keep[i];
        }
        Marks { keep, any: any == 1 }
    }
}
