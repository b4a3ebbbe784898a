//! What a sample of the rows says about where a level lies.

use super::Rows;
use super::ratio::float;
use crate::load::whole;
use crate::simd::{Level, Task, dispatch, prefetch};

/// Rows of a sampled run: they cost one cache line a column where single rows cost one each.
pub const RUN: usize = 4;
/// Picked rows that are asked for ahead of the one that is read.
pub const AHEAD: usize = 32 * RUN;
/// Sampled standard errors to either side.
const ERRORS: f64 = 2.25;
/// Rows of average size that the sample may be off by, beyond its error.
const FEW: f64 = 4.0;
/// Part of the sample, one in so many, that is worth to be counted as a tie.
const FEW_TIES: usize = 100;
/// Most doublings of a step.
const DOUBLINGS: usize = 16;
/// Halvings of a step: a thousandth of it is less than what a sample can be off by.
const HALVINGS: usize = 10;

/// Sampled rows in the order of the level at which each is full.
pub struct Sample {
    /// Rows that are full first in front.
    rows: Vec<Sampled>,
    /// Rows of the whole for each row of the sample.
    pub scale: f64,
    /// No row of the sample has a weight or a cap from here on: a heavier one is not foreseen.
    pub heavy: u64,
}

/// A row of the sample, or a row of the whole beside it, which is that much lighter.
#[derive(Clone, Copy)]
struct Sampled {
    /// The level at which it is full.
    level: f64,
    weight: f64,
    cap: f64,
    /// Whether it stands for itself alone.
    is_known: bool,
}

impl Sampled {
    /// A row that stands for so many as the scale says, or for itself alone.
    fn new((weight, cap): (i64, i64), scale: Option<f64>) -> Self {
        let (weight, cap) = (float(weight), float(cap));
        let part = scale.unwrap_or(1.0);
        let (level, is_known) = (cap / weight, scale.is_some());
        Self { level, weight: weight / part, cap: cap / part, is_known }
    }
}

/// Levels between which the true one is expected.
#[derive(Debug, Clone, Copy)]
pub struct Bracket {
    /// The lower end, 0 where there is none.
    pub low: f64,
    /// The upper end, infinity where there is none.
    pub high: f64,
}

impl Bracket {
    /// Everything.
    pub const ALL: Self = Self { low: 0.0, high: f64::INFINITY };

    /// Whether a level lies within.
    pub fn holds(&self, level: f64) -> bool {
        self.low <= level && level <= self.high
    }

    /// What is common to both; the other where that is no more than a point.
    pub fn within(self, other: Self) -> Self {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        if low < high { Self { low, high } } else { other }
    }
}

/// Runs of rows at a fixed stride, about as many as asked for; none where that is most of them.
pub fn pick(count: usize, size: usize, run: usize) -> Option<Vec<u32>> {
    let stride = count / size;
    if stride < 2 {
        return None;
    }
    // An odd number of rows between runs is no divisor of a period of 2^k rows.
    let starts = (0..count).step_by((stride * run) | 1);
    Some(starts.flat_map(|start| start..count.min(start + run)).map(|row| row as u32).collect())
}

/// Number, weight and cap of picked rows; memory is asked for them some time before they come.
pub fn visit<'a>(rows: Rows<'a>, picked: &'a [u32]) -> impl Iterator<Item = (u32, i64, i64)> + 'a {
    picked.iter().enumerate().map(move |(turn, &row)| {
        if let Some(&next) = picked.get(turn + AHEAD) {
            let next = next as usize;
            prefetch(rows.weight, next..next + 1);
            prefetch(rows.cap, next..next + 1);
        }
        let (weight, cap) = rows.at(row as usize);
        (row, weight, cap)
    })
}

/// What a sample is to reach.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// So much is held.
    Held(f64),
    /// So much is lacking to all caps.
    Lacking(f64),
}

