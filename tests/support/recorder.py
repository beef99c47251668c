"""What was told through telemetry, kept for a test to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oban import telemetry

from oban_powertools.telemetry import EVENTS


class Recorder:
    """Every event of ours, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def names(self) -> set[str]:
        return {name for name, _ in self.told}

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for told, fields in self.told if told == name]


@contextmanager
def recorded() -> Iterator[Recorder]:
    recorder = Recorder()
    telemetry.attach(
        f"recorder-{id(recorder)}", list(EVENTS), lambda name, fields: recorder.told.append((name, fields))
    )
    try:
        yield recorder
    finally:
        telemetry.detach(f"recorder-{id(recorder)}")
