"""Signals that nobody took, and waits that nobody ended, with what looks alike."""

from typing import Any, Final

from starlette.responses import Response

from ...acts import Action, TargetType
from ...operators.authorization import Target
from ..page import ROWS, Page, get

_FILTERS: Final = ("name", "key", "workflow", "since", "until")


async def list_signals(page: Page) -> Response:
    """Stored signals."""
    given, cursor = _given(page), page.query("cursor")
    found = await page.part(
        page.calls.workflows.list_signals(
            **_only(given),
            inserted_from=page.instant("since"),
            inserted_to=page.instant("until"),
            before=cursor,
            limit=ROWS + 1,
        )
    )
    target = Target(type=TargetType.SIGNAL, id="*")
    return _render(page, "signals.html", found, given, refusal=await page.refusal(Action.PREVIEW_REPAIR, target))


async def list_waits(page: Page) -> Response:
    """Open waits."""
    given, cursor = _given(page), page.query("cursor")
    found = await page.part(
        page.calls.workflows.list_waits(
            **_only(given),
            registered_from=page.instant("since"),
            registered_to=page.instant("until"),
            before=cursor,
            limit=ROWS + 1,
        )
    )
    return _render(page, "waits.html", found, given)


def _given(page: Page) -> dict[str, str | None]:
    return {name: page.query(name) for name in _FILTERS}


def _only(given: dict[str, str | None]) -> dict[str, Any]:
    return {"signal": given["name"], "correlation_key": given["key"], "workflow_id": given["workflow"]}


def _render(page: Page, template: str, found: Any, given: dict[str, str | None], **context: Any) -> Response:
    rows: list[Any] = found.value or []
    return page.render(
        template,
        title="Signals",
        found=found,
        given=given,
        rows=rows[:ROWS],
        next=str(rows[ROWS - 1].id) if len(rows) > ROWS else None,
        first=page.query("cursor") is None,
        is_filtered=any(given.values()),
        tabs=[
            ("Stored signals", page.url("/signals"), page.path == "/signals", None),
            ("Open waits", page.url("/signals/waits"), page.path == "/signals/waits", None),
        ],
        **context,
    )


ROUTES: Final = (get("/signals", list_signals), get("/signals/waits", list_waits))
