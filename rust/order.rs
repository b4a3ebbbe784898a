//! Queue order of rows that are already chosen.

use crate::error::{Error, Result};
use crate::lane::{LANE, Lane, Span, with_lane};
use crate::queue::Candidate;
use crate::score::Scorer;
use crate::simd::prefetch;

/// Rows between asking for a row's values and reading them.
const AHEAD: usize = LANE;

/// The rows from the first to be cut to the last, by tier, score, ties and id.
///
/// # Errors
/// A column or the rate is not what the rule needs, a row does not exist, or one has no score.
pub fn order(scorer: &Scorer<'_>, rows: &[i64]) -> Result<Vec<i64>> {
    scorer.columns.check(&scorer.accounts, scorer.rule)?;
    scorer.rate.check()?;
    Ok(ordered(scorer, rows)?.into_iter().map(|c| i64::from(c.row)).collect())
}

fn ordered(scorer: &Scorer<'_>, rows: &[i64]) -> Result<Vec<Candidate>> {
    let mut candidates = with_lane(|lane| candidates(scorer, rows, lane))?;
    if let Some(tier) = scorer.columns.tier {
        let of = |c: &Candidate| tier[c.row as usize];
        candidates.sort_by_key(of);
        for part in candidates.chunk_by_mut(|a, b| of(a) == of(b)) {
            scorer.sort(part);
        }
    } else {
        scorer.sort(&mut candidates);
    }
    Ok(candidates)
}

fn candidates(scorer: &Scorer<'_>, rows: &[i64], lane: &mut Lane) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::with_capacity(rows.len());
    fetch(scorer, &rows[..rows.len().min(AHEAD)]);
    for (turn, chunk) in rows.chunks(LANE).enumerate() {
        let ahead = rows.len().min(turn * LANE + AHEAD)..rows.len().min((turn + 1) * LANE + AHEAD);
        fetch(scorer, &rows[ahead]);
        let chunk = chunk.iter().map(|&row| check(scorer, row)).collect::<Result<Vec<u32>>>()?;
        scorer.evaluate(Span::Rows(&chunk), lane);
        if !lane.is_valid {
            return Err(scorer.columns.first_out_of_range(&scorer.accounts));
        }
        for (place, &row) in chunk.iter().enumerate() {
            let Some(key) = scorer.key(lane, place, row as usize) else {
                let expected = "rows that have a place in the queue";
                return Err(Error::Argument { name: "rows", expected, got: row.into() });
            };
            let lots = scorer.columns.lots[row as usize];
            if (lots > 0) != (scorer.columns.lots[rows[0] as usize] > 0) {
                let expected = "rows of one side";
                return Err(Error::Argument { name: "rows", expected, got: row.into() });
            }
            candidates.push(Candidate::new(key, row as usize, lots));
        }
    }
    Ok(candidates)
}

/// Asks for what nearly every rule reads of rows that lie anywhere: a line of memory a column.
fn fetch(scorer: &Scorer<'_>, rows: &[i64]) {
    let columns = &scorer.columns;
    for column in [Some(columns.lots), Some(columns.entry_value), columns.margin] {
        for &row in rows {
            let row = usize::try_from(row).unwrap_or(usize::MAX);
            prefetch(column.unwrap_or(&[]), row..row.saturating_add(1));
        }
    }
}

fn check(scorer: &Scorer<'_>, row: i64) -> Result<u32> {
    let is_row = usize::try_from(row).is_ok_and(|row| row < scorer.columns.len());
    let expected = "rows of the columns";
    if is_row { Ok(row as u32) } else { Err(Error::Argument { name: "rows", expected, got: row }) }
}
