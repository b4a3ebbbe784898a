//! Rows by market: as they lie where markets are contiguous, else through one counting sort.

use std::ops::Range;

use rayon::prelude::*;

use crate::columns::Rate;
use crate::error::{Error, Result};
use crate::lane::{LANE, Span};
use crate::select::CHUNK;

/// Rows of one market: a range of places.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Code of the market.
    pub market: usize,
    /// Places that belong to it.
    pub places: Range<usize>,
}

/// Where each market's rows are.
#[derive(Debug)]
pub struct Groups {
    /// One segment a market that has rows.
    pub segments: Vec<Segment>,
    /// Row of each place; none where place and row are the same.
    pub rows: Option<Vec<u32>>,
}

impl Groups {
    /// Groups `count` rows by their market's code; without codes all belong to market 0.
    ///
    /// # Errors
    /// A code has no rate, or a rate is out of range.
    pub fn new(count: usize, market: Option<&[u32]>, rates: &[Rate]) -> Result<Self> {
        for rate in rates {
            rate.check()?;
        }
        let Some(market) = market else {
            let segments = vec![Segment { market: 0, places: 0..count }];
            return Ok(Self { segments, rows: None });
        };
        if market.len() != count {
            let got = market.len();
            return Err(Error::Length { column: "market", got, expected: count });
        }
        if let Some(groups) = Self::contiguous(market, rates.len()) {
            return Ok(groups);
        }
        let is_known = |part: &[u32]| part.iter().all(|&code| (code as usize) < rates.len());
        if !market.par_chunks(CHUNK).all(is_known) {
            return Err(Self::unknown(market, rates.len()));
        }
        Ok(Self::sorted(market, rates.len()))
    }

    fn unknown(market: &[u32], markets: usize) -> Error {
        let row = market.iter().position(|&code| code as usize >= markets).unwrap_or(0);
        let value = market.get(row).map_or(0, |&code| i64::from(code));
        Error::Value { column: "market", row, value, expected: "a market that has a rate" }
    }

    /// One segment a run of equal codes; none where a market has several, or one has no rate.
    fn contiguous(market: &[u32], markets: usize) -> Option<Self> {
        let starts = (0..market.len()).into_par_iter().step_by(CHUNK);
        let parts = starts.map(|start| {
            let changes = changes(&market[start..market.len().min(start + CHUNK + 1)], markets)?;
            Some(changes.into_iter().map(|place| start + place).collect::<Vec<_>>())
        });
        let ends = parts.collect::<Option<Vec<_>>>()?.concat();
        let mut seen = vec![false; markets];
        let mut segments = Vec::with_capacity(ends.len() + 1);
        let mut start = 0;
        for end in ends.into_iter().chain([market.len()]).filter(|&end| end > 0) {
            let code = market[start] as usize;
            if std::mem::replace(seen.get_mut(code)?, true) {
                return None;
            }
            segments.push(Segment { market: code, places: start..end });
            start = end;
        }
        Some(Self { segments, rows: None })
    }

    fn sorted(market: &[u32], markets: usize) -> Self {
        let mut next = vec![0usize; markets + 1];
        for &code in market {
            next[code as usize + 1] += 1;
        }
        for code in 0..markets {
            next[code + 1] += next[code];
        }
        let segments = (0..markets)
            .map(|code| Segment { market: code, places: next[code]..next[code + 1] })
            .filter(|segment| !segment.places.is_empty())
            .collect();
        let mut rows = vec![0u32; market.len()];
        for (row, &code) in market.iter().enumerate() {
            rows[next[code as usize]] = row as u32;
            next[code as usize] += 1;
        }
        Self { segments, rows: Some(rows) }
    }

    /// The lane-sized spans of a range of places.
    pub fn spans(&self, places: Range<usize>) -> impl Iterator<Item = Span<'_>> {
        let end = places.end;
        places.step_by(LANE).map(move |at| {
            let length = LANE.min(end - at);
            match &self.rows {
                Some(rows) => Span::Rows(&rows[at..at + length]),
                None => Span::Run(at, length),
            }
        })
    }

    /// The segments cut into pieces of at most `size` places.
    #[must_use]
    pub fn pieces(&self, size: usize) -> Vec<Segment> {
        let cut = |segment: &Segment| {
            let (market, end) = (segment.market, segment.places.end);
            segment
                .places
                .clone()
                .step_by(size)
                .map(move |at| Segment { market, places: at..end.min(at + size) })
        };
        self.segments.iter().flat_map(cut).collect()
    }

    /// The row at a place.
    #[must_use]
    pub fn row(&self, place: usize) -> usize {
        self.rows.as_ref().map_or(place, |rows| rows[place] as usize)
    }
}

/// Places at which a code differs from the one before; none where there are more than `most`.
fn changes(market: &[u32], most: usize) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let (before, after) = (&market[..market.len() - 1], &market[1..]);
    for (turn, (before, after)) in before.chunks(256).zip(after.chunks(256)).enumerate() {
        let pairs = before.iter().zip(after);
        if pairs.clone().fold(0, |all, (a, b)| all | (a ^ b)) == 0 {
            continue;
        }
        let differing = pairs.enumerate().filter(|(_, (a, b))| a != b);
        found.extend(differing.map(|(place, _)| turn * 256 + place + 1));
        if found.len() > most {
            return None;
        }
    }
    Some(found)
}
