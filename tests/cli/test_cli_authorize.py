"""The host's policy is named once, in oban.toml, and every command that changes something asks it."""

from pathlib import Path

import pytest

from oban_powertools import Powertools
from tests.support.by_hand import Hand, chain
from tests.support.command import Ended, powertools

RULES = "def authorize(actor, action, target):\n    return actor.id == 'ada'\n"
TABLE = '[powertools]\nauthorize = "rules:authorize"\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with a policy that only lets ada through, named in oban.toml."""
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "oban.toml").write_text(TABLE)
    return tmp_path


def cancel(hand: Hand, workflow_id: int, actor: str, *more: str, cwd: Path, **env: str) -> Ended:
    arguments = ("workflow", "cancel", str(workflow_id), "--yes", "--reason", "it is closed", "--actor", actor, *more)
    return powertools(*arguments, dsn=hand.dsn, cwd=cwd, **env)


async def test_the_policy_of_oban_toml_is_asked(hand: Hand, site: Path) -> None:
    workflow_id = await hand.insert(chain(1))

    refused = cancel(hand, workflow_id, "kim", cwd=site)
    allowed = cancel(hand, workflow_id, "ada", cwd=site)

    assert (refused.code, allowed.code) == (4, 0)
    assert "'kim' may not workflow_cancel workflow" in refused.error


async def test_previews_and_prunes_ask_it_too(hand: Hand, site: Path) -> None:
    await hand.insert(chain(1))

    preview = powertools("repair", "preview", "job_cancel", "1", "--actor", "kim", dsn=hand.dsn, cwd=site)
    prune = powertools(
        "retention", "prune", "--yes", "--reason", "it is full", "--actor", "kim", dsn=hand.dsn, cwd=site
    )

    assert (preview.code, prune.code) == (4, 4)


async def test_the_option_beats_the_environment_and_that_beats_the_file(hand: Hand, site: Path) -> None:
    (site / "open.py").write_text("def everybody(*_):\n    return True\n\n\ndef nobody(*_):\n    return False\n")
    workflow_id = await hand.insert(chain(1))

    nobody = cancel(hand, workflow_id, "ada", cwd=site, POWERTOOLS_AUTHORIZE="open:nobody")
    everybody = cancel(
        hand, workflow_id, "kim", "--authorize", "open:everybody", cwd=site, POWERTOOLS_AUTHORIZE="open:nobody"
    )

    assert (nobody.code, everybody.code) == (4, 0)


async def test_a_file_of_another_name_is_read_as_well(hand: Hand, site: Path) -> None:
    (site / "oban.toml").rename(site / "other.toml")
    workflow_id = await hand.insert(chain(1))

    refused = cancel(hand, workflow_id, "kim", "--config", "other.toml", cwd=site)
    allowed = cancel(hand, workflow_id, "kim", cwd=site)

    assert (refused.code, allowed.code) == (4, 0)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            '[powertools]\nauthorize = "rules"\n',
            "authorize of [powertools] in oban.toml is 'rules'; expected MODULE:NAME",
        ),
        ("[powertools]\nauthorize = 7\n", "authorize of [powertools] in oban.toml is 7; expected MODULE:NAME"),
        (
            '[powertools]\nautorize = "r:a"\n',
            "[powertools] in oban.toml is autorize = ...; expected only authorize and display",
        ),
        ('powertools = "rules:authorize"\n', "[powertools] in oban.toml is 'rules:authorize'; expected a table"),
        ('[powertools]\nauthorize = "rules:missing"\n', "expected the name of a function of the module rules"),
        ('[powertools]\nauthorize = "norules:authorize"\n', "cannot import 'norules': ModuleNotFoundError"),
    ],
)
async def test_what_cannot_be_asked_lets_nobody_through(hand: Hand, site: Path, table: str, says: str) -> None:
    (site / "oban.toml").write_text(table)
    workflow_id = await hand.insert(chain(1))

    ended = cancel(hand, workflow_id, "ada", cwd=site)

    assert ended.code == 2
    assert says in ended.error
    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_a_typing_error_in_the_table_is_told_by_commands_that_only_read_too(hand: Hand, site: Path) -> None:
    (site / "oban.toml").write_text("[powertools]\nautorize = 'r:a'\n")

    assert powertools("status", dsn=hand.dsn, cwd=site).code == 2


async def test_a_program_that_opens_powertools_itself_may_have_the_table_in_its_file(
    dsn: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site)

    async with Powertools.open(dsn) as opened:
        assert await opened.workflows.list() == []
