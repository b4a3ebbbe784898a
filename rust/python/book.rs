//! The kept book's class: frozen, over a lock; work is done without the GIL.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};

use super::{
    HeldAccounts, HeldColumns, RateNumbers, RuleCodes, compute, level_of, rate_of, rule_of, slice,
    weight_of,
};
use crate::book::edges::Scale;
use crate::book::table::{Table, WHOLE};
use crate::book::{Book as Kept, Cut, Edge, Order, Setup};
use crate::columns::{Columns, Rate};
use crate::error::Result;

type Array<'py, T> = Bound<'py, PyArray1<T>>;
type Selected<'py> = (
    Array<'py, u64>,
    Array<'py, i64>,
    Array<'py, f64>,
    Option<(u64, f64)>,
    Option<u64>,
    i64,
    bool,
    u64,
);
type Bounds<'py> = Vec<Option<(u64, u8, f64, Bound<'py, PyAny>, Bound<'py, PyAny>)>>;

/// Positions kept between ticks.
#[pyclass(frozen, module = "deleverage._core")]
pub struct Book {
    kept: RwLock<Kept>,
}

impl Book {
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, which the writer has alone.
    fn change<T: Send>(
        &self,
        py: Python<'_>,
        threads: usize,
        work: impl FnOnce(&mut Kept) -> Result<T> + Send,
    ) -> PyResult<T> {
        let change = || work(&mut self.kept.write().unwrap_or_else(PoisonError::into_inner));
        Ok(compute(py, threads, change)??)
    }

    /// Asks the book.
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        threads: usize,
        work: impl FnOnce(&Kept) -> Result<T> + Send,
    ) -> PyResult<T> {
        Ok(compute(py, threads, || work(&self.read()))??)
    }
}

#[pymethods]
#[allow(clippy::too_many_arguments)] // Python's keyword arguments arrive one by one
impl Book {
    #[new]
    #[pyo3(signature = (columns, accounts, rates, rules, simd, is_derived, threads))]
    fn new(
        py: Python<'_>,
        columns: Bound<'_, PyAny>,
        accounts: Bound<'_, PyAny>,
        rates: Vec<RateNumbers>,
        rules: Vec<RuleCodes>,
        simd: &str,
        is_derived: bool,
        threads: usize,
    ) -> PyResult<Self> {
        let (held, tables) = (HeldColumns::new(&columns)?, HeldAccounts::new(&accounts)?);
        let (columns, accounts) = (held.columns()?, tables.accounts()?);
        let market = slice(&held.market, "market")?;
        let setup = Setup {
            rates: rates.into_iter().map(rate_of).collect(),
            rules: rules.into_iter().map(rule_of).collect::<PyResult<_>>()?,
            level: level_of(simd)?,
            is_derived,
        };
        let made = compute(py, threads, || Kept::new(&columns, market, &accounts, setup))??;
        Ok(Self { kept: RwLock::new(made) })
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().len())
    }

    fn upsert(&self, py: Python<'_>, columns: Bound<'_, PyAny>, threads: usize) -> PyResult<()> {
        let held = HeldColumns::new(&columns)?;
        let (columns, market) = (held.columns()?, slice(&held.market, "market")?);
        self.change(py, threads, |book| book.upsert(&columns, market))
    }

    fn remove(&self, py: Python<'_>, position_id: PyReadonlyArray1<'_, u64>) -> PyResult<()> {
        let ids = position_id.as_slice()?;
        self.change(py, 0, |book| book.remove(ids))
    }

    fn set_rates(&self, py: Python<'_>, rates: Vec<(u32, RateNumbers)>) -> PyResult<u64> {
        let rates: Vec<(u32, Rate)> =
            rates.into_iter().map(|(market, rate)| (market, rate_of(rate))).collect();
        self.change(py, 0, |book| book.set_rates(&rates).map(|()| book.version()))
    }

    fn update_accounts(
        &self,
        py: Python<'_>,
        rows: PyReadonlyArray1<'_, u32>,
        accounts: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let tables = HeldAccounts::new(&accounts)?;
        let (rows, accounts) = (rows.as_slice()?, tables.accounts()?);
        self.change(py, 0, |book| book.update_accounts(rows, &accounts))
    }

    fn rebase(&self, py: Python<'_>, equity: PyReadonlyArray1<'_, i64>) -> PyResult<()> {
        let equity = equity.as_slice()?;
        self.change(py, 0, |book| book.rebase(equity))
    }

    fn select<'py>(
        &self,
        py: Python<'py>,
        market: usize,
        side: i8,
        lots: i64,
        excluded: PyReadonlyArray1<'py, u64>,
        is_ordered: bool,
        threads: usize,
    ) -> PyResult<Selected<'py>> {
        let order = Order { market, side, lots, excluded: excluded.as_slice()?, is_ordered };
        let found = self.ask(py, threads, |book| book.select(&order))?;
        let Cut { ids, lots, scores, cut, partial, unfilled, is_kept, version } = found;
        let (ids, lots) = (ids.into_pyarray(py), lots.into_pyarray(py));
        Ok((ids, lots, scores.into_pyarray(py), cut, partial, unfilled, is_kept, version))
    }

    fn require(&self, py: Python<'_>, position_id: PyReadonlyArray1<'_, u64>) -> PyResult<()> {
        let ids = position_id.as_slice()?;
        self.ask(py, 0, |book| book.require(ids))
    }

    fn scores<'py>(
        &self,
        py: Python<'py>,
        position_id: PyReadonlyArray1<'py, u64>,
    ) -> PyResult<(Array<'py, f64>, Array<'py, u8>)> {
        let ids = position_id.as_slice()?;
        let (scores, reasons) = self.ask(py, 0, |book| book.scores(ids))?;
        Ok((scores.into_pyarray(py), reasons.into_pyarray(py)))
    }

    fn left_out<'py>(
        &self,
        py: Python<'py>,
        market: usize,
        side: i8,
        threads: usize,
    ) -> PyResult<(Array<'py, u64>, Array<'py, u8>)> {
        let (ids, reasons) = self.ask(py, threads, |book| book.left_out(market, side))?;
        Ok((ids.into_pyarray(py), reasons.into_pyarray(py)))
    }

    fn rank_of(&self, py: Python<'_>, position_id: u64, threads: usize) -> PyResult<i64> {
        self.ask(py, threads, |book| book.rank_of(position_id))
    }

    fn lights<'py>(
        &self,
        py: Python<'py>,
        position_id: Option<PyReadonlyArray1<'py, u64>>,
        bands: u8,
        weight: &str,
        threads: usize,
    ) -> PyResult<Array<'py, u8>> {
        let scale = Scale { bands, weight: weight_of(weight)? };
        let ids = position_id.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
        let lights = self.ask(py, threads, |book| match ids {
            Some(ids) => book.lights_of(ids, scale),
            None => book.lights(scale),
        })?;
        Ok(lights.into_pyarray(py))
    }

    fn light_bounds<'py>(
        &self,
        py: Python<'py>,
        market: usize,
        side: i8,
        bands: u8,
        weight: &str,
        threads: usize,
    ) -> PyResult<Bounds<'py>> {
        let scale = Scale { bands, weight: weight_of(weight)? };
        let found = self.ask(py, threads, |book| book.light_bounds(market, side, scale))?;
        found.into_iter().map(|edge| edge.map(|edge| edge_of(py, &edge)).transpose()).collect()
    }

    fn find_edges(&self, py: Python<'_>, bands: u8, weight: &str, threads: usize) -> PyResult<u64> {
        let scale = Scale { bands, weight: weight_of(weight)? };
        self.ask(py, threads, |book| book.find_edges(scale).map(|()| book.version()))
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (tables, accounts, rates, version) = self.ask(py, 0, |book| {
            let rates = book.rates().to_vec();
            Ok((book.tables(), book.account_tables()?, rates, book.version()))
        })?;
        let found = PyDict::new(py);
        found.set_item("columns", columns_of(py, &tables)?)?;
        let kept = PyDict::new(py);
        for (name, table) in
            ["equity", "maintenance_margin", "wallet_balance"].into_iter().zip(accounts)
        {
            if let Some(table) = table {
                kept.set_item(name, table.into_pyarray(py))?;
            }
        }
        found.set_item("accounts", kept)?;
        let rate = |rate: Rate| (rate.mark_num, rate.mark_den, rate.is_inverse);
        found.set_item("rates", rates.into_iter().map(rate).collect::<Vec<_>>())?;
        found.set_item("version", version)?;
        Ok(found)
    }

    fn version(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.read().version())
    }

    fn passes(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.read().passes())
    }

    fn bytes(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().bytes())
    }
}

