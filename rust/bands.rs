//! The bands of one group of rows: lights.
//!
//! A group is one market's rows, of one side or of both. One pass turns each row into a 16-bit code
//! of its key and sums weights by bins of codes; that tells for each boundary a few codes that hold
//! it. Their rows are left to [`doubts`](crate::doubts), all others are lit by their code. A group
//! too large to keep its codes is coded twice.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::bins::{Bins, Doubt, Lamps, Measure, Pending, STRIP, Scale, Strip, code, count, write};
use crate::classes::Classes;
use crate::error::Result;
use crate::keys::{Keys, lane_keys};
use crate::lane::{LANE, Span};
use crate::score::Scorer;
use crate::select::{CHUNK, RUN};

/// Rows of a group whose codes are kept: three quarters of a thread's memory.
const HELD: usize = 3 << 17;
/// Rows of a group whose keys are made before its scale, which then needs no sample of its own.
const KEPT: usize = 1 << 13;
/// Rows in doubt that a group has room for at once.
const FEWEST_FOUND: usize = 128;
const MOST_SAMPLES: usize = 128;
const FEWEST_SAMPLES: usize = 64;

/// A row out of its place with what its bands need: key and row, and signed lots.
pub type Entry = [u64; 2];

/// The entry of a row.
#[must_use]
#[inline]
pub fn entry(key: f32, row: usize, lots: i64) -> Entry {
    [u64::from(key.to_bits()) << 32 | row as u64, lots as u64]
}

fn key_of(entry: &Entry) -> f32 {
    f32::from_bits((entry[0] >> 32) as u32)
}

fn row_of(entry: &Entry) -> usize {
    entry[0] as u32 as usize
}

/// Where the rows of a group are.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// Next to each other.
    Run(Range<usize>),
    /// Anywhere, in increasing order.
    Entries(&'a [Entry]),
}

/// Rows of one market, of one side or of both.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// What scores them exactly.
    pub scorer: Scorer<'a>,
    /// What makes their keys.
    pub keys: Keys<'a>,
    /// Where they are.
    pub rows: Rows<'a>,
    /// What they weigh.
    pub measure: Measure,
}

/// What a thread works with.
struct Desk {
    codes: Vec<u16>,
    strip: Loan,
}

/// Room for the keys and lots of a strip.
struct Loan {
    keys: Vec<f32>,
    lots: [i64; STRIP],
}

thread_local! {
    static DESKS: RefCell<Vec<Box<Desk>>> = const { RefCell::new(Vec::new()) };
}

/// Lends a desk of this thread.
fn with_desk<T>(work: impl FnOnce(&mut Desk) -> T) -> T {
    let make = || {
        let strip = Loan { keys: vec![0.0; KEPT], lots: [0; STRIP] };
        // All codes at once: a buffer that grows leaves its smaller selves behind.
        Box::new(Desk { codes: vec![0; HELD], strip })
    };
    let mut desk = DESKS.with_borrow_mut(Vec::pop).unwrap_or_else(make);
    let result = work(&mut desk);
    DESKS.with_borrow_mut(|desks| desks.push(desk));
    result
}

