"""The backend for Django's tasks framework."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import django
import oban.testing
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from oban_powertools import Powertools
from oban_powertools.integrations.django import powertools

if django.VERSION < (6, 0):
    pytest.skip("Django has had its tasks framework since 6.0", allow_module_level=True)

from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist

BACKEND = {"BACKEND": "oban_powertools.integrations.django.tasks.Backend", "QUEUES": ["default", "mail"]}


@pytest.fixture(autouse=True)
def tasks(migrated: str) -> Iterator[Any]:
    with override_settings(TASKS={"default": BACKEND}):
        from tests.support.django_site import tasks

        yield tasks


def run(dsn: str, queue: str = "default") -> None:
    """Run what is due, as workers would."""

    async def drain() -> None:
        async with Powertools.open(dsn) as powertools:
            await oban.testing.drain_queue(queue, oban=powertools.oban, with_safety=True)

    async_to_sync(drain)()


def test_a_task_is_enqueued_and_its_result_read(tasks: Any, migrated: str) -> None:
    result = tasks.add.enqueue(2, b=3)
    assert (result.status, result.args, result.kwargs) == (TaskResultStatus.READY, [2], {"b": 3})
    assert tasks.add.get_result(result.id).enqueued_at is not None

    run(migrated)

    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, {"sum": 5})
    assert (result.attempts, result.errors) == (1, [])
    assert result.finished_at >= result.started_at >= result.enqueued_at


def test_an_async_task_gets_its_context(tasks: Any, migrated: str) -> None:
    result = tasks.greet.enqueue("ada")

    run(migrated, "mail")

    result.refresh()
    assert result.return_value == "hello, ada, at attempt 1"


def test_a_plain_task_works_with_the_orm(tasks: Any, migrated: str) -> None:
    result = tasks.count_users.enqueue()

    run(migrated)

    result.refresh()
    assert result.return_value == 0


def test_a_task_that_raises_has_failed_with_its_error(tasks: Any, migrated: str) -> None:
    result = tasks.break_down.enqueue()

    run(migrated)

    result.refresh()
    (error,) = result.errors
    assert result.status == TaskResultStatus.FAILED
    assert error.exception_class is LookupError
    assert "it broke" in error.traceback


def test_the_option_says_how_often_it_is_tried(tasks: Any, migrated: str) -> None:
    with override_settings(TASKS={"default": {**BACKEND, "OPTIONS": {"MAX_ATTEMPTS": 3}}}):
        result = tasks.break_down.enqueue()
        run(migrated)
        result.refresh()

    assert (result.status, len(result.errors)) == (TaskResultStatus.FAILED, 3)


def test_enqueued_in_a_transaction_it_is_part_of_it(tasks: Any) -> None:
    with transaction.atomic():
        result = tasks.add.enqueue(1, 2)
        transaction.set_rollback(True)

    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)


@pytest.mark.parametrize(("priority", "obans"), [(100, 0), (0, 4), (-100, 9), (50, 2)])
def test_a_priority_becomes_one_of_obans(tasks: Any, priority: int, obans: int) -> None:
    tasks.add.using(priority=priority).enqueue(1, 2)

    assert powertools.jobs.list().jobs[0].priority == obans


def test_a_task_may_be_due_later_in_another_queue(tasks: Any) -> None:
    tasks.add.using(run_after=timezone.now() + timedelta(hours=1), queue_name="mail").enqueue(1, 2)

    (job,) = powertools.jobs.list().jobs
    assert (job.queue, job.state) == ("mail", "scheduled")


def test_a_queue_that_is_not_declared_is_refused(tasks: Any) -> None:
    with pytest.raises(InvalidTask, match="Queue 'other' is not valid"):
        tasks.add.using(queue_name="other").enqueue(1, 2)


@pytest.mark.parametrize("result_id", ["999", "", "x", "9" * 40])
def test_an_unknown_id_has_no_result(tasks: Any, result_id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result_id)


@pytest.mark.parametrize("path", ["os.getcwd", "tests.support.django_site.tasks.not_a_task", "nowhere.at_all"])
def test_a_row_runs_nothing_but_declared_tasks(tasks: Any, migrated: str, path: str) -> None:
    from oban import Job

    from oban_powertools.integrations.django import enqueue

    args = {"task": path, "backend": "default", "args": [], "kwargs": {}}
    enqueue(Job(worker="oban_powertools.integrations.django.tasks.TaskRunner", args=args))

    run(migrated)

    assert powertools.jobs.list().jobs[0].state == "cancelled"


@pytest.mark.parametrize("options", [{"MAX_ATTEMPTS": 0}, {"RETRIES": 1}])
def test_options_that_cannot_work_are_refused(options: dict[str, int]) -> None:
    setting = {"default": {**BACKEND, "OPTIONS": options}}

    with override_settings(TASKS=setting), pytest.raises(ImproperlyConfigured, match="expected only MAX_ATTEMPTS"):
        assert task_backends["default"]
