"""The words of a report: titles, captions, how to read each picture, and what the terms mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["CAPTIONS", "MEASURES", "WORDS", "Caption"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """The words around one picture.

    Attributes:
        title: its heading.
        shown: what is drawn.
        reading: how to read it.
    """

    title: str
    shown: str
    reading: str


CAPTIONS: Mapping[str, Caption] = MappingProxyType(
    {
        "price": Caption(
            title="The crash",
            shown="Above: the price under each policy. Below: how much the order book can take "
            "(grey) and how many traders are liquidated in a step (red, under the first "
            "policy).",
            reading="Where the grey hill falls to nothing nobody is there to sell to. Lines that "
            "lie on each other are the same; they part where traders whom one policy left "
            "were liquidated. Thin grey lines are the other markets, where there are any.",
        ),
        "queue": Caption(
            title="The queue before and after",
            shown="One bar a trader, in the order of the venue's queue just before the first "
            "deleveraging. Grey is what he held, blue what the first wave left him.",
            reading="A queue takes the first traders whole and spares the rest; pro rata takes a "
            "part of everybody. It is ranked anew before each bankruptcy, so whoever was "
            "cut in part may come to stand further back. Heights are logarithmic, so that "
            "small traders stay visible.",
        ),
        "lorenz": Caption(
            title="Who pays",
            shown="Winners sorted from the one who loses least to the one who loses most; the "
            "curve is the part of the whole loss that the first so many per cent of them "
            "carry.",
            reading="On the grey diagonal everybody would lose the same amount. The longer a curve "
            "stays on the floor, the more winners lose nothing and the fewer carry "
            "everything.",
        ),
        "waves": Caption(
            title="Too much or too little, wave by wave",
            shown="Up: by how much the closed positions would be worth more at the mark when the "
            "wave ended than what was missing. Down: what fell short of it. Logarithmic "
            "beyond 1.",
            reading="A large bar up means that the price went on in favour of those who were cut: "
            "they gave up more than the bankrupt positions lacked. Both are gross, never "
            "netted.",
        ),
        "pool": Caption(
            title="The insurance pool",
            shown="What the pool is worth, its positions at the mark. At the red line "
            "deleveraging starts, at the green one it stops; shaded are the steps in "
            "between, first policy.",
            reading="Below zero the venue owes more than it has. Two lines instead of one keep it "
            "from switching on and off with every move.",
        ),
        "lights": Caption(
            title="Lights over time",
            shown="The warning light of twelve shorts, one row each, from the head of the queue "
            "at the start (top) to its end (bottom), under the first policy.",
            reading="Red is next in line, blue is the last band, grey has no place in the queue: "
            "closed, liquidated, or not a candidate by the venue's rule.",
        ),
        "naked": Caption(
            title="Hedges that were cut in half",
            shown="Some shorts hold as much long: elsewhere, or in another market over the same "
            "equity. When the venue cuts the short, the long stays alone: left its value, right "
            "what the price has cost it since.",
            reading="A policy that looks at the account's whole exposure leaves such legs alone "
            "and takes more from others. A gain is no merit of the policy: the price happened "
            "to rise.",
        ),
        "trilemma": Caption(
            title="Solvency, fairness, revenue",
            shown="Each disc is a policy. Down is safer (less money was missing in all waves), "
            "left is fairer (nobody lost a large part of his profit), a small disc keeps "
            "more revenue (its size runs from the least to the most that is lost here).",
            reading="The corner that is good for all three is down and left with a small disc. "
            "Arxiv 2512.01112 argues that in the long run a fixed rule cannot have all of "
            "them.",
        ),
    }
)
"""The words of each picture, in the order of the page."""

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "liquidated": "traders liquidated",
        "liquidated_later": "of them after the first wave",
        "adl_lots": "lots deleveraged",
        "cut_accounts": "traders who were cut",
        "unfilled_lots": "lots that nobody could take",
        "needed": "money that was missing",
        "lost": "money that the cuts took, at the mark",
        "overshoot": "taken beyond need, by wave",
        "undershoot": "too little, by wave",
        "pool_low": "pool at its lowest",
        "pool_end": "pool at the end",
        "uncovered": "pool below zero, at worst",
        "naked_lots": "lots left naked",
        "naked_peak": "their value, at most",
        "naked_worst": "what they had lost, at worst",
        "naked_liquidated": "hedged accounts liquidated after a cut",
        "participation": "part of the winners who pay",
        "max_haircut": "largest part of a profit lost",
        "gini": "Gini of the losses",
        "top_share": "part that the largest payer carries",
        "concentration": "concentration (Herfindahl)",
        "revenue_lost": "revenue of two years that leaves",
    }
)
"""What a reader calls each measure of the summary."""

WORDS = (
    ("auto-deleveraging", "closing somebody's winning position to offset a bankrupt one"),
    ("bankruptcy price", "the price at which a position has used up all money behind it"),
    ("mark", "the price that positions are valued at"),
    ("insurance pool", "the venue's money that pays what bankrupt traders cannot"),
    ("queue", "the venue's order of who is cut first: profit and leverage, as a rule"),
    ("pro rata", "everybody gives the same part of his size (or profit)"),
    ("min-max", "the largest part that anybody gives is as small as whole lots allow"),
    ("risk-weighted", "parts grow with leverage squared"),
    ("leverage draining", "the highest leverages are brought down to one level"),
    ("factor draining", "the same, with what a trader holds elsewhere taken off first"),
    ("wave", "steps with cuts that follow each other without a break"),
    ("haircut", "the part of a profit that was taken"),
    ("naked", "one leg of a hedge whose other leg was closed"),
    ("tick, lot", "the smallest steps of price and size; money is counted in their product"),
)
"""Terms of the report and what they mean."""