impl Sample {
    /// Picks runs of rows at a fixed stride; none where a sample would be no help.
    pub fn new(rows: Rows<'_>, size: usize, is_plain: bool) -> Option<Self> {
        let count = rows.weight.len();
        let picked = pick(count, size, RUN)?;
        let scale = count as f64 / picked.len() as f64;
        let mut heavy = 0;
        let mut rows: Vec<Sampled> = visit(rows, &picked)
            .map(|(_, weight, cap)| (weight, cap))
            .filter(|row| row.0 > 0)
            .inspect(|row| heavy |= (row.0 | row.1) as u64)
            .map(|row| Sampled::new(row, None))
            .collect();
        if !is_plain {
            sort(&mut rows);
        }
        Some(Self { rows, scale, heavy: (heavy + 1).next_power_of_two() })
    }

    /// Takes rows in that are too heavy to be foreseen; whether it knows more than before.
    pub fn learn(&mut self, heavy: &[(i64, i64)]) -> bool {
        self.heavy = u64::MAX;
        let scale = Some(self.scale);
        self.rows.extend(heavy.iter().map(|&row| Sampled::new(row, scale)));
        sort(&mut self.rows);
        !heavy.is_empty()
    }

    /// Where the level lies at which the sample and an open weight beside it reach a goal.
    ///
    /// `open` is weight of the whole; `margin` widens the bracket.
    pub fn bracket(&self, goal: Goal, open: f64, margin: f64) -> Bracket {
        let totals = self.totals(open / self.scale);
        let caps: f64 = self.rows.iter().map(|row| row.cap).sum();
        let target = match goal {
            Goal::Held(part) => part,
            Goal::Lacking(part) => caps - part,
        };
        let middle = Self::level(&totals, target).unwrap_or(f64::MAX);
        let share = |row: &Sampled| match goal {
            Goal::Held(_) => (middle * row.weight).min(row.cap),
            Goal::Lacking(_) => (row.cap - middle * row.weight).max(0.0),
        };
        let shares = self.rows.iter().filter(|row| !row.is_known).map(share);
        let add = |sums: (f64, f64), share: f64| (sums.0 + share, sums.1 + share * share);
        let (part, squares) = shares.fold((0.0, 0.0), add);
        let average = part / self.rows.len().max(1) as f64;
        let doubt = margin * (ERRORS * squares.sqrt() + FEW * average);
        // Beyond all that the sample holds: rows that it has not met hold the rest.
        let top = self.rows.last().map_or(0.0, |row| row.level);
        let low = if target > doubt { Self::level(&totals, target - doubt) } else { Some(0.0) };
        let high = Self::level(&totals, target + doubt);
        Bracket { low: low.unwrap_or(top), high: high.unwrap_or(f64::INFINITY) }
    }

    /// The level in the middle of a bracket, where that holds more than a part of the sample.
    ///
    /// Rows that outweigh all others make a bracket by sums as good as none.
    pub fn middle(&self, bracket: Bracket, part: f64) -> Option<f64> {
        let from = self.rows.partition_point(|row| row.level <= bracket.low);
        let to = self.rows.partition_point(|row| row.level < bracket.high);
        let inside = self.rows.get(from..to)?;
        let is_wide = inside.len() as f64 > part * self.rows.len() as f64;
        is_wide.then(|| inside[inside.len() / 2].level)
    }

    /// Weight and cap of those rows in a bracket that the most are equal to, none where few are;
    /// and how many rows of the whole the bracket holds beside them.
    pub fn tie(&self, bracket: Bracket) -> (Option<(i64, i64)>, f64) {
        let from = self.rows.partition_point(|row| row.level < bracket.low);
        let to = self.rows.partition_point(|row| row.level <= bracket.high);
        let inside = &self.rows[from..to.max(from)];
        let runs = inside.chunk_by(|a, b| a.level.total_cmp(&b.level).is_eq());
        let run = runs.max_by_key(|run| run.len()).unwrap_or_default();
        let row = run.iter().find(|row| !row.is_known);
        let row = row.filter(|_| run.len() * FEW_TIES > self.rows.len());
        let others = inside.len() - row.map_or(0, |_| run.len());
        let tie = row.map(|row| (whole(row.weight) as i64, whole(row.cap) as i64));
        (tie, others as f64 * self.scale)
    }

