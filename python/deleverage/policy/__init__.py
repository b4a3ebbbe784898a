"""Allocation policies: who gives how much, in lots or in money, as data in and arrays out."""

from deleverage.policy.capped import Capped
from deleverage.policy.factor_draining import FactorDraining
from deleverage.policy.leverage_draining import LeverageDraining
from deleverage.policy.min_max import MinMax
from deleverage.policy.pro_rata import ProRata
from deleverage.policy.queue import Queue
from deleverage.policy.risk_weighted import RiskWeighted
from deleverage.policy.seeded_ring import SeededRing
from deleverage.policy.shares import Rounding
from deleverage.policy.space import Allocation, By, Contracts, Policy, Profits

__all__ = [
    "Allocation",
    "By",
    "Capped",
    "Contracts",
    "FactorDraining",
    "LeverageDraining",
    "MinMax",
    "Policy",
    "ProRata",
    "Profits",
    "Queue",
    "RiskWeighted",
    "Rounding",
    "SeededRing",
]
