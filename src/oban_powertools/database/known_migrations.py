"""Which recorded migrations this release can go on from: by number and name, as a database has both.

Not for what is applied (``schema``). The rule that must never break: what is not recognised is refused before anything
is changed, as its tables are not those that the next migration expects.
"""

from collections.abc import Iterable
from typing import Final

from .migrations import migrations

type Applied = tuple[int, str]
"""The number and the name of a migration, as recorded."""

_BEFORE_ONE_TEXT: Final[frozenset[Applied]] = frozenset(
    enumerate(
        "workflows events release settle triggers turbo sweep signals nested commands holds recover invariants "
        "webhooks executors audit incidents repairs retention incident_classes audited due rescue errors".split(),
        start=1,
    )
)
"""The state before functions had one current text, the earliest that can be upgraded; others have its numbers now."""


def find_strangers(applied: Iterable[Applied]) -> list[Applied]:
    """Those whose number or name belongs to another migration of this release; ascending.

    None of the earliest state that can be upgraded. What has neither number nor name of one comes from a newer release.
    """
    recorded = frozenset(applied)
    if recorded == _BEFORE_ONE_TEXT:
        return []
    ours = {(migration.version, migration.name) for migration in migrations()}
    numbers, names = {number for number, _ in ours}, {name for _, name in ours}
    return sorted(each for each in recorded - ours if each[0] in numbers or each[1] in names)
