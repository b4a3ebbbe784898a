"""The engine: positions, marks, pools, triggers, liquidations and books, joined by a journal."""

from deleverage.engine.book import Frames
from deleverage.engine.commands import Commands
from deleverage.engine.engine import Engine
from deleverage.engine.planner import Fill, Plan
from deleverage.engine.state import Choices, Open, State

__all__ = ["Choices", "Commands", "Engine", "Fill", "Frames", "Open", "Plan", "State"]
