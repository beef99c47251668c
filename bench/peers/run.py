"""Everybody in turns: in each round each workload, and in each workload each row once."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.peers.environments import Environment, NotInstalledError, describe_redis, environment, redis
from bench.peers.history import measure_history
from bench.peers.lineup import HOP, LIMITS, Candidate, among_peers, conditions, peer_of, plain_jobs, turbo_off
from bench.peers.measure import Bench, PeerFailedError, Running
from bench.peers.results import Document, Row, describe, figures, new_document, new_row

WORKLOADS: Final = ("W1", "W2", "W3", "W4")
"""In the order in which they are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """What is wanted."""

    systems: list[str]
    limits: Sequence[int] = LIMITS
    rounds: int = 3
    small: bool = False
    """Whether it is a trial, whose figures mean nothing."""
    together: bool = False
    """Whether the workloads of a turn follow one another on one database, which saves the time to start."""
    full: bool = False
    """Whether other conditions and W5 are measured too."""
    history: int = 0
    history_within: float = 0.0
    turbo_off: bool = False
    """Whether we take part without turbo too."""
    plain: bool = True
    """Whether plain Oban jobs take part."""
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """System -> why it cannot take part."""

    def candidates(self) -> Iterator[Candidate]:
        yield from among_peers(self.systems, self.limits, small=self.small)
        if self.full:
            yield from (one for one in conditions() if one.system in self.systems)
        elif self.turbo_off:
            yield from turbo_off()
        if self.plain:
            yield from plain_jobs(small=self.small)


def run(dsn: str, wanted: Everything, file: Path | None) -> Document:
    """Measure; the document is written to ``file`` after every turn, so that a stopped run is not lost."""
    with ExitStack() as stack:
        address = ""
        if "celery" in wanted.systems and "celery" not in wanted.missing:
            try:
                address = stack.enter_context(redis())
            except NotInstalledError as error:
                wanted.missing["celery"] = str(error)
        document = new_document(
            dsn, rounds=wanted.rounds, small=wanted.small, redis=describe_redis() if address else None
        )
        return _run(dsn, address, wanted, file, document)


def _run(dsn: str, redis_address: str, wanted: Everything, file: Path | None, document: Document) -> Document:
    candidates = list(wanted.candidates())
    environments = _environments({one.system for one in candidates}, wanted.missing, document)
    rows = [(one, new_row(one)) for one in candidates if one.system in environments]
    document["rows"] = [row for _, row in rows]
    bench = Bench(dsn, environments, redis_address)
    for number in range(1, wanted.rounds + 1):
        for workloads in (WORKLOADS,) if wanted.together or wanted.small else ((one,) for one in WORKLOADS):
            for candidate, row in rows:
                _turn(bench, candidate, row, workloads, number)
                _write(document, file)
    if wanted.full:
        for candidate, row in rows:
            if candidate.history:
                _history(bench, candidate, row, wanted)
                _write(document, file)
    return document


def _environments(systems: set[str], missing: dict[str, str], document: Document) -> dict[str, Environment]:
    found: dict[str, Environment] = {}
    for name in sorted(systems):
        peer = peer_of(name)
        try:
            if name in missing:
                raise NotInstalledError(missing[name])
            found[name] = environment(name, peer)
        except NotInstalledError as error:
            document["systems"][name] = describe(peer, {}, str(error))
        else:
            document["systems"][name] = describe(peer, found[name].versions, None)
    return found


def _turn(bench: Bench, candidate: Candidate, row: Row, workloads: Sequence[str], number: int) -> None:
    """One run on a database and processes of its own; a failure is kept, and the others go on."""
    wanted = [one for one in workloads if one in candidate.work or (one == "W4" and candidate.hops)]
    if not wanted:
        return
    said = f"round {number}  {candidate!s:<52}"
    workload = wanted[0]
    try:
        with bench.database() as uri, bench.running(candidate, peer_of(candidate.system), uri) as running:
            for workload in wanted:
                row["runs"].setdefault(workload, []).append(_measure(running, candidate, workload))
                said += f"  {workload} {figures(row, workload)[-1]:>10,.1f}"
    except (PeerFailedError, OSError) as error:
        row["failed"][workload] = f"{error}"
        said += f"  {workload} failed: {error}"
    print(said, file=sys.stderr, flush=True)


def _measure(running: Running, candidate: Candidate, workload: str) -> dict[str, object]:
    if workload == "W4":
        return running.hops(HOP)
    found = running.run(candidate.work[workload])
    return {**found, "recorded": running.recorded()}


def _history(bench: Bench, candidate: Candidate, row: Row, wanted: Everything) -> None:
    peer = peer_of(candidate.system)
    try:
        row["history"] = measure_history(
            bench, candidate, peer, wanted.rounds, steps=wanted.history, within=wanted.history_within
        )
        grown, empty = (median(row["history"][of]["rates"]) for of in ("grown", "empty"))
        said = f"{grown / empty:.2f} after {row['history']['steps']:,} steps"
    except (PeerFailedError, OSError) as error:
        row["failed"]["W5"] = said = f"{error}"
    print(f"W5  {candidate!s:<52} {said}", file=sys.stderr, flush=True)


def _write(document: Document, file: Path | None) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=1) + "\n")