/// Id, tier, float score, and numerator and denominator of the score.
#[allow(clippy::type_complexity)] // the parts of one edge
fn edge_of<'py>(
    py: Python<'py>,
    edge: &Edge,
) -> PyResult<(u64, u8, f64, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (sign, num, den) = edge.exact.parts();
    let product = |factors: [u128; 2]| {
        let one = factors[0].into_pyobject(py)?.into_any();
        one.mul(factors[1].into_pyobject(py)?)
    };
    let sign: Bound<'py, PyInt> = sign.into_pyobject(py)?;
    Ok((edge.id, edge.tier, edge.score, product(num)?.mul(sign)?, product(den)?))
}

/// The columns of all sections, one after the other.
fn columns_of<'py>(py: Python<'py>, tables: &[Arc<Table>]) -> PyResult<Bound<'py, PyDict>> {
    let all: Vec<Columns<'_>> = tables.iter().map(|table| table.columns()).collect();
    let found = PyDict::new(py);
    for (place, name) in WHOLE.into_iter().enumerate() {
        let parts = tables.iter().map(|table| table.whole(place)).collect();
        put(&found, name, parts)?;
    }
    put(&found, "account", all.iter().map(|columns| columns.account).collect())?;
    put(&found, "owner", all.iter().map(|columns| columns.owner).collect())?;
    put(&found, "tier", all.iter().map(|columns| columns.tier).collect())?;
    put(&found, "position_id", all.iter().map(|columns| columns.position_id).collect())?;
    let market = |(section, table): (usize, &Arc<Table>)| vec![section as u32 / 2; table.len()];
    let markets: Vec<Vec<u32>> = tables.iter().enumerate().map(market).collect();
    found.set_item("market", markets.concat().into_pyarray(py))?;
    Ok(found)
}

/// Puts a column that is there into the dictionary.
fn put<T: numpy::Element + Copy + Sync>(
    found: &Bound<'_, PyDict>,
    name: &str,
    parts: Vec<Option<&[T]>>,
) -> PyResult<()> {
    let py = found.py();
    let Some(parts) = parts.into_iter().collect::<Option<Vec<&[T]>>>() else {
        return Ok(());
    };
    let column = py.detach(|| parts.concat());
    found.set_item(name, column.into_pyarray(py))
}
