"""The paper's tables: recomputed from files of its shape, to the cent, and read again."""

import shutil
from math import sqrt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from commandline import call
from deleverage.errors import InputError
from deleverage.lab import metrics
from deleverage.lab.paper import counted_once, reproduce
from paper_folder import edit, paper_folder

Capture = pytest.CaptureFixture[bytes]

# Facts of arXiv 2602.15182's published outputs (github.com/pluriholonomic/
# autodeleveraging-analysis, out/policy_per_wave_metrics.csv, commit aae0be8, MIT), typed again:
# wave, budget needed, budget of production, largest haircut on equity of production and of the
# reference, deficit, largest loss.
PUBLISHED = """\
1 2266239.82024108 414233.9705960059 1.0 0.10636806081535559 10925707.159377944 10925707.159377944
2 1383878.3247609977 171137.10349601306 0.6611563723958445 0.06245461098450165 \
10945233.811877944 10925707.159377944
"""


def published() -> dict[str, np.ndarray]:
    """The first two published waves."""
    rows = np.array([line.split()[1:] for line in PUBLISHED.splitlines()], dtype=np.float64)
    names = ("needed", "executed", "haircut", "reference", "deficit", "loss")
    return dict(zip(names, rows.T, strict=True))


def figures(table: pl.DataFrame, column: str) -> dict[str, float]:
    """One column of a table, by its first."""
    return dict(table.select(table.columns[0], column).iter_rows())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The hand-made folder."""
    return paper_folder(tmp_path / "out")


def test_published_waves_have_the_published_figures() -> None:
    """Two waves as published: signed, gross and fairness by hand, from the printed digits."""
    rows = published()
    taken, needed = rows["executed"], rows["needed"]

    # 414,233.97 - 2,266,239.82 and 171,137.10 - 1,383,878.32: both waves took too little.
    assert metrics.signed_overshoot(taken, needed) == pytest.approx(-3_064_747.07, abs=0.01)
    assert metrics.undershoot(taken, needed) == pytest.approx(3_064_747.07, abs=0.01)
    assert metrics.overshoot(taken, needed) == 0
    gap = metrics.fairness_gap(rows["haircut"], rows["reference"], needed)
    assert gap == pytest.approx(2_266_239.82 * 0.8936319392 + 1_383_878.32 * 0.5987017614, abs=0.02)
    # theta of the file: 0.2074227129816381 and 0.1264366160236057.
    theta = metrics.severity(needed, rows["deficit"])
    assert theta.tolist() == pytest.approx([0.2074227129816381, 0.1264366160236057], rel=1e-15)


def test_the_published_deficit_is_one_vault_counted_again() -> None:
    """Both published waves have the largest loss 10,925,707.16; once only, 19,526.65 are new."""
    rows = published()
    once = counted_once(rows["deficit"], rows["loss"])

    assert once.tolist() == pytest.approx([10_925_707.16, 19_526.65], abs=0.01)


def test_table_1_adds_up(folder: Path) -> None:
    """Sums over waves, the signed headline, and beside them gross sums and deficits once."""
    table = reproduce(folder).table_1

    assert figures(table, "recomputed") == {
        "waves with a deficit": 3,
        "deficits": 240,
        "budget needed": 70,
        "budget of production": 80,
        "overshoot of production": 10,
    }
    corrected = figures(table, "corrected")
    assert (corrected["deficits"], corrected["overshoot of production"]) == (160, 25)
    assert "undershoot is 15.00" in table["correction"][-1]
    assert table["agrees"].to_list() == [False] * 5


def test_table_2_charges_what_it_says(folder: Path) -> None:
    """Tracking and fairness by hand; the corrected loss charges only what is less fair."""
    table = reproduce(folder).table_2
    production, vector = table.row(0, named=True), table.row(2, named=True)

    assert [production[name] for name in ("overshoot", "undershoot", "tracking")] == [25, 15, 40]
    # 10 * 3/4 + 20 * 1/4 + 40 * 0
    assert (production["fairness"], production["loss"]) == (12.5, 52.5)
    # 10 * 1/8 and 20 * 1/8 fairer, 40 * 1/4 worse than the reference
    assert (vector["fairness"], vector["worse_than_reference"]) == (13.75, 10)
    assert (vector["fairer_than_reference"], vector["corrected_loss"]) == (3.75, 11)
    equity = table.row(6, named=True)
    assert (equity["fairness"], equity["corrected_loss"], equity["agrees"]) == (8.75, 0, None)


def test_the_horizons_are_signed_and_gross(folder: Path) -> None:
    """Each horizon has the signed sum of the paper, and over- and undershoot apart."""
    table = reproduce(folder).horizons

    assert table.select("milliseconds", "signed", "overshoot", "undershoot").rows() == [
        (0, 10, 25, 15),
        (500, 50, 50, 0),
    ]


def test_the_bound_falls_with_deficits_counted_once(folder: Path) -> None:
    """The bound by its formula, and by the same formula with each account's deficit once."""
    table = reproduce(folder).bound
    path, path_once = (2 / 9 - 0.1) + (0.8 - 2 / 9), 0.9 + 0.2
    bound = sqrt((1 + 2 * path) * (100**2 + 90**2 + 50**2))
    bound_once = sqrt((1 + 2 * path_once) * (100**2 + 10**2 + 50**2))

    assert figures(table, "recomputed")["instance bound"] == pytest.approx(bound)
    assert figures(table, "corrected")["instance bound"] == pytest.approx(bound_once)
    share = figures(table, "recomputed")["loss of production / bound"]
    assert share == pytest.approx(52.5 / bound)


