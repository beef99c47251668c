"""The list of previews: who made it, what it would do, until when it can be executed, and what keeps it from that."""

from typing import Any, Final

from starlette.responses import Response

from ...lifeline import ListedPreview, PreviewStatus
from ..act_forms import act_title
from ..page import ROWS, Page, get

_OVER: Final = {
    PreviewStatus.CONSUMED: "Executed",
    PreviewStatus.DRIFTED: "Changed",
    PreviewStatus.EXPIRED: "Expired",
}
"""Status of one that is over -> its tab."""


async def list_previews(page: Page) -> Response:
    """The list; those that can be executed unless others are asked for."""
    status = page.word("status", PreviewStatus)
    given = {name: page.query(name) for name in ("actor", "repair")}
    found = await page.part(
        page.calls.lifeline.list_previews(
            status=status or PreviewStatus.READY,
            actor=given["actor"],
            action=given["repair"],
            before=page.query("cursor"),
            limit=ROWS + 1,
        )
    )
    previews: list[ListedPreview] = found.value or []
    shown = previews[:ROWS]
    return page.render(
        "previews.html",
        title="Previews",
        found=found,
        rows=[_row(preview) for preview in shown],
        awaiting=sum(preview.awaits_approval for preview in shown),
        is_open=status in (None, PreviewStatus.READY),
        chosen=status,
        given=given,
        is_filtered=any(given.values()),
        tabs=_tabs(page, status),
        next=shown[-1].id if len(previews) > ROWS else None,
        first_page=page.query("cursor") is None,
    )


def _tabs(page: Page, status: PreviewStatus | None) -> list[tuple[str, str, bool, None]]:
    over = [(title, page.here(status=word.value), status is word, None) for word, title in _OVER.items()]
    return [("Open", page.here(status=None), status in (None, PreviewStatus.READY), None), *over]


def _row(preview: ListedPreview) -> dict[str, Any]:
    return {"preview": preview, "title": act_title(preview.action, preview.target_id)}


ROUTES: Final = (get("/previews", list_previews),)
