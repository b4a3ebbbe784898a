//! The bands of one group of rows: lights, and the entries at which they change.
//!
//! A group is one market's rows, of one side or of both. One pass turns each row into a 16-bit code
//! of its key and sums weights by code; that tells for each boundary a few codes that hold it.
//! Their rows are compared exactly, all others are lit by their code. A group too large to keep
//! its codes is coded twice.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::bins::{Bins, Doubt, Lamps, Measure, STRIP, Scale, Strip, code, count, write};
use crate::error::{Error, Result};
use crate::keys::{Keys, lane_keys};
use crate::lane::{LANE, Lane, Span, with_lane};
use crate::queue::Candidate;
use crate::score::Scorer;
use crate::select::{CHUNK, RUN};

/// Rows of a group whose codes are kept: three quarters of a thread's memory.
const HELD: usize = 3 << 17;
const MOST_SAMPLES: usize = 128;
const FEWEST_SAMPLES: usize = 64;
/// Candidates that are sorted rather than selected from.
const FEW: usize = 48;

/// A row out of its place, with what its bands need.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its key.
    pub key: f32,
    /// Its row in the columns.
    pub row: u32,
    /// Its signed lots.
    pub lots: i64,
}

/// Where the rows of a group are.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// Next to each other.
    Run(Range<usize>),
    /// Anywhere, in increasing order.
    Entries(&'a [Entry]),
}

/// Rows of one market, of one side or of both.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// What scores them exactly.
    pub scorer: Scorer<'a>,
    /// What makes their keys.
    pub keys: Keys<'a>,
    /// Where they are.
    pub rows: Rows<'a>,
    /// What they weigh.
    pub measure: Measure,
}

/// Where the bands of a group's sides end.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    /// Of the long and of the short side: the first entry behind each boundary, front first. An
    /// entry that reaches over several boundaries stands for each of them.
    pub sides: [Vec<Candidate>; 2],
}

/// A row that a comparison has to light.
#[derive(Debug, Clone, Copy)]
struct Pending {
    place: u32,
    row: u32,
    code: u16,
}

/// What a thread works with.
struct Desk {
    codes: Vec<u16>,
    strip: Loan,
}

/// Room for the keys and lots of a strip.
struct Loan {
    keys: [f32; STRIP],
    lots: [i64; STRIP],
}

thread_local! {
    static DESKS: RefCell<Vec<Box<Desk>>> = const { RefCell::new(Vec::new()) };
}

/// Lends a desk of this thread.
fn with_desk<T>(work: impl FnOnce(&mut Desk) -> T) -> T {
    let strip = Loan { keys: [0.0; STRIP], lots: [0; STRIP] };
    let make = || Box::new(Desk { codes: Vec::new(), strip });
    let mut desk = DESKS.with_borrow_mut(Vec::pop).unwrap_or_else(make);
    let result = work(&mut desk);
    DESKS.with_borrow_mut(|desks| desks.push(desk));
    result
}

