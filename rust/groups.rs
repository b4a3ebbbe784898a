//! Rows by market: as they lie where markets are contiguous, else through one counting sort.

use std::ops::Range;

use crate::columns::Rate;
use crate::error::{Error, Result};
use crate::lane::{LANE, Span};

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
        if let Some(row) = market.iter().position(|&code| code as usize >= rates.len()) {
            let value = i64::from(market[row]);
            let expected = "a market that has a rate";
            return Err(Error::Value { column: "market", row, value, expected });
        }
        Ok(Self::contiguous(market, rates.len())
            .unwrap_or_else(|| Self::sorted(market, rates.len())))
    }

    fn contiguous(market: &[u32], markets: usize) -> Option<Self> {
        let mut seen = vec![false; markets];
        let mut segments = Vec::new();
        let mut start = 0;
        for run in market.chunk_by(|a, b| a == b) {
            let code = run[0] as usize;
            if std::mem::replace(&mut seen[code], true) {
                return None;
            }
            segments.push(Segment { market: code, places: start..start + run.len() });
            start += run.len();
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
