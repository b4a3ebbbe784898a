//! Lights: in which of n equal bands of its side's queue an entry stands.
//!
//! A band ends where the cumulative weight, front first, passes j/n of the whole. Large markets are
//! not sorted: brackets around each boundary come from a sample, one pass counts what lies between
//! brackets, writes its lights and collects what lies inside, and only that is ordered. Where a
//! boundary does not fall well inside its bracket, the side is sorted after all.

use std::cmp::Ordering;
use std::ops::Range;

use rayon::prelude::*;

use crate::bins::{Bins, CODES, Codes, LEFT_OUT, MOST_BANDS, OPEN, SHORT};
use crate::error::{Error, Result};
use crate::groups::{Groups, Segment};
use crate::lane::{LANE, Lane, Span, with_lane};
use crate::queue::Candidate;
use crate::rank::{Venue, queues};
use crate::score::Scorer;
use crate::select::{CHUNK, RUN};

/// Markets with fewer rows are sorted.
const FEW: usize = 512;
/// Lanes whose lots, each below 2^51, add up to less than 2^64.
const FLUSH: usize = (1 << 12) / LANE;
const FEWEST_SAMPLES: usize = 128;
const MOST_SAMPLES: usize = 1 << 15;

/// In place of a light that a comparison has to find.
const PENDING: u8 = 255;

/// What the bands share out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The side's lots.
    Quantity,
    /// The side's entries.
    Entries,
    /// The side's accounts, each at its best entry (`owner`; without it each row is its own).
    Accounts,
}

/// Lights of all rows: `bands` for the next in line, 1 for the last, 0 for no place in the queue.
///
/// # Errors
/// A column, a market code, a rate or the number of bands is not what it has to be.
pub fn lights(venue: &Venue<'_>, bands: u8, weight: Weight) -> Result<Vec<u8>> {
    if !(1..=100).contains(&bands) {
        let got = i64::from(bands);
        return Err(Error::Argument { name: "bands", expected: "1 to 100", got });
    }
    let groups = venue.groups()?;
    let work = Work { venue, groups: &groups, bands, weight };
    let mut all = vec![0u8; venue.columns.len()];
    if groups.rows.is_none() {
        let mut rest = all.as_mut_slice();
        let mut parts = Vec::new();
        for segment in &groups.segments {
            let (part, after) = rest.split_at_mut(segment.places.len());
            parts.push((segment, part));
            rest = after;
        }
        parts.into_par_iter().try_for_each(|(segment, part)| work.light(segment, part))?;
        return Ok(all);
    }
    let parts: Vec<Result<Vec<u8>>> = groups
        .segments
        .par_iter()
        .map(|segment| {
            let mut part = vec![0u8; segment.places.len()];
            work.light(segment, &mut part).map(|()| part)
        })
        .collect();
    for (segment, part) in groups.segments.iter().zip(parts) {
        for (place, light) in segment.places.clone().zip(part?) {
            all[groups.row(place)] = light;
        }
    }
    Ok(all)
}

struct Work<'a, 's> {
    venue: &'a Venue<'s>,
    groups: &'a Groups,
    bands: u8,
    weight: Weight,
}

impl Work<'_, '_> {
    fn light(&self, segment: &Segment, out: &mut [u8]) -> Result<()> {
        let is_plain = self.venue.columns.tier.is_none() && !self.has_repeated_owners(segment);
        if is_plain && segment.places.len() >= FEW && self.bands <= MOST_BANDS {
            let scorer = self.venue.scorer(segment.market);
            if self.binned(&scorer, segment, out)? {
                return Ok(());
            }
            out.fill(0);
        }
        self.sorted(segment, out)
    }

    fn has_repeated_owners(&self, segment: &Segment) -> bool {
        let (Weight::Accounts, Some(owner)) = (self.weight, self.venue.columns.owner) else {
            return false;
        };
        let mut sides: Vec<u64> = segment
            .places
            .clone()
            .map(|place| {
                let row = self.groups.row(place);
                u64::from(owner[row]) << 1 | u64::from(self.venue.columns.lots[row] < 0)
            })
            .collect();
        sides.par_sort_unstable();
        sides.windows(2).any(|pair| pair[0] == pair[1])
    }