impl Group<'_> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Run(rows) => rows.len(),
            Rows::Entries(entries) => entries.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn row(&self, place: usize) -> usize {
        match &self.rows {
            Rows::Run(rows) => rows.start + place,
            Rows::Entries(entries) => row_of(&entries[place]),
        }
    }

    /// Writes the light of each row; false where the weights might not fit into 64 bits.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn light(&self, bands: u8, lights: &mut [u8]) -> Result<bool> {
        if self.len() > HELD {
            self.code_twice(bands, lights)
        } else {
            with_desk(|desk| self.code_once(bands, lights, desk))
        }
    }

    /// Lights rows of which many are the same; false where too few are.
    fn light_classes(&self, bands: u8, lights: &mut [u8]) -> Result<bool> {
        let rows: Vec<u32> = (0..self.len()).map(|place| self.row(place) as u32).collect();
        let Some(classes) = Classes::new(&self.scorer, &rows) else {
            return Ok(false);
        };
        classes.light(bands, |row| self.weight_of(row), lights)?;
        Ok(true)
    }

    fn code_once(&self, bands: u8, lights: &mut [u8], desk: &mut Desk) -> Result<bool> {
        let level = self.scorer.level;
        let mut bins = Bins::new(self.len());
        let Desk { codes, strip } = desk;
        let codes = &mut codes[..self.len()];
        if let Rows::Run(rows) = &self.rows
            && self.len() <= KEPT
        {
            let keys = &mut strip.keys[..self.len()];
            self.keys.fill(rows.start, keys)?;
            let lots = &self.scorer.columns.lots[rows.clone()];
            let scale = self.scale_of(|place| (keys[place], lots[place]));
            if scale.is_tied && self.light_classes(bands, lights)? {
                return Ok(true);
            }
            count(level, &scale, Strip { keys, lots, codes }, self.measure, &mut bins);
        } else {
            let scale = self.scale()?;
            if scale.is_tied && self.light_classes(bands, lights)? {
                return Ok(true);
            }
            let mut at = 0;
            for codes in codes.chunks_mut(STRIP) {
                let (keys, lots) = self.strip(at, codes.len(), strip)?;
                count(level, &scale, Strip { keys, lots, codes }, self.measure, &mut bins);
                at += codes.len();
            }
        }
        let Some((sides, lamps)) = self.settle(&bins, bands) else {
            return Ok(false);
        };
        let mut found = Vec::with_capacity(FEWEST_FOUND);
        write(level, &lamps, codes, lights, 0, &mut found);
        self.settle_doubts(bands, &sides, found, lights)?;
        Ok(true)
    }

    /// As [`Self::code_once`], in chunks, without keeping their codes.
    fn code_twice(&self, bands: u8, lights: &mut [u8]) -> Result<bool> {
        let scale = &self.scale()?;
        if scale.is_tied && self.light_classes(bands, lights)? {
            return Ok(true);
        }
        let starts: Vec<usize> = (0..self.len()).step_by(CHUNK).collect();
        let sums = starts.par_iter().map(|&start| {
            let end = self.len().min(start + CHUNK);
            with_desk(|desk| self.sum(scale, start..end, &mut desk.strip))
        });
        let sums = sums.try_reduce_with(|mut all, part| {
            all.add(&part);
            Ok(all)
        });
        let bins = sums.unwrap_or_else(|| Ok(Box::new(Bins::new(self.len()))))?;
        let Some((sides, lamps)) = self.settle(&bins, bands) else {
            return Ok(false);
        };
        let chunks = lights.par_chunks_mut(CHUNK).enumerate();
        let found: Result<Vec<Vec<Pending>>> = chunks
            .map(|(turn, lights)| {
                with_desk(|desk| self.show(scale, &lamps, turn * CHUNK, lights, &mut desk.strip))
            })
            .collect();
        self.settle_doubts(bands, &sides, found?.concat(), lights)?;
        Ok(true)
    }

    fn sum(&self, scale: &Scale, places: Range<usize>, desk: &mut Loan) -> Result<Box<Bins>> {
        let mut bins = Box::new(Bins::new(self.len()));
        let mut codes = [0; STRIP];
        for at in places.clone().step_by(STRIP) {
            let codes = &mut codes[..STRIP.min(places.end - at)];
            let (keys, lots) = self.strip(at, codes.len(), desk)?;
            count(self.scorer.level, scale, Strip { keys, lots, codes }, self.measure, &mut bins);
        }
        Ok(bins)
    }

    fn show(
        &self,
        scale: &Scale,
        lamps: &Lamps,
        start: usize,
        lights: &mut [u8],
        desk: &mut Loan,
    ) -> Result<Vec<Pending>> {
        let (mut found, mut codes) = (Vec::new(), [0; STRIP]);
        let mut at = start;
        for lights in lights.chunks_mut(STRIP) {
            let codes = &mut codes[..lights.len()];
            let (keys, lots) = self.strip(at, codes.len(), desk)?;
            code(self.scorer.level, scale, Strip { keys, lots, codes });
            write(self.scorer.level, lamps, codes, lights, at, &mut found);
            at += lights.len();
        }
        Ok(found)
    }

    /// Keys and lots of at most [`STRIP`] places.
    fn strip<'d>(
        &'d self,
        at: usize,
        count: usize,
        desk: &'d mut Loan,
    ) -> Result<(&'d [f32], &'d [i64])> {
        match &self.rows {
            Rows::Run(rows) => {
                let start = rows.start + at;
                self.keys.fill(start, &mut desk.keys[..count])?;
                Ok((&desk.keys[..count], &self.scorer.columns.lots[start..start + count]))
            }
            Rows::Entries(entries) => {
                for (place, entry) in entries[at..at + count].iter().enumerate() {
                    (desk.keys[place], desk.lots[place]) = (key_of(entry), entry[1] as i64);
                }
                Ok((&desk.keys[..count], &desk.lots[..count]))
            }
        }
    }

    /// A scale from rows at a fixed stride.
    fn scale(&self) -> Result<Scale> {
        let rows = match &self.rows {
            Rows::Run(rows) => rows,
            Rows::Entries(entries) => {
                return Ok(self.scale_of(|at| (key_of(&entries[at]), entries[at][1] as i64)));
            }
        };
        let picked: Vec<u32> = self.sample().map(|place| (rows.start + place) as u32).collect();
        let mut keys = vec![0.0; picked.len()];
        for (rows, keys) in picked.chunks(LANE).zip(keys.chunks_mut(LANE)) {
            lane_keys(&self.scorer, Span::Rows(rows), keys)?;
        }
        let lots = self.scorer.columns.lots;
        let sample = keys.iter().zip(&picked).map(|(&key, &row)| (key, lots[row as usize]));
        Ok(Scale::new(&by_side(sample), self.scorer.is_relative()))
    }

    /// As [`Self::scale`], where key and lots of every place are at hand.
    fn scale_of(&self, row: impl Fn(usize) -> (f32, i64)) -> Scale {
        Scale::new(&by_side(self.sample().map(row)), self.scorer.is_relative())
    }

    /// Places in short runs at a fixed stride.
    fn sample(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.len();
        let samples = (count / 32).clamp(FEWEST_SAMPLES, MOST_SAMPLES);
        // An odd number of rows between runs is no divisor of a period of 2^k rows.
        let step = ((count / samples).max(1) * RUN) | 1;
        (0..count).step_by(step).flat_map(move |at| at..count.min(at + RUN))
    }

    fn settle(&self, bins: &Bins, bands: u8) -> Option<([Vec<Doubt>; 2], Lamps)> {
        bins.is_exact(self.len()).then(|| {
            let sides = [bins.settle(0, bands), bins.settle(1, bands)];
            let lamps = Lamps::new(&sides, bands);
            (sides, lamps)
        })
    }
}

/// Keys of the long and of the short side.
fn by_side(rows: impl Iterator<Item = (f32, i64)>) -> [Vec<f32>; 2] {
    let mut found = [Vec::with_capacity(MOST_SAMPLES), Vec::with_capacity(MOST_SAMPLES)];
    for (key, lots) in rows {
        if key > f32::NEG_INFINITY {
            found[usize::from(lots < 0)].push(key);
        }
    }
    found
}
