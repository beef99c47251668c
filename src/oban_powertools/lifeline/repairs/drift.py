"""What a preview has promised, and how that differs from what the repair would do now.

Pure. The rule that must never break: every row that differs is reported, also one that the preview did not contain.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from ...database import Row
from ...errors import CommandRefusedError, NotFoundError, PreviewDriftedError
from .plan import VERSION, Change, Plan, RowKey, Written
from .records import MovedRow

_MOST_TOLD: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The plan of a stored preview, which its execution is to keep."""

    preview_id: int
    """The preview."""

    version: int
    """Of the plan's form."""

    plan_hash: str
    """As ``Plan.hash``."""

    changes: Sequence[Change]
    """As ``Plan.changes``."""

    written: Written
    """As ``Plan.written``."""

    @classmethod
    def of(cls, stored: Row, written: Written) -> Self:
        """That of a preview's row."""
        plan = stored["plan"]
        return cls(
            preview_id=stored["id"],
            version=plan["version"],
            plan_hash=stored["plan_hash"],
            changes=tuple(Change(**change) for change in plan["changes"]),
            written=written,
        )


def refuse_drift(promise: Promise, now: Plan) -> PreviewDriftedError:
    """The refusal of an execution whose plan is not the promised one."""
    if now.hash == promise.plan_hash:
        return PreviewDriftedError(promise.preview_id, ["it does something else each time"])
    if promise.version != VERSION:
        return PreviewDriftedError(promise.preview_id, ["it was made by another release"])
    differences = find_drift(promise.changes, promise.written, now)
    more = [f"and {len(differences) - _MOST_TOLD} differences more"] if len(differences) > _MOST_TOLD else []
    return PreviewDriftedError(promise.preview_id, [*differences[:_MOST_TOLD], *more])


def refuse_moved(
    promise: Promise, refusal: CommandRefusedError | NotFoundError, now: Mapping[RowKey, Row]
) -> PreviewDriftedError:
    """The refusal of an execution that does not fit its target any more.

    Args:
        now: The rows that the preview would have changed, as they are now.
    """
    return PreviewDriftedError(promise.preview_id, [str(refusal), *find_moved(promise.changes, now)[:_MOST_TOLD]])


def find_drift(previewed: Sequence[Change], then: Written, now: Plan) -> list[str]:
    """Find what differs between the previewed plan and the current one.

    Args:
        previewed: The changes stored with the preview.
        then: All rows that it would have written.

    Returns:
        One sentence per field; for rows beyond the first 1,000 one sentence per row.
    """
    drift: list[str] = []
    promised = {(c.source, c.id): c for c in previewed}
    planned = {(c.source, c.id): c for c in now.changes}
    for source, name, was in _checksums(then):
        checksum = now.written.get(source, {}).get(name)
        if checksum is None:
            drift.append(f"{source} {name} would not change any more")
        elif checksum != was:
            drift += _describe_drift(source, name, promised.get((source, name)), planned.get((source, name)))
    added = ((source, name) for source, name, _ in _checksums(now.written) if then.get(source, {}).get(name) is None)
    return drift + [f"{source} {name} would change too" for source, name in added]


def _checksums(written: Written) -> Iterator[tuple[str, str, int]]:
    for source, rows in written.items():
        yield from ((source, name, checksum) for name, checksum in rows.items() if checksum is not None)


def _describe_drift(source: str, name: str, then: Change | None, now: Change | None) -> list[str]:
    if then is None or now is None:
        return [f"{source} {name} was, or would become, something else"]
    was = _differences(source, name, then.before, now.before, "was")
    return was + _differences(source, name, then.after, now.after, "would become")


def find_moved(previewed: Sequence[Change], now: Mapping[RowKey, Row]) -> list[str]:
    """Find how the rows of a preview have changed since, one sentence per field."""
    drift: list[str] = []
    for moved in find_moved_rows(previewed, now):
        name = f"{moved.source} {moved.id}"
        drift += [f"{name} is gone"] if moved.gone else _sentences(name, moved.fields, "was")
    return drift


def find_moved_rows(previewed: Sequence[Change], now: Mapping[RowKey, Row]) -> list[MovedRow]:
    """Find the rows of a preview that have changed since, or that exist by now."""
    moved: list[MovedRow] = []
    for change in previewed:
        row = now.get((change.source, change.id))
        gone = change.before is not None and row is None
        fields = {} if row is None else _compare(change.before, row)
        if gone or fields:
            moved.append(MovedRow(source=change.source, id=change.id, gone=gone, fields=fields))
    return moved


def _differences(source: str, name: str, then: Row | None, now: Row | None, verb: str) -> list[str]:
    return _sentences(f"{source} {name}", _compare(then, now), verb)


def _compare(then: Row | None, now: Row | None) -> dict[str, tuple[Any, Any]]:
    then, now = then or {}, now or {}
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return {name: (then.get(name), now.get(name)) for name in names}


def _sentences(row: str, fields: Mapping[str, tuple[Any, Any]], verb: str) -> list[str]:
    return [f"{row}: {name} {verb} {_shorten(was)}, now {_shorten(now)}" for name, (was, now) in fields.items()]


def _shorten(value: Any) -> str:
    return orjson.dumps(value).decode()
