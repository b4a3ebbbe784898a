//! What is asked of a book; many may ask at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use rayon::prelude::*;

use crate::book::band::{Band, Head, Judge, Query};
use crate::book::edges::{Edges, Ranked, Scale, compare, scored};
use crate::book::estimate::Estimate;
use crate::book::index::Place;
use crate::book::order::sort;
use crate::book::{Book, lock, value};
use crate::columns::{Accounts, OWN_MARGIN};
use crate::error::{Error, Result};
use crate::exact::Exact;
use crate::lane::with_lane;
use crate::lights::Weight;
use crate::queue::Candidate;
use crate::rule::Reason;
use crate::score::Scorer;
use crate::select::{CHUNK, Request, select, select_in_order};

/// What to offset.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Code of the market.
    pub market: usize,
    /// Side of the candidates: +1 long, -1 short.
    pub side: i8,
    /// Lots to offset, more than zero.
    pub lots: i64,
    /// Ids that are no candidates, rising.
    pub excluded: &'a [u64],
    /// The rows come in queue order.
    pub is_ordered: bool,
}

/// The head of a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cut {
    /// Ids of the positions selected, in queue order where that was asked for.
    pub ids: Vec<u64>,
    /// Lots closed of each, positive.
    pub lots: Vec<i64>,
    /// Float score of each where queue order was asked for, else empty.
    pub scores: Vec<f64>,
    /// The last position taken and its float score.
    pub cut: Option<(u64, f64)>,
    /// The position that is not taken whole.
    pub partial: Option<u64>,
    /// Lots that the side could not offset.
    pub unfilled: i64,
    /// The answer came from kept rows, without a pass over the side.
    pub is_kept: bool,
    /// The book's version that it holds for.
    pub version: u64,
}

/// An edge of a band of lights: the first entry behind it.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// The entry.
    pub id: u64,
    /// Its tier.
    pub tier: u8,
    /// Its float score.
    pub score: f64,
    /// Its score.
    pub exact: Exact,
}

impl Book {
    /// Exactly the head of one side's queue, as the stateless kernel selects it.
    ///
    /// # Errors
    /// There is no such market, `side` or `lots` is out of range, or a derived equity is.
    pub fn select(&self, order: &Order<'_>) -> Result<Cut> {
        let section = self.section(order.market, order.side)?;
        if order.lots <= 0 {
            let (name, expected) = ("lots", "more than 0");
            return Err(Error::Argument { name, expected, got: order.lots });
        }
        if let Some(cut) = self.kept(section, order)? {
            return Ok(cut);
        }
        self.full(section, order)
    }

    /// A pass over all rows of the section.
    fn full(&self, section: usize, order: &Order<'_>) -> Result<Cut> {
        let equities = self.all_equities()?;
        let scorer = self.scorer(section, &equities);
        let ids = self.sections[section].table.ids();
        let mut excluded: Vec<i64> = order
            .excluded
            .iter()
            .filter_map(|&id| self.index.find(id, |place| self.id_at(place)))
            .filter(|place| place.section as usize == section)
            .map(|place| i64::from(place.row))
            .collect();
        excluded.sort_unstable();
        let request = Request { side: order.side, lots: order.lots, excluded: &excluded };
        let verb = if order.is_ordered { select_in_order } else { select };
        let found = verb(&scorer, &request)?;
        let id = |row: i64| ids[row as usize];
        Ok(Cut {
            ids: found.rows.iter().map(|&row| id(row)).collect(),
            lots: found.lots,
            scores: found.scores,
            cut: found.cut.map(|(row, score)| (id(row), score)),
            partial: found.partial.map(id),
            unfilled: found.unfilled,
            is_kept: false,
            version: self.version,
        })
    }

