"""A PostgreSQL of the test's own that it may restart, as an administrator or a crash does."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from psycopg import AsyncConnection

from oban_powertools import schema
from oban_powertools.embedded import SYSTEM_USER, _ensure_system_user, _find_programs


class Server:
    """One cluster in a directory, durable, on a socket there; its database ``postgres`` has both schemas."""

    def __init__(self, directory: Path) -> None:
        self.dsn = f"postgresql://postgres@/postgres?host={quote(str(directory), safe='/')}&port=5432"
        self._directory = directory
        self._cluster = directory / "cluster"

    @classmethod
    @asynccontextmanager
    async def running(cls, directory: Path) -> AsyncIterator["Server"]:
        server = cls(directory)
        if os.geteuid() == 0:
            _ensure_system_user()
            shutil.chown(directory, SYSTEM_USER)
        await server._run("initdb", "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8")
        await server.start()
        try:
            async with await AsyncConnection.connect(server.dsn, autocommit=True) as conn:
                await schema.install(conn)
            yield server
        finally:
            await server.stop("immediate")

    async def start(self) -> None:
        await self._run(
            "pg_ctl", "start", "--silent", "--wait", "-o", f"-p 5432 -k {self._directory} -c listen_addresses="
        )

    async def stop(self, mode: Literal["fast", "immediate"]) -> None:
        await self._run("pg_ctl", "stop", "--silent", "--wait", f"--mode={mode}")

    async def _run(self, program: str, *arguments: str) -> None:
        as_owner = ["runuser", "-u", SYSTEM_USER, "--"] if os.geteuid() == 0 else []
        with (self._directory / "server.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *as_owner,
                str(_find_programs() / program),
                f"--pgdata={self._cluster}",
                *arguments,
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            assert await asyncio.wait_for(process.wait(), 60) == 0, (self._directory / "server.log").read_text()
