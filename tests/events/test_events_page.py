"""docs/reference/events.md names everything there is."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from oban_powertools import Events, Settings, StepChange, StepUpdated, WorkflowFinished
from oban_powertools.events.notices import KINDS, NOTICES
from oban_powertools.events.publish import PUBLISHABLE
from oban_powertools.events.subscription import BUFFER, PAGE
from oban_powertools.events.topics import TopicKind

ROOT = Path(__file__).parents[2]
PAGE_OF_EVENTS = ROOT / "docs" / "reference" / "events.md"
SOURCE = ROOT / "src" / "oban_powertools" / "events" / "events.py"


def _rows(heading: str) -> list[str]:
    section = re.split(r"^## ", PAGE_OF_EVENTS.read_text(), flags=re.MULTILINE)
    [own] = [part for part in section if part.startswith(f"{heading}\n")]
    return re.findall(r"^\| `(\w+)", own, re.MULTILINE)


@pytest.mark.parametrize("event", [StepUpdated, WorkflowFinished, *NOTICES])
def test_every_field_of_an_event_is_on_the_page(event: Any) -> None:
    assert _rows(event.__name__) == [field.name for field in dataclasses.fields(event)]


def test_every_change_is_on_the_page() -> None:
    assert sorted(_rows("StepChange")) == sorted(change.value for change in StepChange)


def test_every_kind_of_notice_and_of_topic_is_on_the_page() -> None:
    page = PAGE_OF_EVENTS.read_text()

    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
    assert [kind for kind in TopicKind if f"`{kind}:all`" not in page] == []


def test_every_call_is_on_the_page() -> None:
    calls = {name for name, value in vars(Events).items() if callable(value) and not name.startswith("_")}

    assert set(_rows("Events")) == calls


def test_what_a_host_may_tell_is_on_the_page() -> None:
    assert {change.value for change in PUBLISHABLE} <= set(_rows("Publish an event"))


def test_every_setting_limit_topic_and_error_is_on_the_page() -> None:
    page = PAGE_OF_EVENTS.read_text()
    settings = [f.name for f in dataclasses.fields(Settings) if f.name.startswith(("events_", "listen"))]
    errors = re.findall(r"\b(\w+Error)\b", SOURCE.read_text())

    assert [name for name in [*settings, *errors] if f"`{name}`" not in page] == []
    assert f"{BUFFER:,} events" in page and f"pages of {PAGE}" in page
    assert "`workflow:all`" in page and "`workflow:{workflow_id}`" in page
