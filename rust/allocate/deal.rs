//! Shares in whole units, each within one unit of the exact share.
//!
//! Every row gets the floor of its share; who gets one of the units left over is decided by a key:
//! the remainder of what is taken, or, of what is kept, the ratio to the weight that is left after
//! rounding. A sample brackets the key of the last who does.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::level::Found;
use super::ratio::{Multiple, Word, float};
use super::sample::{pick, visit};
use super::{BLOCK, Rows, Shared, View, each_marked};
use crate::select::CHUNK;
use crate::simd::{Task, dispatch};

/// Sampled standard errors to either side.
const ERRORS: f64 = 2.5;
/// Rows of the sample to either side, beyond the error.
const FEW: f64 = 4.0;
/// Rows looked at for each row of the request's sample.
const MORE: usize = 2;
/// Open rows of a block beyond which ids are asked.
const MANY: u64 = BLOCK as u64 / 16;
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
        if let Some(chosen) = choose(view, rest, left) {
            for row in chosen {
                taken[row as usize] += 1;
            }
            return;
        }
        *rescans += 1;
        margin *= 8.0;
    }
}

/// A row's claim to one more unit, in order: see [`compare`].
#[derive(Debug, Clone, Copy)]
struct Claim<W> {
    /// What is left of the share; of what is kept, what it lacks to the next unit.
    rest: W,
    /// What is kept after rounding up; zero where shares are of what is taken.
    kept: i64,
    weight: i64,
    id: u64,
    row: u32,
}

/// Claims between which the last one that is met is expected; ties at the ends go by their ids.
#[derive(Debug, Clone, Copy)]
struct Cut<W> {
    low: End<W>,
    high: End<W>,
}

/// One end of a cut, and the float of its claim.
#[derive(Debug, Clone, Copy)]
struct End<W> {
    key: f64,
    claim: Claim<W>,
}

impl<W: Word> Cut<W> {
    /// Leaves every row undecided that is not whole.
    const ALL: Self = Self {
        low: End::nowhere(f64::MIN_POSITIVE, W::ZERO),
        high: End::nowhere(f64::INFINITY, W::MOST),
    };
}

impl<W: Word> End<W> {
    const fn nowhere(key: f64, rest: W) -> Self {
        Self { key, claim: Claim { rest, kept: 0, weight: 1, id: 0, row: 0 } }
    }

