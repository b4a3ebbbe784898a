"""The array level: NumPy columns of whole numbers in, row numbers out; no frames, no strings."""

import numpy as np

from deleverage.model.rules import Basis, Factor, Loss, ScoreRule
from deleverage.ranking import Columns, Rate, lights, select

# Profit over entry value, times mark value over own equity.
RULE = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE)

# 0.001 contracts a lot, money in cents: at 61 000 a lot is worth 6 100 money units.
RATE = Rate(mark_num=6_100, mark_den=1)
COLUMNS = Columns(
    lots=np.array([-8_000, -4_000, -6_000, -2_000, 12_500], dtype=np.int64),
    entry_value=np.array(
        [56_800_000, 25_600_000, 41_100_000, 12_100_000, 82_500_000], dtype=np.int64
    ),
    margin=np.array([5_600_000, 2_000_000, 9_000_000, 1_200_000, 5_937_500], dtype=np.int64),
)

cut = select(COLUMNS, RATE, rule=RULE, side=-1, lots=12_500)
print("rows cut:", cut.rows.tolist(), "lots closed:", cut.lots.tolist())
print("not covered:", cut.unfilled)
print("lights:", lights(COLUMNS, [RATE], rule=RULE).tolist())