    /// The answer from kept rows, which are found anew where those there are do not reach.
    fn kept(&self, section: usize, order: &Order<'_>) -> Result<Option<Cut>> {
        let slot = &self.sections[section].band;
        let kept = slot.read().unwrap_or_else(PoisonError::into_inner).clone();
        let value = value(self.rate(section));
        if let Some(band) = kept.as_ref().filter(|band| band.holds(value, self.epoch))
            && let Some(cut) = self.ask(section, band, order)?
        {
            return Ok(Some(cut));
        }
        let Some(band) = self.keep(section, order.lots, kept.as_deref()) else {
            return Ok(None);
        };
        let band = Arc::new(band);
        *slot.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&band));
        self.ask(section, &band, order)
    }

    fn ask(&self, section: usize, band: &Band, order: &Order<'_>) -> Result<Option<Cut>> {
        let query = Query { lots: order.lots, excluded: order.excluded };
        let mut local = Local::new(self, section, band);
        let head = with_lane(|lane| band.head(&query, lane, &mut local))?;
        Ok(head.map(|head| self.cut_of(band, &local.scorer(), head, order)))
    }

    fn cut_of(&self, band: &Band, scorer: &Scorer<'_>, head: Head, order: &Order<'_>) -> Cut {
        let Head { mut taken, last, unfilled } = head;
        let mut keys = Vec::new();
        if order.is_ordered {
            taken = sort(scorer, taken);
            keys = taken.iter().map(|c| c.key).collect();
        }
        let ids = band.ids();
        let lots = |c: &Candidate| match last {
            Some((last, closed)) if last.row == c.row => closed,
            _ => scorer.size(c) as i64,
        };
        let partial = |(c, closed): (Candidate, i64)| {
            (i128::from(closed) < scorer.size(&c)).then(|| ids[c.row as usize])
        };
        Cut {
            ids: taken.iter().map(|c| ids[c.row as usize]).collect(),
            lots: taken.iter().map(lots).collect(),
            scores: keys,
            cut: last.map(|(c, _)| (ids[c.row as usize], c.key)),
            partial: last.and_then(partial),
            unfilled,
            is_kept: true,
            version: self.version,
        }
    }

    /// Checks that the book holds some positions.
    ///
    /// # Errors
    /// It does not hold one.
    pub fn require(&self, ids: &[u64]) -> Result<()> {
        (0..ids.len()).try_for_each(|at| self.place(ids, at).map(|_| ()))
    }

    /// Float scores of some positions, NaN where there is none, and reasons.
    ///
    /// # Errors
    /// The book does not hold one, or a derived equity is out of range.
    pub fn scores(&self, ids: &[u64]) -> Result<(Vec<f64>, Vec<u8>)> {
        let equities = self.all_equities()?;
        let (mut scores, mut reasons) = (vec![f64::NAN; ids.len()], vec![0; ids.len()]);
        for (side, (at, rows)) in self.grouped(ids)? {
            let judge = self.scorer(side, &equities);
            for ((at, row), found) in at.iter().zip(&rows).zip(scored(&judge, &rows)) {
                match found {
                    Some(candidate) => scores[*at] = candidate.key,
                    None => reasons[*at] = reason(&judge, *row),
                }
            }
        }
        Ok((scores, reasons))
    }

    /// Positions by section: where each stands in `ids`, and its row.
    #[allow(clippy::type_complexity)] // two lists by section
    fn grouped(&self, ids: &[u64]) -> Result<BTreeMap<usize, (Vec<usize>, Vec<u32>)>> {
        let mut groups: BTreeMap<usize, (Vec<usize>, Vec<u32>)> = BTreeMap::new();
        for at in 0..ids.len() {
            let place = self.place(ids, at)?;
            let group = groups.entry(place.section as usize).or_default();
            group.0.push(at);
            group.1.push(place.row);
        }
        Ok(groups)
    }

    /// Positions of one side that have no place in the queue, and their reasons.
    ///
    /// # Errors
    /// There is no such side, or a derived equity is out of range.
    pub fn left_out(&self, market: usize, side: i8) -> Result<(Vec<u64>, Vec<u8>)> {
        let section = self.section(market, side)?;
        let equities = self.all_equities()?;
        let scorer = self.scorer(section, &equities);
        let ids = self.sections[section].table.ids();
        let parts: Vec<Vec<(u64, u8)>> = self
            .chunks(section)
            .into_par_iter()
            .map(|rows| {
                let rows: Vec<u32> = rows.collect();
                let found = scored(&scorer, &rows);
                let left = rows.iter().zip(found).filter(|(_, found)| found.is_none());
                left.map(|(&row, _)| (ids[row as usize], reason(&scorer, row))).collect()
            })
            .collect();
        Ok(parts.into_iter().flatten().unzip())
    }

    fn chunks(&self, section: usize) -> Vec<Range<u32>> {
        let rows = self.sections[section].table.len();
        let chunk = |start: usize| start as u32..rows.min(start + CHUNK) as u32;
        (0..rows).step_by(CHUNK).map(chunk).collect()
    }

    /// Place of a position in its queue, 1 the first; 0 where it has none.
    ///
    /// # Errors
    /// The book does not hold it, or a derived equity is out of range.
    pub fn rank_of(&self, id: u64) -> Result<i64> {
        let Place { section, row } = self.place(&[id], 0)?;
        let equities = self.all_equities()?;
        let scorer = self.scorer(section as usize, &equities);
        let Some(own) = scored(&scorer, &[row])[0] else {
            return Ok(0);
        };
        let ahead = self.chunks(section as usize).into_par_iter().map(|rows| {
            let rows: Vec<u32> = rows.collect();
            let found = scored(&scorer, &rows).into_iter().flatten();
            found.filter(|other| compare(&scorer, other, &own).is_lt()).count()
        });
        Ok(ahead.sum::<usize>() as i64 + 1)
    }

    /// Lights of all rows, section by section in the order of the rows.
    ///
    /// # Errors
    /// The number of bands or a derived equity is out of range.
    pub fn lights(&self, scale: Scale) -> Result<Vec<u8>> {
        check_bands(scale)?;
        let equities = self.all_equities()?;
        let mut all = vec![0; self.len()];
        let (mut rest, mut parts) = (all.as_mut_slice(), Vec::with_capacity(self.sections.len()));
        for section in 0..self.sections.len() {
            let (part, after) = rest.split_at_mut(self.sections[section].table.len());
            parts.push((section, part));
            rest = after;
        }
        parts
            .into_par_iter()
            .filter(|(_, part)| !part.is_empty())
            .try_for_each(|(section, part)| self.light(section, scale, &equities, part))?;
        Ok(all)
    }

    /// Lights of one section.
    fn light(
        &self,
        section: usize,
        scale: Scale,
        equities: &[i64],
        lights: &mut [u8],
    ) -> Result<()> {
        let ranked = self.ranked(section, scale, equities);
        if ranked.estimate.is_none() {
            let slot = &self.sections[section].edges;
            let old = lock(slot).clone();
            let found = Edges::lit(&ranked.venue, scale, self.version, old.as_deref(), lights)?;
            *lock(slot) = Some(Arc::new(found));
            return Ok(());
        }
        let edges = self.edges(section, scale, equities)?;
        let parts = lights.par_chunks_mut(CHUNK).enumerate();
        parts.for_each(|(turn, lights)| edges.show(&ranked, turn * CHUNK, lights));
        Ok(())
    }

    /// A section as its lights are found.
    fn ranked<'a>(&'a self, section: usize, scale: Scale, equities: &'a [i64]) -> Ranked<'a> {
        let venue = self.venue(section, equities);
        let column = self.sections[section].coefficients.as_ref();
        // Tiers go before scores, and an account counts once.
        let by_owner = scale.weight == Weight::Accounts && venue.columns.owner.is_some();
        let column = column.filter(|_| venue.columns.tier.is_none() && !by_owner);
        let value = value(self.rate(section));
        let estimate = column.and_then(|column| Estimate::new(column, venue.rule, value));
        Ranked { venue, estimate }
    }

    /// Lights of some positions, from kept edges.
    ///
    /// # Errors
    /// The book does not hold one; the number of bands or a derived equity is out of range.
    pub fn lights_of(&self, ids: &[u64], scale: Scale) -> Result<Vec<u8>> {
        let equities = self.all_equities()?;
        let mut lights = vec![0; ids.len()];
        for (side, (at, rows)) in self.grouped(ids)? {
            let edges = self.edges(side, scale, &equities)?;
            let scorer = self.scorer(side, &equities);
            for (at, found) in at.iter().zip(scored(&scorer, &rows)) {
                lights[*at] = found.map_or(0, |candidate| edges.light(&scorer, &candidate));
            }
        }
        Ok(lights)
    }

    /// The edges of a side's bands: the first entry of each band but the first.
    ///
    /// # Errors
    /// There is no such side; the number of bands or a derived equity is out of range.
    pub fn light_bounds(&self, market: usize, side: i8, scale: Scale) -> Result<Vec<Option<Edge>>> {
        let section = self.section(market, side)?;
        let equities = self.all_equities()?;
        let scorer = self.scorer(section, &equities);
        let edges = self.edges(section, scale, &equities)?;
        let edge = |first: &Option<Candidate>| {
            first.map(|first| Edge {
                id: self.sections[section].table.ids()[first.row as usize],
                tier: scorer.columns.tier.map_or(0, |tier| tier[first.row as usize]),
                score: first.key,
                exact: scorer.exact(first.row as usize).unwrap_or(Exact::ZERO),
            })
        };
        Ok(edges.firsts.iter().map(edge).collect())
    }

    /// Finds the edges of all sides of all markets.
    ///
    /// # Errors
    /// The number of bands or a derived equity is out of range.
    pub fn find_edges(&self, scale: Scale) -> Result<()> {
        let equities = self.all_equities()?;
        let of = |section| self.edges(section, scale, &equities).map(|_| ());
        (0..self.sections.len()).into_par_iter().try_for_each(of)
    }

    fn edges(&self, section: usize, scale: Scale, equities: &[i64]) -> Result<Arc<Edges>> {
        check_bands(scale)?;
        let slot = &self.sections[section].edges;
        let kept = lock(slot).clone();
        if let Some(edges) = &kept
            && edges.version == self.version
            && edges.scale == scale
        {
            return Ok(Arc::clone(edges));
        }
        let ranked = self.ranked(section, scale, equities);
        let edges = Arc::new(Edges::new(&ranked, scale, self.version, kept.as_deref())?);
        *lock(slot) = Some(Arc::clone(&edges));
        Ok(edges)
    }
}

