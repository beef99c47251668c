"""W5: the same work on an empty database and on one with a long history, in turns, after the history was executed."""

import time
from statistics import median
from typing import Any

from bench.peers.lineup import HISTORY, HOP, OURS, WORK, Candidate
from bench.peers.measure import Bench
from bench.peers.work import Peer


def measure_history(
    bench: Bench, candidate: Candidate, peer: type[Peer], rounds: int, *, steps: int, within: float
) -> dict[str, Any]:
    """Rates and hops with and without a history.

    Args:
        steps: Of the history; it is really executed.
        within: Seconds for it, for others than ourselves; what fits is what they get.
    """
    found: dict[str, Any] = {"empty": {"rates": [], "hops_ms": []}, "grown": {"rates": [], "hops_ms": []}}
    with bench.database("powertools_history") as grown:
        with bench.running(candidate, peer, grown) as running:
            began = time.monotonic()
            done = 0
            while done < steps and (candidate.system == OURS or time.monotonic() - began < within):
                done += int(running.run(HISTORY)["steps"])
            found["steps"] = done
        for _ in range(rounds):
            with bench.database() as empty:
                _once(bench, candidate, peer, empty, found["empty"], new=True)
            _once(bench, candidate, peer, grown, found["grown"], new=False)
    return found


def _once(bench: Bench, candidate: Candidate, peer: type[Peer], uri: str, into: dict[str, Any], *, new: bool) -> None:
    with bench.running(candidate, peer, uri, new=new) as running:
        running.run(WORK["W1"])  # everybody is warm
        into["rates"].append(running.run(WORK["W1"])["steps_per_s"])
        into["hops_ms"].append(median(running.hops(HOP)["hops_ms"]))
