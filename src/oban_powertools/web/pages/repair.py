"""The result of a repair: what became of each row, where it is written down, and what to look at next.

Its address is that of the preview that was executed; a reload is safe.
"""

from typing import Final

from starlette.responses import Response

from ...acts import TargetType
from ...lifeline import MovedRow
from ..act_forms import act_title, target_path
from ..changes import columns_of, describe_effect, group_rows, outcomes_of
from ..page import ROWS, Page, get

_ENDED: Final = frozenset({"completed", "discarded", "cancelled", "expired"})


async def result(page: Page) -> Response:
    """The page."""
    lifeline = page.calls.lifeline
    found = await lifeline.get_preview(page.param("id"))
    if found.status != "consumed":
        return page.redirect(f"/previews/{found.id}")
    incident = None
    if found.incident_fingerprint is not None:
        incident = (await page.part(lifeline.get_incident(found.incident_fingerprint))).value
    record, check = await page.parts(lifeline.find_execution(found.id), lifeline.check_preview(found.id))
    now = {(row.source, row.id): row for row in check.value.moved} if check.value else {}
    start = int(page.query("cursor") or 0) if (page.query("cursor") or "0").isdecimal() else 0
    states = {key: _state(row) for key, row in now.items()}
    title = act_title(found.action, found.target_id)
    looked_at = target_path(found.target_type, found.target_id)
    return page.render(
        "repair.html",
        title=f"Done: {title[:1].lower()}{title[1:]}",
        crumbs=[
            *([("Incidents", page.url("/incidents"))] if incident else []),
            *([(str(incident.id), page.url(f"/incidents/{incident.id}"))] if incident else []),
            (f"Preview {found.id}", page.url(f"/previews/{found.id}")),
            ("Result", page.url(f"/repairs/{found.id}")),
        ],
        preview=found,
        record=record,
        incident=incident,
        states=states,
        groups=group_rows(found.changes, start, start + ROWS),
        outcomes=outcomes_of(found.changes),
        topics=("workflow:all", "incident:all"),
        start=start,
        next=start + ROWS if start + ROWS < len(found.changes) else None,
        columns_of=columns_of,
        effect=describe_effect(found.effect),
        still_to_come=[
            change
            for change in found.changes
            if change.source == "job" and change.before is not None and states.get(("job", change.id), "") not in _ENDED
        ][:5],
        looked_at=looked_at,
        workflow_id=found.target_id.partition("/")[0]
        if found.target_type in (TargetType.STEP, TargetType.WORKFLOW)
        else None,
    )


def _state(row: MovedRow) -> str:
    """The state of a row as it is now; empty where it has none of its own, or is as it was."""
    if row.gone:
        return "gone"
    return str(row.fields["state"][1]) if "state" in row.fields else ""


ROUTES: Final = (get("/repairs/{id}", result),)
