//! Shares of an amount among many: by weight, under caps, in whole units, exactly.
//!
//! All of it is one question: at which level `t` do `min(cap, t x weight)` add up to the amount?
//! What is shared may be what is taken (pro rata, capped water-filling) or what is kept (leverage
//! draining: weight is equity, cap is size, and the kept sizes stand at one leverage). Whole units
//! come either within one unit of the exact share, or by the smallest possible largest ratio.
//!
//! A sample brackets the level, one pass sums what lies surely to either side of the bracket and
//! collects the rest, and among those the level is found exactly. The same is done again for the
//! units that rounding leaves over. A bracket that proves wrong is widened and the pass repeated:
//! the sample changes the time, never the answer.

use std::ops::Range;

use rayon::prelude::*;

use crate::columns::LIMIT;
use crate::error::{Error, Result};
use crate::select::CHUNK;
use crate::simd::{Level, prefetch};

mod deal;
mod level;
mod ratio;
mod sample;
mod steps;

pub use ratio::Ratio;

/// Rows that are looked at first, unless the request says otherwise.
pub const SAMPLES: usize = 1 << 14;
/// Rows of a block: what one call of a vectorised body does.
const BLOCK: usize = 1 << 10;
/// Rows that are worked on while those one block later are on their way from memory.
const RUN: usize = 1 << 6;

/// What the shares are shares of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// What is taken; a row without weight gives nothing.
    Taken,
    /// What is kept after the amount is taken; a row without weight has no place and keeps all.
    Kept,
}

/// How shares become whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Within one unit of the exact share. What is taken rounds by the largest remainder; what is
    /// kept loses its last units where the ratio to the weight is then the highest.
    Quota,
    /// The largest ratio of shared units to weight is as small as whole units allow.
    Smallest,
}

/// What to share out, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Units to take.
    pub amount: u128,
    /// What the weights share.
    pub shared: Shared,
    /// How shares become whole.
    pub rounding: Rounding,
    /// Rows looked at first; time, not the answer, depends on it.
    pub sample: usize,
    /// Instruction set.
    pub level: Level,
}

/// Candidates as columns, one entry a row, all below 2^51.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// Weight of each row.
    pub weight: &'a [i64],
    /// Most units of each row; without it the weight itself.
    pub cap: Option<&'a [i64]>,
    /// Whether the weight is a second cap.
    pub is_within_weight: bool,
    /// Last tie key; without it the number of the row.
    pub id: Option<&'a [u64]>,
}

/// Units taken of each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Units taken, 0 to the cap.
    pub taken: Vec<i64>,
    /// What else it has come to.
    pub outcome: Outcome,
}

/// What an allocation has come to, beside the units taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Units that the candidates could not give.
    pub unfilled: u128,
    /// Units per weight at which the unsaturated stand, before (`Quota`) or after (`Smallest`)
    /// rounding, in lowest terms; none where nothing or everything is taken.
    pub level: Option<(u128, u128)>,
    /// Passes that were repeated because a bracket proved wrong.
    pub rescans: u32,
}

/// Shares out the amount.
///
/// # Errors
/// A column has another length, or a value is out of range.
pub fn allocate(candidates: &Candidates<'_>, request: &Request) -> Result<Allocation> {
    let mut taken = vec![0; candidates.weight.len()];
    let outcome = allocate_into(candidates, request, &mut taken)?;
    Ok(Allocation { taken, outcome })
}

/// Shares out the amount, and writes the units taken of each row over what stands there.
///
/// # Errors
/// A column has another length, or a value is out of range; nothing is written.
pub fn allocate_into(
    candidates: &Candidates<'_>,
    request: &Request,
    taken: &mut [i64],
) -> Result<Outcome> {
    let view = View::new(candidates, request, taken.len())?;
    let mut rescans = 0;
    let Some(found) = level::find(&view, request.amount, request.rounding, &mut rescans)? else {
        return Ok(view.all(request, taken));
    };
    if request.amount == 0 {
        taken.fill(0);
        return Ok(Outcome { unfilled: 0, level: None, rescans });
    }
    let level = match request.rounding {
        Rounding::Quota => {
            deal::deal(&view, &found, taken, &mut rescans);
            found.ratio.parts()
        }
        Rounding::Smallest => steps::deal(&view, &found, taken, &mut rescans),
    };
    Ok(Outcome { unfilled: 0, level: Some(level), rescans })
}

/// The candidates as the vectorised bodies read them.
#[derive(Clone, Copy)]
struct View<'a> {
    weight: &'a [i64],
    cap: &'a [i64],
    id: Option<&'a [u64]>,
    /// Set bits where the weight is no cap, none where it is one.
    free: i64,
    /// Whether caps are the weights, so that no row is full before all are.
    is_plain: bool,
    shared: Shared,
    sample: usize,
    level: Level,
}

/// What comes of every chunk of a column and its first row; no pool is woken for a single one.
fn each_chunk<T: Send>(taken: &mut [i64], work: impl Fn(usize, &mut [i64]) -> T + Sync) -> Vec<T> {
    if taken.len() <= CHUNK {
        return vec![work(0, taken)];
    }
    // From the end: what was read last is still near.
    let chunks = taken.par_chunks_mut(CHUNK).enumerate().rev();
    chunks.map(|(chunk, taken)| work(chunk * CHUNK, taken)).collect()
}

