//! Columns that are owned and may change: rows of one side of one market.

use std::ops::Range;

use rayon::prelude::*;

use crate::columns::Columns;
use crate::error::{Error, Result};
use crate::simd::prefetch;

/// Columns of whole numbers, in the order of [`Columns`].
pub const WHOLE: [&str; 10] = [
    "lots",
    "entry_value",
    "margin",
    "maintenance_margin",
    "initial_margin",
    "open_value",
    "leverage",
    "profit_lots",
    "profit_value",
    "created_at",
];

/// Those of them that belong to a position's lots, and the lots: they are split with it.
const SPLIT: std::ops::Range<usize> = 0..6;

/// Owned columns; which of them there are is the same for the whole book.
#[derive(Debug, Clone, Default)]
pub struct Table {
    whole: [Option<Vec<i64>>; WHOLE.len()],
    account: Option<Vec<u32>>,
    owner: Option<Vec<u32>>,
    tier: Option<Vec<u8>>,
    position_id: Vec<u64>,
}

/// The columns of whole numbers, by their place in [`WHOLE`].
fn whole_of<'a>(columns: &Columns<'a>) -> [Option<&'a [i64]>; WHOLE.len()] {
    [
        Some(columns.lots),
        Some(columns.entry_value),
        columns.margin,
        columns.maintenance_margin,
        columns.initial_margin,
        columns.open_value,
        columns.leverage,
        columns.profit_lots,
        columns.profit_value,
        columns.created_at,
    ]
}

/// Makes room by a sixteenth rather than by doubling: a book is mostly memory.
fn reserve<T>(column: &mut Vec<T>, more: usize) {
    if column.capacity() - column.len() < more {
        column.reserve_exact(more.max(column.len() / 16));
    }
}

fn append<T: Copy>(column: &mut Option<Vec<T>>, source: Option<&[T]>, rows: &[u32]) {
    if let (Some(column), Some(source)) = (column, source) {
        reserve(column, rows.len());
        column.extend(fetched(source, rows));
    }
}

/// Values of rows that may stand anywhere.
pub fn fetched<'a, T: Copy>(source: &'a [T], rows: &'a [u32]) -> impl Iterator<Item = T> + 'a {
    fetching(rows, |line| prefetch(source, line)).map(|row| source[row])
}

/// Rows that may stand anywhere, while what is read of them is fetched for those ahead.
pub fn fetching<'a>(
    rows: &'a [u32],
    fetch: impl Fn(Range<usize>) + 'a,
) -> impl Iterator<Item = usize> + 'a {
    rows.iter().enumerate().map(move |(turn, &row)| {
        if let Some(&row) = rows.get(turn + AHEAD) {
            fetch(row as usize..row as usize + 1);
        }
        row as usize
    })
}

/// Rows ahead whose place is fetched meanwhile.
const AHEAD: usize = 32;
/// Fewer rows are written by one thread.
const MANY: usize = 1 << 12;

fn write<T: Copy>(column: &mut Option<Vec<T>>, source: Option<&[T]>, pairs: &[(u32, u32)]) {
    if let (Some(column), Some(source)) = (column, source) {
        for (turn, &(row, from)) in pairs.iter().enumerate() {
            if let Some(&(row, _)) = pairs.get(turn + AHEAD) {
                prefetch(column, row as usize..row as usize + 1);
            }
            column[row as usize] = source[from as usize];
        }
    }
}

fn drop_row<T>(column: &mut Option<Vec<T>>, row: usize) {
    if let Some(column) = column {
        column.swap_remove(row);
    }
}

fn arrange<T: Copy>(column: &mut Option<Vec<T>>, order: &[u32]) {
    if let Some(column) = column {
        *column = order.iter().map(|&row| column[row as usize]).collect();
    }
}

impl Table {
    /// An empty table that has the columns of another.
    #[must_use]
    pub fn like(columns: &Columns<'_>) -> Self {
        Self {
            whole: whole_of(columns).map(|column| column.map(|_| Vec::new())),
            account: columns.account.map(|_| Vec::new()),
            owner: columns.owner.map(|_| Vec::new()),
            tier: columns.tier.map(|_| Vec::new()),
            position_id: Vec::new(),
        }
    }

    /// The rows of a table of columns, picked.
    #[must_use]
    pub fn picked(columns: &Columns<'_>, rows: &[u32]) -> Self {
        let mut table = Self::like(columns);
        table.append(columns, rows);
        table
    }

    /// All rows of a table of columns; rows without ids get none.
    #[must_use]
    pub fn copied(columns: &Columns<'_>) -> Self {
        Self {
            whole: whole_of(columns).map(|column| column.map(<[i64]>::to_vec)),
            account: columns.account.map(<[u32]>::to_vec),
            owner: columns.owner.map(<[u32]>::to_vec),
            tier: columns.tier.map(<[u8]>::to_vec),
            position_id: columns.position_id.map_or_else(Vec::new, <[u64]>::to_vec),
        }
    }

