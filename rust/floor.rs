//! The floor of every speed claim: summing exactly the columns that a rule reads.

use rayon::prelude::*;

use crate::select::CHUNK;
use crate::simd::{Level, Stream, Task, dispatch, prefetch};

/// The four sum loops: columns one after the other or interleaved, baseline or widest set.
pub const VARIANTS: [&str; 4] =
    ["sequential-baseline", "sequential-widest", "interleaved-baseline", "interleaved-widest"];

/// Rows that are written at once.
const BLOCK: usize = 1 << 10;

/// What a rule reads of each row.
#[derive(Debug, Clone, Copy)]
pub struct Reads<'a> {
    /// Columns of whole numbers.
    pub columns: &'a [&'a [i64]],
    /// Account of each row and the table it points into.
    pub gather: Option<(&'a [u32], &'a [i64])>,
}

/// Sums everything once, in chunks over the threads of the pool; `variant` indexes [`VARIANTS`].
#[must_use]
pub fn floor(reads: Reads<'_>, variant: usize) -> i64 {
    let rows = reads.columns.first().map_or(0, |column| column.len());
    let level = if variant % 2 == 1 { Level::detect() } else { Level::BASELINE };
    let starts: Vec<usize> = (0..rows).step_by(CHUNK).collect();
    let sum = |start: usize| {
        let end = rows.min(start + CHUNK);
        let is_interleaved = variant >= 2;
        dispatch(level, Sum { reads, start, end, is_interleaved })
    };
    starts.par_iter().map(|&start| sum(start)).reduce(|| 0, i64::wrapping_add)
}

/// Sums the columns once, then reads them again and writes a value a row: what any sharing of a
/// sum among all rows does at the least.
#[must_use]
pub fn least(columns: &[&[i64]], variant: usize, into: &mut [i64]) -> i64 {
    let total = floor(Reads { columns, gather: None }, variant);
    // From the end: what was read last is still near.
    into.par_chunks_mut(CHUNK).enumerate().rev().for_each(|(chunk, into)| {
        dispatch(Level::detect(), Write { columns, first: chunk * CHUNK, into });
    });
    total
}

struct Write<'a> {
    columns: &'a [&'a [i64]],
    first: usize,
    into: &'a mut [i64],
}

impl Task for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [first, others @ ..] = self.columns else {
            return;
        };
        let (count, mut values) = (self.into.len(), [0; BLOCK]);
        let mut into = Stream::new(Level::detect(), self.into);
        for start in (0..count).step_by(BLOCK) {
            let length = BLOCK.min(count - start);
            let rows = self.first + start..self.first + start + length;
            if others.is_empty() {
                into.push(&first[rows]);
                continue;
            }
            values[..length].copy_from_slice(&first[rows.clone()]);
            for column in others {
                prefetch(column, rows.end..rows.end + BLOCK);
                for (value, &read) in values.iter_mut().zip(&column[rows.clone()]) {
                    *value = value.wrapping_add(read);
                }
            }
            into.push(&values[..length]);
        }
    }
}

struct Sum<'a> {
    reads: Reads<'a>,
    start: usize,
    end: usize,
    is_interleaved: bool,
}

impl Task for Sum<'_> {
    type Output = i64;

    #[inline(always)]
    fn run(self) -> i64 {
        let step = if self.is_interleaved { 256 } else { self.end - self.start };
        let mut total = 0i64;
        let mut at = self.start;
        while at < self.end {
            let end = self.end.min(at + step);
            for column in self.reads.columns {
                total = total.wrapping_add(sum(&column[at..end]));
            }
            if let Some((account, table)) = self.reads.gather {
                for &a in &account[at..end] {
                    total = total.wrapping_add(table.get(a as usize).copied().unwrap_or(0));
                }
            }
            at = end;
        }
        total
    }
}

#[inline(always)]
fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0i64, |total, &value| total.wrapping_add(value))
}