fn check_bands(scale: Scale) -> Result<()> {
    if (1..=100).contains(&scale.bands) {
        return Ok(());
    }
    let (expected, got) = ("1 to 100", i64::from(scale.bands));
    Err(Error::Argument { name: "bands", expected, got })
}

fn reason(scorer: &Scorer<'_>, row: u32) -> u8 {
    scorer.exact(row as usize).err().unwrap_or(Reason::Scored) as u8
}

/// The rows of a band with their accounts' equities, worked out as they are needed.
struct Local<'a> {
    book: &'a Book,
    section: usize,
    band: &'a Band,
    known: Vec<bool>,
    equity: Vec<i64>,
    maintenance: Vec<i64>,
    wallet: Vec<i64>,
}

impl<'a> Local<'a> {
    fn new(book: &'a Book, section: usize, band: &'a Band) -> Self {
        let count = band.accounts().map_or(0, <[u32]>::len);
        let [equity, maintenance, wallet] = [0; 3].map(|zero| vec![zero; count]);
        Self { book, section, band, known: vec![false; count], equity, maintenance, wallet }
    }
}

impl Judge for Local<'_> {
    fn prepare(&mut self, places: Range<usize>) -> Result<()> {
        let (Some(accounts), Some(numbers)) = (self.band.accounts(), self.band.columns().account)
        else {
            return Ok(());
        };
        let tables = self.book.pools.accounts(None);
        for &number in numbers[places].iter().filter(|&&number| number != OWN_MARGIN) {
            let (at, account) = (number as usize, accounts[number as usize]);
            if !std::mem::replace(&mut self.known[at], true) {
                self.equity[at] =
                    self.book.pools.equity(account, |section| self.book.side_at(section))?;
                let of = |table: Option<&[i64]>| table.map_or(0, |table| table[account as usize]);
                self.maintenance[at] = of(tables.maintenance_margin);
                self.wallet[at] = of(tables.wallet_balance);
            }
        }
        Ok(())
    }

    fn scorer(&self) -> Scorer<'_> {
        let accounts = if self.band.accounts().is_some() {
            Accounts {
                equity: Some(&self.equity),
                maintenance_margin: Some(&self.maintenance),
                wallet_balance: Some(&self.wallet),
            }
        } else {
            self.book.pools.accounts(None)
        };
        Scorer {
            columns: self.band.columns(),
            accounts,
            rate: self.book.rate(self.section),
            rule: self.book.rule(self.section),
            level: self.book.setup.level,
        }
    }
}
