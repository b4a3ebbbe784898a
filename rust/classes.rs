//! Large groups of ties, cut without comparing their members one by one.
//!
//! Ties come from few different trades: rows whose numbers are all the same share one class, and
//! with it score, size and weight. Classes are compared exactly, once each; only in the class
//! that holds a boundary do the rows' ids decide.

use std::cmp::Ordering;

use crate::columns::Columns;
use crate::error::{Error, Result};
use crate::exact::Exact;
use crate::keys::lane_keys;
use crate::lane::{LANE, Span};
use crate::rule::Tie;
use crate::score::Scorer;
use crate::simd::prefetch;

/// Fewest rows that are worth it.
const FEWEST: usize = 48;
/// Classes that are not too many, however few rows were seen.
const SOME: usize = 256;
/// Rows ahead whose numbers are fetched meanwhile: they lie far from each other.
const AHEAD: usize = 24;
/// Most classes, so that all are at hand.
const MOST: usize = 2048;
/// Rows a class that are enough.
const ROWS_A_CLASS: usize = 4;
/// Rows apart from each other, on average, from which on they are fetched ahead.
const APART: usize = 4;

/// Rows parted into classes of the same numbers.
#[derive(Debug)]
pub struct Classes<'a> {
    scorer: &'a Scorer<'a>,
    rows: &'a [u32],
    /// Class of each row.
    of: Vec<u16>,
    /// A row of each class.
    first: Vec<u32>,
}

/// What orders classes, and what they weigh.
struct Tally {
    /// Score of each class; none where it has no place in the queue.
    scores: Vec<Option<Exact>>,
    /// Weight of each row of a class.
    weights: Vec<i128>,
    /// Rows of each class.
    counts: Vec<i128>,
}

/// Classes that no key before the id tells apart, with boundaries among their rows.
struct Split {
    classes: Vec<usize>,
    /// Weight of all that goes before.
    before: i128,
    /// Weights in which the boundaries are reached, rising.
    needs: Vec<i128>,
}

impl<'a> Classes<'a> {
    /// Classes of rows; none where they are too many to be worth it, or a clock orders them.
    #[must_use]
    pub fn new(scorer: &'a Scorer<'a>, rows: &'a [u32]) -> Option<Self> {
        let has_clock = scorer.rule.ties.iter().any(|tie| matches!(tie, Tie::Newest | Tie::Oldest));
        if rows.len() < FEWEST || has_clock {
            return None;
        }
        let columns = numbers(&scorer.columns);
        let account = scorer.columns.account;
        let (of, first) = if columns.len() <= 4 {
            Numbers::<4>::new(&columns, account).part(rows)?
        } else {
            Numbers::<9>::new(&columns, account).part(rows)?
        };
        Some(Self { scorer, rows, of, first })
    }

    /// How many of the boundaries, in the entries where weights are reached, each row stands
    /// behind or at, in the order of the rows; `needs` are rising and positive.
    ///
    /// # Errors
    /// A row has no score.
    pub fn cut(&self, needs: &[u64], weight: impl Fn(u32) -> i128) -> Result<Vec<u8>> {
        let needs: Vec<i128> = needs.iter().map(|&need| need.into()).collect();
        let tally = self.tally(weight, |_| true);
        if tally.scores.iter().any(Option::is_none) {
            let expected = "rows that have a place in the queue";
            return Err(Error::Argument { name: "rows", expected, got: 1 });
        }
        let mut passed = vec![0; self.first.len()];
        let queue = (0..self.first.len()).collect();
        let splits = self.splits(queue, &tally, &needs, &mut passed);
        let mut passed: Vec<u8> = self.of.iter().map(|&class| passed[usize::from(class)]).collect();
        self.cut_by_id(&splits, &tally, |place, count| passed[place] += count);
        Ok(passed)
    }

