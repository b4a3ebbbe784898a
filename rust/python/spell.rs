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

/// Appends the spelling of a plain value, and gives what it reads back as: where `is_copied`, lists
/// and dicts of its own, else the value itself.
fn write<'py>(
    out: &mut Vec<u8>,
    value: Bound<'py, PyAny>,
    levels: usize,
    is_copied: bool,
) -> Option<Bound<'py, PyAny>> {
    if value.is_exact_instance_of::<PyString>() {
        text(out, value.cast_exact::<PyString>().ok()?.to_str().ok()?);
    } else if value.is_exact_instance_of::<PyInt>() {
        match value.extract::<i64>() {
            Ok(number) => whole(out, number),
            Err(_) => out.extend_from_slice(value.str().ok()?.to_str().ok()?.as_bytes()),
        }
    } else if value.is_exact_instance_of::<PyList>() {
        return write_list(out, value.cast_exact().ok()?, levels.checked_sub(1)?, is_copied);
    } else if value.is_exact_instance_of::<PyDict>() {
        return write_dict(out, value.cast_exact().ok()?, levels.checked_sub(1)?, is_copied);
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else {
        return None;
    }
    Some(value)
}

fn write_list<'py>(
    out: &mut Vec<u8>,
    list: &Bound<'py, PyList>,
    levels: usize,
    is_copied: bool,
) -> Option<Bound<'py, PyAny>> {
    let twin = if is_copied { list.get_slice(0, list.len()) } else { list.clone() };
    out.push(b'[');
    for (place, item) in list.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let same = item.as_ptr();
        let copy = write(out, item, levels, is_copied)?;
        if copy.as_ptr() != same {
            twin.set_item(place, copy).ok()?;
        }
    }
    out.push(b']');
    Some(twin.into_any())
}

fn write_dict<'py>(
    out: &mut Vec<u8>,
    table: &Bound<'py, PyDict>,
    levels: usize,
    is_copied: bool,
) -> Option<Bound<'py, PyAny>> {
    let twin = if is_copied { PyDict::new(table.py()) } else { table.clone() };
    out.push(b'{');
    for (place, (key, item)) in sorted(table)?.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        text(out, key.to_str().ok()?);
        out.push(b':');
        let copy = write(out, item, levels, is_copied)?;
        if is_copied {
            twin.set_item(key, copy).ok()?;
        }
    }
    out.push(b'}');
    Some(twin.into_any())
}

/// The canonical bytes of a plain value.
#[pyfunction]
pub fn spell(value: Bound<'_, PyAny>) -> Option<Bound<'_, PyBytes>> {
    let (py, mut out) = (value.py(), Vec::with_capacity(256));
    write(&mut out, value, MOST_LEVELS, false)?;
    Some(PyBytes::new(py, &out))
}

/// The canonical bytes of a plain value, and the value that they read back as.
#[pyfunction]
pub fn spell_twin(value: Bound<'_, PyAny>) -> Option<(Bound<'_, PyBytes>, Bound<'_, PyAny>)> {
    let (py, mut out) = (value.py(), Vec::with_capacity(256));
    let twin = write(&mut out, value, MOST_LEVELS, true)?;
    Some((PyBytes::new(py, &out), twin))
}
