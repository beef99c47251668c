"""Reveal one value of a job, a step or a workflow: the form that asks why, and the value, once, as its answer.

The rule that must never break: a revealed value is in the answer of a POST alone, which nobody keeps; no address, no
redirect and no live part of a page has it.
"""

from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...acts import Action, TargetType
from ...arguments import as_job_id, as_workflow_id
from ...errors import PowertoolsError, ReasonRequiredError, ReasonTooShortError
from ...operators.authorization import Target
from ...operators.revealing import VALUES_OF, Revealable, Revealed
from ...states import JobId, WorkflowId
from ..answers import Problem
from ..page import Page, get, post


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenValue:
    """A value that the display policy may hide, and whose it is."""

    target: Target
    """A job, a step or a workflow."""

    what: Revealable
    """Which of its values."""

    @property
    def back(self) -> tuple[str, dict[str, object]]:
        """Where the value is shown as the display policy has it."""
        if self.target.type is TargetType.JOB:
            return f"/jobs/{self.target.id}", {}
        above = f"/workflows/{self.target.workflow_id}"
        return (
            (above, {"tab": "context"}) if self.target.step is None else (f"{above}/step", {"name": self.target.step})
        )


async def ask_of_job(page: Page) -> Response:
    """The form, of a job."""
    return await _render(page, _of_job(page, page.query("what")))


async def ask_of_workflow(page: Page) -> Response:
    """The form, of a workflow or one of its steps."""
    return await _render(page, _of_workflow(page, page.query("what")))


async def reveal_of_job(page: Page) -> Response:
    """Reveal a value of a job."""
    return await _reveal(page, _of_job(page, (await page.form()).text("what")))


async def reveal_of_workflow(page: Page) -> Response:
    """Reveal a value of a workflow or one of its steps."""
    return await _reveal(page, _of_workflow(page, (await page.form()).text("what")))


async def _reveal(page: Page, hidden: HiddenValue) -> Response:
    form = await page.form()
    reason = form.text("reason")
    if not form.ticked("confirm"):
        return await _render(page, hidden, reason=reason, unticked=True, status=422)
    try:
        revealed = await _call(page, hidden, reason)
    except (ReasonRequiredError, ReasonTooShortError) as error:
        text = str(error)
        return await _render(page, hidden, reason=reason, wrong=f"{text[:1].upper()}{text[1:]}.", status=422)
    except PowertoolsError as error:
        problem = await page.problem_of(error)
        return await _render(page, hidden, reason=reason, problem=problem, status=problem.status)
    return await _render(page, hidden, revealed=revealed)


async def _call(page: Page, hidden: HiddenValue, reason: str) -> Revealed:
    target, what = hidden.target, hidden.what
    if target.type is TargetType.JOB:
        return await page.calls.jobs.reveal(JobId(int(target.id)), what=what, reason=reason, **page.by)
    workflow_id = WorkflowId(int(target.workflow_id or 0))
    return await page.calls.workflows.reveal(workflow_id, target.step, what=what, reason=reason, **page.by)


async def _render(
    page: Page,
    hidden: HiddenValue,
    *,
    revealed: Revealed | None = None,
    reason: str = "",
    wrong: str | None = None,
    unticked: bool = False,
    problem: Problem | None = None,
    status: int = 200,
) -> Response:
    path, query = hidden.back
    back = page.url(path, **query)
    named = str(hidden.target)
    return page.render(
        "reveal.html",
        title=f"{hidden.what.capitalize()} of {named}",
        status=status,
        crumbs=[(f"{named[:1].upper()}{named[1:]}", back)],
        hidden=hidden,
        row=Action.REVEAL_VALUE.row,
        revealed=revealed,
        reason=reason,
        wrong=wrong,
        unticked=unticked,
        problem=problem,
        refusal=None if revealed else await page.refusal(Action.REVEAL_VALUE, hidden.target),
        action=page.url(page.path, step=hidden.target.step),
        back=back,
    )


def _of_job(page: Page, what: str | None) -> HiddenValue:
    target = Target(type=TargetType.JOB, id=str(as_job_id(page.param("id"))))
    return HiddenValue(target=target, what=_what(target, what))


def _of_workflow(page: Page, what: str | None) -> HiddenValue:
    step = page.request.query_params.get("step") or None
    target = Target.of_workflow(as_workflow_id(page.param("id")), step)
    return HiddenValue(target=target, what=_what(target, what))


def _what(target: Target, what: str | None) -> Revealable:
    known = VALUES_OF[target.type]
    if what not in known:
        raise HTTPException(400, f"Say which value: what= one of {', '.join(known)}.")
    return Revealable(what)


ROUTES: Final = (
    get("/jobs/{id}/reveal", ask_of_job),
    post("/jobs/{id}/reveal", reveal_of_job),
    get("/workflows/{id}/reveal", ask_of_workflow),
    post("/workflows/{id}/reveal", reveal_of_workflow),
)