    /// Whether a claim comes before the end, and whether it is the end's equal but for the id.
    ///
    /// Unless it is to be exact, claims too near to be told apart by floats count as equal.
    #[inline(always)]
    fn before<const KEPT: bool, const EXACT: bool>(
        &self,
        (kept, rest, key): (i64, W, f64),
        weight: i64,
    ) -> (bool, bool) {
        if !KEPT {
            return (rest > self.claim.rest, rest == self.claim.rest);
        }
        let is_above = key > self.key * (1.0 + APART);
        let is_near = key >= self.key * (1.0 - APART) && !is_above;
        if !EXACT {
            return (is_above, is_near);
        }
        // Keys this near leave a difference of the products below 2^8: no word overflows.
        let product = kept.wrapping_mul(self.claim.weight);
        let more = product.wrapping_sub(self.claim.kept.wrapping_mul(weight));
        (is_above || (is_near && more > 0), is_near && more == 0)
    }
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

/// Where the sample expects the last claim that is met.
fn guess<W: Word>(view: &View<'_>, ratio: &Multiple<W>, margin: f64) -> Cut<W> {
    // No order is needed here, so that more rows are cheap, and fewer are left undecided.
    let picked = pick(view.weight.len(), MORE * view.sample).filter(|_| margin < 100.0);
    let Some(picked) = picked else {
        return Cut::ALL;
    };
    let is_kept = view.shared == Shared::Kept;
    let mut left = 0.0;
    let rows = view.rows(0, view.weight.len());
    let keyed: Vec<(f64, u32)> = visit(rows, &picked)
        .filter_map(|(row, weight, cap)| {
            let (_, rest, key) = key_of(ratio, weight, cap, is_kept);
            left += rest.float() / ratio.den.float();
            (key > 0.0).then_some((key, row))
        })
        .collect();
    let doubt = margin * (ERRORS * (picked.len() as f64).sqrt() / 2.0 + FEW);
    let mut keys: Vec<f64> = keyed.iter().map(|&(key, _)| key).collect();
    let mut cut = Cut::ALL;
    if left + doubt < keyed.len() as f64 {
        cut.low = at(view, ratio, &keyed, &mut keys, (left + doubt) as usize);
    }
    if left >= doubt && left - doubt < keyed.len() as f64 {
        cut.high = at(view, ratio, &keyed, &mut keys, (left - doubt) as usize);
    }
    cut
}

/// The claim at a place of the sample; keys are sorted first, and claims of one key after that.
fn at<W: Word>(
    view: &View<'_>,
    ratio: &Multiple<W>,
    keyed: &[(f64, u32)],
    keys: &mut [f64],
    place: usize,
) -> End<W> {
    let key = *keys.select_nth_unstable_by(place, |a, b| b.total_cmp(a)).1;
    let before = keys.iter().filter(|&&other| other > key).count();
    let same = keyed.iter().filter(|&&(other, _)| other.total_cmp(&key).is_eq());
    let mut claims: Vec<Claim<W>> = same.map(|&(_, row)| claim(view, ratio, row)).collect();
    let order = |a: &Claim<W>, b: &Claim<W>| compare(view.shared, a, b);
    End { key, claim: *claims.select_nth_unstable_by(place - before, order).1 }
}

fn claim<W: Word>(view: &View<'_>, ratio: &Multiple<W>, row: u32) -> Claim<W> {
    let (weight, cap) = view.row(row as usize);
    let is_kept = view.shared == Shared::Kept;
    let (units, rest, _) = key_of(ratio, weight, cap, is_kept);
    let kept = if is_kept { units } else { 0 };
    Claim { rest, kept, weight, id: view.id(row), row }
}

/// Writes the units taken of every row; the undecided, and the sum of what is shared.
fn pass<W: Word>(
    view: &View<'_>,
    ratio: &Multiple<W>,
    cut: Cut<W>,
    taken: &mut [i64],
) -> (Vec<Claim<W>>, i128) {
    let sides: Vec<(Vec<Claim<W>>, i128)> = taken
        .par_chunks_mut(CHUNK)
        .enumerate()
        .map(|(chunk, taken)| {
            let task = Chunk { view, ratio: *ratio, cut, first: chunk * CHUNK, taken };
            dispatch(view.level, task)
        })
        .collect();
    let dealt = sides.iter().map(|side| side.1).sum();
    let mut undecided = Vec::with_capacity(sides.iter().map(|side| side.0.len()).sum());
    for (claims, _) in &sides {
        undecided.extend_from_slice(claims);
    }
    (undecided, dealt)
}

struct Chunk<'a, W> {
    view: &'a View<'a>,
    ratio: Multiple<W>,
    cut: Cut<W>,
    first: usize,
    taken: &'a mut [i64],
}

impl<W: Word> Task for Chunk<'_, W> {
    /// The claims left undecided, and the sum of what is shared.
    type Output = (Vec<Claim<W>>, i128);

    #[inline(always)]
    fn run(self) -> Self::Output {
        if self.view.shared == Shared::Kept { self.rows::<true>() } else { self.rows::<false>() }
    }
}

