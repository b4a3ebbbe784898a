//! The rows that may be at the head of a queue while the mark stays in a band.
//!
//! A full pass bounds every row's score over the band and keeps those whose bound reaches a floor,
//! largest bound first, in a small table of their own. A query scores as many of them as it needs:
//! once the cut among the rows scored reaches the bound of the next, no other row can lie before
//! it, and the answer is that of a full pass. If even the floor is above the cut there is no
//! answer here, and the band has to be made anew. Bounds need only be sound: a loose one costs
//! rows that are looked at in vain.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering as Memory};

use crate::book::bound::Bound;
use crate::book::table::Table;
use crate::columns::{Columns, OWN_MARGIN};
use crate::error::Result;
use crate::lane::{LANE, Lane, Span, nice_error};
use crate::queue::Candidate;
use crate::score::Scorer;

/// Changes beyond this share of the rows make it worth a new pass.
const MOST_CHANGES: usize = 2;
const FEWEST_CHANGES: usize = 64;

/// How many of its last steps around the last cut the next one is looked for.
const STEPS: f64 = 3.0;

/// A row that a pass found: one number that orders as tier first, then the larger bound.
///
/// Eight bits are the tier, twenty-four the bound of its score, falling, and the rest its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found(u64);

/// Largest code of a bound.
const TOP: u32 = (1 << 24) - 1;

impl Found {
    /// A row with a bound that is raised to a float of few bits.
    #[must_use]
    pub fn new(tier: u8, upper: f64, row: u32) -> Self {
        let near = upper as f32;
        let above = if f64::from(near) < upper { near.next_up() } else { near };
        // Bits of floats below zero fall as the float rises.
        let bits = above.to_bits();
        let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        let code = match upper {
            f64::NEG_INFINITY => 0,
            _ => rising.div_ceil(1 << 8).min(TOP),
        };
        Self(u64::from(tier) << 56 | u64::from(TOP - code) << 32 | u64::from(row))
    }

    /// Its tier.
    #[must_use]
    pub fn tier(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Bound of its score.
    #[must_use]
    pub fn upper(self) -> f64 {
        let rising = (TOP - ((self.0 >> 32) as u32 & TOP)) << 8;
        let bits = if rising >> 31 == 1 { rising & !(1 << 31) } else { !rising };
        if rising == 0 { f64::NEG_INFINITY } else { f32::from_bits(bits).into() }
    }

    /// Its row.
    #[must_use]
    pub fn row(self) -> u32 {
        self.0 as u32
    }

    /// A whole number that orders as the rows found do.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.0
    }

    /// Whether the row may stand at or before a floor.
    #[must_use]
    pub fn reaches(self, floor: (u8, f64)) -> bool {
        let (tier, upper) = (self.tier(), self.upper());
        let is_near = tier < floor.0 || (tier == floor.0 && upper >= floor.1);
        is_near && upper > f64::NEG_INFINITY
    }
}

/// Rows of one tier, from `start` to `end`, by falling bounds.
#[derive(Debug, Clone, Copy)]
struct Part {
    tier: u8,
    start: usize,
    end: usize,
}

/// Kept rows, valid in a band of marks.
#[derive(Debug)]
pub struct Band {
    /// Least and largest value of a lot.
    pub ends: (f64, f64),
    /// State of the accounts' reference that the bounds rest on.
    pub epoch: u64,
    /// Rows of the section that the pass looked at.
    pub looked_at: usize,
    rows: Table,
    /// Bound of each sorted row; the rows behind them came later, in no order.
    uppers: Vec<f64>,
    /// Lots up to each sorted row, its own included; only guesses rest on them.
    lots: Vec<f64>,
    parts: Vec<Part>,
    /// Every row that is not here lies behind this tier and score.
    floor: (u8, f64),
    gone: Vec<bool>,
    changes: usize,
    places: Option<HashMap<u64, u32>>,
    /// Accounts by their number here, where equities are derived.
    accounts: Option<Vec<u32>>,
    /// How much more than the request had to be looked at last time, in parts of 2^20.
    ratio: AtomicU64,
    /// Where the last cut was, and how far it moved: keys, as bits.
    near: AtomicU64,
    step: AtomicU64,
    /// Rows scored since the pass.
    pub scored: AtomicU64,
}

const RATIO: f64 = (1u64 << 20) as f64;
const FIRST_RATIO: f64 = 1.2;

