//! The seam to Python: borrow, compute without the GIL, hand over. The only file that names `PyO3`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::columns::{Accounts, Columns, Rate};
use crate::error::Error;
use crate::lights::Weight;
use crate::rank::Venue;
use crate::rule::{Basis, Factor, Loss, NoEquity, Rule, Tie};
use crate::score::Scorer;
use crate::select::Request;
use crate::simd::Level;

mod allocate;
mod book;
mod post;
mod spell;
mod turns;

// Vectors of one call are reused by the next instead of being handed back to the system, which
// would clear their pages anew: at a tenth of a large side that is a third of the time.
#[global_allocator]
static ALLOCATOR: crate::memory::Memory = crate::memory::Memory;

pyo3::import_exception!(deleverage.errors, InputError);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        InputError::new_err(error.to_string())
    }
}

type Held<'py, T> = Option<PyReadonlyArray1<'py, T>>;
type RuleCodes = (u8, u8, u8, u8, bool, i64, Vec<u8>);
type RateNumbers = (i64, i64, bool);

fn hold<'py, T: Element>(owner: &Bound<'py, PyAny>, name: &str) -> PyResult<Held<'py, T>> {
    let value = owner.getattr(name)?;
    if value.is_none() {
        return Ok(None);
    }
    let array = value.cast::<PyArray1<T>>().map_err(|_| {
        InputError::new_err(format!("{name}: expected a one-dimensional array of the stated dtype"))
    })?;
    Ok(Some(array.try_readonly().map_err(|e| InputError::new_err(format!("{name}: {e}")))?))
}

fn slice<'a, T: Element>(held: &'a Held<'_, T>, name: &str) -> PyResult<Option<&'a [T]>> {
    let contiguous = |array: &'a PyReadonlyArray1<'_, T>| {
        array.as_slice().map_err(|_| {
            InputError::new_err(format!("{name}: expected a contiguous array; copy it first"))
        })
    };
    held.as_ref().map(contiguous).transpose()
}

/// The arrays of a Python `Columns`, kept alive while the kernel borrows them.
struct HeldColumns<'py> {
    whole: Vec<(&'static str, Held<'py, i64>)>,
    account: Held<'py, u32>,
    owner: Held<'py, u32>,
    market: Held<'py, u32>,
    tier: Held<'py, u8>,
    position_id: Held<'py, u64>,
}

const WHOLE: [&str; 10] = [
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

impl<'py> HeldColumns<'py> {
    fn new(columns: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut whole = Vec::with_capacity(WHOLE.len());
        for name in WHOLE {
            whole.push((name, hold(columns, name)?));
        }
        Ok(Self {
            whole,
            account: hold(columns, "account")?,
            owner: hold(columns, "owner")?,
            market: hold(columns, "market")?,
            tier: hold(columns, "tier")?,
            position_id: hold(columns, "position_id")?,
        })
    }

    fn whole(&self, place: usize) -> PyResult<Option<&[i64]>> {
        let (name, held) = &self.whole[place];
        slice(held, name)
    }

    fn columns(&self) -> PyResult<Columns<'_>> {
        Ok(Columns {
            lots: self.whole(0)?.unwrap_or(&[]),
            entry_value: self.whole(1)?.unwrap_or(&[]),
            margin: self.whole(2)?,
            maintenance_margin: self.whole(3)?,
            initial_margin: self.whole(4)?,
            open_value: self.whole(5)?,
            leverage: self.whole(6)?,
            profit_lots: self.whole(7)?,
            profit_value: self.whole(8)?,
            created_at: self.whole(9)?,
            account: slice(&self.account, "account")?,
            owner: slice(&self.owner, "owner")?,
            tier: slice(&self.tier, "tier")?,
            position_id: slice(&self.position_id, "position_id")?,
        })
    }
}

struct HeldAccounts<'py>([Held<'py, i64>; 3]);

impl<'py> HeldAccounts<'py> {
    fn new(accounts: &Bound<'py, PyAny>) -> PyResult<Self> {
        if accounts.is_none() {
            return Ok(Self([None, None, None]));
        }
        Ok(Self([
            hold(accounts, "equity")?,
            hold(accounts, "maintenance_margin")?,
            hold(accounts, "wallet_balance")?,
        ]))
    }

