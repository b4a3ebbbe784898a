//! Shares in whole units, each within one unit of the exact share.
//!
//! Every row gets the floor of its share; who gets one of the units left over is decided by a key:
//! the remainder of what is taken, or, of what is kept, the ratio to the weight that is left after
//! rounding. A sample brackets the key of the last who does.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::level::Found;
use super::ratio::{Multiple, Word, float};
use super::sample::pick;
use super::{BLOCK, Rows, Shared, View, each_marked};
use crate::select::CHUNK;
use crate::simd::{Task, dispatch};

/// Sampled standard errors to either side.
const ERRORS: f64 = 2.5;
/// Rows of the sample to either side, beyond the error.
const FEW: f64 = 4.0;
/// Rows looked at for each row of the request's sample.
const MORE: usize = 4;
/// Relative distance beyond which the floats of two keys tell their order.
const APART: f64 = 1.0 / (1u64 << 48) as f64;

/// Writes the taken units of every row.
pub fn deal(view: &View<'_>, found: &Found, taken: &mut [i64], rescans: &mut u32) {
    if found.ratio.is_narrow() {
        in_words::<i64>(view, found, taken, rescans);
    } else {
        in_words::<i128>(view, found, taken, rescans);
    }
}

fn in_words<W: Word>(view: &View<'_>, found: &Found, taken: &mut [i64], rescans: &mut u32) {
    let ratio = found.ratio.words::<W>();
    let is_kept = view.shared == Shared::Kept;
    let mut margin = 1.0;
    loop {
        let cut = guess(view, &ratio, margin);
        let (rest, dealt) = pass(view, &ratio, cut, taken);
        // Units of what is shared that the pass has not dealt out, or dealt out too many.
        let left = found.shared as i128 - dealt;
        let left = if is_kept { -left } else { left };
        if let Some(chosen) = choose(view, rest, left, cut) {
            for row in chosen {
                taken[row as usize] += 1;
            }
            return;
        }
        *rescans += 1;
        margin *= 8.0;
    }
}

/// Keys between which the last row that takes one more unit is expected.
#[derive(Debug, Clone, Copy)]
struct Cut {
    low: f64,
    high: f64,
}

/// A row whose last unit the cut does not decide.
#[derive(Debug, Clone, Copy)]
struct Undecided<W> {
    key: f64,
    rest: W,
    /// What is kept after rounding up; zero where shares are of what is taken.
    kept: i64,
    row: u32,
}

/// Which key a share has, zero where it is whole; and the units it stands at.
#[inline(always)]
fn key_of<W: Word>(ratio: &Multiple<W>, weight: i64, cap: i64, is_kept: bool) -> (i64, W, f64) {
    let (units, rest) = ratio.of(weight, cap);
    if !is_kept {
        return (units, rest, rest.float());
    }
    let is_whole = rest == W::ZERO;
    let above = if is_whole { W::ZERO } else { ratio.den.minus(rest) };
    let key = if is_whole { 0.0 } else { above.float() / float(weight) };
    (units + i64::from(!is_whole), above, key)
}

fn guess<W: Word>(view: &View<'_>, ratio: &Multiple<W>, margin: f64) -> Cut {
    let everything = Cut { low: f64::MIN_POSITIVE, high: f64::INFINITY };
    // No order is needed here, so that more rows are cheap, and fewer are left undecided.
    let picked = pick(view.weight.len(), MORE * view.sample).filter(|_| margin < 100.0);
    let Some(picked) = picked else {
        return everything;
    };
    let is_kept = view.shared == Shared::Kept;
    let mut keys = Vec::with_capacity(picked.len());
    let mut left = 0.0;
    for &row in &picked {
        let (weight, cap) = view.row(row as usize);
        let (_, rest, key) = key_of(ratio, weight, cap, is_kept);
        if key > 0.0 {
            left += rest.float() / ratio.den.float();
            keys.push(key);
        }
    }
    let doubt = margin * (ERRORS * (picked.len() as f64).sqrt() / 2.0 + FEW);
    let mut at = |place: f64, none: f64| {
        if place < 0.0 || place as usize >= keys.len() {
            return if place < 0.0 { none } else { f64::MIN_POSITIVE };
        }
        *keys.select_nth_unstable_by(place as usize, |a, b| b.total_cmp(a)).1
    };
    Cut { low: at(left + doubt, f64::MIN_POSITIVE), high: at(left - doubt, f64::INFINITY) }
}

