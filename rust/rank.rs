//! Scores and places of all rows, by market and side.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering as AtomicOrdering};

use rayon::prelude::*;

use crate::buckets::{Piece, SAMPLES, Splitters, join};
use crate::columns::{Accounts, Columns, Rate};
use crate::error::Result;
use crate::groups::{Groups, Segment};
use crate::lane::{LANE, Span, with_lane};
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
    let mut scores = vec![0.0; venue.columns.len()];
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
    each_key(&scorer, groups, piece.places.clone(), |row, key| {
        let (score, reason) = shown_as(&scorer, row, key);
        hand_over(score, reason);
    })
}

/// Hands over each row of some places and the key that orders it; none where it is in no queue.
fn each_key(
    scorer: &Scorer<'_>,
    groups: &Groups,
    places: Range<usize>,
    mut hand_over: impl FnMut(usize, Option<f64>),
) -> Result<()> {
    with_lane(|lane| {
        for span in groups.spans(places) {
            scorer.evaluate(span, lane);
            if !lane.is_valid {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            for place in 0..span.len() {
                let row = span.row(place);
                hand_over(row, scorer.key(lane, place, row));
            }
        }
        Ok(())
    })
}

fn shown_as(scorer: &Scorer<'_>, row: usize, key: Option<f64>) -> (f64, Reason) {
    match key {
        Some(key) => (key, Reason::Scored),
        None => (f64::NAN, scorer.exact(row).err().unwrap_or(Reason::Scored)),
    }
}

/// Places of all rows with what they are made of.
#[derive(Debug)]
pub struct Placed {
    /// As [`rank`] gives them.
    pub ranks: Vec<i64>,
    /// As [`score`] gives them.
    pub scores: Vec<f64>,
    /// As [`score`] gives them.
    pub reasons: Vec<u8>,
}

/// Where scores and reasons of a range of places are put.
struct Shown<'a> {
    scores: &'a mut [f64],
    reasons: &'a mut [u8],
}

/// Place of each row within its market and side, 1 the first to be cut; 0 where it has none.
///
/// # Errors
/// As [`score`].
pub fn rank(venue: &Venue<'_>) -> Result<Vec<i64>> {
    let groups = venue.groups()?;
    let ranks = no_ranks(venue);
    let segments = groups.segments.par_iter();
    segments.try_for_each(|segment| place(venue, &groups, segment, None, &ranks))?;
    Ok(whole(&ranks))
}

/// Places, scores and reasons of all rows; where these lie by market each is scored once for all.
///
/// # Errors
/// As [`score`].
pub fn rank_with_scores(venue: &Venue<'_>) -> Result<Placed> {
    let groups = venue.groups()?;
    if groups.rows.is_some() {
        let (scores, reasons) = score(venue)?;
        return Ok(Placed { ranks: rank(venue)?, scores, reasons });
    }
    let ranks = no_ranks(venue);
    let mut scores = vec![0.0; venue.columns.len()];
    let mut reasons = vec![0u8; venue.columns.len()];
    let (mut work, mut scores_left, mut reasons_left) =
        (Vec::with_capacity(groups.segments.len()), &mut scores[..], &mut reasons[..]);
    for segment in &groups.segments {
        let (scores, others) = scores_left.split_at_mut(segment.places.len());
        let (reasons, rest) = reasons_left.split_at_mut(segment.places.len());
        (scores_left, reasons_left) = (others, rest);
        work.push((segment, Shown { scores, reasons }));
    }
    work.into_par_iter()
        .try_for_each(|(segment, shown)| place(venue, &groups, segment, Some(shown), &ranks))?;
    Ok(Placed { ranks: whole(&ranks), scores, reasons })
}

/// Half as wide as what is handed over: rows are written in the order of their places, each to a
/// line of memory of its own.
fn no_ranks(venue: &Venue<'_>) -> Vec<AtomicU32> {
    (0..venue.columns.len()).into_par_iter().map(|_| AtomicU32::new(0)).collect()
}

fn whole(ranks: &[AtomicU32]) -> Vec<i64> {
    ranks.par_iter().map(|rank| i64::from(rank.load(AtomicOrdering::Relaxed))).collect()
}

/// Writes down the places of one market's rows.
fn place(
    venue: &Venue<'_>,
    groups: &Groups,
    segment: &Segment,
    shown: Option<Shown<'_>>,
    ranks: &[AtomicU32],
) -> Result<()> {
    let scorer = venue.scorer(segment.market);
    for mut side in sides(&scorer, groups, segment, shown)? {
        settle(&scorer, &mut side, |start, part| {
            for (place, candidate) in (start + 1..).zip(part) {
                // A row stands in one queue: nobody else writes here.
                ranks[candidate.row as usize].store(place as u32, AtomicOrdering::Relaxed);
            }
        });
    }
    Ok(())
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
    let mut sides = sides(&scorer, groups, segment, None)?;
    for side in &mut sides {
        settle(&scorer, side, |_, _| ());
    }
    Ok(sides.into())
}

