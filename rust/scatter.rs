//! Whether the accounts of neighbouring rows lie apart, so that each costs a line of memory.

use rayon::prelude::*;

use crate::load::to_float;
use crate::rule::Basis;
use crate::score::Scorer;
use crate::select::CHUNK;
use crate::simd::{Task, dispatch};

/// Neighbours that are looked at for how accounts lie.
const PAIRS: usize = 256;
/// Places in a table that are about as quick to read as the same one.
const NEAR: u32 = 64;
/// Times the rows that a table may hold for its check to cost less than is spared.
const TABLE_TO_ROWS: usize = 4;

/// Whether a pass reads the accounts of all rows, and not only of those that can reach the cut.
///
/// So it does where neighbours' accounts lie side by side, for there a choice costs more than it
/// spares, and where a table holds a value out of range, for whoever reads it has to be refused.
#[must_use]
pub fn reads_all_accounts(scorer: &Scorer<'_>) -> bool {
    let Some(account) = scorer.columns.account.filter(|_| !scorer.rule.is_own_equity()) else {
        return true;
    };
    let step = (account.len() / PAIRS).max(1);
    let pairs = || account.windows(2).step_by(step);
    let far = pairs().filter(|pair| pair[0].abs_diff(pair[1]) > NEAR).count();
    let tables = tables(scorer);
    let entries: usize = tables.iter().flatten().map(|table| table.len()).sum();
    2 * far <= pairs().count()
        || entries > TABLE_TO_ROWS * account.len()
        || !tables.into_iter().flatten().all(|table| is_in_range(scorer, table))
}

/// The accounts' tables that a rule's score is made of.
fn tables<'a>(scorer: &Scorer<'a>) -> [Option<&'a [i64]>; 3] {
    let (rule, accounts) = (scorer.rule, &scorer.accounts);
    [
        accounts.equity.filter(|_| rule.reads_equity()),
        accounts.maintenance_margin.filter(|_| rule.reads_maintenance()),
        accounts.wallet_balance.filter(|_| rule.basis == Basis::Wallet),
    ]
}

fn is_in_range(scorer: &Scorer<'_>, table: &[i64]) -> bool {
    table.par_chunks(CHUNK).all(|values| dispatch(scorer.level, InRange(values)))
}

struct InRange<'a>(&'a [i64]);

impl Task for InRange<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let mut seen = 0;
        for &value in self.0 {
            to_float(value, &mut seen);
        }
        seen >> 52 == 0
    }
}
