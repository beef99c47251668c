"""Jobs, of steps and plain ones: the list by state, and one job with all that is known of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from ...acts import Action, TargetType
from ...explain import JobExplanation
from ...operators.authorization import Target
from ...states import JobState, OperatorStatus
from ...upkeep.jobs import MOST_COUNTED, JobDetail
from ..page import Page, get

_FILTERS: Final = ("status", "queue", "worker", "tag", "error", "since", "until")

_BULK_ACTS: Final = (Action.JOB_RETRY, Action.JOB_CANCEL, Action.JOB_DISCARD)

_ORDER: Final = (
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.RETRYABLE,
    JobState.SUSPENDED,
    JobState.EXECUTING,
    JobState.COMPLETED,
    JobState.DISCARDED,
    JobState.CANCELLED,
)
"""States as the tabs show them: what is to come, what runs, what has ended."""


async def list_jobs(page: Page) -> Response:
    """The list."""
    given = {name: page.query(name) for name in _FILTERS}
    state, cursor = page.word("state", JobState), page.query("cursor")
    found, counts = await page.parts(
        page.calls.jobs.list(
            state=state,
            status=page.word("status", OperatorStatus),
            queue=given["queue"],
            worker=given["worker"],
            tag=given["tag"],
            error=given["error"],
            inserted_from=page.instant("since"),
            inserted_to=page.instant("until"),
            before=cursor,
        ),
        page.calls.jobs.count(queue=given["queue"]),
    )
    narrowed = any(given[name] for name in _FILTERS if name != "queue")
    return page.render(
        "jobs.html",
        title="Jobs",
        topics=("workflow:all",),
        found=found,
        given=given,
        state=state,
        words=[word.value for word in OperatorStatus],
        is_filtered=any(given.values()) or state is not None,
        first=cursor is None,
        bulk_acts=_BULK_ACTS,
        refusal=await page.refusal(Action.PREVIEW_BULK, Target(type=TargetType.BULK, id="*")),
        all_that_fit=_all_that_fit(page, state, given),
        tabs=_tabs(page, state, {} if narrowed else counts.value or {}),
    )


def _all_that_fit(page: Page, state: JobState | None, given: Mapping[str, str | None]) -> str | None:
    """The form of a bulk repair of all that this list is about, where a manifest can be made of it."""
    known = {"state": state, "queue": given["queue"], "worker": given["worker"]}
    others = any(value for name, value in given.items() if name not in known)
    return None if others or not any(known.values()) else page.url("/bulks/new", act=_BULK_ACTS[0], **known)


def _tabs(
    page: Page, state: JobState | None, counts: Mapping[JobState, int]
) -> list[tuple[str, str, bool, str | None]]:
    """The states with their numbers of jobs; those without any are left out, but for the one that is open."""
    shown = [each for each in _ORDER if each is state or not counts or counts[each]]
    return [
        ("All", page.here(state=None), state is None, None),
        *((each.value, page.here(state=each.value), each is state, _count(counts.get(each))) for each in shown),
    ]


def _count(jobs: int | None) -> str | None:
    if jobs is None:
        return None
    return f"{jobs:,}+" if jobs >= MOST_COUNTED else f"{jobs:,}"


async def show_job(page: Page) -> Response:
    """One job."""
    job = await page.calls.jobs.get(page.param("id"))
    explained = await page.part(page.calls.explain.job(job.id))
    return page.render(
        "job.html",
        title=f"Job {job.id}",
        crumbs=[("Jobs", page.url("/jobs"))],
        job=job,
        explained=explained,
        refusal=await _refusal(page, job),
        repairs=_repairs(explained.value),
        moments=_moments(job),
        oban_web=page.options.oban_web and f"{page.options.oban_web}/jobs/{job.id}",
    )


async def _refusal(page: Page, job: JobDetail) -> str | None:
    """Why the actor may preview no repair of the job."""
    target = Target(
        type=TargetType.JOB,
        id=str(job.id),
        workflow_id=job.workflow_id,
        step=job.step,
        queue=job.queue,
        worker=job.worker,
    )
    return await page.refusal(Action.PREVIEW_REPAIR, target)


def _repairs(explained: JobExplanation | None) -> list[tuple[Action, str]]:
    """Each legal repair of the job or of its step, and its target; those that end an incident first."""
    if explained is None:
        return []
    advised = {repair.action for incident in explained.incidents for repair in incident.repairs}
    legal = sorted(explained.legal_actions, key=lambda act: act.name not in advised)
    acts = [Action(act.name) for act in legal if act.name in Action]
    of_step = f"{explained.workflow_id}/{explained.step}"
    return [
        (act, of_step if act.row.targets[0] is TargetType.STEP else str(explained.job_id))
        for act in acts
        if act.row.previewed and not act.row.aimed
    ]


def _moments(job: JobDetail) -> list[tuple[datetime, str, str, str]]:
    """What happened to the job, the newest first: when, glyph, what, and more of it."""
    moments: list[tuple[datetime, str, str, str]] = [(job.inserted_at, "open", "inserted", "")]
    if job.scheduled_at > job.inserted_at and job.state is not JobState.RETRYABLE:
        moments.append((job.scheduled_at, "waiting", "due", ""))
    if job.state is JobState.RETRYABLE:
        moments.append((job.scheduled_at, "retryable", f"attempt {job.attempt + 1} of {job.max_attempts} is due", ""))
    if job.attempted_at:
        what = f"attempt {job.attempt} of {job.max_attempts} began"
        moments.append((job.attempted_at, "running", what, f"on {job.node}" if job.node else ""))
    for error in job.errors:
        if error.at:
            what = f"attempt {error.attempt} failed" if error.attempt else "it failed"
            moments.append((error.at, "discarded", what, error.summary))
    if job.finished_at:
        moments.append((job.finished_at, job.state.value, job.state.value, ""))
    return sorted(moments, key=_newest_first)


def _newest_first(moment: Sequence[Any]) -> float:
    return -moment[0].timestamp()


ROUTES: Final = (get("/jobs", list_jobs), get("/jobs/{id}", show_job))
