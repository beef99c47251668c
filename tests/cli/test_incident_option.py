"""``--incident 12`` names an incident in every command that means one, by its id or its fingerprint."""

import click
import pytest

from oban_powertools.cli.main import powertools as root
from tests.cli.test_cli_reference import COMMANDS
from tests.support.by_hand import Hand, chain
from tests.support.command import powertools

ON_ONE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("incidents", "show"): (),
    ("incidents", "ack"): (),
    ("incidents", "note"): ("looked",),
    ("incidents", "assign"): ("ada",),
    ("incidents", "mute"): ("--for", "1h", "--reason", "the fix is on its way"),
}


async def unserved(hand: Hand) -> str:
    """The fingerprint of incident 1: a workflow whose queue nobody serves."""
    await hand.insert(chain(1))
    await hand.rows("UPDATE powertools.steps SET released_at = now() - interval '1 day'")
    await hand.rows(
        "UPDATE oban_jobs SET scheduled_at = timezone('UTC', now()) - interval '1 day', "
        "inserted_at = timezone('UTC', now()) - interval '1 day'"
    )
    await hand.powertools.lifeline.project_incidents()
    return str((await hand.powertools.lifeline.list_incidents())[0].fingerprint)


def test_every_command_on_one_incident_is_in_this_list() -> None:
    positional = {
        path
        for path, command in COMMANDS.items()
        for param in command.params
        if isinstance(param, click.Argument) and param.metavar == "INCIDENT"
    }

    assert positional == set(ON_ONE)


@pytest.mark.parametrize("path", ON_ONE, ids=" ".join)
async def test_an_incident_is_named_by_option_or_argument_and_by_id_or_fingerprint(
    hand: Hand, path: tuple[str, ...]
) -> None:
    fingerprint = await unserved(hand)

    answers = [
        powertools(*path, *named, *ON_ONE[path], "--json", dsn=hand.dsn).json["incident"]["fingerprint"]
        for named in (("--incident", "1"), ("1",), ("--incident", fingerprint), (fingerprint,))
    ]

    assert answers == [fingerprint] * 4


@pytest.mark.parametrize("path", ON_ONE, ids=" ".join)
def test_two_incidents_and_none_are_refused(path: tuple[str, ...]) -> None:
    twice = powertools(*path, "1", *ON_ONE[path], "--incident", "2", dsn="postgresql://")
    never = powertools(*path, dsn="postgresql://")

    assert (twice.code, never.code) == (2, 2)


async def test_a_repair_is_for_the_incident_that_its_id_names(hand: Hand) -> None:
    workflow_id, fingerprint = await hand.insert(chain(1)), await unserved(hand)

    shown = powertools(
        "repair", "preview", "step_hold", f"{workflow_id}/s0", "--for", "1h", "--incident", "1", "--json", dsn=hand.dsn
    )

    assert shown.json["preview"]["incident_fingerprint"] == fingerprint


def test_the_singular_of_a_group_is_the_group() -> None:
    context = click.Context(root)

    assert root.get_command(context, "incident") is root.get_command(context, "incidents")
    assert root.get_command(context, "workflows") is root.get_command(context, "workflow")
    assert powertools("queue", "list", "-h").code == powertools("queues", "pause", "-h").code == 0
