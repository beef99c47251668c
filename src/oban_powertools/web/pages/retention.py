"""How long records are kept, how much is due, and its removal: looked at, rehearsed, then confirmed by a word."""

from typing import Final

from starlette.responses import Response

from ...acts import Action, TargetType
from ...errors import ReasonRequiredError, ReasonTooShortError
from ...operators.authorization import Target
from ...upkeep.retention import PruneRun, RetentionStatus
from ..page import Page, get, post
from ..rates import Rate

_RECORDS: Final = Target(type=TargetType.RECORDS, id="*")

_WORD: Final = "prune"
"""What is typed to confirm."""


async def show_retention(page: Page) -> Response:
    """The classes, and the last run."""
    found = await page.part(page.calls.lifeline.retention_status())
    return page.render(
        "retention.html",
        title="Retention",
        found=found,
        due=_due(found.value),
        refusal=await page.refusal(Action.ARCHIVE_PRUNE, _RECORDS),
    )


def _due(status: RetentionStatus | None) -> int:
    return sum(retained.due or 0 for retained in status.classes) if status else 0


async def ask_prune(page: Page) -> Response:
    """What a run would remove, before anything is."""
    return await _form(page)


async def prune(page: Page) -> Response:
    """Rehearse a run, or remove what is due."""
    form = await page.form()
    reason, rehearse = form.text("reason"), form.text("do") != _WORD
    if not rehearse and form.text("confirm") != _WORD:
        return await _form(page, reason=reason, error=f"Type {_WORD} to confirm. Nothing was removed.")
    try:
        run = await page.calls.lifeline.run_archive_prune(reason=reason, dry_run=rehearse, **page.by)
    except (ReasonRequiredError, ReasonTooShortError) as error:
        return await _form(page, reason=reason, error=str(error))
    if rehearse:
        return await _form(page, reason=reason, run=run)
    return page.redirect("/retention", said="pruned" if run.outcome == "done" else "prune-failed")


async def _form(page: Page, *, reason: str = "", error: str | None = None, run: PruneRun | None = None) -> Response:
    status = await page.calls.lifeline.retention_status()
    return page.render(
        "prune.html",
        title="Preview: remove what is due",
        crumbs=[("Retention", page.url("/retention"))],
        status=422 if error else 200,
        classes=[retained for retained in status.classes if retained.due or retained.due is None],
        due=_due(status),
        reason=reason,
        error=error,
        run=run,
        word=_WORD,
        refusal=await page.refusal(Action.ARCHIVE_PRUNE, _RECORDS),
    )


SAYINGS: Final = {
    "pruned": "What was due is removed. It is in the audit.",
    "prune-failed": "A class could not be pruned; the last run below says why. The others were.",
}

ROUTES: Final = (
    get("/retention", show_retention),
    get("/retention/prune", ask_prune),
    post("/retention/prune", prune, rate=Rate.EXECUTE),
)