    fn accounts(&self) -> PyResult<Accounts<'_>> {
        Ok(Accounts {
            equity: slice(&self.0[0], "accounts.equity")?,
            maintenance_margin: slice(&self.0[1], "accounts.maintenance_margin")?,
            wallet_balance: slice(&self.0[2], "accounts.wallet_balance")?,
        })
    }
}

fn rule_of(codes: RuleCodes) -> PyResult<Rule> {
    let (basis, factor, loss, no_equity, is_joint, wallet_floor, ties) = codes;
    Ok(Rule {
        basis: Basis::from_code(basis)?,
        factor: Factor::from_code(factor)?,
        loss: Loss::from_code(loss)?,
        no_equity: NoEquity::from_code(no_equity)?,
        is_joint,
        wallet_floor,
        ties: ties.into_iter().map(Tie::from_code).collect::<Result<_, _>>()?,
    })
}

fn rate_of((mark_num, mark_den, is_inverse): RateNumbers) -> Rate {
    Rate { mark_num, mark_den, is_inverse }
}

fn level_of(name: &str) -> PyResult<Level> {
    if name == "auto" {
        return Ok(Level::detect());
    }
    let levels = Level::available();
    levels.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
        let known: Vec<&str> = levels.iter().map(|level| level.name()).collect();
        InputError::new_err(format!("simd: expected auto or one of {known:?}, got {name:?}"))
    })
}

fn weight_of(name: &str) -> PyResult<Weight> {
    match name {
        "quantity" => Ok(Weight::Quantity),
        "entries" => Ok(Weight::Entries),
        "accounts" => Ok(Weight::Accounts),
        _ => Err(InputError::new_err(format!(
            "weight: expected quantity, entries or accounts, got {name:?}"
        ))),
    }
}

/// More threads than any machine has a use for are a slip, and a pool of them is never given back.
const MOST_THREADS: usize = 1024;

/// Pools by size, made once: a call with a thread count of its own does not pay for new threads.
fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    static POOLS: OnceLock<Mutex<HashMap<usize, Arc<ThreadPool>>>> = OnceLock::new();
    if threads > MOST_THREADS {
        return Err(InputError::new_err(format!(
            "threads: expected 0 (all) to {MOST_THREADS}, got {threads}"
        )));
    }
    let pools = POOLS.get_or_init(Mutex::default);
    let mut pools = pools.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&threads) {
        return Ok(Arc::clone(pool));
    }
    let built = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = Arc::new(built.map_err(|e| InputError::new_err(format!("threads: {e}")))?);
    pools.insert(threads, Arc::clone(&pool));
    Ok(pool)
}

/// What every verb takes: columns, accounts, rates, rule and instruction set.
type Subject<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Vec<RateNumbers>, RuleCodes, String);

/// A subject with its arrays held.
struct Call<'py> {
    held: HeldColumns<'py>,
    tables: HeldAccounts<'py>,
    rates: Vec<Rate>,
    rule: Rule,
    level: Level,
}

impl<'py> Call<'py> {
    fn new((columns, accounts, rates, rule, simd): Subject<'py>) -> PyResult<Self> {
        Ok(Self {
            held: HeldColumns::new(&columns)?,
            tables: HeldAccounts::new(&accounts)?,
            rates: rates.into_iter().map(rate_of).collect(),
            rule: rule_of(rule)?,
            level: level_of(&simd)?,
        })
    }

    fn venue(&self) -> PyResult<Venue<'_>> {
        Ok(Venue {
            columns: self.held.columns()?,
            accounts: self.tables.accounts()?,
            market: slice(&self.held.market, "market")?,
            rates: &self.rates,
            rule: &self.rule,
            level: self.level,
        })
    }

    fn scorer(&self) -> PyResult<Scorer<'_>> {
        match self.rates.as_slice() {
            [_] => Ok(self.venue()?.scorer(0)),
            rates => Err(InputError::new_err(format!(
                "rates: expected the rate of the one market, got {}",
                rates.len()
            ))),
        }
    }
}