    /// Lights of both sides' rows: `bands` for the first of a side, 0 for no place in the queue.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn light(&self, bands: u8, weight: impl Fn(u32) -> i128, lights: &mut [u8]) -> Result<()> {
        let mut keys = vec![0.0; self.first.len()];
        for (rows, keys) in self.first.chunks(LANE).zip(keys.chunks_mut(LANE)) {
            lane_keys(self.scorer, Span::Rows(rows), keys)?;
        }
        let tally = self.tally(weight, |class| keys[class] > f32::NEG_INFINITY);
        let mut passed = vec![bands; self.first.len()];
        let mut splits = Vec::new();
        for is_short in [false, true] {
            let is_in = |&class: &usize| {
                let lots = self.scorer.columns.lots[self.first[class] as usize];
                tally.scores[class].is_some() && (lots < 0) == is_short
            };
            let queue: Vec<usize> = (0..self.first.len()).filter(is_in).collect();
            let whole: i128 =
                queue.iter().map(|&class| tally.counts[class] * tally.weights[class]).sum();
            let need = |boundary: u8| i128::from(boundary) * whole / i128::from(bands) + 1;
            let needs: Vec<i128> = (1..bands).map(need).collect();
            splits.extend(self.splits(queue, &tally, &needs, &mut passed));
        }
        for (light, &class) in lights.iter_mut().zip(&self.of) {
            *light = bands - passed[usize::from(class)];
        }
        self.cut_by_id(&splits, &tally, |place, count| lights[place] -= count);
        Ok(())
    }

    fn tally(&self, weight: impl Fn(u32) -> i128, is_in: impl Fn(usize) -> bool) -> Tally {
        let score = |(class, &row): (usize, &u32)| {
            is_in(class).then(|| self.scorer.exact(row as usize).ok()).flatten()
        };
        let mut counts = vec![0; self.first.len()];
        for &class in &self.of {
            counts[usize::from(class)] += 1;
        }
        Tally {
            scores: self.first.iter().enumerate().map(score).collect(),
            weights: self.first.iter().map(|&row| weight(row)).collect(),
            counts: counts.into_iter().map(|count: u32| count.into()).collect(),
        }
    }

    /// How many boundaries lie before each class of a queue, and the classes among whose rows
    /// some are.
    fn splits(
        &self,
        mut queue: Vec<usize>,
        tally: &Tally,
        needs: &[i128],
        passed: &mut [u8],
    ) -> Vec<Split> {
        let compare = |a: &usize, b: &usize| self.compare(&tally.scores, *a, *b);
        queue.sort_unstable_by(compare);
        let (mut splits, mut before) = (Vec::new(), 0);
        for equal in queue.chunk_by(|a, b| compare(a, b) == Ordering::Equal) {
            let all: i128 =
                equal.iter().map(|&class| tally.counts[class] * tally.weights[class]).sum();
            let first = needs.partition_point(|&need| need <= before);
            let end = needs.partition_point(|&need| need <= before + all);
            for &class in equal {
                passed[class] = first as u8;
            }
            if first < end {
                let needs = needs[first..end].to_vec();
                splits.push(Split { classes: equal.to_vec(), before, needs });
            }
            before += all;
        }
        splits
    }

    /// Orders two classes by score and tie keys.
    fn compare(&self, scores: &[Option<Exact>], a: usize, b: usize) -> Ordering {
        let (row, other) = (self.first[a] as usize, self.first[b] as usize);
        let ties = self.scorer.rule.ties.iter();
        let by_ties = || {
            ties.map(|&tie| self.scorer.tie_key(tie, row).cmp(&self.scorer.tie_key(tie, other)))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        scores[b].cmp(&scores[a]).then_with(by_ties)
    }

    /// The members of each split, one after the other: what orders them last, and their places.
    fn members(&self, splits: &[Split], counts: &[usize]) -> Vec<(u64, u32)> {
        // Rows of no split are written behind all members, and over each other.
        let mut split_of = vec![splits.len() as u8; self.first.len()];
        let mut next = Vec::with_capacity(splits.len() + 1);
        let mut end = 0;
        for (number, (split, count)) in splits.iter().zip(counts).enumerate() {
            split.classes.iter().for_each(|&class| split_of[class] = number as u8);
            next.push(end);
            end += count;
        }
        next.push(end);
        let mut members = vec![(0, 0); end + 1];
        let ids = self.scorer.columns.position_id;
        let is_apart = are_apart(self.rows);
        for (place, (&class, &row)) in self.of.iter().zip(self.rows).enumerate() {
            if is_apart && let (Some(ids), Some(&ahead)) = (ids, self.rows.get(place + AHEAD)) {
                prefetch(ids, ahead as usize..ahead as usize + 1);
            }
            let id = ids.map_or(u64::from(row), |ids| ids[row as usize]);
            let number = usize::from(split_of[usize::from(class)]);
            members[next[number]] = (id, place as u32);
            next[number] += usize::from(number < splits.len());
        }
        members.truncate(end);
        members
    }

    /// Cuts within classes that only ids order; `pass` is told of each row how many more
    /// boundaries it stands behind or at.
    fn cut_by_id(&self, splits: &[Split], tally: &Tally, mut pass: impl FnMut(usize, u8)) {
        if splits.is_empty() {
            return;
        }
        let count = |split: &Split| -> i128 {
            split.classes.iter().map(|&class| tally.counts[class]).sum()
        };
        let counts: Vec<usize> = splits.iter().map(|split| count(split) as usize).collect();
        let mut members = self.members(splits, &counts);
        let mut start = 0;
        for (split, count) in splits.iter().zip(counts) {
            let members = &mut members[start..start + count];
            let found = self.cuts(split, members, &tally.weights);
            for &(id, place) in &*members {
                pass(place as usize, found.partition_point(|&cut| cut <= id) as u8);
            }
            start += count;
        }
    }

    /// Ids of the entries in which the boundaries of a split are reached.
    fn cuts(&self, split: &Split, members: &mut [(u64, u32)], weights: &[i128]) -> Vec<u64> {
        let same = weights[split.classes[0]];
        let is_even = split.classes.iter().all(|&class| weights[class] == same);
        let mut found: Vec<u64> = Vec::with_capacity(split.needs.len());
        if is_even {
            let mut start = 0;
            for need in &split.needs {
                let place = ((need - split.before - 1) / same) as usize;
                // The same entry may reach over several boundaries.
                if found.is_empty() || place >= start {
                    members[start..].select_nth_unstable(place - start);
                    start = place + 1;
                }
                found.push(members[place].0);
            }
            return found;
        }
        members.sort_unstable();
        let mut sum = split.before;
        let ends = members.iter().map(|&(_, place)| {
            sum += weights[usize::from(self.of[place as usize])];
            sum
        });
        let ends: Vec<i128> = ends.collect();
        let at = |need: &i128| members[ends.partition_point(|end| end < need)].0;
        found.extend(split.needs.iter().map(at));
        found
    }
}

