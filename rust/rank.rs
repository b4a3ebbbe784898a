//! Scores and places of all rows, by market and side.

use std::sync::atomic::{AtomicI64, Ordering as AtomicOrdering};

use rayon::prelude::*;

use crate::columns::{Accounts, Columns, Rate};
use crate::error::Result;
use crate::groups::{Groups, Segment};
use crate::lane::{Lane, with_lane};
use crate::queue::{Candidate, by_key};
use crate::rule::{Reason, Rule};
use crate::score::Scorer;
use crate::select::CHUNK;
use crate::simd::Level;

/// Positions of many markets with everything that ranks them.
#[derive(Debug, Clone, Copy)]
pub struct Venue<'a> {
    /// Positions.
    pub columns: Columns<'a>,
    /// Accounts that `columns.account` points into.
    pub accounts: Accounts<'a>,
    /// Code of each row's market; none where all belong to market 0.
    pub market: Option<&'a [u32]>,
    /// Rate of each market, by code.
    pub rates: &'a [Rate],
    /// The rule.
    pub rule: &'a Rule,
    /// Instruction set to use.
    pub level: Level,
}

impl<'a> Venue<'a> {
    /// Checks the columns and groups the rows.
    ///
    /// # Errors
    /// A column, a market code or a rate is not what the rule needs.
    pub fn groups(&self) -> Result<Groups> {
        self.columns.check(&self.accounts, self.rule)?;
        Groups::new(self.columns.len(), self.market, self.rates)
    }

    /// The scorer of one market.
    #[must_use]
    pub fn scorer(&self, market: usize) -> Scorer<'a> {
        Scorer {
            columns: self.columns,
            accounts: self.accounts,
            rate: self.rates[market],
            rule: self.rule,
            level: self.level,
        }
    }
}

/// Float scores (NaN where there is none) and reasons of all rows.
///
/// # Errors
/// A column, a market code or a rate is not what the rule needs, or a value is out of range.
pub fn score(venue: &Venue<'_>) -> Result<(Vec<f64>, Vec<u8>)> {
    let groups = venue.groups()?;
    let mut scores = vec![f64::NAN; venue.columns.len()];
    let mut reasons = vec![0u8; venue.columns.len()];
    let pieces = groups.pieces(CHUNK);
    if groups.rows.is_some() {
        let parts: Vec<Result<Vec<(f64, Reason)>>> =
            pieces.par_iter().map(|piece| score_rows(venue, &groups, piece)).collect();
        for (piece, part) in pieces.iter().zip(parts) {
            for (place, (score, reason)) in piece.places.clone().zip(part?) {
                let row = groups.row(place);
                scores[row] = score;
                reasons[row] = reason as u8;
            }
        }
        return Ok((scores, reasons));
    }
    // Places are rows: each piece has its own part of what is handed over.
    let (mut work, mut scores_left, mut reasons_left) =
        (Vec::with_capacity(pieces.len()), &mut scores[..], &mut reasons[..]);
    for piece in &pieces {
        let (score, others) = scores_left.split_at_mut(piece.places.len());
        let (reason, rest) = reasons_left.split_at_mut(piece.places.len());
        (scores_left, reasons_left) = (others, rest);
        work.push((piece, score, reason));
    }
    work.into_par_iter().try_for_each(|(piece, scores, reasons)| {
        let mut place = 0;
        score_piece(venue, &groups, piece, |score, reason| {
            (scores[place], reasons[place]) = (score, reason as u8);
            place += 1;
        })
    })?;
    Ok((scores, reasons))
}

fn score_rows(venue: &Venue<'_>, groups: &Groups, piece: &Segment) -> Result<Vec<(f64, Reason)>> {
    let mut found = Vec::with_capacity(piece.places.len());
    score_piece(venue, groups, piece, |score, reason| found.push((score, reason)))?;
    Ok(found)
}

/// Hands over score and reason of each place of a piece, in order.
fn score_piece(
    venue: &Venue<'_>,
    groups: &Groups,
    piece: &Segment,
    mut hand_over: impl FnMut(f64, Reason),
) -> Result<()> {
    let scorer = venue.scorer(piece.market);
    with_lane(|lane| {
        for span in groups.spans(piece.places.clone()) {
            scorer.evaluate(span, lane);
            if !lane.is_valid {
                return Err(venue.columns.first_out_of_range(&venue.accounts));
            }
            for place in 0..span.len() {
                let row = span.row(place);
                match scorer.key(lane, place, row) {
                    Some(key) => hand_over(key, Reason::Scored),
                    None => {
                        hand_over(f64::NAN, scorer.exact(row).err().unwrap_or(Reason::Scored));
                    }
                }
            }
        }
        Ok(())
    })
}

