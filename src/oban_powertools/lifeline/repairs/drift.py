"""What a preview has promised, and how that differs from what the repair would do now.

Pure. Rows are named as on every screen, what has changed comes before what would follow from it, and a value that is
kept as a hash is not printed. The rule that must never break: every row that differs is reported, also one that the
preview did not contain.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from ...database import Row
from ...errors import CommandRefusedError, NotFoundError, PreviewDriftedError
from .plan import NOW, VERSION, Change, Plan, RowKey, Written
from .records import MovedRow
from .wording import find_step_names, name_column, name_row, name_steps, show_state

_MOST_TOLD: Final = 100
_HASHED: Final = "sha256:"
"""How a value begins of which a plan keeps only the hash."""


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
    changed = [str(refusal), *find_moved(promise.changes, now)[:_MOST_TOLD]]
    return PreviewDriftedError(promise.preview_id, changed, str(refusal))


def find_drift(previewed: Sequence[Change], then: Written, now: Plan) -> list[str]:
    """Find what differs between the previewed plan and the current one.

    Args:
        previewed: The changes stored with the preview.
        then: All rows that it would have written.

    Returns:
        One sentence per field; for rows beyond the first 1,000 one sentence per row.
    """
    causes: list[str] = []
    effects: list[str] = []
    names = find_step_names([*previewed, *now.changes])
    promised = {(c.source, c.id): c for c in previewed}
    planned = {(c.source, c.id): c for c in now.changes}
    for source, row_id, checksum in _checksums(then):
        found = now.written.get(source, {}).get(row_id)
        if found is None:
            effects.append(f"{name_row(source, row_id, names)} would not change any more")
        elif found != checksum:
            was, will = _describe_drift(source, row_id, promised, planned, names)
            causes += was
            effects += will
    added = (
        (source, row_id) for source, row_id, _ in _checksums(now.written) if then.get(source, {}).get(row_id) is None
    )
    return [*causes, *effects, *(f"{name_row(*key, names)} would change too" for key in added)]


def _checksums(written: Written) -> Iterator[tuple[str, str, int]]:
    for source, rows in written.items():
        yield from ((source, name, checksum) for name, checksum in rows.items() if checksum is not None)


def _describe_drift(
    source: str,
    row_id: str,
    promised: Mapping[RowKey, Change],
    planned: Mapping[RowKey, Change],
    names: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """How a row is not as it was, and how it would become something else."""
    row, key = name_row(source, row_id, names), (source, row_id)
    then, now = promised.get(key), planned.get(key)
    if then is None or now is None:
        return [f"{row} was, or would become, something else"], []
    was = _compare(_show(then, then.before, promised), _show(now, now.before, planned))
    will = _compare(then.after, now.after)
    return _sentences(row, source, was, names), _sentences(row, source, will, names, "would become")


def _show(change: Change, before: Row | None, changes: Mapping[RowKey, Change]) -> Row | None:
    """A row as it was, a step with its state as lists show it."""
    if change.source != "step" or before is None:
        return before
    job = changes.get(("job", str(before.get("job_id"))))
    return {**before, "state": show_state(before, job and job.before)}


def find_moved(previewed: Sequence[Change], now: Mapping[RowKey, Row]) -> list[str]:
    """Find how the rows of a preview have changed since, one sentence per field."""
    drift: list[str] = []
    names = find_step_names(previewed)
    for moved in find_moved_rows(previewed, now):
        row = name_row(moved.source, moved.id, names)
        drift += [f"{row} is gone"] if moved.gone else _sentences(row, moved.source, moved.fields, names)
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


def _compare(then: Row | None, now: Row | None) -> dict[str, tuple[Any, Any]]:
    then, now = then or {}, now or {}
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return {name: (then.get(name), now.get(name)) for name in names}


def _sentences(
    row: str, source: str, fields: Mapping[str, tuple[Any, Any]], names: Mapping[str, str], verb: str = "was"
) -> list[str]:
    return [_sentence(f"{row}: {name_column(source, name)}", values, names, verb) for name, values in fields.items()]


def _sentence(field: str, values: tuple[Any, Any], names: Mapping[str, str], verb: str) -> str:
    if any(isinstance(value, str) and value.startswith(_HASHED) for value in values):
        return f"{field} {verb} something else"
    was, now = (_say(name_steps(value, names)) for value in values)
    return f"{field} {verb} {was}, now {now}"


def _say(value: Any) -> str:
    if value is None:
        return "empty"
    return "the time of the repair" if value == NOW else orjson.dumps(value).decode()