    /// A view.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        let whole = |place| self.whole(place);
        Columns {
            lots: whole(0).unwrap_or(&[]),
            entry_value: whole(1).unwrap_or(&[]),
            margin: whole(2),
            maintenance_margin: whole(3),
            initial_margin: whole(4),
            open_value: whole(5),
            leverage: whole(6),
            profit_lots: whole(7),
            profit_value: whole(8),
            created_at: whole(9),
            account: self.account.as_deref(),
            tier: self.tier.as_deref(),
            owner: self.owner.as_deref(),
            position_id: Some(&self.position_id),
        }
    }

    /// A column of whole numbers, by its place in [`WHOLE`].
    #[must_use]
    pub fn whole(&self, place: usize) -> Option<&[i64]> {
        self.whole[place].as_deref()
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.position_id.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.position_id.is_empty()
    }

    /// Ids of the rows.
    #[must_use]
    pub fn ids(&self) -> &[u64] {
        &self.position_id
    }

    /// Checks that a batch has the columns of this table, no more and no fewer.
    ///
    /// # Errors
    /// Names the first column that only one of the two has.
    pub fn check_same(&self, batch: &Columns<'_>) -> Result<()> {
        let given = whole_of(batch);
        let whole =
            (0..WHOLE.len()).map(|i| (WHOLE[i], self.whole[i].is_some(), given[i].is_some()));
        let rest = [
            ("account", self.account.is_some(), batch.account.is_some()),
            ("owner", self.owner.is_some(), batch.owner.is_some()),
            ("tier", self.tier.is_some(), batch.tier.is_some()),
            ("position_id", true, batch.position_id.is_some()),
        ];
        for (column, is_kept, is_given) in whole.chain(rest) {
            if is_kept && !is_given {
                return Err(Error::Missing { column });
            }
            if is_given && !is_kept {
                let (got, expected) = (batch.len(), 0);
                return Err(Error::Length { column, got, expected });
            }
        }
        Ok(())
    }

    /// Adds rows at the end.
    pub fn append(&mut self, source: &Columns<'_>, rows: &[u32]) {
        let whole = self.whole.iter_mut().zip(whole_of(source));
        let ids = source.position_id.unwrap_or(&[]);
        let position_id = &mut self.position_id;
        reserve(position_id, rows.len());
        if rows.len() < MANY {
            whole.for_each(|(column, source)| append(column, source, rows));
            position_id.extend(fetched(ids, rows));
        } else {
            let whole: Vec<_> = whole.collect();
            rayon::join(
                || whole.into_par_iter().for_each(|(column, source)| append(column, source, rows)),
                || position_id.extend(fetched(ids, rows)),
            );
        }
        append(&mut self.account, source.account, rows);
        append(&mut self.owner, source.owner, rows);
        append(&mut self.tier, source.tier, rows);
    }

    /// Overwrites rows: (row here, row there) pairs; ids stay.
    pub fn write(&mut self, source: &Columns<'_>, pairs: &[(u32, u32)]) {
        let whole = self.whole.iter_mut().zip(whole_of(source));
        if pairs.len() < MANY {
            whole.for_each(|(column, source)| write(column, source, pairs));
        } else {
            let whole: Vec<_> = whole.collect();
            whole.into_par_iter().for_each(|(column, source)| write(column, source, pairs));
        }
        write(&mut self.account, source.account, pairs);
        write(&mut self.owner, source.owner, pairs);
        write(&mut self.tier, source.tier, pairs);
    }

    /// Leaves so many of the lots that a row holds, and as large a part of each of its values,
    /// rounded down.
    pub fn shrink(&mut self, row: usize, left: i64, held: i64) {
        for column in self.whole[SPLIT].iter_mut().flatten() {
            let part = i128::from(column[row]) * i128::from(left);
            column[row] = part.div_euclid(i128::from(held)) as i64;
        }
    }

    /// Takes a row out; the last one moves into its place.
    pub fn swap_remove(&mut self, row: usize) {
        for column in &mut self.whole {
            drop_row(column, row);
        }
        drop_row(&mut self.account, row);
        drop_row(&mut self.owner, row);
        drop_row(&mut self.tier, row);
        self.position_id.swap_remove(row);
    }

    /// Brings the rows into another order; rows that are not named are dropped.
    pub fn arrange(&mut self, order: &[u32]) {
        for column in &mut self.whole {
            arrange(column, order);
        }
        arrange(&mut self.account, order);
        arrange(&mut self.owner, order);
        arrange(&mut self.tier, order);
        self.position_id = order.iter().map(|&row| self.position_id[row as usize]).collect();
    }

    /// The accounts that rows point to.
    pub fn accounts_mut(&mut self) -> &mut [u32] {
        self.account.as_deref_mut().unwrap_or(&mut [])
    }

    /// Bytes held, room to grow included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let whole: usize = self.whole.iter().flatten().map(|column| 8 * column.capacity()).sum();
        let small = |column: &Option<Vec<u32>>| column.as_ref().map_or(0, |c| 4 * c.capacity());
        let tier = self.tier.as_ref().map_or(0, Vec::capacity);
        whole + small(&self.account) + small(&self.owner) + tier + 8 * self.position_id.capacity()
    }
}
