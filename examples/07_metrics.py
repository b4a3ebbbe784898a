"""Measures of an allocation: who bears it, and how far two policies agree."""

from deleverage.lab import metrics

profits = [8.0, 4.0, 0.5]
queue = [3.5, 4.0, 0.0]  # second first, then the first
pro_rata = [4.8, 2.4, 0.3]

for name, cut in (("queue", queue), ("pro rata", pro_rata)):
    largest = metrics.max_haircut(cut, profits)
    share = metrics.participation(cut, profits)
    print(f"{name:<9} largest haircut {largest:.2f}, {share:.0%} take part", end=", ")
    print(f"Gini {metrics.gini(cut):.2f}")

executed, needed = [30, 5, 45], [10, 20, 40]
print("signed", metrics.signed_overshoot(executed, needed), end="; gross ")
print(metrics.overshoot(executed, needed), "over,", metrics.undershoot(executed, needed), "under")
print("agreement of the two, tau-a:", metrics.kendall(queue, pro_rata).tau_a)
