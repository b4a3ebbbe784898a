//! Whether the accounts of neighbouring rows lie apart, so that each costs a line of memory.

use rayon::prelude::*;

use crate::columns::LIMIT;
use crate::load::to_float;
use crate::places::{Bits, PLACES};
use crate::rule::Basis;
use crate::score::Scorer;
use crate::select::CHUNK;
use crate::simd::{Task, dispatch, prefetch};

/// Neighbours that are looked at for how accounts lie.
const PAIRS: usize = 256;
/// Places in a table that are about as quick to read as the same one.
const NEAR: u32 = 64;
/// Times the rows that a table may hold for its check to cost less than is spared.
const TABLE_TO_ROWS: usize = 4;

/// Entries of a table that is worth a narrower one.
const LARGE: usize = 1 << 15;

/// How a pass reads the accounts of its rows.
#[derive(Debug)]
pub struct Reading {
    /// Whether all accounts are read, and not only those of rows that can reach the cut.
    ///
    /// So it is where neighbours' accounts lie side by side, for there a choice costs more than it
    /// spares, and where a table holds a value out of range, for whoever reads it has to be
    /// refused.
    pub is_whole: bool,
    /// A code of each account's equity, an eighth of its width: see [`lower_bound`]. None where
    /// equities are few or not read.
    pub codes: Vec<u8>,
}

impl Reading {
    /// Looks at how the accounts of a scorer's rows lie.
    #[must_use]
    pub fn new(scorer: &Scorer<'_>) -> Self {
        let whole = Self { is_whole: true, codes: Vec::new() };
        let Some(account) = scorer.columns.account.filter(|_| !scorer.rule.is_own_equity()) else {
            return whole;
        };
        let step = (account.len() / PAIRS).max(1);
        let pairs = || account.windows(2).step_by(step);
        let far = pairs().filter(|pair| pair[0].abs_diff(pair[1]) > NEAR).count();
        let tables = tables(scorer);
        let entries: usize = tables.iter().flatten().map(|table| table.len()).sum();
        if 2 * far <= pairs().count() || entries > TABLE_TO_ROWS * account.len() {
            return whole;
        }
        let mut codes = Vec::new();
        for (place, table) in tables.into_iter().enumerate() {
            let Some(table) = table else { continue };
            let is_coded = place == 0 && table.len() > LARGE;
            let mut written = vec![0; if is_coded { table.len() } else { 0 }];
            if !is_in_range(scorer, table, &mut written) {
                return whole;
            }
            if is_coded {
                codes = written;
            }
        }
        Self { is_whole: false, codes }
    }
}

/// The least equity that a code may stand for; none that is above zero stands for code 0, which
/// reaches no cut above zero.
#[must_use]
#[inline(always)]
pub fn lower_bound(code: u8) -> i64 {
    LOWER_BOUNDS[code as usize]
}

/// A code is the exponent and the first bits of an equity as a float.
const SHIFT: u32 = 50;
const FIRST: u64 = 1.0f64.to_bits() >> SHIFT;

const LOWER_BOUNDS: [i64; 256] = {
    let mut bounds = [LIMIT - 1; 256];
    let mut code = 1;
    while (f64::from_bits((FIRST + code - 1) << SHIFT) as i64) < LIMIT {
        bounds[code as usize] = f64::from_bits((FIRST + code - 1) << SHIFT) as i64;
        code += 1;
    }
    bounds
};

/// The accounts' tables that a rule's score is made of.
fn tables<'a>(scorer: &Scorer<'a>) -> [Option<&'a [i64]>; 3] {
    let (rule, accounts) = (scorer.rule, &scorer.accounts);
    [
        accounts.equity.filter(|_| rule.reads_equity()),
        accounts.maintenance_margin.filter(|_| rule.reads_maintenance()),
        accounts.wallet_balance.filter(|_| rule.basis == Basis::Wallet),
    ]
}

/// Of so many places of a set a loop over all is quicker than one over those that count.
pub const MANY: u32 = 26;

/// Asks for the accounts of the rows of some sets: each may cost a line of memory of its own.
#[inline(always)]
pub fn ask<T>(table: &[T], sets: &[u64], account: &[u32]) {
    for (&set, account) in sets.iter().zip(account.chunks_exact(PLACES)) {
        if set.count_ones() < MANY {
            for place in Bits(set) {
                let line = account[place] as usize;
                prefetch(table, line..line + 1);
            }
        }
    }
}

/// Whether all values are in range; their codes are written where there is room for them.
fn is_in_range(scorer: &Scorer<'_>, table: &[i64], codes: &mut [u8]) -> bool {
    if codes.is_empty() {
        let chunks = table.par_chunks(CHUNK);
        return chunks.all(|values| dispatch(scorer.level, Encode { values, codes: &mut [] }));
    }
    let chunks = table.par_chunks(CHUNK).zip(codes.par_chunks_mut(CHUNK));
    chunks.all(|(values, codes)| dispatch(scorer.level, Encode { values, codes }))
}

struct Encode<'a> {
    values: &'a [i64],
    codes: &'a mut [u8],
}

impl Task for Encode<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let mut seen = 0;
        if self.codes.is_empty() {
            for &value in self.values {
                to_float(value, &mut seen);
            }
        }
        for (code, &value) in self.codes.iter_mut().zip(self.values) {
            let place = (to_float(value, &mut seen).to_bits() >> SHIFT).wrapping_sub(FIRST - 1);
            *code = if value > 0 { place as u8 } else { 0 };
        }
        seen >> 52 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_stands_for_no_more_than_a_fifth_below_its_equity(
            values in prop::collection::vec(
                (0u32..51, any::<i64>()).prop_map(|(bits, value)| value >> (13 + bits)), 1..200
            ),
        ) {
            for level in Level::available() {
                let mut codes = vec![7; values.len()];
                let task = Encode { values: &values, codes: &mut codes };
                let is_valid = dispatch(level, task);
                prop_assert!(is_valid);
                for (&value, &code) in values.iter().zip(&codes) {
                    let bound = lower_bound(code);
                    if value <= 0 {
                        prop_assert_eq!(bound, LIMIT - 1);
                    } else {
                        prop_assert!(bound <= value && value - bound <= value / 5);
                    }
                }
            }
        }
    }
}
