"""A Python environment for each peer, made by the bench itself, and the Redis that Celery needs.

They are kept in one directory and made once: ``BENCH_TMP``, or ``powertools-peers`` in the temporary directory.
A system that cannot be installed is not left out silently: it has a reason, which the table shows.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.peers.work import Peer

ROOT: Final = Path(__file__).parents[2]
INSTALLED_WITHIN: Final = 600.0
"""Seconds, for one system."""
REDIS_WITHIN: Final = 10.0
"""Seconds, until Redis answers."""
VERSIONS: Final = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


class NotInstalledError(Exception):
    """A system cannot be measured on this machine; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a system is installed."""

    python: str
    versions: dict[str, str]


def home() -> Path:
    """Where the peers' environments are kept."""
    return Path(os.environ.get("BENCH_TMP") or Path(tempfile.gettempdir(), "powertools-peers"))


def environment(name: str, peer: type[Peer]) -> Environment:
    """Ours for what the project itself depends on, else one of its own.

    Raises:
        NotInstalledError: It could not be made.
    """
    if not peer.requires:
        return Environment(python=sys.executable, versions={name: version(name) for name in peer.versions_of})
    python = home() / name / "bin" / "python"
    made, wanted = home() / name / "made.json", sorted(peer.requires)
    if not (made.exists() and json.loads(made.read_text()) == wanted):
        print(f"installing {name}", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requires])
        made.write_text(json.dumps(wanted))
    return Environment(python=str(python), versions=json.loads(_run([str(python), "-c", VERSIONS, *peer.versions_of])))


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLED_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"not installed within {INSTALLED_WITHIN:.0f} s") from None
    if done.returncode:
        errors = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NotInstalledError(f"not installed: {errors[-1].strip() if errors else 'pip said nothing'}")
    return done.stdout


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis of our own, as durable as it commonly is: what it wrote is synced every second.

    Raises:
        NotInstalledError: There is no ``redis-server`` on this machine.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise NotInstalledError("not measured: no redis-server on this machine (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="powertools-redis-") as directory:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""]
        process = subprocess.Popen(
            [*command, "--appendonly", "yes", "--appendfsync", "everysec"], stdout=subprocess.DEVNULL
        )
        try:
            _until_it_answers(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(REDIS_WITHIN)


def describe_redis() -> str:
    """Its version, and how it is set."""
    said = _run(["redis-server", "--version"])
    return f"{said.partition('v=')[2].partition(' ')[0]} (appendonly yes, appendfsync everysec)"


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + REDIS_WITHIN
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise NotInstalledError(f"redis-server did not answer within {REDIS_WITHIN:.0f} s")
        time.sleep(0.05)
