"""The words of a report on a replay: captions, what the measures are called, and its limits."""

from collections.abc import Mapping
from types import MappingProxyType

from deleverage.lab.report_words import Caption

__all__ = ["RUN_CAPTIONS", "RUN_LIMITS", "RUN_MEASURES"]

RUN_CAPTIONS: Mapping[str, Caption] = MappingProxyType(
    {
        "storm": Caption(
            title="The bankruptcies",
            shown="Above: the notional that was closed by force in each wave. Below: what the "
            "bankrupt positions lacked at the mark.",
            reading="A wave is a run of bankruptcies without a gap of more than five seconds. "
            "Where venues or policies could not close the same, each has its own colour.",
        ),
        "queue": Caption(
            title="The queue before and after",
            shown="The first places of the side on which most fell, in the order of the venue's "
            "queue before its first bankruptcy. Grey is the whole position, blue what all its "
            "bankruptcies of that snapshot left of it; the dots above are its size.",
            reading="A queue takes the first whole and spares the rest; pro rata takes the same "
            "part of everybody. Before each bankruptcy the queue is ranked anew.",
        ),
        "lorenz": Caption(
            title="Who pays",
            shown="Accounts that any of the policies cut, from the one that gave the smallest part "
            "of what it held to the one that gave the largest: the share of all that was closed "
            "over the share of all that was held.",
            reading="On the grey diagonal everybody gives the same part. The longer a curve stays "
            "on the floor, the more was spared and the fewer gave everything. Markets differ in "
            "how much was asked of them, so even pro rata bends.",
        ),
        "waves": Caption(
            title="Too much or too little, wave by wave",
            shown="The ten waves that needed most. Up: by how much the closed positions would be "
            "worth more at the mark when the wave ended than what was missing. Down: what fell "
            "short of it. Both gross, never netted.",
            reading="This is the markout of arXiv 2602.15182: it says where the price went within "
            "the wave, not what a policy chose. A wave of a single instant has none at the "
            "bankruptcy price.",
        ),
        "pool": Caption(
            title="The insurance pool",
            shown="The balance of the pool before the first bankruptcy (dot) and after each. At "
            "the red line deleveraging starts, at the green one it stops; shaded is the time in "
            "between, first venue.",
            reading="While the pool is whole it takes bankrupt positions over and nobody is cut. "
            "Two lines instead of one keep it from switching on and off with every move.",
        ),
        "lights": Caption(
            title="Lights over time",
            shown="The warning light of twelve positions, one row each, from the head of the "
            "side's queue at the start (top) to its end (bottom), before each of its bankruptcies.",
            reading="Red is next in line, blue is the last band, grey has no place in the queue: "
            "closed, or not a candidate by the venue's rule.",
        ),
        "naked": Caption(
            title="Hedges that were cut in half",
            shown="Left: by how much the cuts of a snapshot made the net positions of those who "
            "were cut larger. Right: the same as a part of what was hedged in their accounts.",
            reading="All markets are taken to move as one. A cut that leaves an account flatter "
            "counts as nothing; only what a hedge no longer covers is naked.",
        ),
        "trilemma": Caption(
            title="Solvency, fairness, revenue",
            shown="Each disc is a policy. Down is safer (less money that neither the other side "
            "nor the pool gave), left is fairer (the closed parts are more even), a small disc "
            "keeps more revenue (its size runs from the least to the most that is lost here).",
            reading="In a replay what happened is given: a policy moves right and left, and down "
            "only where somebody could not be covered. What it does to the next round a "
            "simulation shows.",
        ),
    }
)
"""The words of each picture, in the order of the page."""

RUN_MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "events": "bankruptcies",
        "taken_over": "of them taken over by the pool",
        "uncovered": "of them not offset in full",
        "fills": "cuts",
        "accounts": "accounts that were cut",
        "notional": "notional closed",
        "profit": "profit of what was closed",
        "needed": "money that was missing",
        "executed": "money that the cuts took, at the mark",
        "missing": "money that nobody gave",
        "overshoot": "taken beyond need, by wave (markout)",
        "undershoot": "too little, by wave (markout)",
        "participation": "part of the accounts that pay",
        "gini": "unevenness of the closed parts (Gini)",
        "top_share": "part that the largest payer carries",
        "concentration": "concentration (Herfindahl)",
        "max_haircut": "largest part of a profit lost",
        "revenue_lost": "revenue of two years that leaves",
    }
)
"""What a reader calls each measure of the summary."""

RUN_LIMITS = (
    "The bankruptcies and marks are the dump's: no policy changes what comes next. Each snapshot "
    "begins with what was really held, and within it every venue and policy lives with its own "
    "cuts. Money is of the settlement asset."
)
