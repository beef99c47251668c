"""The example ``examples/django_shop`` with its real servers, as its page says to start them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from psycopg.conninfo import conninfo_to_dict

FOLDER = Path(__file__).parents[2] / "examples" / "django_shop"
WITHIN = 50


class Shop:
    """The project in a folder, on a database."""

    def __init__(self, dsn: str, logs: Path) -> None:
        where: dict[str, Any] = conninfo_to_dict(dsn)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OBAN_", "PG", "DJANGO_"))}
        names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        database = {f"SHOP_DB_{name}": str(where.get(key, "")) for name, key in names.items()}
        self._logs = logs
        self._environment = kept | database | {"DJANGO_SUPERUSER_PASSWORD": "correct horse", "PYTHONWARNINGS": "error"}

    def manage(self, *arguments: str) -> str:
        """What ``manage.py`` prints."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=FOLDER, env=self._environment, capture_output=True, text=True, timeout=WITHIN
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self) -> Iterator[str]:
        """The address of the web server, with workers beside it."""
        with ExitStack() as stack:
            self._start(stack, "workers", sys.executable, "manage.py", "powertools", "start")
            web = self._start(stack, "web", sys.executable, "-m", "uvicorn", "shop.asgi:application", "--port", "0")
            yield self._address(web)

    def _start(self, stack: ExitStack, name: str, *command: str) -> Path:
        log = self._logs / f"{name}.log"
        out: IO[bytes] = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(command, cwd=FOLDER, env=self._environment, stdout=out, stderr=out)
        stack.callback(process.wait, timeout=WITHIN)
        stack.callback(process.terminate)
        return log

    def _address(self, log: Path) -> str:
        began = time.monotonic()
        while not (found := re.search(r"running on (http://[\w.:]+)", log.read_text())):
            assert time.monotonic() - began < WITHIN, log.read_text()
            time.sleep(0.1)
        return found[1]