/// Both sides of one market by tier and key.
fn sides(
    scorer: &Scorer<'_>,
    groups: &Groups,
    segment: &Segment,
    shown: Option<Shown<'_>>,
) -> Result<[Vec<Candidate>; 2]> {
    if scorer.columns.tier.is_none() && segment.places.len() > 2 * CHUNK {
        let splitters = splitters(scorer, groups, segment)?;
        let pieces = each_chunk(scorer, groups, segment, shown, |side, found| {
            splitters[side].spread(&found)
        })?;
        return Ok(pieces.map(|pieces| join(&pieces)));
    }
    let parts = each_chunk(scorer, groups, segment, shown, |_, found| found)?;
    Ok(parts.map(|parts| {
        let mut side = parts.concat();
        for part in tiers(scorer, &mut side) {
            sort(part);
        }
        side
    }))
}

/// The candidates of each chunk of a market, put to some work; by side.
fn each_chunk<T: Send>(
    scorer: &Scorer<'_>,
    groups: &Groups,
    segment: &Segment,
    shown: Option<Shown<'_>>,
    work: impl Fn(usize, Vec<Candidate>) -> T + Sync,
) -> Result<[Vec<T>; 2]> {
    let starts = segment.places.clone().step_by(CHUNK);
    let mut chunks: Vec<(usize, Option<Shown<'_>>)> = starts.map(|start| (start, None)).collect();
    if let Some(Shown { scores, reasons }) = shown {
        let parts = scores.chunks_mut(CHUNK).zip(reasons.chunks_mut(CHUNK));
        for ((_, shown), (scores, reasons)) in chunks.iter_mut().zip(parts) {
            *shown = Some(Shown { scores, reasons });
        }
    }
    let parts: Vec<(T, T)> = chunks
        .into_par_iter()
        .map(|(start, shown)| {
            let places = start..segment.places.end.min(start + CHUNK);
            let [longs, shorts] = candidates(scorer, groups, places, shown)?;
            Ok((work(0, longs), work(1, shorts)))
        })
        .collect::<Result<_>>()?;
    let (longs, shorts) = parts.into_iter().unzip();
    Ok([longs, shorts])
}

fn candidates(
    scorer: &Scorer<'_>,
    groups: &Groups,
    places: Range<usize>,
    mut shown: Option<Shown<'_>>,
) -> Result<[Vec<Candidate>; 2]> {
    let count = places.len();
    let mut sides = [Vec::with_capacity(count), Vec::with_capacity(count)];
    let mut turn = 0;
    each_key(scorer, groups, places, |row, key| {
        if let Some(Shown { scores, reasons }) = &mut shown {
            let (score, reason) = shown_as(scorer, row, key);
            (scores[turn], reasons[turn]) = (score, reason as u8);
            turn += 1;
        }
        let lots = scorer.columns.lots[row];
        if let Some(key) = key
            && lots != 0
        {
            sides[usize::from(lots < 0)].push(Candidate::new(key, row, lots));
        }
    })?;
    Ok(sides)
}

/// What divides either side of a large market into buckets, by the keys of a few rows.
fn splitters(scorer: &Scorer<'_>, groups: &Groups, segment: &Segment) -> Result<[Splitters; 2]> {
    // An odd number of rows between two is no divisor of a period of 2^k rows.
    let step = (segment.places.len() / SAMPLES) | 1;
    let rows: Vec<u32> =
        segment.places.clone().step_by(step).map(|place| groups.row(place) as u32).collect();
    let mut keys = [Vec::new(), Vec::new()];
    with_lane(|lane| {
        for rows in rows.chunks(LANE) {
            scorer.evaluate(Span::Rows(rows), lane);
            if !lane.is_valid {
                return Err(scorer.columns.first_out_of_range(&scorer.accounts));
            }
            for (place, &row) in rows.iter().enumerate() {
                let side = usize::from(scorer.columns.lots[row as usize] < 0);
                keys[side].extend(scorer.key(lane, place, row as usize));
            }
        }
        Ok(())
    })?;
    Ok(keys.map(Splitters::new))
}

/// Brings the tiers of a side one behind the other.
fn tiers<'a>(
    scorer: &Scorer<'a>,
    side: &'a mut [Candidate],
) -> impl Iterator<Item = &'a mut [Candidate]> {
    let tier = scorer.columns.tier;
    let of = move |c: &Candidate| tier.map_or(0, |tier| tier[c.row as usize]);
    if tier.is_some() {
        side.sort_by_key(of);
    }
    side.chunk_by_mut(move |a, b| of(a) == of(b))
}

fn sort(part: &mut [Candidate]) {
    if part.len() <= CHUNK {
        return part.sort_unstable_by(by_key);
    }
    let step = (part.len() / SAMPLES).max(1);
    let splitters = Splitters::new(part.iter().step_by(step).map(|c| c.key).collect());
    let pieces: Vec<Piece> = part.par_chunks(CHUNK).map(|chunk| splitters.spread(chunk)).collect();
    part.copy_from_slice(&join(&pieces));
}

/// Completes the order of a side by tier and key, and hands its parts over with their first place.
fn settle(
    scorer: &Scorer<'_>,
    side: &mut [Candidate],
    hand_over: impl Fn(usize, &[Candidate]) + Sync,
) {
    let mut start = 0;
    for tier in tiers(scorer, side) {
        scorer.settle_parts(tier, |at, part| hand_over(start + at, part));
        start += tier.len();
    }
}
