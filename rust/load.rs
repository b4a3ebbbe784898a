//! Columns of whole numbers as floats: contiguous runs, picked rows, and accounts' tables.

use crate::columns::OWN_MARGIN;

/// Rows of a lane: few enough that all its arrays stay in the first-level cache.
pub const LANE: usize = 64;

/// One value for each place of a lane.
pub type Values = [f64; LANE];

// A whole number below 2^51 plus this pattern is the float 1.5 * 2^52 + number.
const MAGIC_BITS: u64 = 0x4338_0000_0000_0000;
const MAGIC_TOP: u64 = 0x4330_0000_0000_0000;
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Which rows a lane holds.
#[derive(Debug, Clone, Copy)]
pub enum Span<'a> {
    /// `start..start + length`, at most [`LANE`] rows.
    Run(usize, usize),
    /// These rows, at most [`LANE`].
    Rows(&'a [u32]),
}

impl Span<'_> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Run(_, length) => *length,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a place of the lane.
    #[must_use]
    pub fn row(&self, place: usize) -> usize {
        match self {
            Self::Run(start, _) => start + place,
            Self::Rows(rows) => rows[place] as usize,
        }
    }
}

/// Whole numbers as floats; `seen` collects the bits that a value out of range would set.
#[inline(always)]
pub fn load(span: Span<'_>, column: &[i64], values: &mut Values, seen: &mut u64) {
    match span {
        Span::Run(start, length) => {
            let column = &column[start..start + length];
            let mut all = *seen;
            for (value, &whole) in values.iter_mut().zip(column) {
                let bits = (whole as u64).wrapping_add(MAGIC_BITS);
                all |= bits ^ MAGIC_TOP;
                *value = f64::from_bits(bits) - MAGIC;
            }
            *seen = all;
        }
        Span::Rows(rows) => {
            for (value, &row) in values.iter_mut().zip(rows) {
                *value = to_float(column[row as usize], seen);
            }
        }
    }
}

/// A whole number as a float; `seen` gets a bit from 52 up where it is out of range.
#[inline(always)]
pub fn to_float(whole: i64, seen: &mut u64) -> f64 {
    let bits = (whole as u64).wrapping_add(MAGIC_BITS);
    *seen |= bits ^ MAGIC_TOP;
    f64::from_bits(bits) - MAGIC
}

/// The whole number below 2^51 that a float is.
#[inline(always)]
#[must_use]
pub fn whole(value: f64) -> u64 {
    (value + MAGIC).to_bits().wrapping_sub(MAGIC_BITS)
}

/// Values of the rows' accounts, or of the rows themselves where they stand on their own margin.
#[inline(always)]
pub fn gather(
    span: Span<'_>,
    account: &[u32],
    table: Option<&[i64]>,
    own: Option<&[i64]>,
    values: &mut Values,
    seen: &mut u64,
) {
    let table = table.unwrap_or(&[]);
    for (place, value) in values.iter_mut().enumerate().take(span.len()) {
        let row = span.row(place);
        let found = match table.get(account[row] as usize) {
            Some(&whole) => Some(whole),
            None if account[row] == OWN_MARGIN => own.map(|column| column[row]),
            None => None,
        };
        // A pointer into nowhere sets a bit that no value in range sets.
        *value = to_float(found.unwrap_or(i64::MIN), seen);
    }
}