    fn sorted(&self, segment: &Segment, out: &mut [u8]) -> Result<()> {
        let columns = &self.venue.columns;
        let place_of = self.places(segment);
        for queue in queues(self.venue, self.groups, segment)? {
            let weights = self.weights(&queue);
            let whole: i128 = weights.iter().sum();
            let mut cumulative = 0i128;
            for (candidate, weight) in queue.iter().zip(&weights) {
                cumulative += weight;
                let row = candidate.row as usize;
                debug_assert!(columns.lots[row] != 0, "a queue holds no empty row");
                out[place_of(row)] = light(cumulative, whole, self.bands);
            }
        }
        Ok(())
    }

    /// Where a row's light goes in the segment's part.
    fn places(&self, segment: &Segment) -> impl Fn(usize) -> usize + use<> {
        let start = segment.places.start;
        let index = self.groups.rows.as_ref().map(|rows| {
            let mut index: Vec<(u32, u32)> = rows[segment.places.clone()]
                .iter()
                .enumerate()
                .map(|(place, &row)| (row, place as u32))
                .collect();
            index.sort_unstable();
            index
        });
        move |row| match &index {
            Some(index) => index
                .binary_search_by_key(&(row as u32), |entry| entry.0)
                .map_or(0, |found| index[found].1 as usize),
            None => row - start,
        }
    }

    /// Weight of each entry of a queue in order; an account counts at its first.
    fn weights(&self, queue: &[Candidate]) -> Vec<i128> {
        let columns = &self.venue.columns;
        match (self.weight, columns.owner) {
            (Weight::Quantity, _) => {
                let size = |c: &Candidate| columns.lots[c.row as usize].unsigned_abs().into();
                queue.iter().map(size).collect()
            }
            (Weight::Accounts, Some(owner)) => {
                let mut seen = std::collections::HashSet::new();
                let is_first = |c: &Candidate| i128::from(seen.insert(owner[c.row as usize]));
                queue.iter().map(is_first).collect()
            }
            _ => vec![1; queue.len()],
        }
    }

    /// One pass into bins, then the rows of the bins that hold a boundary; false where a boundary
    /// lies too near to the edge of a bin.
    fn binned(&self, scorer: &Scorer<'_>, segment: &Segment, out: &mut [u8]) -> Result<bool> {
        let bins = with_lane(|lane| self.sample(scorer, segment, lane))?;
        let start = segment.places.start;
        let chunks = out.par_chunks_mut(CHUNK).enumerate();
        let sums = chunks
            .map(|(i, part)| {
                let at = start + i * CHUNK;
                with_lane(|lane| self.count(scorer, &bins, at..at + part.len(), part, lane))
            })
            .try_reduce(
                || [0i128; CODES],
                |a, b| Ok(std::array::from_fn(|code| a[code] + b[code])),
            )?;
        let mut table = [0u8; CODES];
        let mut open = Vec::new();
        for side in 0..2 {
            self.settle(&bins, side, &sums, &mut table, &mut open);
        }
        for held in &open {
            table[usize::from(held.code)] = PENDING;
        }
        let pending = self.map(segment, &table, out);
        let mut places = [usize::MAX; CODES];
        for (place, held) in open.iter().enumerate() {
            places[usize::from(held.code)] = place;
        }
        for row in pending {
            open[places[usize::from(row.code)]].rows.push(row);
        }
        for held in &mut open {
            if !held.find_cuts(scorer, &bins, self.weight)? {
                return Ok(false);
            }
            held.write(scorer, out);
        }
        Ok(true)
    }

