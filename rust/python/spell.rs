//! The seam of the ledger: the canonical bytes of a value.
//!
//! Only plain values are spelled here, which is nearly every one; anything else is answered with
//! `None`, and Python spells it the long way or says what is wrong with it.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString};

use crate::spell::{text, whole};

/// Deeper values are left to Python, which may refuse them.
const MOST_LEVELS: usize = 64;

/// A dict's keys and values, sorted by code point: the order of UTF-8 bytes.
fn sorted<'py>(
    table: &Bound<'py, PyDict>,
) -> Option<Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
    let mut items = Vec::with_capacity(table.len());
    for (key, value) in table.iter() {
        let key = key.cast_into_exact::<PyString>().ok()?;
        key.to_str().ok()?;
        items.push((key, value));
    }
    items.sort_by(|(one, _), (other, _)| one.to_str().ok().cmp(&other.to_str().ok()));
    Some(items)
}

/// Appends the spelling of a plain value.
fn write(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, levels: usize) -> Option<()> {
    if value.is_exact_instance_of::<PyString>() {
        text(out, value.cast_exact::<PyString>().ok()?.to_str().ok()?);
    } else if value.is_exact_instance_of::<PyInt>() {
        match value.extract::<i64>() {
            Ok(number) => whole(out, number),
            Err(_) => out.extend_from_slice(value.str().ok()?.to_str().ok()?.as_bytes()),
        }
    } else if value.is_exact_instance_of::<PyList>() {
        write_list(out, value.cast_exact().ok()?, levels.checked_sub(1)?)?;
    } else if value.is_exact_instance_of::<PyDict>() {
        write_dict(out, value.cast_exact().ok()?, levels.checked_sub(1)?)?;
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else {
        return None;
    }
    Some(())
}

fn write_list(out: &mut Vec<u8>, list: &Bound<'_, PyList>, levels: usize) -> Option<()> {
    out.push(b'[');
    for (place, item) in list.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, &item, levels)?;
    }
    out.push(b']');
    Some(())
}

fn write_dict(out: &mut Vec<u8>, table: &Bound<'_, PyDict>, levels: usize) -> Option<()> {
    out.push(b'{');
    for (place, (key, item)) in sorted(table)?.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        text(out, key.to_str().ok()?);
        out.push(b':');
        write(out, item, levels)?;
    }
    out.push(b'}');
    Some(())
}

fn holds_more(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyList>() || value.is_exact_instance_of::<PyDict>()
}

/// Copies a value that has been written: what its bytes read back as.
fn copied<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        let twin = list.get_slice(0, list.len());
        for (place, item) in list.iter().enumerate() {
            if holds_more(&item) {
                twin.set_item(place, copied(&item)?)?;
            }
        }
        return Ok(twin.into_any());
    }
    if let Ok(table) = value.cast_exact::<PyDict>() {
        let twin = PyDict::new(value.py());
        for (key, item) in sorted(table).unwrap_or_default() {
            twin.set_item(key, copied(&item)?)?;
        }
        return Ok(twin.into_any());
    }
    Ok(value.clone())
}

/// The canonical bytes of a plain value.
#[pyfunction]
pub fn spell<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let mut out = Vec::with_capacity(256);
    write(&mut out, value, MOST_LEVELS)?;
    Some(PyBytes::new(value.py(), &out))
}

/// The canonical bytes of a plain value, and the value that they read back as.
#[pyfunction]
pub fn spell_twin<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyAny>)>> {
    let Some(data) = spell(value) else { return Ok(None) };
    Ok(Some((data, copied(value)?)))
}
