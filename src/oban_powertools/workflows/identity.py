"""When two definitions are the same: what an idempotency key compares.

It does what docs/how-to/run-things-once.md says, in whatever order args were written.
"""

import hashlib
from typing import Any

import orjson

from .plan import WorkflowPlan


def identity(plan: WorkflowPlan) -> str:
    """The SHA-256 of a definition, in hex."""
    return hashlib.sha256(orjson.dumps(_definition(plan), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _definition(plan: WorkflowPlan) -> list[Any]:
    # Without tags, expires_in and on_finished, which do not change what is done; and without scheduled_at, because
    # scheduled_in makes another instant each time a definition is built.
    return [
        plan.name,
        orjson.loads(plan.context),
        plan.definition_version,
        [
            [
                s.name,
                s.kind,
                s.worker,
                s.queue,
                s.priority,
                s.max_attempts,
                s.effects,
                orjson.loads(s.args or "0"),
                s.template,
                orjson.loads(s.meta or "0"),
                s.tags,
                str(s.delay),
                str(s.deadline),
                s.item_template,
                s.max_failures,
                s.nested and identity(s.nested),
                s.parents,
                s.continue_parents,
            ]
            for s in plan.steps
        ],
    ]
