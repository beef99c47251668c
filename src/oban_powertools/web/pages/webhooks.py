"""Webhooks: where events are sent, how that goes, and sending them again.

The rule that must never break: no address is shown beyond its host, because whoever knows the rest may write there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...acts import Action, TargetType
from ...errors import InvalidArgumentError, ReasonRequiredError, ReasonTooShortError, WebhookDeliveryNotFoundError
from ...events import Cursor
from ...operators.authorization import Target
from ...webhooks import DeliveryState, WebhookDelivery, WebhookEndpoint, WebhookHour
from ..page import ROWS, Page, get, post

_HOURS: Final = 24
_TALLEST: Final = 20
"""Height of the tallest bar of a sparkline, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourBar:
    """One hour of a sparkline."""

    began_at: datetime
    """The hour."""

    delivered: int
    """Accepted."""

    dead: int
    """Given up."""

    x: int
    """From the left."""

    good: int
    """Height of what was delivered."""

    bad: int
    """Height of what is dead, on top of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """What may be done to an endpoint."""

    verb: str
    """On its button."""

    says: str
    """What it does."""

    said: str
    """The word of what is said afterwards."""


_ACTS: Final = {
    "replay": _Act(
        verb="Send again",
        says="Delivered again with the same webhook-id, by which the receiver knows what it had already.",
        said="replayed",
    ),
    "disable": _Act(
        verb="Disable", says="Nothing is sent until it is enabled again; events wait in the log.", said="disabled"
    ),
    "enable": _Act(verb="Enable", says="Deliveries continue where they stopped.", said="enabled"),
}
"""Name in the address -> act."""


async def list_endpoints(page: Page) -> Response:
    """The endpoints."""
    found, outcomes = await page.parts(page.calls.webhooks.list(), page.calls.webhooks.outcomes(hours=_HOURS))
    endpoints = [page.calls.as_displayed(endpoint) for endpoint in found.value or ()]
    return page.render(
        "webhooks.html",
        title=_title(endpoints),
        found=found,
        endpoints=endpoints,
        outcomes=outcomes,
        bars={endpoint.id: _bars(outcomes.value or (), endpoint) for endpoint in endpoints},
    )


def _title(endpoints: Sequence[WebhookEndpoint]) -> str:
    dead = [endpoint for endpoint in endpoints if endpoint.dead]
    if not dead:
        return "Webhooks"
    return "An endpoint has dead deliveries" if len(dead) == 1 else f"{len(dead)} endpoints have dead deliveries"


def _bars(outcomes: Sequence[WebhookHour], endpoint: WebhookEndpoint) -> list[HourBar]:
    """The last hours of an endpoint, the oldest first; heights are shares of the busiest hour."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    of_hours: Mapping[datetime, WebhookHour] = {
        hour.began_at: hour for hour in outcomes if hour.endpoint_id == endpoint.id
    }
    most = max((hour.delivered + hour.dead for hour in of_hours.values()), default=0) or 1
    bars: list[HourBar] = []
    for place in range(_HOURS):
        began_at = now - timedelta(hours=_HOURS - 1 - place)
        hour = of_hours.get(began_at)
        delivered, dead = (hour.delivered, hour.dead) if hour else (0, 0)
        bars.append(
            HourBar(
                began_at=began_at,
                delivered=delivered,
                dead=dead,
                x=place * 5,
                good=_height(delivered, most),
                bad=_height(dead, most),
            )
        )
    return bars


def _height(count: int, most: int) -> int:
    return max(2, round(count / most * _TALLEST)) if count else 0


async def show_endpoint(page: Page) -> Response:
    """One endpoint with its deliveries."""
    endpoint = page.calls.as_displayed(await page.calls.webhooks.get(page.param("id")))
    state, cursor = page.word("state", DeliveryState), page.query("cursor")
    found, outcomes = await page.parts(
        page.calls.webhooks.deliveries(
            endpoint.id, state=state, before=None if cursor is None else Cursor(_number(cursor)), limit=ROWS + 1
        ),
        page.calls.webhooks.outcomes(hours=_HOURS),
    )
    rows: Sequence[WebhookDelivery] = [page.calls.as_displayed(delivery) for delivery in found.value or ()]
    refusal = await page.refusal(Action.MANAGE_WEBHOOKS, _target(endpoint))
    return page.render(
        "webhook.html",
        title=f"Webhook {endpoint.id}",
        crumbs=[("Webhooks", page.url("/webhooks"))],
        endpoint=endpoint,
        found=found,
        rows=rows[:ROWS],
        state=state,
        next=str(rows[ROWS - 1].cursor) if len(rows) > ROWS else None,
        first=cursor is None,
        bars=_bars(outcomes.value or (), endpoint),
        acts=_acts(page, endpoint, refusal),
        refusal=refusal,
        tabs=_tabs(page, endpoint, state),
    )


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal()):
        raise HTTPException(400, "A cursor is a number.")
    return int(cursor)


