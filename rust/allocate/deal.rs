//! Shares in whole units, each within one unit of the exact share.
//!
//! Every row gets the floor of its share; who gets one of the units left over is decided by a key:
//! the remainder of what is taken, or, of what is kept, the ratio to the weight that is left after
//! rounding. A sample brackets the key of the last who does. Floats bound the units of every row
//! from both sides: where the bounds meet nothing else is worked out.

use std::cmp::Ordering;
use std::ops::Range;

use super::level::Found;
use super::ratio::{Multiple, Word, float};
use super::sample::{AHEAD, pick, visit};
use super::{BLOCK, Rows, Shared, View, count_marked, each_chunk, each_marked};
use crate::load::whole;
use crate::simd::{Stream, Task, dispatch, prefetch};

/// Sampled standard errors to either side.
const ERRORS: f64 = 2.0;
/// Rows of the sample to either side, beyond the error.
const FEW: f64 = 4.0;
/// Rows looked at for each row of the request's sample.
const MORE: usize = 4;
/// Rows of a cache line: remainders of neighbours have nothing in common.
const LINE: usize = 8;
/// Rows of a block that floats cannot tell beyond which all are worked out in whole numbers.
const MANY: u64 = BLOCK as u64 / 16;
/// Blocks after one with so many that are expected to be like it.
const ALIKE: usize = 16;
/// Distance, in parts of one, that covers the roundings of a bound.
const SLACK: f64 = 1.0 / (1u64 << 48) as f64;
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
            for (turn, claim) in chosen.iter().enumerate() {
                if let Some(next) = chosen.get(turn + AHEAD) {
                    prefetch(taken, next.row as usize..next.row as usize + 1);
                }
                taken[claim.row as usize] += 1;
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

    /// Whether a share of some weight and id is met, and whether that is left open.
    #[inline(always)]
    fn decide<const KEPT: bool>(&self, share: (i64, W), weight: i64, id: u64) -> (bool, bool) {
        let (is_over, is_at) = self.high.before::<KEPT>(share, weight);
        let is_more = is_over || (is_at && id < self.high.claim.id);
        let (is_over, is_at) = self.low.before::<KEPT>(share, weight);
        let is_claim = is_over || (is_at && id <= self.low.claim.id);
        (is_more, share.1 > W::ZERO && !is_more && is_claim)
    }
}

impl<W: Word> End<W> {
    const fn nowhere(key: f64, rest: W) -> Self {
        Self { key, claim: Claim { rest, kept: 0, weight: 1, id: 0, row: 0 } }
    }

    /// Whether a claim comes before the end, and whether it is the end's equal but for the id.
    #[inline(always)]
    fn before<const KEPT: bool>(&self, (kept, rest): (i64, W), weight: i64) -> (bool, bool) {
        if !KEPT {
            return (rest > self.claim.rest, rest == self.claim.rest);
        }
        // A product rounds as little as the division that made the end's own key.
        let (rest, weight_float) = (rest.float(), float(weight));
        let is_above = rest > weight_float * (self.key * (1.0 + APART));
        // What is whole claims nothing, not even where there is no weight and the product is zero.
        let is_near = rest > 0.0 && rest >= weight_float * (self.key * (1.0 - APART)) && !is_above;
        // Keys this near leave a difference of the products below 2^8: no word overflows.
        let product = kept.wrapping_mul(self.claim.weight);
        let more = product.wrapping_sub(self.claim.kept.wrapping_mul(weight));
        (is_above || (is_near && more > 0), is_near && more == 0)
    }
}

/// Lines that bound the units of a row from below and from above, by its weight.
///
/// Of what is taken a row has `floor(weight x ratio + 1 - key)`, of what is kept the lower one of
/// `ceil(weight x ratio)` and `floor(weight x (ratio + key))`, with the key of the last claim met.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    ratio: [f64; 2],
    shift: [f64; 2],
    steep: [f64; 2],
}