/// Does something at every marked place of a block; marks are 0 or 1.
#[inline(always)]
fn each_marked(marks: &[u8; BLOCK], mut visit: impl FnMut(usize)) {
    for (group, &eight) in marks.as_chunks::<8>().0.iter().enumerate() {
        let mut bits = u64::from_le_bytes(eight);
        while bits != 0 {
            visit(group * 8 + bits.trailing_zeros() as usize / 8);
            bits &= bits - 1;
        }
    }
}

/// How many places of a block are marked.
#[inline(always)]
fn count_marked(marks: &[u8; BLOCK]) -> u64 {
    // A byte holds the marks of every eighth place: there are fewer than 256 of these.
    let words = marks.as_chunks::<8>().0.iter().map(|&eight| u64::from_le_bytes(eight));
    words.sum::<u64>().to_le_bytes().iter().map(|&count| u64::from(count)).sum()
}

/// A block of rows.
#[derive(Clone, Copy)]
struct Rows<'a> {
    weight: &'a [i64],
    cap: &'a [i64],
    /// Bits that lift the cap which the weight is: all where it is none.
    free: i64,
}

impl<'a> Rows<'a> {
    /// The places of a block run by run, each while what lies one block later is asked for.
    #[inline(always)]
    fn runs(self, first: usize, length: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        (0..length).step_by(RUN).map(move |start| {
            let next = first + start + BLOCK..first + start + BLOCK + RUN;
            prefetch(self.weight, next.clone());
            if !std::ptr::eq(self.weight, self.cap) {
                prefetch(self.cap, next);
            }
            start..length.min(start + RUN)
        })
    }

    /// The rows at some of the places.
    #[inline(always)]
    fn part(&self, places: Range<usize>) -> Self {
        Self { weight: &self.weight[places.clone()], cap: &self.cap[places], free: self.free }
    }

    /// Weight and cap of a place; both are zero where there is no weight.
    #[inline(always)]
    fn at(&self, place: usize) -> (i64, i64) {
        let (weight, cap) = (self.weight[place], self.cap[place]);
        let cap = cap.min(weight | self.free);
        if weight > 0 { (weight, cap) } else { (0, 0) }
    }
}

impl<'a> View<'a> {
    fn new(candidates: &Candidates<'a>, request: &Request, taken: usize) -> Result<Self> {
        let weight = candidates.weight;
        let lengths = [
            ("cap", candidates.cap.map(<[i64]>::len)),
            ("id", candidates.id.map(<[u64]>::len)),
            ("taken", Some(taken)),
        ];
        for (column, length) in lengths {
            if let Some(got) = length
                && got != weight.len()
            {
                return Err(Error::Length { column, got, expected: weight.len() });
            }
        }
        if weight.len() > u32::MAX as usize {
            let (expected, got) = ("fewer than 2^32 rows", weight.len() as i64);
            return Err(Error::Argument { name: "weight", expected, got });
        }
        Ok(Self {
            weight,
            cap: candidates.cap.unwrap_or(weight),
            id: candidates.id,
            free: if candidates.is_within_weight { 0 } else { i64::MAX },
            is_plain: candidates.cap.is_none() && request.shared == Shared::Taken,
            shared: request.shared,
            sample: request.sample.max(1),
            level: request.level,
        })
    }

    fn rows(&self, start: usize, length: usize) -> Rows<'a> {
        let end = self.weight.len().min(start + length);
        Rows { weight: &self.weight[start..end], cap: &self.cap[start..end], free: self.free }
    }

    fn row(&self, row: usize) -> (i64, i64) {
        self.rows(row, 1).at(0)
    }

    /// The last tie key of a row.
    fn id(&self, row: u32) -> u64 {
        self.id.map_or(u64::from(row), |id| id[row as usize])
    }

    /// The last tie keys of a run of rows.
    #[inline(always)]
    fn ids(&self, first: usize, ids: &mut [u64]) {
        if let Some(id) = self.id {
            ids.copy_from_slice(&id[first..first + ids.len()]);
        } else {
            for (id, row) in ids.iter_mut().zip(first as u64..) {
                *id = row;
            }
        }
    }

    /// The key by which rows with steps at one level come: of what is kept the last to give
    /// is the first to keep.
    fn key(&self, row: u32) -> u64 {
        let id = self.id(row);
        if self.shared == Shared::Kept { !id } else { id }
    }

    /// The keys of a run of rows.
    #[inline(always)]
    fn keys(&self, first: usize, keys: &mut [u64]) {
        self.ids(first, keys);
        if self.shared == Shared::Kept {
            for key in keys {
                *key = !*key;
            }
        }
    }

    /// Takes everything; what is asked beyond it stays unfilled.
    fn all(&self, request: &Request, taken: &mut [i64]) -> Outcome {
        let rows = self.rows(0, self.weight.len());
        let mut total = 0;
        for (row, taken) in taken.iter_mut().enumerate() {
            *taken = rows.at(row).1;
            total += *taken as u128;
        }
        Outcome { unfilled: request.amount - total, level: None, rescans: 0 }
    }

    /// Names the first value that is out of range.
    fn first_out_of_range(&self) -> Error {
        let least = if self.shared == Shared::Kept { 1 - LIMIT } else { 0 };
        for (column, values, least) in [("weight", self.weight, least), ("cap", self.cap, 0)] {
            if let Some(row) = values.iter().position(|value| !(least..LIMIT).contains(value)) {
                let expected = if least < 0 { "less than 2^51 in size" } else { "0 to 2^51 - 1" };
                return Error::Value { column, row, value: values[row], expected };
            }
        }
        Error::Missing { column: "weight" }
    }
}
