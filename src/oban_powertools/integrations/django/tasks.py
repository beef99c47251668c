"""A backend for Django's tasks framework (Django 6.0 and newer): a task is an Oban job.

    TASKS = {"default": {"BACKEND": "oban_powertools.integrations.django.tasks.Backend", "QUEUES": ["default"]}}

Tasks run under ``manage.py powertools start``. Enqueued inside ``transaction.atomic()``, a task is part of the
transaction. Not for workflows. What does not fit is on the page ``docs/how-to/use-with-django.md``. The rule that must
never break: a row of jobs can only run what the project has declared as a task.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY, TaskError
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils.json import normalize_json
from django.utils.module_loading import import_string
from oban import Cancel, Job, Record

from ...database import Queries
from ...driving import drive
from ...privacy.logs import find_logger
from .calls import enqueue, on_session
from .configuration import configuration

logger: Final = find_logger(__name__)

_LOWEST: Final = 9
"""Oban's last priority; 0 is its first."""

_STATUSES: Final = {
    "executing": TaskResultStatus.RUNNING,
    "completed": TaskResultStatus.SUCCESSFUL,
    "cancelled": TaskResultStatus.FAILED,
    "discarded": TaskResultStatus.FAILED,
}
"""State of a job -> status; any other is ready, also that of a job that will be tried again."""

_RAISED: Final = re.compile(r"^([\w.]+)(?::|$)", re.MULTILINE)


class TaskReturn(Record):
    """What a task returned, for the job's ``meta``: ``{"return": {"json": value}}``."""

    def __init__(self, value: Any) -> None:
        self.value: Any = value
        # Typed as text by Oban, which only passes it on.
        self.encoded: str = cast("str", {"json": value})
        self.limit = 0


class TaskRunner:
    """The worker of every task."""

    async def process(self, job: Job) -> TaskReturn | Cancel:
        """Run the task that the job names.

        Raises:
            Exception: Whatever the task raised.
        """
        task = _find_task(job.args["task"], job.args["backend"])
        if task is None:
            return Cancel(f"{job.args['task']} is no task of this project")
        result = _result_of(_row_of(job), task)
        await task_started.asend(Backend, task_result=result)
        try:
            value = await _call(task, result)
        except BaseException:
            object.__setattr__(result, "status", TaskResultStatus.FAILED)
            raise
        else:
            object.__setattr__(result, "status", TaskResultStatus.SUCCESSFUL)
            object.__setattr__(result, "_return_value", value)
            return TaskReturn(value)
        finally:
            if result.status == TaskResultStatus.SUCCESSFUL or job.attempt >= job.max_attempts:
                await task_finished.asend(Backend, task_result=result)


async def _call(task: Any, result: Any) -> Any:
    args = [TaskContext(task_result=result), *result.args] if task.takes_context else result.args
    if iscoroutinefunction(task.func):
        return normalize_json(await task.func(*args, **result.kwargs))
    return normalize_json(await sync_to_async(_call_in_thread, thread_sensitive=False)(task, args, result.kwargs))


def _call_in_thread(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    close_old_connections()
    try:
        return task.func(*args, **kwargs)
    finally:
        close_old_connections()


class Backend(BaseTaskBackend):
    """Enqueues jobs of Oban, and reads their results.

    ``OPTIONS`` may have ``MAX_ATTEMPTS``: how often a task that raises is tried, 1 by default.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        options: dict[str, Any] = params.get("OPTIONS", {})
        attempts = options.get("MAX_ATTEMPTS", 1)
        if options.keys() - {"MAX_ATTEMPTS"} or type(attempts) is not int or attempts < 1:
            raise ImproperlyConfigured(
                f"TASKS[{alias!r}]['OPTIONS'] is {options!r}; expected only MAX_ATTEMPTS, a number from 1"
            )
        self._max_attempts: int = attempts

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Insert a job, in Django's transaction where there is one."""
        self.validate_task(task)
        given = {"task": task.module_path, "backend": self.alias}
        job = Job(
            worker=f"{TaskRunner.__module__}.{TaskRunner.__qualname__}",
            args={**given, "args": normalize_json(args), "kwargs": normalize_json(kwargs)},
            queue=task.queue_name,
            priority=_obans_priority(task.priority),
            max_attempts=self._max_attempts,
            scheduled_at=task.run_after,
            tags=["django-task"],
        )
        enqueue(job)
        result = _result_of(_row_of(job), task)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The task's result, as its job's row has it.

        Raises:
            TaskResultDoesNotExist: No job has this id, it is no task, or it was pruned.
        """
        row = drive(_read(int(result_id))) if result_id.isdecimal() and len(result_id) < 19 else None
        task = None if row is None else _find_task(row["args"]["task"], row["args"]["backend"])
        if row is None or task is None:
            raise TaskResultDoesNotExist(result_id)
        return _result_of(row, task)


async def _read(job_id: int) -> dict[str, Any] | None:
    async with on_session(Queries(configuration().names)) as session:
        return await session.one("task_job", {"id": job_id, "worker": f"{__name__}.{TaskRunner.__qualname__}"})


def _obans_priority(priority: int) -> int:
    return round((TASK_MAX_PRIORITY - priority) * _LOWEST / (TASK_MAX_PRIORITY - TASK_MIN_PRIORITY))


def _find_task(path: str, backend: str) -> Any:
    """The declared task; None where there is none of this name."""
    try:
        found = import_string(path)
    except ImportError:
        return None
    is_task = isinstance(found, cast("type", Task))
    return found if is_task and backend in task_backends.settings else None


def _row_of(job: Job) -> dict[str, Any]:
    names = ("id", "state", "args", "meta", "errors", "attempt", "attempted_by", "inserted_at", "attempted_at")
    return {name: getattr(job, name) for name in names} | {"finished_at": None}


def _result_of(row: Mapping[str, Any], task: Any) -> Any:
    errors: list[dict[str, str]] = row["errors"] or []
    returned: dict[str, Any] = row["meta"].get("return") or {}
    node = (row["attempted_by"] or [""])[0]
    attempted_at: datetime | None = row["attempted_at"]
    result = TaskResult(
        task=task,
        id=str(row["id"]),
        status=_STATUSES.get(row["state"], TaskResultStatus.READY),
        enqueued_at=row["inserted_at"],
        started_at=attempted_at,
        finished_at=row["finished_at"],
        last_attempted_at=attempted_at,
        args=row["args"]["args"],
        kwargs=row["args"]["kwargs"],
        backend=row["args"]["backend"],
        errors=[_error_of(error["error"]) for error in errors],
        worker_ids=[node] * row["attempt"],
    )
    object.__setattr__(result, "_return_value", returned.get("json"))
    return result


def _error_of(text: str) -> Any:
    """From the traceback that Oban stores, whose last line that is not indented begins with the exception's class."""
    lines = [line for line in text.strip().splitlines() if line[:1].strip()]
    found = _RAISED.match(lines[-1]) if lines else None
    name = found[1] if found else "Exception"
    return TaskError(exception_class_path=name if "." in name else f"builtins.{name}", traceback=text)
