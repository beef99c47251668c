"""Workers of the project for tests that use the ORM."""

from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from oban.decorators import job

PIDS: list[int] = []
"""The server's processes on whose connections plain functions ran."""


@job(queue="default", max_attempts=1)
def note_pid() -> int:
    """A plain function with the ORM."""
    count = User.objects.count()
    raw: Any = connection.connection
    PIDS.append(raw.info.backend_pid)
    return count


@job(queue="default", max_attempts=2)
async def count_users() -> int:
    """An asynchronous one."""
    return await User.objects.acount()