/// Writes the units taken of every row; the undecided, and the sum of what is shared.
fn pass<W: Word>(
    view: &View<'_>,
    ratio: &Multiple<W>,
    cut: Cut,
    taken: &mut [i64],
) -> (Vec<Undecided<W>>, i128) {
    let is_kept = view.shared == Shared::Kept;
    let sides: Vec<Side<W>> = taken
        .par_chunks_mut(CHUNK)
        .enumerate()
        .map(|(chunk, taken)| {
            let first = chunk * CHUNK;
            let rows = view.rows(first, taken.len());
            dispatch(view.level, Chunk { rows, ratio: *ratio, cut, is_kept, first, taken })
        })
        .collect();
    let dealt = sides.iter().map(|side| side.shared).sum();
    let mut undecided = Vec::with_capacity(sides.iter().map(|side| side.undecided.len()).sum());
    for side in &sides {
        undecided.extend_from_slice(&side.undecided);
    }
    (undecided, dealt)
}

struct Side<W> {
    shared: i128,
    undecided: Vec<Undecided<W>>,
}

struct Chunk<'a, W> {
    rows: Rows<'a>,
    ratio: Multiple<W>,
    cut: Cut,
    is_kept: bool,
    first: usize,
    taken: &'a mut [i64],
}

impl<W: Word> Task for Chunk<'_, W> {
    type Output = Side<W>;

    #[inline(always)]
    fn run(self) -> Side<W> {
        let Self { rows, ratio, cut, is_kept, first, taken } = self;
        let mut side = Side { shared: 0, undecided: Vec::new() };
        for (block, taken) in taken.chunks_mut(BLOCK).enumerate() {
            let (start, end) = (block * BLOCK, block * BLOCK + taken.len());
            let part =
                Rows { weight: &rows.weight[start..end], cap: &rows.cap[start..end], ..rows };
            if is_kept {
                part.round::<W, true>(&ratio, cut, first + start, taken, &mut side);
            } else {
                part.round::<W, false>(&ratio, cut, first + start, taken, &mut side);
            }
        }
        side
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn round<W: Word, const KEPT: bool>(
        self,
        ratio: &Multiple<W>,
        cut: Cut,
        first: usize,
        taken: &mut [i64],
        side: &mut Side<W>,
    ) {
        let mut open = [0u8; BLOCK];
        let mut shared = 0i64;
        // A little more is left undecided than the cut says: ties at its ends lie well inside.
        let (low, high) = (cut.low * (1.0 - APART), cut.high * (1.0 + APART));
        for place in 0..taken.len().min(self.weight.len()).min(self.cap.len()) {
            let (weight, cap) = self.at(place);
            let (units, _, key) = key_of(ratio, weight, cap, KEPT);
            let is_more = i64::from(key > high);
            open[place] = u8::from(key >= low && key <= high);
            let units = if KEPT { units - is_more } else { units + is_more };
            shared += units;
            taken[place] = if KEPT { cap - units } else { units };
        }
        side.shared += i128::from(shared);
        each_marked(&open, |place| {
            let (weight, cap) = self.at(place);
            let (units, rest, key) = key_of(ratio, weight, cap, KEPT);
            let (kept, row) = (if KEPT { units } else { 0 }, (first + place) as u32);
            side.undecided.push(Undecided { key, rest, kept, row });
        });
    }
}

/// The rows that take one more unit; none where the cut was drawn in the wrong place.
fn choose<W: Word>(
    view: &View<'_>,
    mut rows: Vec<Undecided<W>>,
    left: i128,
    cut: Cut,
) -> Option<impl Iterator<Item = u32>> {
    let left = usize::try_from(left).ok().filter(|&left| left <= rows.len())?;
    let order = |a: &Undecided<W>, b: &Undecided<W>| compare(view, a, b);
    if left > 0 && left < rows.len() {
        rows.select_nth_unstable_by(left, order);
    }
    let is_sure_above = rows[left..].iter().all(|row| row.key <= cut.high);
    let is_sure_below = rows[..left].iter().all(|row| row.key >= cut.low);
    rows.truncate(left);
    (is_sure_above && is_sure_below).then_some(rows.into_iter().map(|row| row.row))
}

/// Orders rows by who takes one more unit: the larger key, then the smaller id.
fn compare<W: Word>(view: &View<'_>, a: &Undecided<W>, b: &Undecided<W>) -> Ordering {
    let order = if view.shared == Shared::Kept {
        let ratio = |row: &Undecided<W>, other: &Undecided<W>| {
            i128::from(row.kept) * i128::from(view.weight[other.row as usize])
        };
        ratio(b, a).cmp(&ratio(a, b))
    } else {
        b.rest.cmp(&a.rest)
    };
    order.then_with(|| view.by_id(a.row, b.row))
}