    /// What is held at the level at which each row is full, the caps in front, the weight after.
    fn totals(&self, open: f64) -> Vec<(f64, f64, f64)> {
        let mut weight = open + self.rows.iter().map(|row| row.weight).sum::<f64>();
        let mut caps = 0.0;
        self.rows
            .iter()
            .map(|row| {
                let total = (caps + row.level * weight, caps, weight);
                weight = (weight - row.weight).max(0.0);
                caps += row.cap;
                total
            })
            .collect()
    }

    /// The level at which the sample holds an amount; none where all of it is less.
    fn level(totals: &[(f64, f64, f64)], amount: f64) -> Option<f64> {
        let place = totals.partition_point(|total| total.0 < amount);
        let (_, caps, weight) = *totals.get(place)?;
        Some(((amount - caps) / weight).max(0.0))
    }

    /// Where the level lies at which rows hold an amount in whole units.
    ///
    /// `start` is the level without rounding: the sum there is `amount`, in whole units less.
    /// What rounding takes away, up to one unit a row, is estimated from the sample.
    /// Beside the bracket: how many steps of the sample lie in it up to the level, and the error.
    pub fn bracket_of_steps(
        &self,
        start: f64,
        weights: f64,
        margin: f64,
        simd: Level,
    ) -> (Bracket, f64, f64) {
        let open: Vec<Sampled> =
            self.rows.iter().copied().filter(|row| row.cap > start * row.weight).collect();
        // Units more than at the start, and the error of that estimate.
        let gain = |level: f64| {
            let (lost, squares) = dispatch(simd, Lost { rows: &open, level });
            let spread = (squares - lost * lost / self.rows.len().max(1) as f64).max(0.0);
            let error = ERRORS * spread.sqrt() + FEW;
            ((level - start) * weights - self.scale * lost, margin * error * self.scale)
        };
        let is_above = |level: f64| {
            let (gain, error) = gain(level);
            gain > error
        };
        let is_below = |level: f64| {
            let (gain, error) = gain(level);
            gain < -error
        };
        let mut step = (open.len() + 1) as f64 * self.scale / weights.max(1.0);
        let mut doublings = 0;
        while !is_above(start + step) {
            if doublings == DOUBLINGS {
                return (Bracket { low: start, high: f64::INFINITY }, 0.0, f64::INFINITY);
            }
            doublings += 1;
            step *= 2.0;
        }
        let (mut low, mut high) = (0.0, step);
        let mut sure = (0.0, step);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if is_above(start + middle) {
                (high, sure.1) = (middle, middle);
            } else {
                low = middle;
            }
        }
        high = sure.1;
        low = 0.0;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if is_below(start + middle) {
                (low, sure.0) = (middle, middle);
            } else {
                high = middle;
            }
        }
        let bracket = Bracket { low: start + sure.0, high: start + sure.1 };
        let (gain, error) = gain(bracket.low);
        (bracket, -gain / self.scale, error / self.scale)
    }
}

/// Puts the rows that are full first in front.
fn sort(rows: &mut [Sampled]) {
    rows.sort_unstable_by(|a, b| a.level.total_cmp(&b.level));
}

/// What rounding down takes away from the rows at a level, and the sum of its squares.
struct Lost<'a> {
    rows: &'a [Sampled],
    level: f64,
}

impl Task for Lost<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        // Several sums side by side: a single one would have to wait for itself.
        const LANES: usize = 16;
        let (mut lost, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for rows in self.rows.chunks(LANES) {
            for (lane, row) in rows.iter().enumerate() {
                let share = self.level * row.weight;
                let part = share - share.floor().min(row.cap);
                lost[lane] += part;
                squares[lane] += part * part;
            }
        }
        (lost.iter().sum(), squares.iter().sum())
    }
}
