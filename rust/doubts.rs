//! Rows whose light the bins leave open: told apart by their codes, and what is left by comparison.
//!
//! The weights of single codes say in which of them a boundary is reached. Only its rows and those
//! of its two neighbours are compared; most often that is one row, and there is nothing to compare.

use std::ops::Range;

use crate::bands::{Group, Rows};
use crate::bins::{Doubt, Measure, Pending};
use crate::classes::Classes;
use crate::cuts::Cuts;
use crate::error::{Error, Result};
use crate::lane::{LANE, Lane, Span, with_lane};
use crate::queue::Candidate;

/// Candidates that are sorted rather than selected from.
const FEW: usize = 48;

/// Rows of neighbouring codes in which boundaries are reached.
struct Queue {
    /// Its rows, among all in doubt.
    members: Range<usize>,
    /// Light of its first entries.
    light: u8,
    /// Weights at which the next light begins, rising.
    needs: Vec<u64>,
}

/// Rows of one code.
#[derive(Debug, Clone, Copy)]
struct Run {
    code: u16,
    /// Where they start, among all in doubt.
    start: usize,
    /// Weight of all that goes before.
    before: u64,
}

/// The rows of a queue, rising.
struct Members<'a> {
    places: &'a [u32],
    rows: &'a [u32],
}

impl Group<'_> {
    /// Lights the rows that lie in a doubt; they come in the order of their places.
    pub(crate) fn settle_doubts(
        &self,
        bands: u8,
        sides: &[Vec<Doubt>; 2],
        mut found: Vec<Pending>,
        lights: &mut [u8],
    ) -> Result<()> {
        found.sort_by_key(|pending| pending.code);
        let (mut queues, mut runs) = (Vec::new(), Vec::new());
        let mut start = 0;
        for side in sides {
            let mut light = bands;
            for doubt in side {
                start = self.runs(doubt, &found, start, &mut runs);
                let own = queues.len();
                narrow(doubt, &runs, light, &mut queues);
                light = show(&found[..start], &runs, light, &queues[own..], lights);
            }
        }
        // Whoever is alone reaches every boundary.
        for queue in queues.extract_if(.., |queue| queue.members.len() == 1) {
            let place = found[queue.members.start].place as usize;
            lights[place] = queue.light - queue.needs.len() as u8;
        }
        self.compare(&queues, &found, lights)
    }

    /// The codes of a doubt that have rows, and one more at their end; where that lies.
    fn runs(&self, doubt: &Doubt, found: &[Pending], start: usize, runs: &mut Vec<Run>) -> usize {
        let (mut early, mut before, mut end) = (0, 0, start);
        runs.clear();
        let rows = found[start..].iter().take_while(|pending| pending.code <= doubt.high);
        for &Pending { place, code } in rows {
            if runs.last().is_none_or(|run| run.code < code) {
                runs.push(Run { code, start: end, before });
            }
            let weight = self.weight_at(place as usize);
            before += weight;
            early += if code < doubt.first { weight } else { 0 };
            end += 1;
        }
        runs.push(Run { code: u16::MAX, start: end, before });
        for run in runs {
            run.before += doubt.before - early;
        }
        end
    }

    /// Lights the members of queues by comparison.
    fn compare(&self, queues: &[Queue], found: &[Pending], lights: &mut [u8]) -> Result<()> {
        let count = queues.iter().map(|queue| queue.members.len()).sum();
        let mut places = Vec::with_capacity(count);
        for queue in queues {
            let start = places.len();
            places.extend(found[queue.members.clone()].iter().map(|pending| pending.place));
            // The places of each code are rising: there are only runs to merge.
            #[allow(clippy::stable_sort_primitive)]
            places[start..].sort();
        }
        let rows: Vec<u32> = places.iter().map(|&place| self.row(place as usize) as u32).collect();
        // A lane costs the same for one row as for all that it holds.
        let is_one_lane = rows.len() <= 2 * LANE;
        let mut candidates = Vec::new();
        if is_one_lane {
            candidates = with_lane(|lane| self.candidates(&rows, lane))?;
        }
        let mut start = 0;
        for queue in queues {
            let part = start..start + queue.members.len();
            start = part.end;
            let members = Members { places: &places[part.clone()], rows: &rows[part.clone()] };
            if is_one_lane {
                self.select(queue, &members, &mut candidates[part], lights);
            } else if let Some(classes) = Classes::new(&self.scorer, members.rows) {
                let passed = classes.cut(&queue.needs, |row| self.weight_of(row))?;
                for (&place, passed) in members.places.iter().zip(&passed) {
                    lights[place as usize] = queue.light - passed;
                }
            } else {
                let mut candidates = with_lane(|lane| self.candidates(members.rows, lane))?;
                self.select(queue, &members, &mut candidates, lights);
            }
        }
        Ok(())
    }

    /// Lights a queue by comparing its candidates.
    fn select(
        &self,
        queue: &Queue,
        members: &Members<'_>,
        candidates: &mut [Candidate],
        lights: &mut [u8],
    ) {
        let cuts = self.cuts(candidates, queue.needs.iter().map(|&need| need.into()));
        for (place, candidate) in candidates.iter().enumerate() {
            let passed = cuts.partition_point(|&cut| cut <= place);
            let member = members.rows.partition_point(|&row| row < candidate.row);
            lights[members.places[member] as usize] = queue.light - passed as u8;
        }
    }

    fn weight_at(&self, place: usize) -> u64 {
        match (self.measure, &self.rows) {
            (Measure::One, _) => 1,
            (Measure::Lots, Rows::Run(rows)) => {
                self.scorer.columns.lots[rows.start + place].unsigned_abs()
            }
            (Measure::Lots, Rows::Entries(entries)) => (entries[place][1] as i64).unsigned_abs(),
        }
    }

    pub(crate) fn weight_of(&self, row: u32) -> i128 {
        match self.measure {
            Measure::Lots => self.scorer.columns.lots[row as usize].unsigned_abs().into(),
            Measure::One => 1,
        }
    }

    fn weight(&self, candidate: &Candidate) -> i128 {
        if self.measure == Measure::Lots { self.scorer.size(candidate) } else { 1 }
    }

    /// The places in which needs are reached, after everything that goes before them.
    fn cuts(&self, queue: &mut [Candidate], needs: impl Iterator<Item = i128>) -> Vec<usize> {
        if queue.len() > FEW {
            let cuts = Cuts::new(&self.scorer, |c: &Candidate| self.weight(c)).find(queue, needs);
            return cuts.into_iter().map(|cut| cut.0).collect();
        }
        self.scorer.sort(queue);
        let mut sum = 0;
        let ends = queue.iter().map(|candidate| {
            sum += self.weight(candidate);
            sum
        });
        let ends: Vec<i128> = ends.collect();
        needs.map(|need| ends.partition_point(|&end| end < need)).collect()
    }

    fn candidates(&self, rows: &[u32], lane: &mut Lane) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::with_capacity(rows.len());
        for part in rows.chunks(LANE) {
            self.scorer.evaluate(Span::Rows(part), lane);
            for (place, &row) in part.iter().enumerate() {
                if let Some(key) = self.scorer.key(lane, place, row as usize) {
                    let lots = self.scorer.columns.lots[row as usize];
                    candidates.push(Candidate::new(key, row as usize, lots));
                }
            }
        }
        let left = rows.len() - candidates.len();
        let (name, expected) = ("rows", "rows that have a place in the queue");
        if left == 0 {
            Ok(candidates)
        } else {
            Err(Error::Argument { name, expected, got: left as i64 })
        }
    }
}