impl<W: Word> Chunk<'_, W> {
    #[inline(always)]
    fn rows<const KEPT: bool>(self) -> (Vec<Claim<W>>, i128) {
        let (mut undecided, mut shared) = (Vec::new(), 0i128);
        let mut open = [0u8; BLOCK];
        let mut ids = [0u64; BLOCK];
        for (block, taken) in self.taken.chunks_mut(BLOCK).enumerate() {
            let first = self.first + block * BLOCK;
            let rows = self.view.block(first, taken.len());
            let (mut units, count) =
                rows.round::<W, KEPT>(&self.ratio, &self.cut, None, taken, &mut open);
            if count > MANY {
                // Ties at the ends of the cut: their ids tell them apart.
                self.view.ids(first, &mut ids[..taken.len()]);
                let ids = Some(&ids);
                units = rows.round::<W, KEPT>(&self.ratio, &self.cut, ids, taken, &mut open).0;
            }
            shared += i128::from(units);
            each_marked(&open, |place| {
                undecided.push(claim(self.view, &self.ratio, (first + place) as u32));
            });
            open = [0; BLOCK];
        }
        (undecided, shared)
    }
}

impl Rows<'_> {
    /// Rounds a block; what is shared, and how many rows are open: without ids, ties are.
    #[inline(always)]
    fn round<W: Word, const KEPT: bool>(
        self,
        ratio: &Multiple<W>,
        cut: &Cut<W>,
        ids: Option<&[u64; BLOCK]>,
        taken: &mut [i64],
        open: &mut [u8; BLOCK],
    ) -> (i64, u64) {
        match ids {
            Some(ids) => self.round_by::<W, KEPT, true>(ratio, cut, taken, open, |place| {
                (ids[place] < cut.high.claim.id, ids[place] <= cut.low.claim.id)
            }),
            None => self.round_by::<W, KEPT, false>(ratio, cut, taken, open, |_| (false, true)),
        }
    }

    /// `is_first` says of a place whether its id comes before the high end's, and whether it comes
    /// before the low end's or is it.
    #[inline(always)]
    fn round_by<W: Word, const KEPT: bool, const EXACT: bool>(
        self,
        ratio: &Multiple<W>,
        cut: &Cut<W>,
        taken: &mut [i64],
        open: &mut [u8; BLOCK],
        is_first: impl Fn(usize) -> (bool, bool),
    ) -> (i64, u64) {
        let (mut shared, mut count) = (0i64, 0u64);
        for place in 0..taken.len().min(self.weight.len()).min(self.cap.len()).min(BLOCK) {
            let (weight, cap) = self.at(place);
            let share = key_of(ratio, weight, cap, KEPT);
            let (is_high, is_low) = is_first(place);
            let (is_over, is_at) = cut.high.before::<KEPT, EXACT>(share, weight);
            let is_more = is_over || (is_at && is_high);
            let (is_over, is_at) = cut.low.before::<KEPT, EXACT>(share, weight);
            let is_open = share.1 > W::ZERO && !is_more && (is_over || (is_at && is_low));
            open[place] = u8::from(is_open);
            count += u64::from(is_open);
            let units = share.0 + if KEPT { -i64::from(is_more) } else { i64::from(is_more) };
            shared += units;
            taken[place] = if KEPT { cap - units } else { units };
        }
        (shared, count)
    }
}

/// The rows that take one more unit; none where the cut was drawn in the wrong place.
fn choose<W: Word>(
    view: &View<'_>,
    mut claims: Vec<Claim<W>>,
    left: i128,
) -> Option<impl Iterator<Item = u32>> {
    // Every claim outside the cut is decided rightly if the last one met lies within it.
    let left = usize::try_from(left).ok().filter(|&left| left <= claims.len())?;
    if left > 0 && left < claims.len() {
        claims.select_nth_unstable_by(left, |a, b| compare(view.shared, a, b));
    }
    claims.truncate(left);
    Some(claims.into_iter().map(|claim| claim.row))
}

/// Orders claims: the larger remainder or ratio of what is kept, then the smaller id.
fn compare<W: Word>(shared: Shared, a: &Claim<W>, b: &Claim<W>) -> Ordering {
    let order = if shared == Shared::Kept {
        let product = |a: &Claim<W>, b: &Claim<W>| i128::from(a.kept) * i128::from(b.weight);
        product(b, a).cmp(&product(a, b))
    } else {
        b.rest.cmp(&a.rest)
    };
    order.then_with(|| (a.id, a.row).cmp(&(b.id, b.row)))
}
