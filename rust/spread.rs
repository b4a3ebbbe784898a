//! Rows in no order: brought together by market with what their bands need, lit, handed back.
//!
//! Each chunk of rows is sorted by market on its own, so that all threads write at once and none
//! into another's rows. Lights come back by the same way: rows are visited in their order, and each
//! market hands over its next light.

use rayon::prelude::*;

use crate::bands::{Entry, entry};
use crate::bins::STRIP;
use crate::error::Result;
use crate::groups::Groups;
use crate::keys::{Keys, Rates};
use crate::rank::Venue;

const FEWEST_ROWS: usize = 1 << 16;

/// Rows of many markets, chunk by chunk in the order of their markets.
pub struct Spread<'a> {
    market: &'a [u32],
    /// Rows of a chunk.
    size: usize,
    /// Of each chunk: where each market's entries start, and where the last one's end.
    starts: Vec<Vec<u32>>,
    entries: Vec<Entry>,
}

impl<'a> Spread<'a> {
    /// Brings the rows together; `market` has the code of each.
    ///
    /// # Errors
    /// A code has no rate, or a value is out of range.
    pub fn new(venue: &Venue<'a>, market: &'a [u32], values: &[(f64, f64)]) -> Result<Self> {
        let size = market.len().div_ceil(rayon::current_num_threads()).max(FEWEST_ROWS);
        let starts: Option<Vec<Vec<u32>>> =
            market.par_chunks(size).map(|part| starts(part, venue.rates.len())).collect();
        let Some(starts) = starts else {
            return Err(Groups::unknown(market, venue.rates.len()));
        };
        let keys = Keys::new(*venue, Rates::Each(market), values);
        let mut entries = vec![[0; 2]; market.len()];
        let chunks = entries.par_chunks_mut(size).zip(&starts).enumerate();
        chunks.try_for_each(|(turn, (entries, starts))| {
            scatter(
                &keys,
                venue.columns.lots,
                turn * size..turn * size + entries.len(),
                market,
                starts,
                entries,
            )
        })?;
        Ok(Self { market, size, starts, entries })
    }

    /// Number of rows of each market.
    #[must_use]
    pub fn counts(&self) -> Vec<usize> {
        let markets = self.starts.first().map_or(0, |starts| starts.len() - 1);
        let of = |code| self.parts(code).map(<[Entry]>::len).sum();
        (0..markets).map(of).collect()
    }

    /// The entries of a market, in the order of their rows.
    pub fn parts(&self, code: usize) -> impl Iterator<Item = &[Entry]> {
        self.starts.iter().enumerate().map(move |(turn, starts)| {
            let start = turn * self.size;
            &self.entries[start + starts[code] as usize..start + starts[code + 1] as usize]
        })
    }

    /// Lights in the order of the rows from those in the order of the markets.
    #[must_use]
    pub fn hand_back(&self, lights: &[u8]) -> Vec<u8> {
        let mut next: Vec<usize> = Vec::with_capacity(self.starts.len());
        let mut at = 0;
        for count in self.counts() {
            next.push(at);
            at += count;
        }
        let firsts: Vec<Vec<usize>> = self
            .starts
            .iter()
            .map(|starts| {
                let first = next.clone();
                for (next, ends) in next.iter_mut().zip(starts.windows(2)) {
                    *next += (ends[1] - ends[0]) as usize;
                }
                first
            })
            .collect();
        let mut all = vec![0; self.market.len()];
        let chunks = all.par_chunks_mut(self.size).zip(self.market.par_chunks(self.size));
        chunks.zip(firsts).for_each(|((all, market), mut next)| {
            for (light, &code) in all.iter_mut().zip(market) {
                let place = &mut next[code as usize];
                *light = lights[*place];
                *place += 1;
            }
        });
        all
    }
}

/// Where each market's rows start; none where a code has no rate.
fn starts(market: &[u32], markets: usize) -> Option<Vec<u32>> {
    let mut starts = vec![0; markets + 1];
    for &code in market {
        *starts.get_mut(code as usize + 1)? += 1;
    }
    for code in 0..markets {
        starts[code + 1] += starts[code];
    }
    Some(starts)
}

fn scatter(
    keys: &Keys<'_>,
    lots: &[i64],
    rows: std::ops::Range<usize>,
    market: &[u32],
    starts: &[u32],
    entries: &mut [Entry],
) -> Result<()> {
    let mut next = starts.to_vec();
    let mut strip = [0.0; STRIP];
    for at in rows.clone().step_by(STRIP) {
        let strip = &mut strip[..STRIP.min(rows.end - at)];
        keys.fill(at, strip)?;
        let codes = &market[at..at + strip.len()];
        let lots = &lots[at..at + strip.len()];
        for (place, ((&key, &code), &lots)) in strip.iter().zip(codes).zip(lots).enumerate() {
            let next = &mut next[code as usize];
            entries[*next as usize] = entry(key, at + place, lots);
            *next += 1;
        }
    }
    Ok(())
}