/// Whether rows lie so far from each other that each has to be fetched.
fn are_apart(rows: &[u32]) -> bool {
    rows.last().is_some_and(|&last| (last - rows[0]) as usize > APART * rows.len())
}

/// The columns that a score may be made of.
fn numbers<'a>(columns: &Columns<'a>) -> Vec<&'a [i64]> {
    let others = [
        columns.margin,
        columns.maintenance_margin,
        columns.initial_margin,
        columns.open_value,
        columns.leverage,
        columns.profit_lots,
        columns.profit_value,
    ];
    let all = [columns.lots, columns.entry_value];
    all.into_iter().chain(others.into_iter().flatten()).collect()
}

/// So many columns, or fewer and some of them twice; and the accounts.
struct Numbers<'a, const N: usize> {
    columns: [&'a [i64]; N],
    account: Option<&'a [u32]>,
}

impl<'a, const N: usize> Numbers<'a, N> {
    fn new(columns: &[&'a [i64]], account: Option<&'a [u32]>) -> Self {
        let column = |number: usize| columns[number.min(columns.len() - 1)];
        Self { columns: std::array::from_fn(column), account }
    }

    /// The class of each row, and a row of each class; none where they are too many.
    fn part(&self, rows: &[u32]) -> Option<(Vec<u16>, Vec<u32>)> {
        let most = (rows.len() / ROWS_A_CLASS).min(MOST);
        let mask = (2 * most).next_power_of_two() - 1;
        let mut slots = vec![u16::MAX; mask + 1];
        let (mut of, mut first) = (Vec::with_capacity(rows.len()), Vec::new());
        let mut numbers = Vec::new();
        let is_apart = are_apart(rows);
        for (count, &row) in rows.iter().enumerate() {
            if let Some(&ahead) = rows.get(count + AHEAD)
                && is_apart
            {
                let ahead = ahead as usize;
                self.columns.iter().for_each(|column| prefetch(column, ahead..ahead + 1));
            }
            let own = self.of(row as usize);
            let mut slot = hash(&own) & mask;
            let class = loop {
                let class = slots[slot];
                if class == u16::MAX {
                    if first.len() >= most.min(SOME + count / ROWS_A_CLASS) {
                        return None;
                    }
                    slots[slot] = first.len() as u16;
                    first.push(row);
                    numbers.push(own);
                    break slots[slot];
                }
                if is_same(&numbers[usize::from(class)], &own) {
                    break class;
                }
                slot = (slot + 1) & mask;
            };
            of.push(class);
        }
        Some((of, first))
    }

    #[inline(always)]
    fn of(&self, row: usize) -> ([i64; N], u32) {
        let account = self.account.map_or(0, |account| account[row]);
        (std::array::from_fn(|number| self.columns[number][row]), account)
    }
}

/// Compares number by number: what was just gathered is not read back as a whole.
#[inline(always)]
fn is_same<const N: usize>(one: &([i64; N], u32), other: &([i64; N], u32)) -> bool {
    let differ = |all: i64, (a, b): (&i64, &i64)| all | (a ^ b);
    let accounts = i64::from(one.1 ^ other.1);
    one.0.iter().zip(&other.0).fold(accounts, differ) == 0
}

/// The top bits of a sum of products, each by an odd number of its own.
#[inline(always)]
fn hash<const N: usize>(numbers: &([i64; N], u32)) -> usize {
    let mut factor = 0x9E37_79B9_7F4A_7C15_u64;
    let mut sum = u64::from(numbers.1).wrapping_mul(factor);
    for &number in &numbers.0 {
        factor = factor.wrapping_mul(0xD134_2543_DE82_EF95);
        sum = sum.wrapping_add((number as u64).wrapping_mul(factor));
    }
    (sum >> 48) as usize
}