/// Adds the codes in which a doubt's boundaries are reached, each with its neighbours.
fn narrow(doubt: &Doubt, runs: &[Run], mut light: u8, queues: &mut Vec<Queue>) {
    let own = queues.len();
    let mut needs = doubt.needs.iter().copied().peekable();
    // What lies before the queue that is being made.
    let mut before = 0;
    for (number, pair) in runs.windows(2).enumerate() {
        let (run, next) = (pair[0], pair[1]);
        let Some(need) = needs.next_if(|&need| need <= next.before) else {
            continue;
        };
        let is_near = |other: &&Run| other.code.abs_diff(run.code) == 1;
        let first = number.checked_sub(1).map(|last| &runs[last]).filter(is_near).unwrap_or(&run);
        let end = if is_near(&&next) { runs[number + 2].start } else { next.start };
        if queues.len() == own || queues[queues.len() - 1].members.end <= first.start {
            before = first.before;
            queues.push(Queue { members: first.start..end, light, needs: Vec::new() });
        }
        let last = queues.len() - 1;
        let queue = &mut queues[last];
        queue.members.end = end;
        let start = queue.needs.len();
        queue.needs.push(need - before);
        while let Some(need) = needs.next_if(|&need| need <= next.before) {
            queue.needs.push(need - before);
        }
        light -= (queue.needs.len() - start) as u8;
    }
}

/// Lights the rows of a doubt that lie in no queue; the light behind them all.
fn show(found: &[Pending], runs: &[Run], mut light: u8, queues: &[Queue], lights: &mut [u8]) -> u8 {
    let mut start = runs[0].start;
    for queue in queues {
        for pending in &found[start..queue.members.start] {
            lights[pending.place as usize] = light;
        }
        start = queue.members.end;
        light = queue.light - queue.needs.len() as u8;
    }
    for pending in &found[start..] {
        lights[pending.place as usize] = light;
    }
    light
}