/// The floor of a band that holds every row with a place in the queue.
pub const NO_FLOOR: (u8, f64) = (u8::MAX, f64::NEG_INFINITY);

/// Scores the rows of a band.
pub trait Judge {
    /// Is told which places will be scored.
    ///
    /// # Errors
    /// An equity that they need leaves its range.
    fn prepare(&mut self, places: std::ops::Range<usize>) -> Result<()>;

    /// The scorer of the band's rows.
    fn scorer(&self) -> Scorer<'_>;
}

/// A question to a band.
pub struct Query<'a> {
    /// Lots to offset.
    pub lots: i64,
    /// Ids that are no candidates, rising.
    pub excluded: &'a [u64],
}

/// The head of a queue: places of the band's rows, and how far they reach.
#[derive(Debug, Default)]
pub struct Head {
    /// Selected, in no order; tiers follow each other.
    pub taken: Vec<Candidate>,
    /// Lots of the last row that are closed, and the row.
    pub last: Option<(Candidate, i64)>,
    /// Lots that the side could not offset.
    pub unfilled: i64,
}

impl Band {
    /// Keeps the rows found, in their order, which have to be all that reach the floor.
    #[must_use]
    pub fn new(
        columns: &Columns<'_>,
        found: &[Found],
        floor: (u8, f64),
        (ends, epoch): ((f64, f64), u64),
        is_derived: bool,
    ) -> Self {
        let picked: Vec<u32> = found.iter().map(|one| one.row()).collect();
        let mut rows = Table::picked(columns, &picked);
        let mut parts: Vec<Part> = Vec::new();
        for part in found.chunk_by(|a, b| a.tier() == b.tier()) {
            let start = parts.last().map_or(0, |before| before.end);
            parts.push(Part { tier: part[0].tier(), start, end: start + part.len() });
        }
        let mut sum = 0.0;
        let summed = rows.columns().lots.iter().map(|lots| {
            sum += lots.unsigned_abs() as f64;
            sum
        });
        let lots = summed.collect();
        let accounts = is_derived.then(|| renumber(&mut rows));
        Self {
            ends,
            epoch,
            looked_at: columns.len(),
            gone: vec![false; rows.len()],
            rows,
            uppers: found.iter().map(|one| one.upper()).collect(),
            lots,
            parts,
            floor,
            changes: 0,
            places: None,
            accounts,
            ratio: AtomicU64::new((FIRST_RATIO * RATIO) as u64),
            near: AtomicU64::new(f64::NAN.to_bits()),
            step: AtomicU64::new(0),
            scored: AtomicU64::new(0),
        }
    }

    /// Lots of the rows found, about.
    #[must_use]
    pub fn reach(&self) -> f64 {
        self.lots.last().copied().unwrap_or(0.0)
    }

    /// Looks for the first cut where another band had its last one.
    pub fn follow(&mut self, other: &Self) {
        self.near = other.near.load(Memory::Relaxed).into();
        self.step = other.step.load(Memory::Relaxed).into();
    }

    /// Whether the bounds hold at a value of a lot.
    #[must_use]
    pub fn holds(&self, value: f64, epoch: u64) -> bool {
        // A float value of a lot is a few roundings off.
        let hair = value * 1e-14;
        epoch == self.epoch && self.ends.0 <= value - hair && value + hair <= self.ends.1
    }

