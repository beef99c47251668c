"""Every part of the pages in every state, so that a change to one can be seen at once. It reads nothing.

docs/design/console-components.md says what each macro is for.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response

from ...acts import Action
from ...events import Cursor
from ...lifeline import Upcoming, UpcomingKind
from ...operators.audit import Outcome
from ...states import ExecutorStatus, IncidentStatus, JobId, JobState, OperatorStatus, WorkflowId
from ...upkeep.doctor import Finding, Level
from ...webhooks import DeliveryState, EndpointId, Format, WebhookEndpoint
from ..act_forms import FIELDS
from ..answers import Problem
from ..page import Page, Panel, get
from ..static_files import static_files
from .about import LEVELS
from .webhooks import HourBar

_WORDS: Final = (
    (OperatorStatus.NEEDS_REVIEW, "suspended"),
    (OperatorStatus.BLOCKED, "available"),
    (OperatorStatus.WAITING, "pending"),
    (OperatorStatus.WAITING, "scheduled"),
    (OperatorStatus.WAITING, "retryable"),
    (OperatorStatus.WAITING, "awaiting_signal"),
    (OperatorStatus.WAITING, "suspended"),
    (OperatorStatus.RUNNABLE, "available"),
    (OperatorStatus.RUNNING, "executing"),
    (OperatorStatus.FINISHED, "completed"),
    (OperatorStatus.FINISHED, "discarded"),
    (OperatorStatus.FINISHED, "cancelled"),
    (OperatorStatus.FINISHED, "expired"),
    *((word, None) for word in ExecutorStatus),
    (IncidentStatus.NEEDS_REVIEW, "active, new"),
    (IncidentStatus.NEEDS_REVIEW, "active, regressed"),
    (IncidentStatus.ACKNOWLEDGED, None),
    (IncidentStatus.RESOLVED, None),
)

_PROBLEM: Final = Problem(
    status=503,
    code="too_slow",
    title="It takes too long",
    detail="The database did not answer within 3 seconds. Ask for less, or try again.",
    legal_next=("job_cancel",),
)

_FINDINGS: Final = tuple(
    Finding(
        check="clock",
        level=level,
        subject="node app-7",
        found="its clock is 4 s behind",
        expected="within 1 s of the database's",
        todo="synchronize it",
    )
    for level in Level
)

_GOOD: Final = (0, 2, 5, 9, 14, 20, 18, 18, 12, 9, 7, 3, 0, 0, 2, 6, 9, 14, 12, 17, 20, 11, 6, 2)
_BARS: Final = tuple(
    HourBar(
        began_at=datetime(2026, 11, 28, hour, tzinfo=UTC),
        delivered=good,
        dead=2 if hour in (8, 9) else 0,
        x=hour * 5,
        good=good,
        bad=2 if hour in (8, 9) else 0,
    )
    for hour, good in enumerate(_GOOD)
)


def _endpoint(*, enabled: bool) -> WebhookEndpoint:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    return WebhookEndpoint(
        id=EndpointId(1),
        url="https://ledger.example/hook",
        description="",
        types=("workflow.finished",) if enabled else (),
        workflow_name="order" if enabled else None,
        allow_private=False,
        enabled=enabled,
        disabled_reason=None if enabled else "they are moving",
        cursor=Cursor(0),
        missed=0,
        pending=0,
        dead=0,
        old_secret_until=None,
        format=Format.CLOUDEVENTS if enabled else Format.CHAT,
        console_url=None,
        inserted_at=at,
        updated_at=at,
    )


def _coming() -> list[Upcoming]:
    """One of each kind."""
    now = datetime.now(UTC)
    return [
        Upcoming(
            kind=kind,
            at=now + timedelta(seconds=40 * (number + 1)),
            jobs=3 if kind is UpcomingKind.RESCUE else 0,
            executor_id="app-7",
            node="app-7",
            queue="billing",
            job_id=JobId(8121),
            worker="shop.workers.Charge",
            attempt=2,
            max_attempts=5,
            workflow_id=None if kind is UpcomingKind.START else WorkflowId(41),
            workflow_name="sync_customer",
            step=None if kind is UpcomingKind.EXPIRY else "sync_billing",
        )
        for number, kind in enumerate(UpcomingKind)
    ]


async def components(page: Page) -> Response:
    """The page."""
    sheet = static_files()["console.css"].content.decode()
    tokens = re.findall(r"^  --([\w-]+): light-dark\(#", sheet, re.MULTILINE)
    return page.render(
        "components_page.html",
        title="Components",
        crumbs=[("About", page.url("/about"))],
        words=_WORDS,
        job_states=list(JobState),
        outcomes=list(Outcome),
        delivery_states=list(DeliveryState),
        endpoints=[_endpoint(enabled=True), _endpoint(enabled=False)],
        glyphs=re.findall(r'<symbol id="([\w-]+)"', static_files()["icons.svg"].content.decode()),
        asked=[*FIELDS[Action.QUEUE_SCALE], *FIELDS[Action.STEP_COMPLETE]],
        problem=_PROBLEM,
        panel=Panel(value=True),
        findings=_FINDINGS,
        levels=LEVELS,
        bars=_BARS,
        tokens=list(dict.fromkeys(tokens)),
        minutes=_minutes,
        coming=_coming(),
    )


def _minutes(many: int) -> timedelta:
    return timedelta(minutes=many)


ROUTES: Final = (get("/about/components", components),)