impl Bounds {
    fn new<W: Word>(ratio: &Multiple<W>, cut: &Cut<W>) -> Self {
        let keys = [cut.low.key, cut.high.key].map(|key| key / ratio.den.float());
        let part = ratio.float();
        let apart = |values: [f64; 2]| [values[0] * (1.0 - SLACK), values[1] * (1.0 + SLACK)];
        Self {
            ratio: apart([part; 2]),
            shift: [(1.0 - keys[1] - SLACK).max(0.0), 1.0 - keys[0] + SLACK],
            // A whole unit for each unit of weight is as good as no bound.
            steep: apart(keys.map(|key| part + key.min(1.0))),
        }
    }

    /// The bounds of a row's units.
    #[inline(always)]
    fn of<const KEPT: bool>(&self, weight: f64, cap: f64) -> [f64; 2] {
        let at = |end: usize| {
            let share = weight * self.ratio[end];
            let units = if KEPT {
                lesser(share.ceil(), (weight * self.steep[end]).floor())
            } else {
                (share + self.shift[end]).floor()
            };
            lesser(units, cap)
        };
        [at(0), at(1)]
    }
}

#[inline(always)]
fn lesser(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

/// The units that a share stands at, and its rest, zero where it is whole.
#[inline(always)]
fn share_of<W: Word>(ratio: &Multiple<W>, weight: i64, cap: i64, is_kept: bool) -> (i64, W) {
    let (units, rest) = ratio.of(weight, cap);
    if !is_kept {
        return (units, rest);
    }
    let is_whole = rest == W::ZERO;
    let above = if is_whole { W::ZERO } else { ratio.den.minus(rest) };
    (units + i64::from(!is_whole), above)
}

/// Where the sample expects the last claim that is met.
fn guess<W: Word>(view: &View<'_>, ratio: &Multiple<W>, margin: f64) -> Cut<W> {
    // No order is needed here, so that more rows are cheap, and fewer are left undecided.
    let picked = pick(view.weight.len(), MORE * view.sample, LINE).filter(|_| margin < 100.0);
    let Some(picked) = picked else {
        return Cut::ALL;
    };
    let (keyed, left) = dispatch(view.level, Keyed { view, ratio, picked: &picked });
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

/// The keys of picked rows that are not whole, and what all of these leave together.
struct Keyed<'a, W> {
    view: &'a View<'a>,
    ratio: &'a Multiple<W>,
    picked: &'a [u32],
}

impl<W: Word> Task for Keyed<'_, W> {
    type Output = (Vec<(f64, u32)>, f64);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let is_kept = self.view.shared == Shared::Kept;
        let (mut keyed, mut left) = (Vec::with_capacity(self.picked.len()), 0.0);
        for (row, weight, cap) in visit(self.view.rows(0, self.view.weight.len()), self.picked) {
            let rest = share_of(self.ratio, weight, cap, is_kept).1.float();
            left += rest;
            if rest > 0.0 {
                keyed.push((if is_kept { rest / float(weight) } else { rest }, row));
            }
        }
        (keyed, left / self.ratio.den.float())
    }
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
    let (units, rest) = share_of(ratio, weight, cap, is_kept);
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
    let bounds = Bounds::new(ratio, &cut);
    let sides = each_chunk(taken, |first, taken| {
        dispatch(view.level, Chunk { view, ratio: *ratio, cut, bounds, first, taken })
    });
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
    bounds: Bounds,
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
        let mut block = Block { units: [0; BLOCK], open: [0; BLOCK], ids: [0; BLOCK] };
        let all = self.view.rows(0, self.view.weight.len());
        let mut tied_until = 0;
        let length = self.taken.len();
        let mut taken = Stream::new(self.view.level, self.taken);
        for (turn, start) in (0..length).step_by(BLOCK).enumerate() {
            let (first, length) = (self.first + start, BLOCK.min(length - start));
            let rows = self.view.rows(first, length);
            let runs = all.runs(first, length);
            if turn >= tied_until && block.bound::<KEPT>(rows, runs, &self.bounds) > MANY {
                tied_until = turn + ALIKE;
            }
            if turn < tied_until {
                self.view.ids(first, &mut block.ids[..length]);
                block.round::<W, KEPT>(rows, all.runs(first, length), &self.ratio, &self.cut);
            }
            let mut places = [0u16; BLOCK];
            let mut count = 0;
            each_marked(&block.open, |place| {
                places[count] = place as u16;
                count += 1;
            });
            for &place in &places[..count] {
                let place = usize::from(place);
                let (weight, cap) = rows.at(place);
                let row = (first + place) as u32;
                let share = share_of(&self.ratio, weight, cap, KEPT);
                let id = self.view.id(row);
                let (is_more, is_open) = self.cut.decide::<KEPT>(share, weight, id);
                let more = i64::from(is_more);
                block.units[place] = share.0 + if KEPT { -more } else { more };
                if is_open {
                    let kept = if KEPT { share.0 } else { 0 };
                    undecided.push(Claim { rest: share.1, kept, weight, id, row });
                }
            }
            shared += i128::from(block.finish::<KEPT>(rows));
            taken.push(&block.units[..length]);
        }
        (undecided, shared)
    }
}

