"""The figures of P2 (arXiv 2602.15182) as they are published, in USD: facts to compare with.

Table 1 and the horizons are its appendix A.2, table 2 its comparison at weight 1, the bound its
section 5.3; the shock figures are those of the replication's own `out/` files, commit aae0be8.
Text keeps the number of digits; amounts are to the cent.
"""

__all__ = ["BOUND", "HORIZONS", "SHOCKS", "TABLE_1", "TABLE_2"]

TABLE_1 = {
    "waves with a deficit": "16",
    "deficits": "100063386.69",
    "budget needed": "15079669.61",
    "budget of production": "60108335.33",
    "overshoot of production": "45028665.72",
}

TABLE_2 = {
    "production": (53_782_490.53, 11_077_031.68, 64_859_522.21),
    "integer pro-rata": (3_020_120.65, 384_064.35, 3_404_185.00),
    "vector mirror descent": (1_793_022.03, 2_620_345.57, 4_413_367.61),
    "min-max reference": (106_205.81, 0.0, 106_205.81),
    "continuous pro-rata": (0.0, 2_732_437.29, 2_732_437.29),
}
"""Tracking, fairness, and their sum."""

HORIZONS = {
    0: 45_028_665.72,
    500: 51_673_606.61,
    1_000: 51_012_123.23,
    2_000: 47_446_692.11,
    5_000: 49_273_475.02,
}
"""Overshoot of production, signed, by milliseconds after the wave."""

BOUND = {
    "root of squared deficits": "33356243.10",
    "path of needed severity": "7.0595227",
    "instance bound": "129699802.43",
    "loss of production / bound": "0.500",
    "loss of integer pro-rata / bound": "0.026",
}

SHOCKS = {
    "shocks": "1125",
    "coins": "162",
    "shocks with a deficit": "170",
    "deficits by shock": "23191104.48",
    "budget of the queue": "660053504.15",
    "overshoot of the queue": "653552663.51",
    "residual of the queue": "16690263.85",
}
