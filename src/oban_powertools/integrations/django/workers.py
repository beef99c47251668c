"""Sets Django up and imports the project's workers: for ``--import oban_powertools.integrations.django.workers``.

``manage.py powertools start`` names it by itself, so that every process that it starts finds its workers. A program
that names it needs ``DJANGO_SETTINGS_MODULE``. Importing this module does the work.
"""

import asyncio
import importlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import close_old_connections, connections
from django.utils.module_loading import autodiscover_modules
from oban import Job, telemetry

from ...config import Settings
from .configuration import configuration

MODULES: Final = ("jobs", "steps")
"""What is imported of each app that has it, unless ``OBAN_POWERTOOLS["WORKERS"]`` names the modules."""

if not apps.ready:
    django.setup()


@contextmanager
def _caring_for_connections(_: Job) -> Generator[None]:
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def _with_care(said: Settings) -> Settings:
    return replace(said, around_functions=(_caring_for_connections, *said.around_functions))


settings: Final[Settings] = _with_care(configuration().settings)
"""What ``OBAN_POWERTOOLS["SETTINGS"]`` says, for ``--settings``: around each plain function Django's connections of its
thread are cared for as around a request."""

_replacing: Final[set[asyncio.Task[None]]] = set()


def _replace_broken(_: str, __: dict[str, Any]) -> None:
    """Asynchronous workers share the connection of one thread: replace it when a job of theirs found it broken."""
    if not _replacing:
        task = asyncio.get_running_loop().create_task(sync_to_async(_close_broken)())
        _replacing.add(task)
        task.add_done_callback(_replacing.discard)


def _close_broken() -> None:
    # No other, whatever its age: another job may be between two pages of its rows.
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


telemetry.detach(__name__)
telemetry.attach(__name__, ["oban.job.exception"], _replace_broken)

if (_named := configuration().workers) is None:
    autodiscover_modules(*MODULES)
else:
    for _module in _named:
        importlib.import_module(_module)
