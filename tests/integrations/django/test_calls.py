"""What a call writes and reads is in Django's transaction."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction
from django.test import override_settings
from oban import Job

from oban_powertools import Workflow
from oban_powertools.errors import NotFoundError, WaitTimeoutError
from oban_powertools.integrations.django import enqueue, powertools
from tests.support.by_hand import step

OPERATOR = {"id": "ada", "permissions": ["execute_repair"]}
pytestmark = pytest.mark.usefixtures("migrated")


def bill(name: str = "bill") -> Workflow:
    workflow = Workflow(name)
    workflow.add("a", step())
    return workflow


def names() -> list[str]:
    return sorted(each.name for each in powertools.workflows.list())


def in_another_thread(work: Callable[[], object]) -> list[object]:
    found: list[object] = []

    def run() -> None:
        found.append(work())
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


def test_what_is_inserted_first_of_all_in_a_transaction_is_rolled_back_with_it() -> None:
    with transaction.atomic():
        powertools.workflows.insert(bill())
        transaction.set_rollback(True)

    assert names() == []


def test_what_was_inserted_is_seen_inside_and_not_outside_before_the_commit() -> None:
    with transaction.atomic():
        handle = powertools.workflows.insert(bill())

        assert powertools.workflows.get(handle.id).name == "bill"
        assert powertools.explain.workflow(handle.id).workflow_id == handle.id
        assert powertools.jobs.list().jobs[0].workflow_id == handle.id
        assert in_another_thread(names) == [[]]
    assert in_another_thread(names) == [["bill"]]


def test_an_inner_block_that_is_rolled_back_takes_only_its_own_along() -> None:
    with transaction.atomic():
        powertools.workflows.insert(bill("kept"))
        with transaction.atomic():
            powertools.workflows.insert(bill("gone"))
            transaction.set_rollback(True)

    assert names() == ["kept"]


def test_without_a_transaction_a_call_commits_by_itself() -> None:
    powertools.workflows.insert(bill())

    assert in_another_thread(names) == [["bill"]]


def test_on_commit_inserts_after_the_commit_and_not_after_a_rollback() -> None:
    for name, gone in (("kept", False), ("gone", True)):
        with transaction.atomic():
            transaction.on_commit(lambda name=name: powertools.workflows.insert(bill(name)))
            transaction.set_rollback(gone)

    assert names() == ["kept"]


def test_a_refusal_leaves_the_transaction_usable() -> None:
    with transaction.atomic():
        powertools.workflows.insert(bill("kept"))
        with pytest.raises(NotFoundError):
            powertools.workflows.request_cancel("999", actor=OPERATOR, reason="it is not there")

    assert names() == ["kept"]


@pytest.mark.parametrize("read", ["explain", "verify", "jobs"])
def test_a_read_leaves_no_setting_behind_in_the_transaction(read: str) -> None:
    handle = powertools.workflows.insert(bill())
    reads = {
        "explain": lambda: powertools.explain.workflow(handle.id),
        "verify": powertools.audit.verify,
        "jobs": powertools.jobs.list,
    }
    settings = "SELECT name, setting FROM pg_settings WHERE name ~ '^(enable_|jit$|statement_timeout|transaction_)'"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(settings)
        before = cursor.fetchall()

        reads[read]()

        cursor.execute(settings)
        assert cursor.fetchall() == before


def test_plain_jobs_are_part_of_the_transaction_too() -> None:
    with transaction.atomic():
        enqueue(Job(worker="shop.jobs.mail"))
        transaction.set_rollback(True)
    (kept,) = enqueue(Job(worker="shop.jobs.mail", priority=3))

    assert [job.id for job in powertools.jobs.list().jobs] == [kept.id]
    assert enqueue() == []


def test_an_async_view_is_told_to_use_a_thread() -> None:
    async def view() -> None:
        powertools.workflows.insert(bill())

    with pytest.raises(SynchronousOnlyOperation, match="sync_to_async"):
        async_to_sync(view)()


def test_an_async_view_inserts_through_a_thread() -> None:
    async def view() -> None:
        await sync_to_async(powertools.workflows.insert)(bill())

    async_to_sync(view)()

    assert names() == ["bill"]


def test_a_test_with_other_settings_has_calls_of_its_own() -> None:
    assert names() == []

    with override_settings(OBAN_POWERTOOLS={"SETTINGS": {"payload_limit": 10}}), pytest.raises(Exception, match="10"):
        powertools.workflows.insert(large())
    powertools.workflows.insert(large())


def large() -> Workflow:
    workflow = Workflow("large")
    workflow.add("a", Job(worker="shop.jobs.mail", args={"text": "x" * 100}))
    return workflow


def test_waiting_runs_beside_the_transaction_and_ends_with_close() -> None:
    handle = powertools.workflows.insert(bill())
    with pytest.raises(WaitTimeoutError):
        handle.wait(timeout=timedelta(0))

    powertools.close()

    assert names() == ["bill"]
    with pytest.raises(WaitTimeoutError):
        handle.wait(timeout=timedelta(0))
