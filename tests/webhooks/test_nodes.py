"""Webhooks on real nodes: delivered by Oban's own jobs, also when the process that delivers is killed."""

import asyncio
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from oban_powertools import Powertools, Workflow
from oban_powertools.webhooks import DeliveryState
from oban_powertools.webhooks.schedule import LOST_AFTER
from tests.support.by_hand import everybody_may
from tests.support.command import POWERTOOLS, environment
from tests.support.ledger import eventually
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.webhook_steps import hello
from tests.webhooks.conftest import ADA

QUEUES = {"default": 5, "powertools_webhooks": 5}


async def finish(powertools: Powertools, many: int) -> None:
    workflows = [Workflow(f"w{number}") for number in range(many)]
    for workflow in workflows:
        workflow.add("hello", hello.new())
    for handle in await powertools.workflows.insert_many(workflows):
        await handle.wait(timeout=timedelta(seconds=20))


async def until_received(receiver: Receiver, many: int, *, within: float = 20) -> None:
    async def received() -> bool:
        return len(receiver.received) >= many

    await eventually(received, within=within)


@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
async def test_a_node_delivers_to_every_endpoint_by_itself(dsn: str, *, turbo: bool) -> None:
    async with (
        receiving() as one,
        receiving(Reply(503)) as other,
        Powertools.open(dsn, queues=QUEUES, authorize=everybody_may, turbo=turbo) as powertools,
    ):
        secrets = {
            receiver: (
                await powertools.webhooks.add(receiver.url, allow_private=True, types=["workflow.finished"], **ADA)
            ).secret
            for receiver in (one, other)
        }
        await finish(powertools, 5)
        await until_received(one, 5)
        await until_received(other, 6)

        async def delivered() -> bool:
            return all(endpoint.pending == 0 for endpoint in await powertools.webhooks.list())

        await eventually(delivered)

    for receiver, secret in secrets.items():
        for message in receiver.received:
            message.verify(secret or "")
    assert len(set(one.ids)) == len(one.ids) == 5
    assert other.ids[0] == other.ids[1] and len(set(other.ids)) == 5
    assert [m.subject for m in one.received] == [m.subject for m in other.received[1:]]


async def test_a_delivery_whose_process_is_killed_is_delivered_again_with_the_same_id(dsn: str, tmp_path: Path) -> None:
    command = [POWERTOOLS, "start", "--queues", "powertools_webhooks:1"]
    quiet = asyncio.subprocess.DEVNULL
    node = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environment(dsn), stderr=quiet)
    try:
        async with (
            receiving(Reply(wait_for=asyncio.Event())) as receiver,
            Powertools.open(dsn, queues={"default": 5}, authorize=everybody_may) as powertools,
        ):
            receiver.on_first_request = lambda: node.send_signal(signal.SIGKILL)
            issued = await powertools.webhooks.add(receiver.url, allow_private=True, types=["workflow.finished"], **ADA)
            await finish(powertools, 2)
            await until_received(receiver, 1)
            await asyncio.wait_for(node.wait(), 10)
            await pass_time(powertools)

            async with Powertools.open(dsn, queues=QUEUES) as heir:
                await until_received(receiver, 3)

                async def delivered() -> bool:
                    return (await heir.webhooks.get(issued.endpoint.id)).pending == 0

                await eventually(delivered)
                deliveries = await heir.webhooks.deliveries(issued.endpoint.id)
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()

    for message in receiver.received:
        message.verify(issued.secret or "")
    assert receiver.ids[0] == receiver.ids[1] != receiver.ids[2]
    assert [delivery.attempts for delivery in deliveries] == [1, 2]
    assert {delivery.state for delivery in deliveries} == {DeliveryState.DELIVERED}


async def pass_time(powertools: Powertools) -> None:
    """As if the kill were so long ago that nobody waits for the process any more."""
    async with powertools.connect() as conn:
        await conn.execute("UPDATE powertools.webhook_endpoints SET leased_until = leased_until - %s", (LOST_AFTER,))
        await conn.execute(
            "UPDATE oban_jobs SET attempted_at = attempted_at - %s WHERE queue = 'powertools_webhooks'", (LOST_AFTER,)
        )


def test_a_process_without_powertools_says_what_the_queue_needs() -> None:
    program = """
import asyncio
from oban import Job
from oban._executor import Executor
job = Job("oban_powertools.webhooks.worker.DeliverWebhooks", args={"endpoint_id": 1})
print(asyncio.run(Executor(job).execute()).result)
"""

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)

    assert "needs a process with Powertools attached to its Oban" in done.stdout


def test_without_the_extra_everything_but_sending_works_and_sending_says_what_to_install() -> None:
    program = """
import sys
sys.modules["httpx"] = None
from oban_powertools import Powertools
from oban_powertools.errors import WebhooksNotInstalledError
try:
    import oban_powertools.webhooks.worker
except WebhooksNotInstalledError as error:
    print(error)
"""

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)

    assert done.stdout == "sending webhooks needs an HTTP client: pip install 'oban-powertools[webhooks]'\n"
