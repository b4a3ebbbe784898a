//! Lights: in which of n equal bands of its side's queue an entry stands.
//!
//! A band ends where the cumulative weight, front first, passes j/n of the whole. Large markets are
//! not sorted: brackets around each boundary come from a sample, one pass counts what lies between
//! brackets, writes its lights and collects what lies inside, and only that is ordered. Where a
//! boundary does not fall well inside its bracket, the side is sorted after all.

use rayon::prelude::*;

use crate::bands::{Entry, Group, Rows, entry};
use crate::bins::Measure;
use crate::error::{Error, Result};
use crate::groups::{Groups, Segment};
use crate::keys::{Keys, Rates, is_fused, lane_keys, values};
use crate::lane::{LANE, Span};
use crate::queue::Candidate;
use crate::rank::{Venue, queues};
use crate::spread::Spread;

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
    venue.columns.check(&venue.accounts, venue.rule)?;
    let (columns, values) = (&venue.columns, values(venue));
    let groups = Groups::as_they_lie(columns.len(), venue.market, venue.rates)?;
    if let Some(groups) = groups {
        let work = Work { venue, groups: &groups, values: &values, bands, weight };
        return work.as_they_lie();
    }
    let counts_owners = weight == Weight::Accounts && columns.owner.is_some();
    if let Some(market) = venue.market
        && is_fused(venue)
        && columns.tier.is_none()
        && !counts_owners
        && let Some(lights) = spread(venue, market, &values, bands, weight)?
    {
        return Ok(lights);
    }
    let groups = venue.groups()?;
    Work { venue, groups: &groups, values: &values, bands, weight }.out_of_order()
}

/// Lights of rows in no order; none where the weights might not fit into 64 bits.
fn spread(
    venue: &Venue<'_>,
    market: &[u32],
    values: &[(f64, f64)],
    bands: u8,
    weight: Weight,
) -> Result<Option<Vec<u8>>> {
    let spread = Spread::new(venue, market, values)?;
    let mut lights = vec![0u8; market.len()];
    let mut rest = lights.as_mut_slice();
    let mut parts = Vec::new();
    for (code, count) in spread.counts().into_iter().enumerate() {
        let (part, after) = rest.split_at_mut(count);
        parts.push((code, part));
        rest = after;
    }
    let light = |(code, part): (usize, &mut [u8])| {
        let joined;
        let pieces: Vec<&[Entry]> = spread.parts(code).collect();
        let entries = if let [one] = pieces.as_slice() {
            *one
        } else {
            joined = pieces.concat();
            joined.as_slice()
        };
        let group = group(venue, values, code, Rows::Entries(entries), weight);
        group.light(bands, part)
    };
    let all = parts.into_par_iter().map(light).try_reduce(|| true, |a, b| Ok(a && b))?;
    Ok(all.then(|| spread.hand_back(&lights)))
}

fn group<'a>(
    venue: &Venue<'a>,
    values: &'a [(f64, f64)],
    market: usize,
    rows: Rows<'a>,
    weight: Weight,
) -> Group<'a> {
    let keys = Keys::new(*venue, Rates::One(market), values);
    let by_lots = weight == Weight::Quantity;
    let measure = if by_lots { Measure::Lots } else { Measure::One };
    Group { scorer: venue.scorer(market), keys, rows, measure }
}

struct Work<'a, 's> {
    venue: &'a Venue<'s>,
    groups: &'a Groups,
    values: &'a [(f64, f64)],
    bands: u8,
    weight: Weight,
}

impl Work<'_, '_> {
    fn as_they_lie(&self) -> Result<Vec<u8>> {
        let mut all = vec![0u8; self.venue.columns.len()];
        let mut rest = all.as_mut_slice();
        let mut parts = Vec::new();
        for segment in &self.groups.segments {
            let (part, after) = rest.split_at_mut(segment.places.len());
            parts.push((segment, part));
            rest = after;
        }
        parts.into_par_iter().try_for_each(|(segment, part)| self.light(segment, part))?;
        Ok(all)
    }

    fn out_of_order(&self) -> Result<Vec<u8>> {
        let mut all = vec![0u8; self.venue.columns.len()];
        let light = |segment: &Segment| {
            let mut part = vec![0u8; segment.places.len()];
            self.light(segment, &mut part).map(|()| part)
        };
        let parts: Vec<Result<Vec<u8>>> = self.groups.segments.par_iter().map(light).collect();
        for (segment, part) in self.groups.segments.iter().zip(parts) {
            for (place, light) in segment.places.clone().zip(part?) {
                all[self.groups.row(place)] = light;
            }
        }
        Ok(all)
    }

    fn light(&self, segment: &Segment, out: &mut [u8]) -> Result<()> {
        if self.venue.columns.tier.is_none() && !self.has_repeated_owners(segment) {
            let entries = self.entries(segment)?;
            let rows = match &entries {
                Some(entries) => Rows::Entries(entries),
                None => Rows::Run(segment.places.clone()),
            };
            let group = group(self.venue, self.values, segment.market, rows, self.weight);
            if group.light(self.bands, out)? {
                return Ok(());
            }
            out.fill(0);
        }
        self.sorted(segment, out)
    }

    /// The rows of a segment with their keys, where they do not lie next to each other.
    fn entries(&self, segment: &Segment) -> Result<Option<Vec<Entry>>> {
        let Some(rows) = &self.groups.rows else {
            return Ok(None);
        };
        let scorer = self.venue.scorer(segment.market);
        let mut entries = Vec::with_capacity(segment.places.len());
        let mut keys = [0.0; LANE];
        for rows in rows[segment.places.clone()].chunks(LANE) {
            lane_keys(&scorer, Span::Rows(rows), &mut keys[..rows.len()])?;
            entries.extend(
                keys.iter().zip(rows).map(|(&key, &row)| {
                    entry(key, row as usize, scorer.columns.lots[row as usize])
                }),
            );
        }
        Ok(Some(entries))
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
}

/// The band of an entry at whose end the cumulative weight stands.
#[must_use]
pub fn light(cumulative: i128, whole: i128, bands: u8) -> u8 {
    let n = i128::from(bands);
    // ceil(n * cumulative / whole), at least 1: an account counted before adds no weight.
    let band = ((n * cumulative + whole - 1) / whole).clamp(1, n);
    (n + 1 - band) as u8
}
