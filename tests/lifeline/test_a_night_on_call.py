"""A night: several things go wrong at once, and whoever is on call repairs them by copying what the screen says.

Each incident comes by itself, is told once to a real receiver, and is over by itself after its repair, at most four
commands after the first look.
"""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from oban_powertools import Incident, IncidentState, Powertools, Settings
from tests.support.by_hand import everybody_may
from tests.support.ledger import eventually
from tests.support.night import TROUBLES, WITHIN, Night, Trouble, as_typed, commands_on
from tests.support.receiver import Receiver, receiving

MOST_COMMANDS = 4
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "a-night-on-call.md"
REPAIRS = re.compile(r"powertools (repair|bulk) execute |powertools start |kill ")
"""What repairs; every command before it only looks."""

SHORT = ("an unserved webhook queue", "a worker that always fails", "a deleted job row", "a missing module")
"""What one process more is enough for."""

SETTINGS = Settings(
    sweep_every=timedelta(hours=1),
    rescue={"orders": "operator"},
    incident_failing_for=timedelta(seconds=20),
    incident_failing_count=3,
    incident_stuck_after=timedelta(seconds=8),
    incident_unclaimed_after=timedelta(seconds=1),
    incident_hung_after=timedelta(seconds=12),
    incident_hung_unknown_after=timedelta(seconds=12),
)
"""Of the process that orders come from, which works on nothing; what is shared is so for all of them."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def night(dsn: str, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Night]:
    async with Powertools.open(dsn, authorize=everybody_may, settings=SETTINGS) as application:
        await application.webhooks.add(
            receiver.url,
            types=["incident.opened", "incident.reopened", "incident.resolved"],
            allow_private=True,
            actor="ada",
            reason="grace is on call",
        )
        night = Night(dsn, tmp_path, application)
        try:
            yield night
        finally:
            await night.stop()


async def seen(night: Night, trouble: Trouble) -> Incident:
    """Its incident, as soon as a process has found it."""

    async def found() -> list[Incident]:
        return await night.application.lifeline.list_incidents(incident_class=trouble.incident_class)

    return (await eventually(found, within=WITHIN))[0]


async def over(night: Night, incident: Incident) -> Incident:
    """The incident, once a process has found that it is over."""

    async def resolved() -> Incident | None:
        now = await night.application.lifeline.get_incident(incident.id)
        return now if now.state is IncidentState.RESOLVED else None

    now = await eventually(resolved, within=WITHIN)
    assert now is not None
    return now


async def repaired(night: Night, trouble: Trouble, incident: Incident, listed: str) -> list[str]:
    """Copy one command after the other from the screens, from the list on, until it is repaired; what was typed."""
    [command] = [line for line in commands_on(listed) if line.split()[-1] == str(incident.id)]
    typed = ["powertools incidents list", command]
    while not REPAIRS.match(typed[-1]):
        screen = await night.type(typed[-1])
        trouble.is_mended(night)
        typed.append(commands_on(screen)[0])
    await night.type(typed[-1])
    return typed


@pytest.mark.timeout(400)  # three dozen processes, on a machine that may be busy
@pytest.mark.parametrize(
    "names", [pytest.param(SHORT, id="short"), pytest.param([*TROUBLES], id="whole", marks=pytest.mark.crash)]
)
async def test_each_of_many_troubles_at_once_is_found_told_once_and_repaired_by_copying_four_commands(
    night: Night, receiver: Receiver, names: Sequence[str]
) -> None:
    troubles = {name: TROUBLES[name] for name in names}
    await night.supervise("default", *(queue for trouble in troubles.values() for queue in trouble.queues))
    happened_at = {}
    for name, trouble in troubles.items():
        happened_at[name] = time.time()
        await trouble.happens(night)

    incidents = dict(zip(names, await asyncio.gather(*(seen(night, each) for each in troubles.values())), strict=True))
    listed = await night.type("powertools incidents list")
    typed: dict[str, list[str]] = {}
    for name, trouble in troubles.items():
        typed[name] = await repaired(night, trouble, incidents[name], listed)
    ended = dict(zip(names, await asyncio.gather(*(over(night, each) for each in incidents.values())), strict=True))
    messages = [(name, "incident.opened") for name in names] + [(name, "incident.resolved") for name in names]
    names_of = {f"incident/{incident.id}": name for name, incident in incidents.items()}

    async def all_told() -> bool:
        return len(receiver.received) >= len(messages)

    await eventually(all_told, within=WITHIN)

    _print(night, happened_at, ended, typed)
    others = await night.application.lifeline.list_incidents(state="resolved")
    assert [(each.fingerprint, each.timeline) for each in others if each.id not in {i.id for i in ended.values()}] == []
    assert sorted((names_of.get(m.subject, m.subject), m.kind) for m in receiver.received) == sorted(messages)
    assert {name: commands for name, commands in typed.items() if len(commands) > MOST_COMMANDS} == {}
    assert await night.application.lifeline.list_incidents() == []
    if names == SHORT:
        first, *others = _screens_of_the_page()
        assert sorted(_comparable(night.screens[0])) == sorted(_comparable(first))
        shown = [_screen_of(night, command) for command in typed["a deleted job row"][1:]]
        assert [_comparable(screen) for screen in shown] == [_comparable(screen) for screen in others]


def _screens_of_the_page() -> list[str]:
    return re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def _screen_of(night: Night, command: str) -> str:
    return next(screen for screen in night.screens if screen.startswith(f"$ {as_typed(command)}\n"))


def _comparable(screen: str) -> list[str]:
    """The words without what differs from night to night: numbers, names of hosts, and where a cell is cut."""
    screen = re.sub(r"\b(node-a|" + re.escape(socket.gethostname()) + r")\b", "host", screen)
    for pattern, same in (
        (r"\b[0-9a-f]{64}\b", "token"),
        (r"\d+ (s|min|h) ago|\bnow\b", "ago"),
        (r"\S*\u2026.*", ""),
        (r"\d+", "0"),
    ):
        screen = re.sub(pattern, same, screen)
    return screen.split()


def _print(
    night: Night, happened_at: dict[str, float], ended: dict[str, Incident], typed: dict[str, list[str]]
) -> None:
    print("\n".join(night.screens))  # noqa: T201
    for name, incident in ended.items():
        assert incident.resolved_at is not None
        appeared, lasted = incident.opened_at.timestamp() - happened_at[name], incident.resolved_at - incident.opened_at
        print(f"{name:<32} seen after {appeared:4.1f} s, {len(typed[name])} commands, over after {lasted}")  # noqa: T201
