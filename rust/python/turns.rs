//! A side that is asked again and again, in one call.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::{Call, InputError, Subject, compute};
use crate::columns::Rate;
use crate::turns::{Closed, Terms, Turn};

type Array<'py> = Bound<'py, PyArray1<i64>>;
/// How many rows each turn closed; of all of them one after the other row, lots, lots held before
/// and entry value before; lots that each turn left.
type Turns<'py> = (Array<'py>, Array<'py>, Array<'py>, Array<'py>, Array<'py>, Array<'py>);

/// Closes one head of a side after the other; the subject has a rate a turn.
#[pyfunction]
pub fn in_turn<'py>(
    py: Python<'py>,
    subject: Subject<'py>,
    side: i8,
    lots: PyReadonlyArray1<'py, i64>,
    excluded: PyReadonlyArray1<'py, i64>,
    wants_all: bool,
    threads: usize,
) -> PyResult<Turns<'py>> {
    let call = Call::new(subject)?;
    let lots = lots.as_slice()?;
    if lots.is_empty() || call.rates.len() != lots.len() {
        let (rates, lots) = (call.rates.len(), lots.len());
        let text = format!("rates: expected one a turn, got {rates} rates and {lots} turns");
        return Err(InputError::new_err(text));
    }
    let turn = |(&rate, &lots): (&Rate, &i64)| Turn { rate, lots };
    let turns: Vec<Turn> = call.rates.iter().zip(lots).map(turn).collect();
    let terms = Terms { side, excluded: excluded.as_slice()?, wants_all };
    let scorer = call.venue()?.scorer(0);
    let closed = compute(py, threads, || crate::turns::in_turn(&scorer, &terms, &turns))??;
    let all = |read: fn(&Closed) -> &Vec<i64>| -> Array<'py> {
        let values: Vec<i64> = closed.iter().flat_map(|one| read(one).iter().copied()).collect();
        values.into_pyarray(py)
    };
    let counts: Vec<i64> = closed.iter().map(|one| one.rows.len() as i64).collect();
    let unfilled: Vec<i64> = closed.iter().map(|one| one.unfilled).collect();
    Ok((
        counts.into_pyarray(py),
        all(|one| &one.rows),
        all(|one| &one.lots),
        all(|one| &one.held),
        all(|one| &one.entry_value),
        unfilled.into_pyarray(py),
    ))
}