/// Runs the kernel without the GIL, on all threads (0) or a pool of the size asked for.
fn compute<T: Send>(
    py: Python<'_>,
    threads: usize,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    if threads == 0 {
        return Ok(py.detach(work));
    }
    let pool = pool(threads)?;
    Ok(py.detach(|| pool.install(work)))
}

// Classes are frozen, over locks, without unsafe code: free-threaded Python needs no GIL here.
#[pyo3::pymodule(name = "_core", gil_used = false)]
mod core {
    use super::{
        Bound, Call, IntoPyArray, Level, PyArray1, PyReadonlyArray1, PyResult, Python, Request,
        Subject, compute, weight_of,
    };
    use crate::floor::Reads;
    use crate::quantise::{BadRow, Valuation};
    use pyo3::types::{PyAnyMethods, PyListMethods};
    use pyo3::{pyfunction, types::PyList};

    #[pymodule_export]
    use super::allocate::{allocate, least};
    #[pymodule_export]
    use super::book::Book;
    #[pymodule_export]
    use super::post::post;
    #[pymodule_export]
    use super::spell::{spell, spell_twin};
    #[pymodule_export]
    use super::turns::in_turn;

    type Scores<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<u8>>);
    type Ranked<'py> =
        (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<u8>>);
    type Selected<'py> = (
        Bound<'py, PyArray1<i64>>,
        Bound<'py, PyArray1<i64>>,
        Bound<'py, PyArray1<f64>>,
        Option<(i64, f64)>,
        Option<i64>,
        i64,
        u32,
    );

    #[pyfunction]
    fn score<'py>(py: Python<'py>, subject: Subject<'py>, threads: usize) -> PyResult<Scores<'py>> {
        let call = Call::new(subject)?;
        let venue = call.venue()?;
        let (scores, reasons) = compute(py, threads, || crate::rank::score(&venue))??;
        Ok((scores.into_pyarray(py), reasons.into_pyarray(py)))
    }

    #[pyfunction]
    fn rank<'py>(py: Python<'py>, subject: Subject<'py>, threads: usize) -> PyResult<Ranked<'py>> {
        let call = Call::new(subject)?;
        let venue = call.venue()?;
        let found = compute(py, threads, || crate::rank::rank_with_scores(&venue))??;
        let (scores, reasons) = (found.scores.into_pyarray(py), found.reasons.into_pyarray(py));
        Ok((found.ranks.into_pyarray(py), scores, reasons))
    }

    #[pyfunction]
    fn lights<'py>(
        py: Python<'py>,
        subject: Subject<'py>,
        bands: u8,
        weight: &str,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let call = Call::new(subject)?;
        let (venue, weight) = (call.venue()?, weight_of(weight)?);
        let lights = compute(py, threads, || crate::lights::lights(&venue, bands, weight))??;
        Ok(lights.into_pyarray(py))
    }

    #[pyfunction]
    fn select<'py>(
        py: Python<'py>,
        subject: Subject<'py>,
        side: i8,
        lots: i64,
        excluded: PyReadonlyArray1<'py, i64>,
        is_ordered: bool,
        threads: usize,
    ) -> PyResult<Selected<'py>> {
        let call = Call::new(subject)?;
        let scorer = call.scorer()?;
        let request = Request { side, lots, excluded: excluded.as_slice()? };
        let verb = if is_ordered { crate::select::select_in_order } else { crate::select::select };
        let found = compute(py, threads, || verb(&scorer, &request))??;
        let (rows, closed) = (found.rows.into_pyarray(py), found.lots.into_pyarray(py));
        let shown = found.scores.into_pyarray(py);
        Ok((rows, closed, shown, found.cut, found.partial, found.unfilled, found.rescans))
    }

    #[pyfunction]
    fn order<'py>(
        py: Python<'py>,
        subject: Subject<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let call = Call::new(subject)?;
        let (scorer, rows) = (call.scorer()?, rows.as_slice()?);
        Ok(compute(py, threads, || crate::order::order(&scorer, rows))??.into_pyarray(py))
    }

    #[pyfunction]
    fn floor<'py>(
        py: Python<'py>,
        columns: Bound<'py, PyList>,
        gather: Option<(PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, i64>)>,
        variant: usize,
        threads: usize,
    ) -> PyResult<i64> {
        let mut held = Vec::new();
        for column in columns.iter() {
            held.push(column.extract::<PyReadonlyArray1<'py, i64>>()?);
        }
        let slices = held.iter().map(PyReadonlyArray1::as_slice).collect::<Result<Vec<_>, _>>()?;
        let gather = match &gather {
            Some((account, table)) => Some((account.as_slice()?, table.as_slice()?)),
            None => None,
        };
        let reads = Reads { columns: &slices, gather };
        compute(py, threads, || crate::floor::floor(reads, variant))
    }

    /// Values, the first row that was rounded, and the first row that could not be turned.
    type Valued<'py> = (Option<Bound<'py, PyArray1<i64>>>, i64, i64);

    /// The array, or the first row that could not be turned.
    type Whole<'py> = (Option<Bound<'py, PyArray1<i64>>>, i64);

    fn whole(py: Python<'_>, result: Result<Vec<i64>, BadRow>) -> Whole<'_> {
        match result {
            Ok(values) => (Some(values.into_pyarray(py)), -1),
            Err(BadRow(row)) => (None, row as i64),
        }
    }

    #[pyfunction]
    #[pyo3(signature = (values, market=None, markets=1))]
    fn decimals<'py>(
        py: Python<'py>,
        values: PyReadonlyArray1<'py, f64>,
        market: Option<PyReadonlyArray1<'py, u32>>,
        markets: usize,
    ) -> PyResult<(Option<Bound<'py, PyArray1<u8>>>, i64)> {
        let values = values.as_slice()?;
        let market = market.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
        let found = py.detach(|| crate::quantise::decimals(values, market, markets));
        Ok(match found {
            Ok(places) => (Some(places.into_pyarray(py)), -1),
            Err(BadRow(row)) => (None, row as i64),
        })
    }

    #[pyfunction]
    fn quantise<'py>(
        py: Python<'py>,
        values: PyReadonlyArray1<'py, f64>,
        exponent: u8,
    ) -> PyResult<Whole<'py>> {
        let values = values.as_slice()?;
        Ok(whole(py, py.detach(|| crate::quantise::quantise(values, exponent))))
    }

    #[pyfunction]
    fn values<'py>(
        py: Python<'py>,
        lots: PyReadonlyArray1<'py, i64>,
        prices: PyReadonlyArray1<'py, i64>,
        rate: (i64, i64, bool),
    ) -> PyResult<Valued<'py>> {
        let (lots, prices) = (lots.as_slice()?, prices.as_slice()?);
        let by = Valuation { num: rate.0, den: rate.1, is_inverse: rate.2 };
        Ok(match py.detach(|| crate::quantise::values(lots, prices, by)) {
            Ok((found, rounded)) => {
                (Some(found.into_pyarray(py)), rounded.map_or(-1, |row| row as i64), -1)
            }
            Err(BadRow(row)) => (None, -1, row as i64),
        })
    }

    #[pyfunction]
    fn shares<'py>(
        py: Python<'py>,
        values: PyReadonlyArray1<'py, i64>,
        parts: PyReadonlyArray1<'py, i64>,
        wholes: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Whole<'py>> {
        let (values, parts, wholes) = (values.as_slice()?, parts.as_slice()?, wholes.as_slice()?);
        Ok(whole(py, py.detach(|| crate::quantise::shares(values, parts, wholes))))
    }

    #[pyfunction]
    fn first_duplicate<'py>(
        py: Python<'py>,
        ids: PyReadonlyArray1<'py, u64>,
    ) -> PyResult<Option<(usize, usize)>> {
        let ids = ids.as_slice()?;
        Ok(py.detach(|| crate::quantise::first_duplicate(ids)))
    }

    #[pyfunction]
    fn levels() -> Vec<&'static str> {
        Level::available().into_iter().map(Level::name).collect()
    }

    #[pyfunction]
    fn floor_variants() -> Vec<&'static str> {
        crate::floor::VARIANTS.to_vec()
    }

    #[pyfunction]
    fn is_release_build() -> bool {
        !cfg!(debug_assertions)
    }
}
