//! Large groups of ties, cut without comparing their members one by one.
//!
//! Ties come from few different trades: rows whose numbers are all the same share one class, and
//! with it score, size and weight. Classes are compared exactly, once each; only in the class
//! that holds a boundary do the rows' ids decide.

use std::cmp::Ordering;

use crate::columns::Columns;
use crate::error::{Error, Result};
use crate::exact::Exact;
use crate::queue::Candidate;
use crate::rule::Tie;
use crate::score::Scorer;
use crate::simd::prefetch;

/// Fewest rows that are worth it.
const FEWEST: usize = 48;
/// Classes that are not too many, however few rows were seen.
const SOME: usize = 64;
/// Rows ahead whose numbers are fetched meanwhile: they lie far from each other.
const AHEAD: usize = 24;
/// Most classes, so that all are at hand.
const MOST: usize = 2048;
/// Rows a class that are enough.
const ROWS_A_CLASS: usize = 4;

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

/// Classes that no key before the id tells apart.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// Weight of all that goes before.
    before: i128,
    /// Cuts that lie before.
    passed: usize,
    /// Cuts that lie within.
    within: usize,
}

/// Where the cuts of a queue lie.
#[derive(Debug)]
pub struct Cut {
    /// The cuts, front first.
    pub edges: Vec<Candidate>,
    /// How many cuts each row stands behind or at, in the order of the rows.
    pub passed: Vec<u8>,
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
        let most = (rows.len() / ROWS_A_CLASS).min(MOST);
        let mask = (2 * most).next_power_of_two() - 1;
        let mut slots = vec![u16::MAX; mask + 1];
        let (mut of, mut first) = (Vec::with_capacity(rows.len()), Vec::new());
        for (count, &row) in rows.iter().enumerate() {
            if let Some(&ahead) = rows.get(count + AHEAD) {
                let ahead = ahead as usize;
                columns.columns.iter().for_each(|column| prefetch(column, ahead..ahead + 1));
            }
            let mut slot = hash(&columns, row as usize) & mask;
            let class = loop {
                let class = slots[slot];
                if class == u16::MAX {
                    if first.len() >= most.min(SOME + count / ROWS_A_CLASS) {
                        return None;
                    }
                    slots[slot] = first.len() as u16;
                    first.push(row);
                    break slots[slot];
                }
                if is_same(&columns, row as usize, first[usize::from(class)] as usize) {
                    break class;
                }
                slot = (slot + 1) & mask;
            };
            of.push(class);
        }
        Some(Self { scorer, rows, of, first })
    }

    /// Finds the entries in which weights are reached; `needs` are rising and positive.
    ///
    /// # Errors
    /// A row has no score.
    pub fn cut(&self, needs: &[i128], weight: impl Fn(u32) -> i128) -> Result<Cut> {
        let scores = self.scores()?;
        let weights: Vec<i128> = self.first.iter().map(|&row| weight(row)).collect();
        let mut counts = vec![0i128; self.first.len()];
        for &class in &self.of {
            counts[usize::from(class)] += 1;
        }
        let mut order: Vec<usize> = (0..self.first.len()).collect();
        let compare = |a: &usize, b: &usize| self.compare(&scores, *a, *b);
        order.sort_unstable_by(compare);
        let mut cut = Cut { edges: Vec::new(), passed: vec![0; self.rows.len()] };
        let mut levels = vec![Level { before: 0, passed: 0, within: 0 }; self.first.len()];
        let mut before = 0;
        for equal in order.chunk_by(|a, b| compare(a, b) == Ordering::Equal) {
            let all: i128 = equal.iter().map(|&class| counts[class] * weights[class]).sum();
            let passed = needs.partition_point(|&need| need <= before);
            let within = needs.partition_point(|&need| need <= before + all) - passed;
            for &class in equal {
                levels[class] = Level { before, passed, within };
            }
            before += all;
        }
        for (passed, &class) in cut.passed.iter_mut().zip(&self.of) {
            *passed = levels[usize::from(class)].passed as u8;
        }
        for equal in order.chunk_by(|a, b| compare(a, b) == Ordering::Equal) {
            let level = levels[equal[0]];
            if level.within > 0 {
                let needs = &needs[level.passed..level.passed + level.within];
                let key = scores[equal[0]].to_f64();
                self.cut_by_id(equal, key, needs, level, &weights, &mut cut);
            }
        }
        Ok(cut)
    }

    fn scores(&self) -> Result<Vec<Exact>> {
        let expected = "rows that have a place in the queue";
        let refuse = |_| Error::Argument { name: "rows", expected, got: 1 };
        self.first.iter().map(|&row| self.scorer.exact(row as usize).map_err(refuse)).collect()
    }

    /// Orders two classes by score and tie keys.
    fn compare(&self, scores: &[Exact], a: usize, b: usize) -> Ordering {
        let (row, other) = (self.first[a] as usize, self.first[b] as usize);
        let ties = self.scorer.rule.ties.iter();
        let by_ties = || {
            ties.map(|&tie| self.scorer.tie_key(tie, row).cmp(&self.scorer.tie_key(tie, other)))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        scores[b].cmp(&scores[a]).then_with(by_ties)
    }

    /// The members of some classes: what orders them last, and their places.
    fn members(&self, equal: &[usize]) -> Vec<(u64, u32)> {
        let mut is_in = vec![false; self.first.len()];
        for &class in equal {
            is_in[class] = true;
        }
        let ids = self.scorer.columns.position_id;
        let is_member = |place: &usize| is_in[usize::from(self.of[*place])];
        let places: Vec<usize> = (0..self.rows.len()).filter(is_member).collect();
        let of = |(count, &place): (usize, &usize)| {
            let row = self.rows[place];
            let Some(ids) = ids else {
                return (u64::from(row), place as u32);
            };
            if let Some(&ahead) = places.get(count + AHEAD) {
                let ahead = self.rows[ahead] as usize;
                prefetch(ids, ahead..ahead + 1);
            }
            (ids[row as usize], place as u32)
        };
        places.iter().enumerate().map(of).collect()
    }

    /// Cuts within classes that only ids order.
    fn cut_by_id(
        &self,
        equal: &[usize],
        key: f64,
        needs: &[i128],
        level: Level,
        weights: &[i128],
        cut: &mut Cut,
    ) {
        let mut members = self.members(equal);
        let same = weights[equal[0]];
        let is_even = equal.iter().all(|&class| weights[class] == same);
        let weight_of = |place: u32| weights[usize::from(self.of[place as usize])];
        let mut found = Vec::with_capacity(needs.len());
        if is_even {
            let mut start = 0;
            for need in needs {
                let place = ((need - level.before - 1) / same) as usize;
                // The same entry may reach over several boundaries.
                if found.is_empty() || place >= start {
                    members[start..].select_nth_unstable(place - start);
                    start = place + 1;
                }
                found.push(members[place]);
            }
        } else {
            members.sort_unstable();
            let mut sum = level.before;
            let ends = members.iter().map(|member| {
                sum += weight_of(member.1);
                sum
            });
            let ends: Vec<i128> = ends.collect();
            let at = |need: &i128| members[ends.partition_point(|end| end < need)];
            found.extend(needs.iter().map(at));
        }
        for &(id, place) in &members {
            cut.passed[place as usize] += found.partition_point(|cut| cut.0 <= id) as u8;
        }
        cut.edges.extend(found.iter().map(|&(_, place)| {
            let row = self.rows[place as usize] as usize;
            Candidate::new(key, row, self.scorer.columns.lots[row])
        }));
    }
}

/// The columns that a score may be made of, and the accounts.
struct Numbers<'a> {
    columns: Vec<&'a [i64]>,
    account: Option<&'a [u32]>,
}

fn numbers<'a>(columns: &Columns<'a>) -> Numbers<'a> {
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
    Numbers {
        columns: all.into_iter().chain(others.into_iter().flatten()).collect(),
        account: columns.account,
    }
}

#[inline]
fn hash(numbers: &Numbers<'_>, row: usize) -> usize {
    let account = numbers.account.map_or(0, |account| u64::from(account[row]));
    let mix = |all: u64, column: &&[i64]| {
        (all.rotate_left(23) ^ column[row] as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    };
    (numbers.columns.iter().fold(account, mix) >> 32) as usize
}

#[inline]
fn is_same(numbers: &Numbers<'_>, a: usize, b: usize) -> bool {
    numbers.account.is_none_or(|account| account[a] == account[b])
        && numbers.columns.iter().all(|column| column[a] == column[b])
}
