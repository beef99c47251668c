"""A whole workflow as one JSON document: what an incident leaves for a test.

Whole rows, so that ``oban_powertools.testing`` can bring them back as they were; docs/reference/workflow-export.md has
the format. The rule that must never break: values of users leave only as the display policy shows them (security/S8).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from ..database import Session
from ..errors import WorkflowNotFoundError
from ..privacy.display import DisplayPolicy, Kind
from ..states import WorkflowId
from .job_identity import RESERVED_META

EXPORT_FORMAT: Final = "oban-powertools/workflow"
EXPORT_VERSION: Final = 1
EXPORTED_TABLES: Final = ("workflows", "steps", "waits", "signals", "callbacks", "jobs", "events")

_MARK: Final = "powertools-reference-"


async def export_workflow(session: Session, workflow_id: WorkflowId, display: DisplayPolicy) -> dict[str, Any]:
    """A workflow with what is nested in it and around it.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    async with session.bounded("60s"):
        row = await session.one("export_workflow", {"workflow_id": workflow_id})
    if row is None:
        raise WorkflowNotFoundError(workflow_id)
    shown = _Shown(display)
    return {
        "format": EXPORT_FORMAT,
        "version": EXPORT_VERSION,
        "workflow_id": workflow_id,
        "exported_at": row["exported_at"].isoformat(),
        **{table: [shown.row(table, each) for each in row[table]] for table in EXPORTED_TABLES},
    }


class _Shown:
    """Rows as a display policy shows them.

    Args:
        display: Decides.
    """

    def __init__(self, display: DisplayPolicy) -> None:
        self._display = display
        args, error = self._as(Kind.ARGS), self._as(Kind.ERROR)
        self._parts: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
            "workflows": {"context": self._object(Kind.CONTEXT), "on_finished": self._callback},
            "steps": {
                "args": args,
                "template": self._template,
                "item_template": self._template,
                "meta": self._object(Kind.ARGS),
                "result": self._as(Kind.RESULT),
                "error": error,
                "hold_reason": self._text(Kind.REASON),
            },
            "waits": {},
            "signals": {"payload": self._as(Kind.PAYLOAD)},
            "callbacks": {"error": error},
            "events": {"error": self._text(Kind.ERROR)},
            "jobs": {"args": args, "meta": self._meta, "errors": lambda errors: [error(each) for each in errors]},
        }

    def row(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row whose values that are a user's are shown."""
        parts = self._parts[table]
        return {
            name: parts[name](value) if name in parts and value is not None else value for name, value in row.items()
        }

    def _as(self, kind: Kind) -> Callable[[Any], Any]:
        return lambda value: self._display.render(kind, value)

    def _text(self, kind: Kind) -> Callable[[str], str]:
        return lambda text: self._display.render_text(kind, text)

    def _object(self, kind: Kind) -> Callable[[Any], Any]:
        """For what has to stay an object: empty where a policy shows something else."""

        def shown(value: Any) -> Any:
            rendered: Any = self._display.render(kind, value)
            return cast("Any", rendered) if isinstance(rendered, dict) else {}

        return shown

    def _callback(self, job: dict[str, Any]) -> dict[str, Any]:
        shown = {name: self._display.render(Kind.ARGS, job[name]) for name in ("args", "meta") if job.get(name)}
        return {**job, **shown}

    def _meta(self, meta: Any) -> Any:
        if not isinstance(meta, dict):
            return {}
        parts = cast("dict[str, Any]", meta)
        ours = {name: parts[name] for name in RESERVED_META & parts.keys()}
        if "context" in ours:
            ours["context"] = self._object(Kind.CONTEXT)(ours["context"])
        if "return" in ours:
            ours["return"] = self._display.render(Kind.RESULT, ours["return"])
        theirs = {name: value for name, value in parts.items() if name not in ours}
        return self._object(Kind.ARGS)(theirs) | ours

    def _template(self, template: list[Any]) -> list[Any]:
        """A template is text with references between: shown as the args that it would be, then cut again."""
        text = "".join(
            piece if isinstance(piece, str) else json.dumps(f"{_MARK}{place}") for place, piece in enumerate(template)
        )
        shown = json.dumps(self._display.render(Kind.ARGS, json.loads(text)))
        pieces: list[Any] = [""]
        for place, part in enumerate(shown.split(f'"{_MARK}')):
            number, mark, rest = part.partition('"') if place else ("", "", part)
            if mark:
                pieces += [template[int(number)], rest]
            else:
                pieces[-1] += rest
        return pieces
