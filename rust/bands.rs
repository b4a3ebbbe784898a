//! The bands of one group of rows: lights, and the entries at which they change.
//!
//! A group is one market's rows, of one side or of both. One pass turns each row into a 16-bit code
//! of its key and sums weights by code; that tells for each boundary a few codes that hold it.
//! Their rows are compared exactly, all others are lit by their code. A group too large to keep
//! its codes is coded twice.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::bins::doubt_of;
use crate::bins::{Bins, Doubt, Lamps, Measure, STRIP, Scale, Strip, code, count, write};
use crate::classes::Classes;
use crate::cuts::Cuts;
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

/// A row out of its place with what its bands need: key and row, and signed lots.
pub type Entry = [u64; 2];

/// The entry of a row.
#[must_use]
#[inline]
pub fn entry(key: f32, row: usize, lots: i64) -> Entry {
    [u64::from(key.to_bits()) << 32 | row as u64, lots as u64]
}

fn key_of(entry: &Entry) -> f32 {
    f32::from_bits((entry[0] >> 32) as u32)
}

fn row_of(entry: &Entry) -> usize {
    entry[0] as u32 as usize
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
    // All codes at once: a buffer that grows leaves its smaller selves behind.
    let make = || Box::new(Desk { codes: vec![0; HELD], strip });
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
            Rows::Entries(entries) => row_of(&entries[place]),
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
        let found = Self::pending(0, codes, &places);
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
            found.append(&mut Self::pending(at, codes, &places));
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
                    (desk.keys[place], desk.lots[place]) = (key_of(entry), entry[1] as i64);
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
                places.for_each(|place| keep(key_of(&entries[place]), entries[place][1] as i64));
            }
        }
        Ok(Scale::new(&found, self.scorer.is_relative()))
    }

    fn settle(&self, bins: &Bins, bands: u8) -> Option<([Vec<Doubt>; 2], Lamps)> {
        bins.is_exact(self.len()).then(|| {
            let sides = [bins.settle(0, bands), bins.settle(1, bands)];
            let lamps = Lamps::new(&sides, bands);
            (sides, lamps)
        })
    }

    fn pending(at: usize, codes: &[u16], places: &[u32]) -> Vec<Pending> {
        let of = |&place: &u32| Pending { place: at as u32 + place, code: codes[place as usize] };
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
        let (found, ends) = by_doubt(&found, &doubts, lights);
        let rows: Vec<u32> =
            found.iter().map(|pending| self.row(pending.place as usize) as u32).collect();
        let mut edges = Edges::default();
        // A lane costs the same for one row as for all that it holds.
        let is_one_lane = rows.len() <= 2 * LANE;
        let mut candidates = Vec::new();
        if is_one_lane {
            candidates = with_lane(|lane| self.candidates(&rows, lane))?;
        }
        let (mut start, mut light) = (0, bands);
        for (number, (doubt, &end)) in doubts.iter().zip(&ends).enumerate() {
            if number == sides[0].len() {
                light = bands;
            }
            let queue = Queue { doubt, light, found: &found[start..end], rows: &rows[start..end] };
            let cuts = if is_one_lane {
                self.select(&queue, &mut candidates[start..end], lights)
            } else if let Some(classes) = Classes::new(&self.scorer, queue.rows) {
                self.part(&queue, &classes, lights)?
            } else {
                let mut candidates = with_lane(|lane| self.candidates(queue.rows, lane))?;
                self.select(&queue, &mut candidates, lights)
            };
            light -= cuts.len() as u8;
            edges.sides[usize::from(number >= sides[0].len())].extend(cuts);
            start = end;
        }
        Ok(edges)
    }

    /// Lights a queue by comparing its candidates.
    fn select(
        &self,
        queue: &Queue<'_>,
        candidates: &mut [Candidate],
        lights: &mut [u8],
    ) -> Vec<Candidate> {
        let needs = self.needs(queue);
        let cuts = self.cuts(candidates, needs.into_iter());
        for (place, candidate) in candidates.iter().enumerate() {
            let passed = cuts.partition_point(|cut| cut.0 <= place);
            lights[self.place(candidate.row, queue)] = queue.light - passed as u8;
        }
        cuts.into_iter().map(|cut| cut.1).collect()
    }

    /// Lights a queue of few classes.
    fn part(
        &self,
        queue: &Queue<'_>,
        classes: &Classes<'_>,
        lights: &mut [u8],
    ) -> Result<Vec<Candidate>> {
        let cut = classes.cut(&self.needs(queue), |row| self.weight_of(row))?;
        for (pending, passed) in queue.found.iter().zip(&cut.passed) {
            lights[pending.place as usize] = queue.light - passed;
        }
        Ok(cut.edges)
    }

    /// Weights within a queue at which the next light begins.
    fn needs(&self, queue: &Queue<'_>) -> Vec<i128> {
        let rows = queue.found.iter().zip(queue.rows);
        let early = rows.filter(|(pending, _)| pending.code < queue.doubt.first);
        let before = i128::from(queue.doubt.before)
            - early.map(|(_, &row)| self.weight_of(row)).sum::<i128>();
        queue.doubt.needs.iter().map(|&need| i128::from(need) - before).collect()
    }

    fn weight_of(&self, row: u32) -> i128 {
        match self.measure {
            Measure::Lots => self.scorer.columns.lots[row as usize].unsigned_abs().into(),
            Measure::One => 1,
        }
    }

    fn weight(&self, candidate: &Candidate) -> i128 {
        if self.measure == Measure::Lots { self.scorer.size(candidate) } else { 1 }
    }

    /// The places and entries in which needs are reached, after everything that goes before them.
    fn cuts(
        &self,
        queue: &mut [Candidate],
        needs: impl Iterator<Item = i128>,
    ) -> Vec<(usize, Candidate)> {
        if queue.len() > FEW {
            return Cuts::new(&self.scorer, |c: &Candidate| self.weight(c)).find(queue, needs);
        }
        self.scorer.sort(queue);
        let mut sum = 0;
        let ends = queue.iter().map(|candidate| {
            sum += self.weight(candidate);
            sum
        });
        let ends: Vec<i128> = ends.collect();
        let cut = |need| ends.partition_point(|&end| end < need);
        needs.map(cut).map(|cut| (cut, queue[cut])).collect()
    }

    /// The place of a row of a queue.
    fn place(&self, row: u32, queue: &Queue<'_>) -> usize {
        match &self.rows {
            Rows::Run(rows) => row as usize - rows.start,
            Rows::Entries(_) => {
                queue.found[queue.rows.partition_point(|&other| other < row)].place as usize
            }
        }
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

/// The rows of a doubt.
struct Queue<'a> {
    doubt: &'a Doubt,
    /// Light of its first entries.
    light: u8,
    found: &'a [Pending],
    rows: &'a [u32],
}

/// Brings rows together by doubt, each in increasing order; where the rows of each doubt end.
fn by_doubt(found: &[Pending], doubts: &[&Doubt], lights: &[u8]) -> (Vec<Pending>, Vec<usize>) {
    let of = |pending: &Pending| doubt_of(lights[pending.place as usize], pending.code, doubts);
    let mut ends = vec![0; doubts.len() + 1];
    for pending in found {
        ends[of(pending) + 1] += 1;
    }
    for number in 0..doubts.len() {
        ends[number + 1] += ends[number];
    }
    let mut sorted = vec![Pending { place: 0, code: 0 }; found.len()];
    for pending in found {
        let end = &mut ends[of(pending)];
        sorted[*end] = *pending;
        *end += 1;
    }
    ends.pop();
    (sorted, ends)
}