    fn sample(&self, scorer: &Scorer<'_>, segment: &Segment, lane: &mut Lane) -> Result<Bins> {
        let count = segment.places.len();
        let samples = (count / 8).clamp(FEWEST_SAMPLES, MOST_SAMPLES);
        let step = ((count / samples).max(1) * RUN) | 1;
        let picked: Vec<u32> = segment
            .places
            .clone()
            .step_by(step)
            .flat_map(|place| place..segment.places.end.min(place + RUN))
            .map(|place| self.groups.row(place) as u32)
            .collect();
        let mut found = [Vec::new(), Vec::new()];
        for rows in picked.chunks(LANE) {
            scorer.evaluate(Span::Rows(rows), lane);
            if !lane.is_valid {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            for (place, &row) in rows.iter().enumerate() {
                let lots = scorer.columns.lots[row as usize];
                if let Some(key) = scorer.key(lane, place, row as usize) {
                    found[usize::from(lots < 0)].push((key, self.weigh(lots) as f64));
                }
            }
        }
        Ok(Bins::new(found, self.bands))
    }

    #[inline]
    fn weigh(&self, lots: i64) -> u64 {
        if self.weight == Weight::Quantity { lots.unsigned_abs() } else { 1 }
    }

    /// Notes the code of each row of a part and sums the weight of each code.
    fn count(
        &self,
        scorer: &Scorer<'_>,
        bins: &Bins,
        places: Range<usize>,
        out: &mut [u8],
        lane: &mut Lane,
    ) -> Result<[i128; CODES]> {
        let mut sums = [0i128; CODES];
        // Two sums a code: rows of one bin follow each other and would wait for one another.
        let mut short = [[0u64; 2]; 256];
        let mut codes = Codes { codes: [0; LANE], sizes: [1; LANE] };
        let mut done = 0;
        for (turn, span) in self.groups.spans(places).enumerate() {
            scorer.evaluate(span, lane);
            if !lane.is_valid {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            bins.codes(scorer.level, lane, &mut codes);
            if self.weight != Weight::Quantity {
                codes.sizes = [1; LANE];
            }
            let out = &mut out[done..done + span.len()];
            done += span.len();
            for (place, out) in out.iter_mut().enumerate() {
                let mut code = codes.codes[place];
                if code >= OPEN {
                    code = judge(scorer, bins, lane, place, span.row(place));
                }
                *out = code;
                short[usize::from(code)][place % 2] += codes.sizes[place];
            }
            if turn % FLUSH == FLUSH - 1 {
                flush(&mut short, &mut sums);
            }
        }
        flush(&mut short, &mut sums);
        Ok(sums)
    }

    /// Lights of the bins between boundaries, and the bins that hold some.
    fn settle(
        &self,
        bins: &Bins,
        side: usize,
        sums: &[i128; CODES],
        table: &mut [u8; CODES],
        open: &mut Vec<Held>,
    ) {
        let first = side * usize::from(SHORT);
        let whole: i128 = sums[first..first + bins.bins()].iter().sum();
        let n = i128::from(self.bands);
        let mut before = 0i128;
        let mut light = self.bands;
        for bin in 0..bins.bins() {
            let code = first + bin;
            table[code] = light;
            let mut needs = Vec::new();
            // The entry behind boundary j is the first whose cumulative weight passes j/n.
            while light > 1 {
                let need = i128::from(self.bands + 1 - light) * whole / n + 1;
                if before + sums[code] < need {
                    break;
                }
                needs.push(need - before);
                light -= 1;
            }
            if !needs.is_empty() {
                let top = table[code];
                open.push(Held { side, bin, code: code as u8, top, needs, ..Held::default() });
            }
            before += sums[code];
        }
    }

    /// Turns codes into lights; the rows that a comparison has to light come back.
    fn map(&self, segment: &Segment, table: &[u8; CODES], out: &mut [u8]) -> Vec<Pending> {
        let start = segment.places.start;
        let chunks = out.par_chunks_mut(CHUNK).enumerate();
        let parts: Vec<Vec<Pending>> = chunks
            .map(|(i, part)| {
                let mut found = Vec::new();
                for (place, light) in part.iter_mut().enumerate() {
                    let code = *light;
                    *light = table[usize::from(code) % CODES];
                    if *light == PENDING {
                        let place = i * CHUNK + place;
                        let row = self.groups.row(start + place) as u32;
                        found.push(Pending { place: place as u32, row, code });
                    }
                }
                found
            })
            .collect();
        parts.concat()
    }
}

/// A row of a bin that holds a boundary: its place in the segment's part, and its code.
#[derive(Debug, Clone, Copy)]
struct Pending {
    place: u32,
    row: u32,
    code: u8,
}

/// A bin that holds boundaries.
#[derive(Debug, Default)]
struct Held {
    side: usize,
    bin: usize,
    code: u8,
    /// Light of the bin's first entries.
    top: u8,
    /// Weights within the bin at which the next light begins, rising.
    needs: Vec<i128>,
    rows: Vec<Pending>,
    /// Candidates in the order of `rows`, and the first entry of each following light.
    candidates: Vec<Candidate>,
    cuts: Vec<Candidate>,
}

impl Held {
    fn find_cuts(&mut self, scorer: &Scorer<'_>, bins: &Bins, weight: Weight) -> Result<bool> {
        self.candidates = with_lane(|lane| collect(scorer, &self.rows, lane))?;
        let mut rest = self.candidates.clone();
        let weigh = |c: &Candidate| if weight == Weight::Quantity { scorer.size(c) } else { 1 };
        let (mut start, mut passed) = (0, 0i128);
        for need in &self.needs {
            let (cut, before) = scorer.find_cut(&mut rest[start..], need - passed, weigh);
            passed += before;
            start += cut;
            let cut = rest[start];
            if bins.is_near_edge(self.side, self.bin, cut.key) {
                return Ok(false);
            }
            self.cuts.push(cut);
        }
        Ok(true)
    }

    fn write(&self, scorer: &Scorer<'_>, out: &mut [u8]) {
        for (pending, candidate) in self.rows.iter().zip(&self.candidates) {
            let is_behind = |cut: &&Candidate| scorer.compare(candidate, cut) != Ordering::Less;
            let behind = self.cuts.iter().take_while(is_behind).count();
            out[pending.place as usize] = self.top - behind as u8;
        }
    }
}

fn collect(scorer: &Scorer<'_>, rows: &[Pending], lane: &mut Lane) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::with_capacity(rows.len());
    for part in rows.chunks(LANE) {
        let picked: Vec<u32> = part.iter().map(|pending| pending.row).collect();
        scorer.evaluate(Span::Rows(&picked), lane);
        for (place, &row) in picked.iter().enumerate() {
            let lots = scorer.columns.lots[row as usize];
            if let Some(key) = scorer.key(lane, place, row as usize) {
                candidates.push(Candidate::new(key, row as usize, lots));
            }
        }
    }
    let all = rows.len() as i64;
    let (name, expected) = ("rows", "rows that have a place in the queue");
    if candidates.len() == rows.len() {
        Ok(candidates)
    } else {
        Err(Error::Argument { name, expected, got: all - candidates.len() as i64 })
    }
}

/// The code of a row that takes a closer look.
fn judge(scorer: &Scorer<'_>, bins: &Bins, lane: &Lane, place: usize, row: usize) -> u8 {
    let side = usize::from(scorer.columns.lots[row] < 0);
    let bin = scorer.key(lane, place, row).map_or(LEFT_OUT, |key| bins.bin(side, key));
    bin + SHORT * side as u8
}

fn flush(short: &mut [[u64; 2]; 256], sums: &mut [i128; CODES]) {
    for (sum, part) in sums.iter_mut().zip(short.iter_mut()) {
        *sum += i128::from(part[0]) + i128::from(part[1]);
        *part = [0, 0];
    }
}

/// The band of an entry at whose end the cumulative weight stands.
#[must_use]
pub fn light(cumulative: i128, whole: i128, bands: u8) -> u8 {
    let n = i128::from(bands);
    // ceil(n * cumulative / whole), at least 1: an account counted before adds no weight.
    let band = ((n * cumulative + whole - 1) / whole).clamp(1, n);
    (n + 1 - band) as u8
}