def _tabs(
    page: Page, endpoint: WebhookEndpoint, state: DeliveryState | None
) -> list[tuple[str, str, bool, int | str | None]]:
    counts: dict[DeliveryState, int] = {DeliveryState.PENDING: endpoint.pending, DeliveryState.DEAD: endpoint.dead}
    return [
        ("All", page.here(state=None), state is None, None),
        *(
            (each.value.capitalize(), page.here(state=each.value), each is state, _capped(counts.get(each)))
            for each in DeliveryState
        ),
    ]


def _capped(count: int | None) -> str | None:
    return None if count is None else "10,000+" if count > 10_000 else f"{count:,}"


def _acts(page: Page, endpoint: WebhookEndpoint, refusal: str | None) -> list[tuple[str, str, str | None]]:
    names = ["replay"] if endpoint.dead else []
    names.append("disable" if endpoint.enabled else "enable")
    return [(_ACTS[name].verb, page.url(f"/webhooks/{endpoint.id}/{name}"), refusal) for name in names]


def _target(endpoint: WebhookEndpoint) -> Target:
    return Target(type=TargetType.WEBHOOK, id=str(endpoint.id), workflow_name=endpoint.workflow_name)


async def ask_act(page: Page) -> Response:
    """What an act would do, and its form."""
    return await _form(page, "", None)


async def do_act(page: Page) -> Response:
    """Do it."""
    reason, name, act = (await page.form()).text("reason"), page.param("act"), _act(page)
    endpoint = await page.calls.webhooks.get(page.param("id"))
    told = {"reason": reason, **page.by}
    try:
        match name:
            case "replay":
                await page.calls.webhooks.replay(endpoint.id, _chosen(page), **told)
            case "disable":
                await page.calls.webhooks.disable(endpoint.id, **told)
            case _:
                await page.calls.webhooks.enable(endpoint.id, **told)
    except (ReasonRequiredError, ReasonTooShortError, InvalidArgumentError, WebhookDeliveryNotFoundError) as error:
        return await _form(page, reason, str(error))
    return page.redirect(f"/webhooks/{endpoint.id}", said=act.said)


def _act(page: Page) -> _Act:
    if (act := _ACTS.get(page.param("act"))) is None:
        raise HTTPException(404)
    return act


def _chosen(page: Page) -> Cursor | None:
    """The one delivery to send again; None for all dead ones."""
    cursor = page.query("delivery")
    return None if cursor is None else Cursor(_number(cursor))


async def _form(page: Page, reason: str, error: str | None) -> Response:
    endpoint = page.calls.as_displayed(await page.calls.webhooks.get(page.param("id")))
    act, chosen = _act(page), _chosen(page)
    dead: Sequence[WebhookDelivery] = ()
    if page.param("act") == "replay":
        found = await page.calls.webhooks.deliveries(
            endpoint.id,
            state=None if chosen else DeliveryState.DEAD,
            before=Cursor(chosen + 1) if chosen else None,
            limit=1 if chosen else ROWS,
        )
        dead = [page.calls.as_displayed(each) for each in found if not chosen or each.cursor == chosen]
        if chosen and not dead:
            raise WebhookDeliveryNotFoundError(endpoint.id, chosen)
    return page.render(
        "webhook_act.html",
        title=f"{act.verb}: webhook {endpoint.id}",
        crumbs=[("Webhooks", page.url("/webhooks")), (str(endpoint.id), page.url(f"/webhooks/{endpoint.id}"))],
        status=422 if error else 200,
        endpoint=endpoint,
        act=act,
        name=page.param("act"),
        chosen=chosen,
        dead=dead,
        reason=reason,
        error=error,
        refusal=await page.refusal(Action.MANAGE_WEBHOOKS, _target(endpoint)),
    )


SAYINGS: Final = {
    "replayed": "They will be sent again, before newer ones. It is in the audit.",
    "disabled": "Nothing more is sent there. It is in the audit.",
    "enabled": "Deliveries continue. It is in the audit.",
}

_ACT: Final = "/webhooks/{id}/{act}"

ROUTES: Final = (
    get("/webhooks", list_endpoints),
    get("/webhooks/{id}", show_endpoint),
    get(_ACT, ask_act),
    post(_ACT, do_act),
)
