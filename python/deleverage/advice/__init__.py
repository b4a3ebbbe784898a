"""What a trader asks: what if I change something, and should I plan for a cut?"""

from deleverage.advice.asking import WhatIf, what_if
from deleverage.advice.curve import Curve
from deleverage.advice.self_check import Check, Point, Verdict, check
from deleverage.advice.standing import Standing

__all__ = ["Check", "Curve", "Point", "Standing", "Verdict", "WhatIf", "check", "what_if"]