/// Rows of a block: their units, and whether more is to be found out about them.
struct Block {
    units: [i64; BLOCK],
    open: [u8; BLOCK],
    ids: [u64; BLOCK],
}

impl Block {
    /// Units by bounds; how many rows have bounds that do not meet.
    #[inline(always)]
    fn bound<const KEPT: bool>(
        &mut self,
        rows: Rows<'_>,
        runs: impl Iterator<Item = Range<usize>>,
        bounds: &Bounds,
    ) -> u64 {
        self.open = [0; BLOCK];
        for run in runs {
            let rows = rows.part(run.clone());
            let (units, open) = (&mut self.units[run.clone()], &mut self.open[run]);
            for place in 0..rows.weight.len().min(rows.cap.len()).min(units.len()).min(open.len()) {
                let (weight, cap) = rows.at(place);
                let [low, high] = bounds.of::<KEPT>(float(weight), float(cap));
                let is_open = low < high;
                units[place] = whole(low) as i64;
                open[place] = u8::from(is_open);
            }
        }
        count_marked(&self.open)
    }

    /// Units in whole numbers: of ties at the ends of the cut the ids tell.
    #[inline(always)]
    fn round<W: Word, const KEPT: bool>(
        &mut self,
        rows: Rows<'_>,
        runs: impl Iterator<Item = Range<usize>>,
        ratio: &Multiple<W>,
        cut: &Cut<W>,
    ) {
        self.open = [0; BLOCK];
        for run in runs {
            let rows = rows.part(run.clone());
            let (units, open) = (&mut self.units[run.clone()], &mut self.open[run.clone()]);
            let ids = &self.ids[run];
            let count = rows.weight.len().min(rows.cap.len()).min(ids.len());
            for place in 0..count.min(units.len()).min(open.len()) {
                let (weight, cap) = rows.at(place);
                let share = share_of(ratio, weight, cap, KEPT);
                let (is_more, is_open) = cut.decide::<KEPT>(share, weight, ids[place]);
                let more = i64::from(is_more);
                units[place] = share.0 + if KEPT { -more } else { more };
                open[place] = u8::from(is_open);
            }
        }
    }

    /// Turns units shared into units taken; the sum of what is shared.
    #[inline(always)]
    fn finish<const KEPT: bool>(&mut self, rows: Rows<'_>) -> i64 {
        let mut shared = 0i64;
        for place in 0..rows.weight.len().min(rows.cap.len()).min(BLOCK) {
            let units = self.units[place];
            shared = shared.wrapping_add(units);
            if KEPT {
                self.units[place] = rows.at(place).1 - units;
            }
        }
        shared
    }
}

/// The claims that are met; none where the cut was drawn in the wrong place.
fn choose<W: Word>(
    view: &View<'_>,
    mut claims: Vec<Claim<W>>,
    left: i128,
) -> Option<Vec<Claim<W>>> {
    // Every claim outside the cut is decided rightly if the last one met lies within it.
    let left = usize::try_from(left).ok().filter(|&left| left <= claims.len())?;
    if left > 0 && left < claims.len() {
        claims.select_nth_unstable_by(left, |a, b| compare(view.shared, a, b));
    }
    claims.truncate(left);
    Some(claims)
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
