//! The seam of the allocation: weights, caps and ids in, units taken out.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use super::{InputError, compute, level_of};
use crate::allocate::{Candidates, Request, Rounding, Shared, allocate_into};
use crate::select::CHUNK;

/// Units taken, what is unfilled, the level, and passes repeated.
type Allocated<'py> = (Bound<'py, PyArray1<i64>>, u128, Option<(u128, u128)>, u32);
/// Units to take, what is shared, its rounding, rows looked at first, instruction set, threads.
type RequestWords<'a> = (u128, &'a str, &'a str, usize, &'a str, usize);

fn request_of((amount, shared, rounding, sample, simd, _): RequestWords<'_>) -> PyResult<Request> {
    let unknown = |name: &str, got: &str| Err(InputError::new_err(format!("{name}: got {got:?}")));
    let shared = match shared {
        "taken" => Shared::Taken,
        "kept" => Shared::Kept,
        _ => return unknown("shared: expected taken or kept", shared),
    };
    let rounding = match rounding {
        "quota" => Rounding::Quota,
        "smallest" => Rounding::Smallest,
        _ => return unknown("rounding: expected quota or smallest", rounding),
    };
    Ok(Request { amount, shared, rounding, sample, level: level_of(simd)? })
}

#[pyfunction]
pub fn least<'py>(
    py: Python<'py>,
    columns: Vec<PyReadonlyArray1<'py, i64>>,
    variant: usize,
    threads: usize,
    out: Option<Bound<'py, PyArray1<i64>>>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let columns = columns.iter().map(PyReadonlyArray1::as_slice).collect::<Result<Vec<_>, _>>()?;
    let count = columns.first().map_or(0, |column| column.len());
    let written = out.unwrap_or_else(|| PyArray1::zeros(py, count, false));
    let mut values = written.try_readwrite()?;
    let into = values.as_slice_mut()?;
    if into.len() != count || columns.iter().any(|column| column.len() != count) {
        return Err(InputError::new_err("columns: expected as many rows as in out"));
    }
    compute(py, threads, || crate::floor::least(&columns, variant, into))?;
    drop(values);
    Ok(written)
}

#[pyfunction]
pub fn allocate<'py>(
    py: Python<'py>,
    weight: PyReadonlyArray1<'py, i64>,
    cap: Option<PyReadonlyArray1<'py, i64>>,
    ids: Option<PyReadonlyArray1<'py, u64>>,
    is_within_weight: bool,
    request: RequestWords<'_>,
    out: Option<Bound<'py, PyArray1<i64>>>,
) -> PyResult<Allocated<'py>> {
    let threads = request.5;
    let request = request_of(request)?;
    let candidates = Candidates {
        weight: weight.as_slice()?,
        cap: cap.as_ref().map(PyReadonlyArray1::as_slice).transpose()?,
        is_within_weight,
        id: ids.as_ref().map(PyReadonlyArray1::as_slice).transpose()?,
    };
    // The pool takes longer to wake than a single chunk lasts.
    let threads = if candidates.weight.len() > CHUNK { threads } else { 0 };
    // NumPy asks for huge pages, which cost a fraction of what small ones do to come by.
    let taken = out.unwrap_or_else(|| PyArray1::zeros(py, candidates.weight.len(), false));
    let mut units = taken.try_readwrite().map_err(|refusal| {
        InputError::new_err(format!("out: expected an array that can be written, {refusal}"))
    })?;
    let into = units.as_slice_mut()?;
    let found = compute(py, threads, || allocate_into(&candidates, &request, into))??;
    drop(units);
    Ok((taken, found.unfilled, found.level, found.rescans))
}
