//! The seam of the ledger: an event is booked in the tables of balances.
//!
//! Only the plain case is done here, which is nearly every event; anything else leaves the tables
//! as they were and is answered with `None`, and Python works it out the long way and says what is
//! wrong with it.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple};

/// Account, asset and amount.
const PARTS: usize = 3;

/// One asset of an event.
struct Moved<'py> {
    asset: Bound<'py, PyString>,
    table: Bound<'py, PyDict>,
    /// Accounts in the order they were changed, and what each held until then.
    before: Vec<(Bound<'py, PyString>, Option<Bound<'py, PyAny>>)>,
    total: i128,
    has_zero: bool,
}

type Line<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// The three parts of a line that is a list or a tuple.
fn parts<'py>(line: &Bound<'py, PyAny>) -> Option<Line<'py>> {
    if line.is_exact_instance_of::<PyList>() {
        let list = line.cast_exact::<PyList>().ok()?;
        let at = |place| list.get_item(place).ok();
        return if list.len() == PARTS { Some((at(0)?, at(1)?, at(2)?)) } else { None };
    }
    let tuple = line.cast::<PyTuple>().ok()?;
    let at = |place| tuple.get_item(place).ok();
    if tuple.len() == PARTS { Some((at(0)?, at(1)?, at(2)?)) } else { None }
}

/// An exact integer of 64 bits.
fn number(value: &Bound<'_, PyAny>) -> Option<i64> {
    value.is_exact_instance_of::<PyInt>().then(|| value.extract().ok()).flatten()
}

impl<'py> Moved<'py> {
    /// Adds an amount to an account, which has a balance already or is known to be open.
    fn add(
        &mut self,
        account: Bound<'py, PyString>,
        amount: i64,
        opened: &Bound<'py, PyDict>,
    ) -> Option<()> {
        let held = self.table.get_item(&account).ok()?;
        let balance = match &held {
            Some(balance) => number(balance)?,
            None => opened.contains(&account).ok()?.then_some(0)?,
        };
        let left = balance.checked_add(amount)?;
        self.table.set_item(&account, left).ok()?;
        self.before.push((account, held));
        self.has_zero |= left == 0;
        self.total += i128::from(amount);
        Some(())
    }

    /// Puts the table back as it was, the last change first.
    fn undone(self) -> PyResult<()> {
        for (account, held) in self.before.into_iter().rev() {
            match held {
                Some(balance) => self.table.set_item(account, balance)?,
                None => self.table.del_item(account)?,
            }
        }
        Ok(())
    }

    /// Takes out what is zero, and gives what the accounts held before the event.
    fn settled(self) -> PyResult<Bound<'py, PyDict>> {
        let undo = PyDict::new(self.asset.py());
        for (account, held) in self.before.into_iter().rev() {
            if self.has_zero && self.table.get_item(&account)?.and_then(|b| number(&b)) == Some(0) {
                self.table.del_item(&account)?;
            }
            undo.set_item(account, held)?;
        }
        Ok(undo)
    }
}

/// Books every line; `None` where one is not plain or an asset does not add up to zero.
fn add_all<'py>(
    moved: &mut Vec<Moved<'py>>,
    lines: &Bound<'py, PyList>,
    balances: &Bound<'py, PyDict>,
    opened: &Bound<'py, PyDict>,
) -> Option<()> {
    let mut last = 0;
    for line in lines.iter() {
        let (account, asset, amount) = parts(&line)?;
        let account = account.cast_into_exact::<PyString>().ok()?;
        let asset = asset.cast_into_exact::<PyString>().ok()?;
        let amount = number(&amount)?;
        if !moved.get(last).is_some_and(|one| one.asset.is(&asset)) {
            let known = moved.iter().position(|one| one.asset.as_any().eq(&asset).unwrap_or(false));
            last = known.unwrap_or(moved.len());
        }
        if last == moved.len() {
            let table = balances.get_item(&asset).ok()??.cast_into::<PyDict>().ok()?;
            moved.push(Moved { asset, table, before: Vec::new(), total: 0, has_zero: false });
        }
        moved[last].add(account, amount, opened)?;
    }
    moved.iter().all(|one| one.total == 0).then_some(())
}

/// Books an event in the tables.
///
/// `balances` are by asset and account, `opened` has every open account. Gives by asset what the
/// accounts held before.
#[pyfunction]
pub fn post<'py>(
    lines: &Bound<'py, PyList>,
    balances: &Bound<'py, PyDict>,
    opened: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let mut moved = Vec::new();
    if add_all(&mut moved, lines, balances, opened).is_none() || moved.is_empty() {
        moved.into_iter().try_for_each(Moved::undone)?;
        return Ok(None);
    }
    let undo = PyDict::new(lines.py());
    for one in moved {
        undo.set_item(one.asset.clone(), one.settled()?)?;
    }
    Ok(Some(undo))
}
