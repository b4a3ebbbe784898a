//! The exact order of candidates: floats first, rationals where floats are in doubt, then ties.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::lane::window;
use crate::score::Scorer;

/// A row with the key that orders it up to doubt.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Float score within its [`window`].
    pub key: f64,
    /// Row of the columns.
    pub row: u32,
    /// Its lots, or the largest value where they do not fit: weights need no look-up then.
    lots: u32,
}

impl Candidate {
    /// A candidate with the signed lots of its row.
    #[must_use]
    #[inline]
    pub fn new(key: f64, row: usize, lots: i64) -> Self {
        let lots = u32::try_from(lots.unsigned_abs()).unwrap_or(u32::MAX);
        Self { key, row: row as u32, lots }
    }
}

/// Candidates of one part of a large order.
const PART: usize = 1 << 15;

/// Below this many candidates a plain sort is quicker than a partition.
const FEW: usize = 24;

impl Scorer<'_> {
    /// Orders two candidates by score: exactly, larger first.
    #[must_use]
    pub fn compare_scores(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let relative = self.is_relative();
        if (a.key - b.key).abs() > window(a.key, relative) + window(b.key, relative) {
            return b.key.total_cmp(&a.key);
        }
        if a.row == b.row {
            return Ordering::Equal;
        }
        match (self.exact(a.row as usize), self.exact(b.row as usize)) {
            (Ok(a), Ok(b)) => b.cmp(&a),
            // Candidates have scores; keep the order total all the same.
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => Ordering::Equal,
        }
    }

    /// Orders two candidates of one tier: score, tie keys, id.
    #[must_use]
    pub fn compare(&self, a: &Candidate, b: &Candidate) -> Ordering {
        self.compare_scores(a, b).then_with(|| self.compare_ties(a.row as usize, b.row as usize))
    }

    fn ties(&self, a: &Candidate, b: &Candidate) -> Ordering {
        self.compare_ties(a.row as usize, b.row as usize)
    }

    /// Brings candidates of one tier into queue order.
    pub fn sort(&self, candidates: &mut [Candidate]) {
        candidates.sort_unstable_by(by_key);
        self.settle_order(candidates);
    }

    /// Completes an order by key: every run of keys in doubt is ordered exactly.
    pub fn settle_order(&self, candidates: &mut [Candidate]) {
        self.settle_parts(candidates, |_, _| ());
    }

    /// Does so part by part, and hands each over while it is at hand, with the place of its first.
    pub fn settle_parts<T>(&self, candidates: &mut [Candidate], hand_over: T)
    where
        T: Fn(usize, &[Candidate]) + Sync,
    {
        let (mut parts, mut start, mut rest) = (Vec::new(), 0, candidates);
        while rest.len() > PART {
            // No run of doubt may reach over the end of a part.
            let doubt = self.run_length(&rest[PART - 1..]) - 1;
            let (part, after) = rest.split_at_mut(PART + doubt);
            let count = part.len();
            parts.push((start, part));
            start += count;
            rest = after;
        }
        parts.push((start, rest));
        parts.into_par_iter().for_each(|(start, part)| {
            self.settle_part(part);
            hand_over(start, part);
        });
    }

    fn settle_part(&self, candidates: &mut [Candidate]) {
        let relative = self.is_relative();
        let in_doubt = |pair: &[Candidate]| Self::in_doubt(pair, relative);
        let mut start = 0;
        while let Some(next) = candidates[start..].windows(2).position(in_doubt) {
            start += next;
            let end = start + self.run_length(&candidates[start..]);
            self.sort_run(&mut candidates[start..end]);
            start = end;
        }
    }

    /// Whether the keys of two neighbours leave their order open.
    #[inline]
    fn in_doubt(pair: &[Candidate], relative: bool) -> bool {
        let (a, b) = (pair[0].key, pair[1].key);
        a - b <= window(a, relative) + window(b, relative)
    }

    /// Length of the first run in which each key is in doubt against the next.
    fn run_length(&self, candidates: &[Candidate]) -> usize {
        let relative = self.is_relative();
        1 + candidates.windows(2).take_while(|pair| Self::in_doubt(pair, relative)).count()
    }

    /// Three-way partition by exact score, so that a group of ties costs one comparison a member.
    fn sort_run(&self, run: &mut [Candidate]) {
        let mut pending = vec![(0, run.len())];
        while let Some((start, end)) = pending.pop() {
            let part = &mut run[start..end];
            if part.len() < FEW {
                part.sort_unstable_by(|a, b| self.compare(a, b));
                continue;
            }
            let pivot = part[part.len() / 2];
            let (less, equal) = partition(part, |c| self.compare_scores(c, &pivot));
            part[less..equal].sort_unstable_by(|a, b| self.ties(a, b));
            pending.push((start, start + less));
            pending.push((start + equal, end));
        }
    }

    /// Lots of a candidate, without the sign.
    #[must_use]
    #[inline]
    pub fn size(&self, candidate: &Candidate) -> i128 {
        if candidate.lots < u32::MAX {
            return candidate.lots.into();
        }
        self.columns.lots[candidate.row as usize].unsigned_abs().into()
    }

    /// Rearranges so that `candidates[..cut]` go strictly before `candidates[cut]` and the needed
    /// weight is reached within the latter; returns `cut` and the weight before it.
    ///
    /// The whole weight has to reach `need`, and `need` has to be positive.
    pub fn find_cut<W>(&self, candidates: &mut [Candidate], need: i128, weight: W) -> (usize, i128)
    where
        W: Fn(&Candidate) -> i128,
    {
        let key = cut_key(candidates, need, &weight);
        // Who is in doubt against the cut's key is within two windows of it on either side.
        let doubt = 4.0 * window(key, self.is_relative());
        let near = |c: &Candidate| {
            if (c.key - key).abs() <= doubt { Ordering::Equal } else { by_key_value(c.key, key) }
        };
        let (start, end) = partition(candidates, near);
        let before: i128 = candidates[..start].iter().map(&weight).sum();
        let scores = |a: &Candidate, b: &Candidate| self.compare_scores(a, b);
        let inside = cut_class(&mut candidates[start..end], need - before, &scores, &weight);
        let before = before + inside.before;
        let equal = &mut candidates[start + inside.start..start + inside.end];
        let ties = |a: &Candidate, b: &Candidate| self.ties(a, b);
        let last = cut_class(equal, need - before, &ties, &weight);
        (start + inside.start + last.start, before + last.before)
    }
}

