"""What a job runs for (a step or the end of a workflow), as its meta says; and who may not write that meta.

Reads and checks jobs in memory; no I/O. How the database treats a job's meta is in ``sql/functions/job_triggers.sql``.
The rule that must never break: no change that a worker makes to ``job.meta`` while it runs changes what its job runs
for.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from oban import Job

from ..errors import ReservedMetaError

RESERVED_META: Final = frozenset(
    "workflow_id workflow_name step position generation uid context return "
    "outcome failed_steps failures_handled".split()
)
"""Keys of a job's meta that are ours."""

_REMEMBERED: Final = "powertools_identity"
_OF_A_STEP: Final = frozenset({"uid", "workflow_id", "position", "step", "workflow_name"})
_OF_A_CALLBACK: Final = frozenset({"workflow_id", "outcome", "failed_steps"})


def remember_identities(jobs: Iterable[Job]) -> None:
    """Remember what these jobs run for, before their workers can change it."""
    for job in jobs:
        meta = _meta_of(job)
        if "workflow_id" in meta:
            job.extra[_REMEMBERED] = {key: meta[key] for key in RESERVED_META & meta.keys()}


def identity_of(job: Job) -> Mapping[str, Any]:
    """What a job runs for: as remembered when it was fetched, else as its meta says now."""
    # A worker may have left anything there.
    extra: dict[str, Any] = job.extra if isinstance(cast("object", job.extra), dict) else {}
    return extra.get(_REMEMBERED) or _meta_of(job)


def is_step(job: Job) -> bool:
    """Whether a job runs a workflow step; a host's own meta may hold some of the keys."""
    return _says_step(identity_of(job))


def is_callback(job: Job) -> bool:
    """Whether a job was inserted by the end of a workflow."""
    return _says_callback(identity_of(job))


def check_meta(job: Job, meta: Mapping[str, Any] | None) -> None:
    """Refuse meta that would change what a job runs for, or make a plain job a step's job.

    Args:
        meta: To be merged into the job's own.

    Raises:
        ReservedMetaError: It has keys that are ours.
    """
    reserved = RESERVED_META & meta.keys() if isinstance(meta, Mapping) else ()
    if meta and reserved and (is_step(job) or is_callback(job) or _says_any({**_meta_of(job), **meta})):
        raise ReservedMetaError(job.worker, sorted(reserved))


def check_plain_jobs(jobs: Iterable[Job]) -> None:
    """Refuse jobs whose meta names a workflow: only the database inserts such jobs.

    Raises:
        ReservedMetaError: A job's meta was copied from a step's, or from an ``on_finished`` job's.
    """
    for job in jobs:
        meta = _meta_of(job)
        if meta and _says_any(meta):
            raise ReservedMetaError(job.worker, sorted(RESERVED_META & meta.keys()))


def _meta_of(job: Job) -> dict[str, Any]:
    # Any JSON can stand in the column, and anything in the object.
    meta: Any = job.meta
    return cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}


def _says_any(meta: Mapping[str, Any]) -> bool:
    return _says_step(meta) or _says_callback(meta)


def _says_step(meta: Mapping[str, Any]) -> bool:
    # Called several times for each attempt, so without a generator.
    return meta.keys() >= _OF_A_STEP and _is_number(meta["workflow_id"], 10**18) and _is_number(meta["position"], 10**9)


def _says_callback(meta: Mapping[str, Any]) -> bool:
    return "position" not in meta and meta.keys() >= _OF_A_CALLBACK


def _is_number(value: Any, end: int) -> bool:
    return type(value) is int and 0 <= value < end
