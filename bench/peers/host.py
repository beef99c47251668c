"""One process of one system: ``python -m bench.peers.host client|worker SYSTEM LIMIT``, by that system's interpreter.

The environment says the rest: ``BENCH_URI``, ``BENCH_RAN``, ``BENCH_CONDITION``, ``BENCH_PAYLOAD``. Answers are lines
of JSON; what a system prints goes to the log instead. A client does what each line of its input asks.
"""

import importlib
import json
import os
import sys
import time
from typing import Any, TextIO

from bench.peers.work import Peer, Work

ENDED_WITHIN = 300.0
"""Seconds, for one submission."""


def main(role: str, name: str, limit: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    peer: Peer = importlib.import_module(f"bench.peers.systems.{name}").System(
        os.environ["BENCH_URI"], limit, os.environ.get("BENCH_CONDITION", "")
    )
    if role == "worker":
        peer.work(lambda: _answer(answers, "ready"))
        return
    if os.environ.get("BENCH_NEW") == "1":
        peer.install()
    peer.open()
    _answer(answers, "ready")
    for line in sys.stdin:
        asked = json.loads(line)
        if asked == "recorded":
            _answer(answers, peer.count_recorded())
        elif asked == "close":
            peer.close()
            _answer(answers, "closed")
            break
        else:
            _answer(answers, run(peer, Work(**asked["work"]), asked["poll"]))


def run(peer: Peer, work: Work, poll: float) -> dict[str, float]:
    """Submit, and look every ``poll`` seconds until all of it has ended."""
    started = time.perf_counter()
    ids = peer.submit(work)
    submitted = time.perf_counter()
    while (ended := peer.count_ended(ids)) < len(ids):
        if time.perf_counter() > started + ENDED_WITHIN:
            raise TimeoutError(f"{ended} of {len(ids)} workflows have ended after {ENDED_WITHIN:.0f} s")
        time.sleep(poll)
    return {"seconds": time.perf_counter() - started, "submit_seconds": submitted - started}


def _answer(answers: TextIO, value: Any) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