/// Place of each row within its market and side, 1 the first to be cut; 0 where it has none.
///
/// # Errors
/// As [`score`].
pub fn rank(venue: &Venue<'_>) -> Result<Vec<i64>> {
    let groups = venue.groups()?;
    let ranks: Vec<AtomicI64> =
        (0..venue.columns.len()).into_par_iter().map(|_| AtomicI64::new(0)).collect();
    groups.segments.par_iter().try_for_each(|segment| {
        for queue in queues(venue, &groups, segment)? {
            queue.par_chunks(CHUNK).enumerate().for_each(|(chunk, part)| {
                for (place, candidate) in (chunk * CHUNK + 1..).zip(part) {
                    // A row stands in one queue: nobody else writes here.
                    ranks[candidate.row as usize].store(place as i64, AtomicOrdering::Relaxed);
                }
            });
        }
        Ok(())
    })?;
    Ok(ranks.into_iter().map(AtomicI64::into_inner).collect())
}

/// Both sides' queues of one market, in order.
///
/// # Errors
/// A value is out of range.
pub fn queues(
    venue: &Venue<'_>,
    groups: &Groups,
    segment: &Segment,
) -> Result<Vec<Vec<Candidate>>> {
    let scorer = venue.scorer(segment.market);
    let starts: Vec<usize> = segment.places.clone().step_by(CHUNK).collect();
    let parts: Vec<Result<[Vec<Candidate>; 2]>> = starts
        .par_iter()
        .map(|&start| {
            let places = start..segment.places.end.min(start + CHUNK);
            with_lane(|lane| candidates(&scorer, groups, places, lane))
        })
        .collect();
    let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
    let count = |side: usize| parts.iter().map(|part| part[side].len()).sum();
    let mut sides = [0, 1].map(|side| Vec::with_capacity(count(side)));
    for part in parts {
        for (side, mut found) in sides.iter_mut().zip(part) {
            side.append(&mut found);
        }
    }
    Ok(sides
        .into_iter()
        .map(|mut side| {
            sort_tiers(&scorer, &mut side);
            side
        })
        .collect())
}

fn candidates(
    scorer: &Scorer<'_>,
    groups: &Groups,
    places: std::ops::Range<usize>,
    lane: &mut Lane,
) -> Result<[Vec<Candidate>; 2]> {
    let mut sides = [Vec::new(), Vec::new()];
    for span in groups.spans(places) {
        scorer.evaluate(span, lane);
        if !lane.is_valid {
            return Err(scorer.columns.first_out_of_range(&scorer.accounts));
        }
        for place in 0..span.len() {
            let row = span.row(place);
            let lots = scorer.columns.lots[row];
            if let Some(key) = scorer.key(lane, place, row)
                && lots != 0
            {
                sides[usize::from(lots < 0)].push(Candidate::new(key, row, lots));
            }
        }
    }
    Ok(sides)
}

/// Orders one side: by tier, then exactly by score, ties and id.
fn sort_tiers(scorer: &Scorer<'_>, side: &mut [Candidate]) {
    let Some(tier) = scorer.columns.tier else {
        return sort_all(scorer, side);
    };
    let of = |c: &Candidate| tier[c.row as usize];
    side.sort_by_key(of);
    for part in side.chunk_by_mut(|a, b| of(a) == of(b)) {
        sort_all(scorer, part);
    }
}

fn sort_all(scorer: &Scorer<'_>, side: &mut [Candidate]) {
    if side.len() > CHUNK {
        sort_in_buckets(side);
    } else {
        side.sort_unstable_by(by_key);
    }
    scorer.settle_order(side);
}

/// Buckets of a large sort: each then fits a core's own cache.
const BUCKETS: usize = 256;

/// Sample sort by key: one pass puts the candidates into buckets, each is sorted by itself.
fn sort_in_buckets(side: &mut [Candidate]) {
    let mut sample: Vec<f64> =
        side.iter().step_by(side.len() / (16 * BUCKETS)).map(|c| c.key).collect();
    sample.sort_unstable_by(|a, b| b.total_cmp(a));
    let splitters: Vec<f64> = (1..BUCKETS).map(|i| sample[i * sample.len() / BUCKETS]).collect();
    let parts: Vec<Vec<Vec<Candidate>>> =
        side.par_chunks(side.len().div_ceil(64)).map(|part| spread(part, &splitters)).collect();
    let mut rest = side;
    let mut work = Vec::with_capacity(BUCKETS);
    for bucket in 0..BUCKETS {
        let count = parts.iter().map(|part| part[bucket].len()).sum();
        let (mine, after) = rest.split_at_mut(count);
        work.push((bucket, mine));
        rest = after;
    }
    work.into_par_iter().for_each(|(bucket, mine)| {
        let all = parts.iter().flat_map(|part| &part[bucket]);
        for (place, candidate) in mine.iter_mut().zip(all) {
            *place = *candidate;
        }
        mine.sort_unstable_by(by_key);
    });
}

fn spread(part: &[Candidate], splitters: &[f64]) -> Vec<Vec<Candidate>> {
    let likely = part.len() / BUCKETS * 5 / 4 + 16;
    let mut buckets: Vec<Vec<Candidate>> =
        (0..BUCKETS).map(|_| Vec::with_capacity(likely)).collect();
    for candidate in part {
        buckets[splitters.partition_point(|&s| s > candidate.key)].push(*candidate);
    }
    buckets
}