/// The key at which the needed weight is reached, larger keys first.
///
/// Quickselect with pivots that a sample puts to either side of the key, so that two partitions
/// leave little to look at.
fn cut_key<W>(candidates: &mut [Candidate], need: i128, weight: &W) -> f64
where
    W: Fn(&Candidate) -> i128,
{
    let (mut start, mut end, mut before) = (0, candidates.len(), 0i128);
    while end - start > SAMPLED {
        let part = &mut candidates[start..end];
        let count = part.len();
        for pivot in pivots(part, need - before, weight) {
            let part = &mut candidates[start..end];
            let split = part_above(part, pivot);
            let heavier: i128 = part[..split].iter().map(weight).sum();
            if before + heavier >= need {
                end = start + split;
            } else {
                before += heavier;
                start += split;
            }
        }
        if end - start == count {
            // Equal keys hold the pivots: the three-way partition below ends in one step.
            break;
        }
    }
    let part = &mut candidates[start..end];
    let class = cut_class(part, need - before, &by_key, weight);
    part[class.start].key
}

/// Fewer than this many are not worth a sample.
const SAMPLED: usize = 256;

/// Keys a little above and a little below the place where a sample reaches the weight.
fn pivots<W>(part: &[Candidate], need: i128, weight: &W) -> [f64; 2]
where
    W: Fn(&Candidate) -> i128,
{
    let mut sample: Vec<(f64, f64)> = part
        .iter()
        .step_by(part.len().div_ceil(1024).max(8))
        .map(|c| (c.key, weight(c) as f64))
        .collect();
    sample.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let whole: f64 = sample.iter().map(|s| s.1).sum();
    let squares: f64 = sample.iter().map(|s| s.1 * s.1).sum();
    let total: i128 = part.iter().map(weight).sum();
    let target = whole * (need as f64 / total.max(1) as f64);
    let error = 1.5 * squares.sqrt();
    let key_at = |target: f64| {
        let mut sum = 0.0;
        let reached = sample.iter().find(|s| {
            sum += s.1;
            sum >= target
        });
        reached.or(sample.last()).map_or(0.0, |s| s.0)
    };
    [key_at(target - error), key_at(target + error)]
}

/// Brings keys above a pivot to the front, without a branch that depends on them.
fn part_above(items: &mut [Candidate], pivot: f64) -> usize {
    let mut split = 0;
    for at in 0..items.len() {
        let is_above = items[at].key > pivot;
        items.swap(at, split);
        split += usize::from(is_above);
    }
    split
}

/// Larger key first.
#[must_use]
pub fn by_key(a: &Candidate, b: &Candidate) -> Ordering {
    by_key_value(a.key, b.key)
}

fn by_key_value(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// The class of equals in which a weight is reached.
struct Class {
    start: usize,
    end: usize,
    before: i128,
}

/// Weighted quickselect: afterwards all before `start` precede the class, all from `end` follow.
fn cut_class<C, W>(items: &mut [Candidate], need: i128, compare: &C, weight: &W) -> Class
where
    C: Fn(&Candidate, &Candidate) -> Ordering,
    W: Fn(&Candidate) -> i128,
{
    let (mut start, mut end, mut before) = (0, items.len(), 0i128);
    while end - start > 1 {
        let part = &mut items[start..end];
        let pivot = middle(part, compare);
        let (less, equal) = partition(part, |c| compare(c, &pivot));
        let lighter: i128 = part[..less].iter().map(weight).sum();
        if before + lighter >= need {
            end = start + less;
            continue;
        }
        let tied: i128 = part[less..equal].iter().map(weight).sum();
        if before + lighter + tied >= need || equal == part.len() {
            return Class { start: start + less, end: start + equal, before: before + lighter };
        }
        before += lighter + tied;
        start += equal;
    }
    Class { start, end, before }
}

/// Median of nine members at fixed places (of three where there are few).
fn middle<C>(items: &[Candidate], compare: &C) -> Candidate
where
    C: Fn(&Candidate, &Candidate) -> Ordering,
{
    let count = items.len();
    let places = if count > 1000 { 9 } else { 3.min(count) };
    let mut picked: Vec<Candidate> =
        (0..places).map(|i| items[(2 * i + 1) * count / (2 * places)]).collect();
    picked.sort_unstable_by(|a, b| compare(a, b));
    picked[places / 2]
}

/// Three-way partition: returns where the equal ones start and where they end.
fn partition<F>(items: &mut [Candidate], side: F) -> (usize, usize)
where
    F: Fn(&Candidate) -> Ordering,
{
    let (mut less, mut at, mut end) = (0, 0, items.len());
    while at < end {
        match side(&items[at]) {
            Ordering::Less => {
                items.swap(less, at);
                less += 1;
                at += 1;
            }
            Ordering::Equal => at += 1,
            Ordering::Greater => {
                end -= 1;
                items.swap(at, end);
            }
        }
    }
    (less, end)
}
