//! Lights: in which of n equal bands of its side's queue an entry stands.
//!
//! A band ends where the cumulative weight, front first, passes j/n of the whole. Large markets are
//! not sorted: brackets around each boundary come from a sample, one pass counts what lies between
//! brackets, writes its lights and collects what lies inside, and only that is ordered. Where a
//! boundary does not fall well inside its bracket, the side is sorted after all.

use std::ops::Range;

use rayon::prelude::*;

use crate::brackets::{Brackets, Side};
use crate::error::{Error, Result};
use crate::groups::{Groups, Segment};
use crate::lane::{LANE, Lane, Span};
use crate::queue::Candidate;
use crate::rank::{Venue, queues};
use crate::score::Scorer;
use crate::select::CHUNK;

/// Markets with fewer rows are sorted.
const FEW: usize = 1 << 13;

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
        if is_plain && segment.places.len() >= FEW && self.bands <= 10 {
            let scorer = self.venue.scorer(segment.market);
            if self.bracketed(&scorer, segment, out)? {
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

    /// One pass between brackets; false where a boundary was not inside of its own.
    fn bracketed(&self, scorer: &Scorer<'_>, segment: &Segment, out: &mut [u8]) -> Result<bool> {
        let Some(brackets) = self.sample(scorer, segment)? else {
            return Ok(false);
        };
        let start = segment.places.start;
        let parts: Vec<Result<[Side; 2]>> = out
            .par_chunks_mut(CHUNK)
            .enumerate()
            .map(|(i, part)| {
                let at = start + i * CHUNK;
                self.scan(scorer, &brackets, at..at + part.len(), part)
            })
            .collect();
        let mut sides = brackets.sides();
        for part in parts {
            for (side, found) in sides.iter_mut().zip(part?) {
                side.append(found);
            }
        }
        let place_of = self.places(segment);
        for (code, side) in sides.iter_mut().enumerate() {
            if !brackets.resolve(code, side, scorer, self.weight == Weight::Quantity) {
                return Ok(false);
            }
            for (row, light) in side.lights() {
                out[place_of(row as usize)] = light;
            }
        }
        Ok(true)
    }

    fn sample(&self, scorer: &Scorer<'_>, segment: &Segment) -> Result<Option<Brackets>> {
        let count = segment.places.len();
        let samples = (count / 32).clamp(FEW / 4, 1 << 17);
        let stride = (count / samples).max(1) | 1;
        let picked: Vec<u32> = segment
            .places
            .clone()
            .step_by(stride)
            .map(|place| self.groups.row(place) as u32)
            .collect();
        let mut lane = Lane::new();
        let mut found = [Vec::new(), Vec::new()];
        for rows in picked.chunks(LANE) {
            scorer.evaluate(Span::Rows(rows), &mut lane);
            if !lane.is_valid {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            for (place, &row) in rows.iter().enumerate() {
                let lots = scorer.columns.lots[row as usize];
                if let Some(key) = scorer.key(&lane, place, row as usize) {
                    let is_quantity = self.weight == Weight::Quantity;
                    let weight = if is_quantity { lots.unsigned_abs() as f64 } else { 1.0 };
                    found[usize::from(lots < 0)].push((key, weight));
                }
            }
        }
        Ok(Some(Brackets::new(found, self.bands)))
    }

    fn scan(
        &self,
        scorer: &Scorer<'_>,
        brackets: &Brackets,
        places: Range<usize>,
        out: &mut [u8],
    ) -> Result<[Side; 2]> {
        let mut lane = Lane::new();
        let mut sides = brackets.sides();
        let mut done = 0;
        for span in self.groups.spans(places) {
            scorer.evaluate(span, &mut lane);
            if !lane.is_valid {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            let bins = brackets.bins(scorer.level, &lane);
            let out = &mut out[done..done + span.len()];
            done += span.len();
            let is_quantity = self.weight == Weight::Quantity;
            for (place, light) in out.iter_mut().enumerate() {
                let row = span.row(place);
                let lots = scorer.columns.lots[row];
                let code = usize::from(lots < 0);
                let weight = if is_quantity { lots.unsigned_abs() } else { 1 };
                let bin = bins[place] as usize;
                if let Some(fixed) = brackets.fixed(code, bin) {
                    sides[code].weigh(bin, weight);
                    *light = fixed;
                } else if let Some(key) = scorer.key(&lane, place, row) {
                    let bin = brackets.bin(code, key);
                    let candidate = Candidate::new(key, row, lots);
                    *light = sides[code].admit(brackets, code, bin, weight, candidate);
                }
            }
        }
        Ok(sides)
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