def test_the_shocks_add_up(folder: Path) -> None:
    """The queue's over- and undershoot by shock, and what profits could have covered."""
    assert figures(reproduce(folder).shocks, "recomputed") == {
        "shocks": 3,
        "coins": 2,
        "shocks with a deficit": 2,
        "deficits by shock": 14,
        "deficits that profits can cover": 11,
        "budget of the queue": 35,
        "overshoot of the queue": 24,
        "residual of the queue": 3,
    }


WAVES, SHOCKS = "policy_per_wave_metrics.csv", "per_shock_metrics_queue.csv"
FIRST = "eval_horizon_sweep/horizon_ms=0/two_pass_equity_delta_by_wave.csv"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (WAVES, "budget_prod", "budget_pord", "expected a column budget_prod"),
        (WAVES, "\n2,20.0", "\n2,", "column budget_needed, row 1: expected a finite number"),
        (WAVES, "\n2,20.0", "\n2,twenty", "row 1: expected a finite number, got 'twenty'"),
        (WAVES, "\n2,20.0", "\n2,NaN", "row 1: expected a finite number"),
        (WAVES, "\n2,20.0,5.0", "\n2,20.0,-5.0", "budget_prod, row 1: expected a number, 0 or"),
        (WAVES, "\n2,20.0,5.0", "\n2,20.0,6.0", "overshoot_prod, row 1: expected budget_prod"),
        (WAVES, ",0.1\n", ",0.2\n", "column theta_needed_capped, row 0: expected min"),
        (WAVES, "\n4,", "\n5,", "column wave, row 2: expected '5', the wave of that row of policy"),
        (FIRST, "\n4,", "\n4,1,1,0\n4,", "expected 3 rows, the waves of policy_per_wave_"),
        (WAVES, "100.0,80.0,0.1", "0.0,80.0,0.1", "deficit_usd, row 0: expected a number above"),
        (SHOCKS, "25.0,20.0", "25.0,21.0", "overshoot_queue_usd, row 0"),
        (SHOCKS, "BTC", "", "column coin, row 0: expected a name"),
        (FIRST, "30.0,20.0", "30.0,2.0", "horizon_ms=0.*overshoot_prod_minus_needed_usd, row 0"),
    ],
)
def test_a_garbled_file_is_one_clear_error(
    folder: Path, file: str, old: str, new: str, says: str
) -> None:
    """A column, a cell, or a promise between columns that does not hold is named with its file."""
    edit(folder / file, old, new)

    with pytest.raises(InputError, match=says):
        reproduce(folder)


@pytest.mark.parametrize("name", [WAVES, SHOCKS, FIRST, "eval_horizon_sweep"])
def test_a_missing_file_is_one_clear_error(folder: Path, name: str) -> None:
    """What is not there is named."""
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(InputError, match=name.rsplit("/", maxsplit=1)[-1]):
        reproduce(folder)


def test_an_odd_folder_or_an_empty_file_is_refused(folder: Path, tmp_path: Path) -> None:
    """A place that is no folder, a horizon without a number, a file without a row."""
    with pytest.raises(InputError, match="expected a directory"):
        reproduce(tmp_path / "absent")
    (folder / "eval_horizon_sweep/horizon_ms=soon").mkdir()
    with pytest.raises(InputError, match="whole milliseconds"):
        reproduce(folder)
    path = folder / WAVES
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError, match="at least one row"):
        reproduce(folder)


def test_the_command_prints_both_readings(folder: Path, capsysbinary: Capture) -> None:
    """The tables carry printed, recomputed and corrected figures; what differs ends with 1."""
    table = call(capsysbinary, "paper", folder)
    record = call(capsysbinary, "paper", folder, "--format", "json").json

    assert 1 == table.code
    assert "not every figure" in table.err
    for part in ("Table 1", "Table 2", "60,108,335.33", "gross; undershoot is 15.00 apart"):
        assert part in table.text
    assert not record["agrees"]
    assert 52.5 == record["table_2"][0]["loss"]


def test_the_command_refuses_what_is_no_folder(tmp_path: Path, capsysbinary: Capture) -> None:
    """A missing folder ends with 2 and one line."""
    done = call(capsysbinary, "paper", tmp_path / "absent")

    assert (2, b"") == (done.code, done.out)
    assert 1 == done.err.count("\n")
