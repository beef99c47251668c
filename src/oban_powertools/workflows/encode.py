"""Encode args as JSON text, and args with references as templates that the database fills in.

The rule that must never break: a template joined with its values is the JSON text of the args.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson
from oban import Job

from ..database import json_border
from .references import is_reference, place_of

_MARK: Final = uuid.uuid4().hex
_MARKED: Final = re.compile(f'"{_MARK}:([0-9]+)"')
_ITEM: Final = -1


def template(args: Any, positions: Mapping[str, int]) -> str:
    """JSON text of text parts and ``[position, part, path]`` references in turn.

    Keys are sorted, so that equal args have one text.

    Args:
        positions: Step name -> position, of every step referred to.
    """
    seen: list[list[Any]] = []

    def mark(value: Any) -> str:
        assert is_reference(value)
        step, part, path, _ = place_of(value)
        source = _ITEM if part == "item" else positions[step]
        seen.append([source, part, [str(key) for key in path]])
        return f"{_MARK}:{len(seen) - 1}"

    text = orjson.dumps(args, default=mark, option=orjson.OPT_SORT_KEYS).decode()
    pieces = _MARKED.split(json_border.exact(text))
    return json_border.dumps([seen[int(piece)] if odd % 2 else piece for odd, piece in enumerate(pieces)])


def step_columns(job: Job) -> dict[str, Any]:
    """The columns of ``steps`` that a job's options fill; not its args."""
    return {
        "worker": job.worker,
        "queue": job.queue,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "meta": json_border.dumps(job.meta) if job.meta else None,
        "tags": job.tags or None,
        "scheduled_at": job.scheduled_at,
    }


def job_columns(job: Job) -> str:
    """A whole job as JSON text: the columns of Oban's table."""
    columns = ("queue", "worker", "max_attempts", "priority", "args", "meta", "tags")
    scheduled_at = job.scheduled_at.isoformat() if job.scheduled_at else None
    return json_border.dumps({**{c: getattr(job, c) for c in columns}, "scheduled_at": scheduled_at})