impl Group<'_> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Run(rows) => rows.len(),
            Rows::Entries(entries) => entries.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn row(&self, place: usize) -> usize {
        match &self.rows {
            Rows::Run(rows) => rows.start + place,
            Rows::Entries(entries) => entries[place].row as usize,
        }
    }

    /// Writes the light of each row and tells where the bands end; none where the weights might
    /// not fit into 64 bits.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn light(&self, bands: u8, lights: &mut [u8]) -> Result<Option<Edges>> {
        let scale = self.scale()?;
        if self.len() > HELD {
            self.code_twice(&scale, bands, lights)
        } else {
            with_desk(|desk| self.code_once(&scale, bands, lights, desk))
        }
    }

    fn code_once(
        &self,
        scale: &Scale,
        bands: u8,
        lights: &mut [u8],
        desk: &mut Desk,
    ) -> Result<Option<Edges>> {
        let level = self.scorer.level;
        let mut bins = Bins::new(self.len());
        let Desk { codes, strip } = desk;
        codes.resize(codes.len().max(self.len()), 0);
        let codes = &mut codes[..self.len()];
        let mut at = 0;
        for codes in codes.chunks_mut(STRIP) {
            let (keys, lots) = self.strip(at, codes.len(), strip)?;
            count(level, scale, Strip { keys, lots, codes }, self.measure, &mut bins);
            at += codes.len();
        }
        let Some((sides, lamps)) = self.settle(&bins, bands) else {
            return Ok(None);
        };
        let mut places = Vec::new();
        write(level, &lamps, codes, lights, &mut places);
        let found = self.pending(0, codes, &places);
        self.compare(bands, &sides, found, lights).map(Some)
    }

    /// As [`Self::code_once`], in chunks, without keeping their codes.
    fn code_twice(&self, scale: &Scale, bands: u8, lights: &mut [u8]) -> Result<Option<Edges>> {
        let starts: Vec<usize> = (0..self.len()).step_by(CHUNK).collect();
        let sums = starts.par_iter().map(|&start| {
            let end = self.len().min(start + CHUNK);
            with_desk(|desk| self.sum(scale, start..end, &mut desk.strip))
        });
        let sums = sums.try_reduce_with(|mut all, part| {
            all.add(&part);
            Ok(all)
        });
        let bins = sums.unwrap_or_else(|| Ok(Box::new(Bins::new(self.len()))))?;
        let Some((sides, lamps)) = self.settle(&bins, bands) else {
            return Ok(None);
        };
        let chunks = lights.par_chunks_mut(CHUNK).enumerate();
        let found: Result<Vec<Vec<Pending>>> = chunks
            .map(|(turn, lights)| {
                with_desk(|desk| self.show(scale, &lamps, turn * CHUNK, lights, &mut desk.strip))
            })
            .collect();
        self.compare(bands, &sides, found?.concat(), lights).map(Some)
    }

    fn sum(&self, scale: &Scale, places: Range<usize>, desk: &mut Loan) -> Result<Box<Bins>> {
        let mut bins = Box::new(Bins::new(self.len()));
        let mut codes = [0; STRIP];
        for at in places.clone().step_by(STRIP) {
            let codes = &mut codes[..STRIP.min(places.end - at)];
            let (keys, lots) = self.strip(at, codes.len(), desk)?;
            count(self.scorer.level, scale, Strip { keys, lots, codes }, self.measure, &mut bins);
        }
        Ok(bins)
    }

    fn show(
        &self,
        scale: &Scale,
        lamps: &Lamps,
        start: usize,
        lights: &mut [u8],
        desk: &mut Loan,
    ) -> Result<Vec<Pending>> {
        let (mut found, mut places, mut codes) = (Vec::new(), Vec::new(), [0; STRIP]);
        let mut at = start;
        for lights in lights.chunks_mut(STRIP) {
            let codes = &mut codes[..lights.len()];
            let (keys, lots) = self.strip(at, codes.len(), desk)?;
            code(self.scorer.level, scale, Strip { keys, lots, codes });
            places.clear();
            write(self.scorer.level, lamps, codes, lights, &mut places);
            found.append(&mut self.pending(at, codes, &places));
            at += lights.len();
        }
        Ok(found)
    }

    /// Keys and lots of at most [`STRIP`] places.
    fn strip<'d>(
        &'d self,
        at: usize,
        count: usize,
        desk: &'d mut Loan,
    ) -> Result<(&'d [f32], &'d [i64])> {
        match &self.rows {
            Rows::Run(rows) => {
                let start = rows.start + at;
                self.keys.fill(start, &mut desk.keys[..count])?;
                Ok((&desk.keys[..count], &self.scorer.columns.lots[start..start + count]))
            }
            Rows::Entries(entries) => {
                for (place, entry) in entries[at..at + count].iter().enumerate() {
                    (desk.keys[place], desk.lots[place]) = (entry.key, entry.lots);
                }
                Ok((&desk.keys[..count], &desk.lots[..count]))
            }
        }
    }

    /// A scale from short runs of rows at a fixed stride.
    fn scale(&self) -> Result<Scale> {
        let samples = (self.len() / 32).clamp(FEWEST_SAMPLES, MOST_SAMPLES);
        // An odd number of rows between runs is no divisor of a period of 2^k rows.
        let step = ((self.len() / samples).max(1) * RUN) | 1;
        let starts = (0..self.len()).step_by(step);
        let places = starts.flat_map(|at| at..self.len().min(at + RUN));
        let mut found = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
        let mut keep = |key: f32, lots: i64| {
            if key > f32::NEG_INFINITY {
                found[usize::from(lots < 0)].push(key);
            }
        };
        match &self.rows {
            Rows::Run(rows) => {
                let rows: Vec<u32> = places.map(|place| (rows.start + place) as u32).collect();
                let mut keys = [0.0; LANE];
                for rows in rows.chunks(LANE) {
                    lane_keys(&self.scorer, Span::Rows(rows), &mut keys[..rows.len()])?;
                    for (key, &row) in keys.iter().zip(rows) {
                        keep(*key, self.scorer.columns.lots[row as usize]);
                    }
                }
            }
            Rows::Entries(entries) => {
                places.for_each(|place| keep(entries[place].key, entries[place].lots));
            }
        }
        Ok(Scale::new(found, self.scorer.is_relative()))
    }

    fn settle(&self, bins: &Bins, bands: u8) -> Option<([Vec<Doubt>; 2], Lamps)> {
        bins.is_exact(self.len()).then(|| {
            let sides = [bins.settle(0, bands), bins.settle(1, bands)];
            let lamps = Lamps::new(&sides, bands);
            (sides, lamps)
        })
    }

    fn pending(&self, at: usize, codes: &[u16], places: &[u32]) -> Vec<Pending> {
        let of = |&place: &u32| Pending {
            place: at as u32 + place,
            row: self.row(at + place as usize) as u32,
            code: codes[place as usize],
        };
        places.iter().map(of).collect()
    }

    /// Lights the pending rows by comparison.
    fn compare(
        &self,
        bands: u8,
        sides: &[Vec<Doubt>; 2],
        found: Vec<Pending>,
        lights: &mut [u8],
    ) -> Result<Edges> {
        let doubts: Vec<&Doubt> = sides.iter().flatten().collect();
        let (found, ends) = by_doubt(&found, &doubts);
        let mut candidates = with_lane(|lane| self.candidates(&found, lane))?;
        let mut edges = Edges::default();
        let mut start = 0;
        let mut light = bands;
        for (number, (doubt, &end)) in doubts.iter().zip(&ends).enumerate() {
            if number == sides[0].len() {
                light = bands;
            }
            let side = usize::from(number >= sides[0].len());
            let queue = &mut candidates[start..end];
            let found = &found[start..end];
            let early = found.iter().zip(&*queue).filter(|(pending, _)| pending.code < doubt.first);
            let before =
                i128::from(doubt.before) - early.map(|(_, c)| self.weight(c)).sum::<i128>();
            let needs = doubt.needs.iter().map(|&need| i128::from(need) - before);
            let cuts = self.cuts(queue, needs);
            for (place, candidate) in queue.iter().enumerate() {
                let passed = cuts.partition_point(|cut| cut.0 <= place);
                let at = found.partition_point(|pending| pending.row < candidate.row);
                lights[found[at].place as usize] = light - passed as u8;
            }
            edges.sides[side].extend(cuts.iter().map(|cut| cut.1));
            light -= cuts.len() as u8;
            start = end;
        }
        Ok(edges)
    }

    fn weight(&self, candidate: &Candidate) -> i128 {
        if self.measure == Measure::Lots { self.scorer.size(candidate) } else { 1 }
    }

    /// Rearranges candidates so that at each cut stands the entry in which a need is reached, all
    /// that go before it in front of it, all others behind.
    fn cuts(
        &self,
        queue: &mut [Candidate],
        needs: impl Iterator<Item = i128>,
    ) -> Vec<(usize, Candidate)> {
        if queue.len() <= FEW {
            self.scorer.sort(queue);
            let ends: Vec<i128> = queue
                .iter()
                .scan(0, |sum, candidate| {
                    *sum += self.weight(candidate);
                    Some(*sum)
                })
                .collect();
            let cut = |need| ends.partition_point(|&end| end < need);
            return needs.map(cut).map(|cut| (cut, queue[cut])).collect();
        }
        let (mut start, mut passed) = (0, 0);
        let cut = |need: i128| {
            let rest = &mut queue[start..];
            let (cut, before) =
                self.scorer.find_cut(rest, need - passed, |candidate| self.weight(candidate));
            (start, passed) = (start + cut, passed + before);
            (start, queue[start])
        };
        needs.map(cut).collect()
    }

    fn candidates(&self, found: &[Pending], lane: &mut Lane) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::with_capacity(found.len());
        let mut rows = [0; LANE];
        for part in found.chunks(LANE) {
            for (row, pending) in rows.iter_mut().zip(part) {
                *row = pending.row;
            }
            self.scorer.evaluate(Span::Rows(&rows[..part.len()]), lane);
            for (place, pending) in part.iter().enumerate() {
                let row = pending.row as usize;
                if let Some(key) = self.scorer.key(lane, place, row) {
                    candidates.push(Candidate::new(key, row, self.scorer.columns.lots[row]));
                }
            }
        }
        let left = found.len() - candidates.len();
        let (name, expected) = ("rows", "rows that have a place in the queue");
        if left == 0 {
            Ok(candidates)
        } else {
            Err(Error::Argument { name, expected, got: left as i64 })
        }
    }
}

/// Brings rows together by doubt, each in increasing order; where the rows of each doubt end.
fn by_doubt(found: &[Pending], doubts: &[&Doubt]) -> (Vec<Pending>, Vec<usize>) {
    let of = |pending: &Pending| doubts.partition_point(|doubt| doubt.high < pending.code);
    let mut ends = vec![0; doubts.len() + 1];
    for pending in found {
        ends[of(pending) + 1] += 1;
    }
    for number in 0..doubts.len() {
        ends[number + 1] += ends[number];
    }
    let mut sorted = found.to_vec();
    for pending in found {
        let end = &mut ends[of(pending)];
        sorted[*end] = *pending;
        *end += 1;
    }
    ends.pop();
    (sorted, ends)
}
