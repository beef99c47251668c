"""One system, running on a database of its own, and what one submission of work costs it.

Everything is measured from outside, the same way for everybody: a client process submits, worker processes work, this
process looks at the write-ahead log, the processes and the code that ran. A run in which a step did not run, or ran
twice, is an error, not a figure.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.peers import ran
from bench.peers.environments import ROOT, Environment
from bench.peers.lineup import Candidate
from bench.peers.usage import Meter
from bench.peers.work import Peer, Work

ANSWERS_WITHIN: Final = 330.0
"""Seconds; more than a client waits for its own work."""
STOPS_WITHIN: Final = 10.0
"""Seconds."""
POLL: Final = 0.01
"""Seconds between two looks whether all has ended."""
POLL_HOPS: Final = 0.003
HOPS: Final = (3, 30, 20.0)
"""Chains of W4: at least, at most, and for how many seconds."""


class PeerFailedError(Exception):
    """A system did not do what it was given; the message says what is known."""


class Process:
    """One process of a system, by its own interpreter, in a session of its own."""

    def __init__(self, role: str, candidate: Candidate, python: str, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [python, "-m", "bench.peers.host", role, candidate.system, str(candidate.limit)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def answer(self) -> Any:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], ANSWERS_WITHIN)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            tail = " ".join(self._log.read_text(errors="replace").split()[-40:])
            raise PeerFailedError(f"no answer (exit code {self._process.poll()}): {tail}")
        return json.loads(line)

    def ask(self, question: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return self.answer()

    def stop(self) -> None:
        """Terminate it, and kill its session if that is not enough."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Running:
    """A system that can take work."""

    def __init__(self, conn: psycopg.Connection[Any], client: Process, workers: list[Process], counters: Path) -> None:
        self._conn = conn
        self._client = client
        self._workers = workers
        self._counters = counters

    def run(self, work: Work, poll: float = POLL) -> dict[str, Any]:
        """Submit the work, wait for its end, and say what it took."""
        before = ran.total(self._counters)
        self._conn.execute("CHECKPOINT")
        start = self._scalar("SELECT pg_current_wal_lsn()::text")
        servers = [psutil.Process(self._scalar("SELECT pg_backend_pid()")).ppid()] if self._is_local() else []
        meter = Meter([worker.pid for worker in self._workers], [self._client.pid, *servers])
        took = self._client.ask({"work": work.to_json(), "poll": poll})
        used = meter.stop(took["seconds"])
        wal = self._scalar("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint", start)
        after = ran.total(self._counters)
        if (after[0] - before[0], after[1] - before[1]) != (work.steps, work.sum):
            raise PeerFailedError(f"{after[0] - before[0]} steps ran that were not the {work.steps} that were given")
        return {**took, **used, "steps": work.steps, "wal_bytes": wal, "steps_per_s": work.steps / took["seconds"]}

    def hops(self, size: int) -> dict[str, Any]:
        """Chains one after another on the idle system: milliseconds a hop of each."""
        chain = Work(shape="chain", count=1, size=size)
        self.run(chain, POLL_HOPS)
        least, most, seconds = HOPS
        before, began, figures = ran.total(self._counters)[0], time.perf_counter(), list[float]()
        while len(figures) < least or (len(figures) < most and time.perf_counter() - began < seconds):
            took = self._client.ask({"work": chain.to_json(), "poll": POLL_HOPS})
            figures.append(took["seconds"] * 1000 / size)
            time.sleep(0.05)
        steps = ran.total(self._counters)[0] - before
        if steps != len(figures) * size:
            raise PeerFailedError(f"{steps} steps ran, given were {len(figures) * size}")
        return {"steps": steps, "hops_ms": figures}

    def recorded(self) -> int:
        """Results in the system's store."""
        return self._client.ask("recorded")

    def _is_local(self) -> bool:
        host = str(self._conn.info.host)
        return host.startswith("/") or host in {"localhost", "127.0.0.1"}

    def _scalar(self, query: str, *args: object) -> Any:
        row = self._conn.execute(query.encode(), args).fetchone()
        assert row is not None
        return row[0]


class Bench:
    """Starts systems on one server.

    Args:
        dsn: Of that server; its user may create databases.
        environments: Name of a system -> where it is installed.
        redis: The URL of Redis, where a system needs it.
    """

    def __init__(self, dsn: str, environments: dict[str, Environment], redis: str = "") -> None:
        self._dsn = dsn
        self._environments = environments
        self._redis = redis

    @contextmanager
    def database(self, name: str = "powertools_peers") -> Iterator[str]:
        """The URL of a new database, which is dropped at the end."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            conn.execute(drop)
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield url_of(self._dsn, name)
        finally:
            with psycopg.connect(self._dsn, autocommit=True) as conn:
                conn.execute(drop)

    @contextmanager
    def running(self, candidate: Candidate, peer: type[Peer], uri: str, *, new: bool = True) -> Iterator[Running]:
        """The system, started on a database, and stopped at the end.

        Args:
            new: Whether its tables are to be made.
        """
        python = self._environments[candidate.system].python
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="powertools-peers-")))
            counters, log = directory / "ran", directory / "log"
            counters.mkdir()
            said = {
                "BENCH_URI": uri,
                "BENCH_RAN": str(counters),
                "BENCH_CONDITION": candidate.condition,
                "BENCH_PAYLOAD": str(candidate.payload),
                "BENCH_REDIS_URL": self._redis,
                "PYTHONDONTWRITEBYTECODE": "1",
            }

            def start(role: str, **more: str) -> Process:
                process = Process(role, candidate, python, {**said, **more}, log)
                stack.callback(process.stop)
                return process

            client = start("client", BENCH_NEW="1" if new else "0")
            client.answer()
            workers = [] if peer.works_where_it_submits else [start("worker") for _ in range(candidate.processes)]
            for worker in workers:
                worker.answer()
            conn = stack.enter_context(psycopg.connect(uri, autocommit=True))
            time.sleep(0.5)  # what starts a process starts is done
            yield Running(conn, client, workers or [client], counters)
            client.ask("close")


def url_of(dsn: str, database: str) -> str:
    """A URL, which every driver reads, of another database of the same server."""
    known = conninfo_to_dict(make_conninfo(dsn, dbname=database))
    user = "".join((str(known.get("user", "")), f":{known['password']}" if known.get("password") else ""))
    query = "&".join(f"{key}={str(known[key]).replace('/', '%2F')}" for key in ("host", "port") if known.get(key))
    return f"postgresql://{user}{'@' if user else ''}/{database}?{query}"
