//! Where weights are reached in queue order, exactly, among rows that floats cannot tell apart.
//!
//! Nothing is sorted: a weighted selection by float key finds the key at which a weight is
//! reached, one exact comparison a row parts those in doubt against it, and equal scores are
//! selected from by their tie keys, which are whole numbers.

use std::cmp::Ordering;

use crate::lane::window;
use crate::queue::Candidate;
use crate::rule::Tie;
use crate::score::Scorer;

/// Entries of one side that weights are reached in.
pub struct Cuts<'a, W> {
    scorer: &'a Scorer<'a>,
    weight: W,
}

/// A part of a queue: what goes before it, and their weight.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
    before: i128,
}

impl<'a, W: Fn(&Candidate) -> i128> Cuts<'a, W> {
    /// Cuts by a weight that is more than 0 for every entry.
    pub fn new(scorer: &'a Scorer<'a>, weight: W) -> Self {
        Self { scorer, weight }
    }

    /// Rearranges a queue so that all entries before a cut stand in front of it; for each weight,
    /// rising, the place and the entry in which it is reached.
    ///
    /// The weights have to be positive, and no more than the whole queue's.
    pub fn find(
        &self,
        queue: &mut [Candidate],
        needs: impl Iterator<Item = i128>,
    ) -> Vec<(usize, Candidate)> {
        let (mut start, mut passed) = (0, 0);
        let cut = |need: i128| {
            let (place, before) = self.cut(&mut queue[start..], need - passed);
            (start, passed) = (start + place, passed + before);
            (start, queue[start])
        };
        needs.map(cut).collect()
    }

    fn cut(&self, queue: &mut [Candidate], need: i128) -> (usize, i128) {
        let near = self.near(queue, need);
        let equal = self.equal(queue, need, near);
        let last = self.tied(queue, need, equal);
        (last.start, last.before)
    }

    /// Who is in doubt against the key at which the weight is reached: within two windows of it on
    /// either side.
    fn near(&self, queue: &mut [Candidate], need: i128) -> Part {
        let whole = Part { start: 0, end: queue.len(), before: 0 };
        let part = self.reach(queue, need, whole, |c| falling(c.key));
        let key = queue[part.start].key;
        let doubt = 4.0 * window(key, self.scorer.is_relative());
        self.split(queue, need, whole, |c| {
            if (c.key - key).abs() <= doubt { Ordering::Equal } else { key.total_cmp(&c.key) }
        })
    }

    /// Of those in doubt the ones whose score is equal to that of the cut.
    fn equal(&self, queue: &mut [Candidate], need: i128, near: Part) -> Part {
        let mut part = near;
        while part.end - part.start > 1 {
            let pivot = queue[part.start + (part.end - part.start) / 2];
            let score = self.scorer.exact(pivot.row as usize);
            // Candidates have scores; the order of reasons keeps it total all the same.
            let against = |c: &Candidate| match (&score, self.scorer.exact(c.row as usize)) {
                (Ok(pivot), Ok(other)) => pivot.cmp(&other),
                (pivot, other) => pivot.is_err().cmp(&other.is_err()).reverse(),
            };
            let inner = self.split(queue, need, part, against);
            if against(&queue[inner.start]) == Ordering::Equal {
                return inner;
            }
            part = inner;
        }
        part
    }

    /// Of equal scores the entry in which the weight is reached, by tie keys and id.
    fn tied(&self, queue: &mut [Candidate], need: i128, equal: Part) -> Part {
        let scorer = self.scorer;
        let mut part = equal;
        for tie in &scorer.rule.ties {
            if part.end - part.start == 1 {
                return part;
            }
            part = match tie {
                Tie::Size => self.reach(queue, need, part, |c| -scorer.size(c)),
                _ => self.reach(queue, need, part, |c| scorer.tie_key(*tie, c.row as usize)),
            };
        }
        let ids = scorer.columns.position_id;
        let id = |c: &Candidate| (ids.map_or(0, |ids| ids[c.row as usize]), c.row);
        if part.end - part.start > 1 { self.reach(queue, need, part, id) } else { part }
    }

    /// The entries of a part, equal by a key, in which the weight is reached.
    fn reach<K: Ord + Copy>(
        &self,
        queue: &mut [Candidate],
        need: i128,
        mut part: Part,
        key: impl Fn(&Candidate) -> K,
    ) -> Part {
        loop {
            let pivot = middle(&queue[part.start..part.end], &key);
            let inner = self.split(queue, need, part, |c| key(c).cmp(&pivot));
            if inner.end - inner.start <= 1 || key(&queue[inner.start]) == pivot {
                return inner;
            }
            part = inner;
        }
    }

    /// Brings a part into the order of three classes and returns the one in which the weight is
    /// reached.
    fn split(
        &self,
        queue: &mut [Candidate],
        need: i128,
        part: Part,
        class: impl Fn(&Candidate) -> Ordering,
    ) -> Part {
        let (mut less, mut at, mut end) = (part.start, part.start, part.end);
        let (mut front, mut equal) = (part.before, 0);
        while at < end {
            let candidate = queue[at];
            match class(&candidate) {
                Ordering::Less => {
                    front += (self.weight)(&candidate);
                    queue.swap(less, at);
                    less += 1;
                    at += 1;
                }
                Ordering::Equal => {
                    equal += (self.weight)(&candidate);
                    at += 1;
                }
                Ordering::Greater => {
                    end -= 1;
                    queue.swap(at, end);
                }
            }
        }
        if front >= need {
            Part { start: part.start, end: less, before: part.before }
        } else if front + equal >= need || end == part.end {
            Part { start: less, end, before: front }
        } else {
            Part { start: end, end: part.end, before: front + equal }
        }
    }
}

/// A whole number that falls as the key rises.
fn falling(key: f64) -> i64 {
    let bits = key.to_bits() as i64;
    // The order of `f64::total_cmp`, turned round.
    !(bits ^ (((bits >> 63) as u64) >> 1) as i64)
}

/// Median of three or nine members.
fn middle<K: Ord + Copy>(items: &[Candidate], key: impl Fn(&Candidate) -> K) -> K {
    let count = items.len();
    let places = if count > 1000 { 9 } else { 3 };
    let mut picked = [key(&items[count / 2]); 9];
    for (place, picked) in picked[..places].iter_mut().enumerate() {
        *picked = key(&items[(2 * place + 1) * count / (2 * places)]);
    }
    picked[..places].sort_unstable();
    picked[places / 2]
}
