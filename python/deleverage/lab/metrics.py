"""Every published measure of an allocation, under one roof.

Four questions, a file each: was the right amount taken (`metric_budget`), from whom
(`metric_fairness`), in what order (`metric_ranks`), and what did it cost (`metric_cost`). Figures
are for reading: money goes in as numbers of one unit, a float comes out. Nothing here is booked.
The sources are quoted by these names:

- P1: "Autodeleveraging: Impossibilities and Optimization", T. Chitra, arXiv 2512.01112 (2025);
  where it matters, P1c is its corrected text.
- P2: "Autodeleveraging as Online Learning", T. Chitra, N. Thogiti, M. J. P. Trujillo Ramirez and
  V. Xu, arXiv 2602.15182 (2026).
- CODE: the published replication of both, pluriholonomic/autodeleveraging-analysis.
"""

from deleverage.lab.metric_budget import (
    asymmetric_loss,
    class_regret,
    dynamic_regret,
    instance_bound,
    overshoot,
    path_length,
    residual,
    round_loss,
    severity,
    severity_losses,
    signed_overshoot,
    static_regret,
    tracking_error,
    undershoot,
)
from deleverage.lab.metric_cost import CutCost, churn, cut_cost, revenue_lost
from deleverage.lab.metric_fairness import (
    Reading,
    concentration,
    fairness_gap,
    gini,
    haircuts,
    max_haircut,
    participation,
    pmr,
    ptsr,
    residual_share,
    top_share,
    weighted_gini,
    worse_than,
)
from deleverage.lab.metric_ranks import (
    Concordance,
    kendall,
    monotonicity_violations,
    rank_stability,
)

__all__ = [
    "Concordance",
    "CutCost",
    "Reading",
    "asymmetric_loss",
    "churn",
    "class_regret",
    "concentration",
    "cut_cost",
    "dynamic_regret",
    "fairness_gap",
    "gini",
    "haircuts",
    "instance_bound",
    "kendall",
    "max_haircut",
    "monotonicity_violations",
    "overshoot",
    "participation",
    "path_length",
    "pmr",
    "ptsr",
    "rank_stability",
    "residual",
    "residual_share",
    "revenue_lost",
    "round_loss",
    "severity",
    "severity_losses",
    "signed_overshoot",
    "static_regret",
    "top_share",
    "tracking_error",
    "undershoot",
    "weighted_gini",
    "worse_than",
]
