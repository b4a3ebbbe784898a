//! Exactly the head of one side's queue that offsets a quantity.
//!
//! A lowest cut is sampled at a fixed stride, with a margin; one pass keeps the rows that reach it
//! and takes those that are surely before the cut; among the rest the true cut is selected, not
//! sorted. Where the bracket around the cut proves wrong it is widened and the pass repeated.

use crate::error::{Error, Result};
use crate::queue::Candidate;
use crate::scatter::Reading;
use crate::score::Scorer;
use crate::sweep::{Kept, Sweep};

/// Rows of a chunk: the unit of parallel work.
pub const CHUNK: usize = 1 << 16;
const SAMPLES: usize = 1 << 13;
/// A sample is one row in so many at most, and of fewer rows than this none is taken: a sampled row
/// costs as much as some ten that are passed over.
const SPARSE: usize = 16;
const FEWEST_ROWS: usize = 1 << 14;
const FEWEST_SAMPLES: f64 = 6.0;
/// Rows of a sampled run.
pub const RUN: usize = 4;

/// What to offset.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Side of the candidates: +1 long, -1 short.
    pub side: i8,
    /// Lots to offset, more than zero.
    pub lots: i64,
    /// Rows that are no candidates, in increasing order.
    pub excluded: &'a [i64],
}

/// The head of the queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Selected rows, in no promised order.
    pub rows: Vec<i64>,
    /// Lots closed of each, positive; all of the row's, except for the partial one.
    pub lots: Vec<i64>,
    /// Float score of each where they were asked for in order, else empty.
    pub scores: Vec<f64>,
    /// The last row taken and its float score.
    pub cut: Option<(i64, f64)>,
    /// The row that is not taken whole.
    pub partial: Option<i64>,
    /// Lots that the side could not offset.
    pub unfilled: i64,
    /// Passes that had to be repeated because the expected cut was too high.
    pub rescans: u32,
}

/// Selects the head of the queue, tier by tier.
///
/// # Errors
/// A column or the rate is not what the rule needs, a value is out of range, or the request's
/// side or lots are.
pub fn select(scorer: &Scorer<'_>, request: &Request<'_>) -> Result<Selection> {
    head(scorer, request, false)
}

/// Selects the head of the queue and gives it in queue order, with the score of each row.
///
/// # Errors
/// As [`select`].
pub fn select_in_order(scorer: &Scorer<'_>, request: &Request<'_>) -> Result<Selection> {
    head(scorer, request, true)
}

fn head(scorer: &Scorer<'_>, request: &Request<'_>, is_ordered: bool) -> Result<Selection> {
    scorer.columns.check(&scorer.accounts, scorer.rule)?;
    scorer.rate.check()?;
    let (side, lots) = (request.side, request.lots);
    if side != 1 && side != -1 {
        return Err(Error::Argument { name: "side", expected: "1 or -1", got: side.into() });
    }
    if lots <= 0 {
        return Err(Error::Argument { name: "lots", expected: "more than 0", got: lots });
    }
    let tiers = scorer.columns.tier.map_or(0, |tier| tier.iter().copied().max().unwrap_or(0));
    let reading = Reading::new(scorer);
    let mut selection = Selection { unfilled: lots, ..Selection::default() };
    for tier in 0..=tiers {
        let tier = scorer.columns.tier.map(|_| tier);
        let need = i128::from(selection.unfilled);
        let is_trusting = true;
        let sweep =
            Sweep { scorer, request, tier, need, is_trusting, reading: &reading, is_ordered };
        take(sweep, &mut selection)?;
        if selection.unfilled == 0 {
            break;
        }
    }
    Ok(selection)
}

/// Adds the head of one tier.
fn take(mut sweep: Sweep<'_, '_>, selection: &mut Selection) -> Result<()> {
    let mut margin = 1.0;
    loop {
        if let Some(mut kept) = sweep.run(sample(&sweep, margin)?)? {
            let weight = kept.taken_weight() + sweep.weight(&kept.near);
            if kept.bracket.low.is_none() || weight >= sweep.need {
                return deliver(&sweep, &mut kept, weight, selection);
            }
            sweep.is_trusting = false;
        }
        selection.rescans += 1;
        margin *= 8.0;
    }
}