    /// The rows that are kept.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        self.rows.columns()
    }

    /// Ids of the rows.
    #[must_use]
    pub fn ids(&self) -> &[u64] {
        self.rows.ids()
    }

    /// Number of rows, those that are gone too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Accounts of the rows by their number here; none where rows point to the book's table.
    #[must_use]
    pub fn accounts(&self) -> Option<&[u32]> {
        self.accounts.as_deref()
    }

    /// How much more than was asked for had to be looked at.
    #[must_use]
    pub fn excess(&self) -> f64 {
        self.ratio.load(Memory::Relaxed) as f64 / RATIO
    }

    /// The head of the queue; none where rows that are not here might belong to it.
    ///
    /// # Errors
    /// The judge has one.
    pub fn head(
        &self,
        query: &Query<'_>,
        lane: &mut Lane,
        judge: &mut impl Judge,
    ) -> Result<Option<Head>> {
        let mut head = Head { unfilled: query.lots, ..Head::default() };
        let fresh = self.uppers.len()..self.rows.len();
        for part in &self.parts {
            let need = i128::from(head.unfilled);
            let mut sorted = part.start..self.guess(part, need);
            loop {
                judge.prepare(sorted.clone())?;
                judge.prepare(fresh.clone())?;
                let scorer = judge.scorer();
                let mut found = Vec::with_capacity(sorted.len());
                self.collect(&scorer, query, sorted.clone(), part.tier, lane, &mut found);
                self.collect(&scorer, query, fresh.clone(), part.tier, lane, &mut found);
                let total: i128 = found.iter().map(|c| scorer.size(c)).sum();
                if total < need {
                    if sorted.end < part.end {
                        sorted.end = part.end;
                        continue;
                    }
                    if part.tier == self.floor.0 && self.floor.1 > f64::NEG_INFINITY {
                        return Ok(None);
                    }
                    Self::deliver(&scorer, found, total, &mut head);
                    break;
                }
                let (cut, before) = self.find_cut(&scorer, &mut found, need);
                let key = found[cut].key;
                let sure = key - 2.0 * nice_error(key);
                if sorted.end == part.end && part.tier == self.floor.0 && sure < self.floor.1 {
                    return Ok(None);
                }
                if sorted.end == part.end || self.uppers[sorted.end] < sure {
                    self.learn(part, need, sure);
                    found.truncate(cut + 1);
                    head.last = Some((found[cut], (need - before) as i64));
                    head.unfilled = 0;
                    head.taken.append(&mut found);
                    return Ok(Some(head));
                }
                // With more rows the cut only rises, so that this is far enough.
                let enough = |upper: &f64| *upper >= sure;
                let part_of = &self.uppers[sorted.end..part.end];
                sorted.end += part_of.partition_point(enough);
            }
        }
        Ok((self.floor == NO_FLOOR).then_some(head))
    }

    /// As [`Scorer::find_cut`]; it looks near the last cut first, where the next one mostly is.
    fn find_cut(&self, scorer: &Scorer<'_>, found: &mut [Candidate], need: i128) -> (usize, i128) {
        let near = f64::from_bits(self.near.load(Memory::Relaxed));
        let step = f64::from_bits(self.step.load(Memory::Relaxed));
        let by = (STEPS * step).max(16.0 * nice_error(near));
        let (high, low) = (near + by, near - by);
        let mut above = 0;
        let mut before = 0;
        for at in 0..found.len() {
            if found[at].key > high {
                before += scorer.size(&found[at]);
                // Rows stand in the order of their bounds, so that most are in place.
                if above != at {
                    found.swap(above, at);
                }
                above += 1;
            }
        }
        let mut end = above;
        let mut within = 0;
        for at in above..found.len() {
            if found[at].key >= low {
                within += scorer.size(&found[at]);
                found.swap(end, at);
                end += 1;
            }
        }
        let size = |c: &Candidate| scorer.size(c);
        let is_within = before < need && before + within >= need;
        let (cut, weight) = if is_within {
            let (cut, weight) = scorer.find_cut(&mut found[above..end], need - before, size);
            (above + cut, before + weight)
        } else {
            scorer.find_cut(found, need, size)
        };
        let key = found[cut].key;
        // Who might precede or follow the cut in doubt has to have been among those looked at.
        let doubt = 8.0 * nice_error(key);
        if is_within && (key + doubt >= high || key - doubt <= low) {
            return scorer.find_cut(found, need, size);
        }
        let moved = (key - near).abs();
        let step = if moved.is_finite() { moved.max(0.9 * step) } else { 0.0 };
        self.near.store(key.to_bits(), Memory::Relaxed);
        self.step.store(step.to_bits(), Memory::Relaxed);
        (cut, weight)
    }

    /// Where the rows end that the last query would have needed.
    fn guess(&self, part: &Part, need: i128) -> usize {
        let target = self.before(part.start) + need as f64 * self.excess();
        let lots = &self.lots[part.start..part.end];
        (part.start + lots.partition_point(|&sum| sum < target) + 1).min(part.end)
    }

    fn learn(&self, part: &Part, need: i128, sure: f64) {
        let uppers = &self.uppers[part.start..part.end];
        let place = part.start + uppers.partition_point(|&upper| upper > sure);
        if place > part.start {
            let ratio = (self.before(place) - self.before(part.start)) / need as f64;
            // A little more, for the next mark will be another one.
            let ratio = (ratio * 1.02).clamp(1.0, 64.0);
            self.ratio.store((ratio * RATIO) as u64, Memory::Relaxed);
        }
    }

    /// Lots before a place.
    fn before(&self, place: usize) -> f64 {
        if place == 0 { 0.0 } else { self.lots[place - 1] }
    }

    fn collect(
        &self,
        scorer: &Scorer<'_>,
        query: &Query<'_>,
        places: std::ops::Range<usize>,
        tier: u8,
        lane: &mut Lane,
        found: &mut Vec<Candidate>,
    ) {
        let columns = self.rows.columns();
        let is_tier = |place: usize| columns.tier.is_none_or(|tiers| tiers[place] == tier);
        let is_plain = self.changes == 0 && query.excluded.is_empty();
        self.scored.fetch_add(places.len() as u64, Memory::Relaxed);
        let end = places.end;
        for at in places.step_by(LANE) {
            let span = Span::Run(at, LANE.min(end - at));
            scorer.evaluate(span, lane);
            for place in 0..span.len() {
                let row = at + place;
                if !is_plain && (self.gone[row] || !is_tier(row) || self.is_excluded(query, row)) {
                    continue;
                }
                if let Some(key) = scorer.key(lane, place, row) {
                    found.push(Candidate::new(key, row, columns.lots[row]));
                }
            }
        }
    }

    fn is_excluded(&self, query: &Query<'_>, row: usize) -> bool {
        query.excluded.binary_search(&self.rows.ids()[row]).is_ok()
    }

    /// Books all rows of a tier.
    fn deliver(scorer: &Scorer<'_>, found: Vec<Candidate>, total: i128, head: &mut Head) {
        let Some(worst) = found.iter().enumerate().max_by(|a, b| scorer.compare(a.1, b.1)) else {
            return;
        };
        let (place, mut found) = (worst.0, found);
        let last = found.len() - 1;
        found.swap(place, last);
        let worst = found[last];
        head.last = Some((worst, scorer.size(&worst) as i64));
        head.unfilled -= total as i64;
        head.taken.append(&mut found);
    }

    /// Says that a position is no longer what it was; false where the band is worth nothing now.
    pub fn forget(&mut self, id: u64) -> bool {
        let ids = self.rows.ids();
        let places = self.places.get_or_insert_with(|| {
            ids.iter().enumerate().map(|(place, &id)| (id, place as u32)).collect()
        });
        if let Some(place) = places.remove(&id) {
            self.gone[place as usize] = true;
            self.changes += 1;
        }
        self.is_worth_keeping()
    }

    /// Takes up a new or changed row if it may be needed; false as for [`Band::forget`].
    pub fn admit(&mut self, bound: &Bound<'_>, row: usize) -> bool {
        let tier = bound.columns.tier.map_or(0, |tier| tier[row]);
        if !Found::new(tier, bound.upper(row), row as u32).reaches(self.floor) {
            return true;
        }
        let place = self.rows.len();
        let id = bound.columns.position_id.map_or(0, |ids| ids[row]);
        self.rows.append(&bound.columns, &[row as u32]);
        if let (Some(known), Some(account)) = (&mut self.accounts, bound.columns.account)
            && account[row] != OWN_MARGIN
        {
            self.rows.accounts_mut()[place] = known.len() as u32;
            known.push(account[row]);
        }
        self.gone.push(false);
        self.changes += 1;
        if let Some(places) = &mut self.places {
            places.insert(id, place as u32);
        }
        if let Err(at) = self.parts.binary_search_by_key(&tier, |part| part.tier) {
            let end = self.parts.get(at).map_or(self.uppers.len(), |part| part.start);
            self.parts.insert(at, Part { tier, start: end, end });
        }
        self.is_worth_keeping()
    }

    fn is_worth_keeping(&self) -> bool {
        self.changes <= FEWEST_CHANGES.max(self.uppers.len() / MOST_CHANGES)
    }
}

/// Gives the accounts of the rows numbers of their own, in the order in which they appear.
fn renumber(rows: &mut Table) -> Vec<u32> {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut known = Vec::new();
    for account in rows.accounts_mut().iter_mut().filter(|account| **account != OWN_MARGIN) {
        let whole = *account;
        *account = *numbers.entry(whole).or_insert_with(|| {
            known.push(whole);
            known.len() as u32 - 1
        });
    }
    known
}