/// A row that the cut is expected not to fall behind; none where all rows are needed.
fn sample(sweep: &Sweep<'_, '_>, margin: f64) -> Result<Option<Candidate>> {
    let scorer = sweep.scorer;
    let rows = scorer.columns.len();
    if rows < FEWEST_ROWS {
        return Ok(None);
    }
    let stride = (rows / SAMPLES).max(SPARSE);
    // Short runs cost one cache line a column where single rows cost one each; an odd number of
    // rows between them is no divisor of a period of 2^k rows.
    let step = (stride * RUN) | 1;
    let starts = (0..rows).step_by(step);
    let picked: Vec<u32> =
        starts.flat_map(|start| start..rows.min(start + RUN)).map(|row| row as u32).collect();
    let mut found = Vec::with_capacity(picked.len());
    sweep.candidates(&picked, &mut found)?;
    let total = sweep.weight(&found);
    let size = |c: &Candidate| scorer.size(c) as f64;
    let squares: f64 = found.iter().map(|c| size(c) * size(c)).sum();
    let share = sweep.need as f64 * picked.len() as f64 / rows as f64;
    // What a sample holds of a share varies by the root of share times size: two and a half
    // errors.
    let error = (share * squares / (total.max(1) as f64)).sqrt();
    let mean = total as f64 / found.len().max(1) as f64;
    let need = (share + margin * (2.5 * error + FEWEST_SAMPLES * mean)) as i128;
    if need >= total || found.is_empty() {
        return Ok(None);
    }
    let (cut, _) = scorer.find_cut(&mut found, need, |c| scorer.size(c));
    // Weight may sit in a few large rows: some rows at least have to lie before the cut.
    let fewest = (FEWEST_SAMPLES * margin) as usize;
    if cut >= fewest {
        return Ok(Some(found[cut]));
    }
    if found.len() <= fewest {
        return Ok(None);
    }
    let (cut, _) = scorer.find_cut(&mut found, fewest as i128, |_| 1);
    Ok(Some(found[cut]))
}

/// Cuts what a pass kept, of so much weight, to the need and books it.
fn deliver(
    sweep: &Sweep<'_, '_>,
    kept: &mut Kept,
    weight: i128,
    selection: &mut Selection,
) -> Result<()> {
    let need = sweep.need.min(weight);
    if need == 0 {
        return Ok(());
    }
    let (last, before) = cut(sweep, kept, need)?;
    if sweep.is_ordered {
        // What is kept in order is kept with its key: nothing was taken unseen.
        sweep.scorer.sort(&mut kept.near[..=last]);
        selection.scores.extend(kept.near[..=last].iter().map(|c| c.key));
    }
    let size = |c: &Candidate| sweep.scorer.size(c);
    let closed = need - before;
    let cut = kept.near[last];
    let count = last + 1 + kept.taken.iter().map(|taken| taken.rows.len()).sum::<usize>();
    selection.rows.reserve_exact(count);
    selection.lots.reserve_exact(count);
    for taken in &kept.taken {
        selection.rows.extend(taken.rows.iter().map(|&row| i64::from(row)));
        selection.lots.extend_from_slice(&taken.lots);
    }
    selection.rows.extend(kept.near[..=last].iter().map(|c| i64::from(c.row)));
    selection.lots.extend(kept.near[..last].iter().map(|c| size(c) as i64));
    selection.lots.push(closed as i64);
    selection.cut = Some((i64::from(cut.row), cut.key));
    if closed < size(&cut) {
        selection.partial = Some(i64::from(cut.row));
    }
    selection.unfilled -= need as i64;
    Ok(())
}

/// Where among the near rows the need is reached, and the weight before it, taken rows included.
///
/// Taken rows are before whatever lies at or below the bracket's high key. Where the cut does
/// not, they become candidates like the others.
fn cut(sweep: &Sweep<'_, '_>, kept: &mut Kept, need: i128) -> Result<(usize, i128)> {
    let size = |c: &Candidate| sweep.scorer.size(c);
    let taken = kept.taken_weight();
    if taken < need {
        let (last, before) = sweep.scorer.find_cut(&mut kept.near, need - taken, size);
        if kept.taken.is_empty() || kept.near[last].key <= kept.bracket.high {
            return Ok((last, taken + before));
        }
    }
    for taken in kept.taken.drain(..) {
        sweep.candidates(&taken.rows, &mut kept.near)?;
    }
    Ok(sweep.scorer.find_cut(&mut kept.near, need, size))
}
