"""Retention, shared settings and the doctor: how the database is kept."""

from typing import Any, Final

from ...acts import Action
from ...config import SHARED, SharedKind, SharedValue
from ...lifeline import PruneRun, RetentionStatus
from ...upkeep.doctor import Report
from ...upkeep.metrics import Readings
from ...upkeep.settings import StoredSetting
from ..rates import Rate
from . import values
from .endpoint import SLOW, Call, Endpoint, Shape, page
from .values import ANY, FLAG, SECONDS, Parameter
from .workflows import REASON


async def get_retention(call: Call) -> RetentionStatus:
    """How long each class of records is kept, how much is due, and the last run."""
    return await call.calls.lifeline.retention_status()


async def run_prune(call: Call) -> PruneRun:
    """Remove every record whose time is over, in batches, and archive what is to be kept."""
    return await call.calls.lifeline.run_archive_prune(
        call.actor, reason=call.values.get("reason", ""), dry_run=call["dry_run"], source="api"
    )


async def list_settings(call: Call) -> Any:
    """Every setting that is equal on all nodes, by name. A duration is a number of seconds."""
    return page(await call.calls.shared_settings.list_settings(), None)


async def change_setting(call: Call) -> StoredSetting:
    """Set one for every process, which takes it over when it next reads the settings."""
    name, given = call["name"], call["value"]
    return await call.calls.shared_settings.change(name, _as_value(name, given), **call.reasoned())


def _as_value(name: str, given: Any) -> SharedValue:
    """Seconds of a duration, null for ever; a number; or queue -> how its jobs are rescued."""
    match SHARED[name].kind:
        case SharedKind.SPAN_OR_FOREVER if given is None:
            return None
        case SharedKind.SPAN | SharedKind.SPAN_OR_FOREVER:
            return SECONDS.read("value", given)
        case SharedKind.COUNT | SharedKind.RESCUE_MODES:
            return given


async def read_metrics(call: Call) -> Readings:
    """Numbers about the whole database, as exporters of metrics read them."""
    return await call.calls.metrics.read()


async def examine_database(call: Call) -> Report:
    """What the doctor finds in this database; changes nothing."""
    return await call.calls.examine(deep=call["deep"])


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/retention",
        handler=get_retention,
        tag="Upkeep",
        answer=Shape(about="The state of the retention.", kind=RetentionStatus),
    ),
    Endpoint(
        method="POST",
        path="/retention/prune",
        handler=run_prune,
        tag="Upkeep",
        answer=Shape(about="The run.", kind=PruneRun),
        body=(
            Parameter(
                name="dry_run",
                value=FLAG,
                about="Do the first batch of each class and roll it back.",
                default=False,
                example=True,
            ),
            REASON,
        ),
        act=Action.ARCHIVE_PRUNE,
        rate=Rate.BULK,
        repeat="Runs again, and removes what has become due since.",
    ),
    Endpoint(
        method="GET",
        path="/settings",
        handler=list_settings,
        tag="Upkeep",
        answer=Shape(about="All of them.", kind=StoredSetting, paged=True),
    ),
    Endpoint(
        method="PUT",
        path="/settings/{name}",
        handler=change_setting,
        tag="Upkeep",
        answer=Shape(about="The setting as it is then.", kind=StoredSetting),
        path_inputs=(
            Parameter(
                name="name",
                value=values.word(tuple(SHARED)),
                about="The setting.",
                required=True,
                example="incident_stuck_after",
            ),
        ),
        body=(
            Parameter(
                name="value",
                value=ANY,
                about="Whole seconds of a duration, null for ever; a number; or for `rescue` an object, queue or `*` "
                "-> `automatic` or `operator`.",
                required=True,
                example=600,
            ),
            REASON,
        ),
        act=Action.SETTINGS_CHANGE,
        rate=Rate.CHANGE,
        repeat="The setting stays as it is then; the audit has another record.",
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        handler=read_metrics,
        tag="Upkeep",
        answer=Shape(about="The numbers, and which sources answered.", kind=Readings),
    ),
    Endpoint(
        method="GET",
        path="/doctor",
        handler=examine_database,
        tag="Upkeep",
        within=SLOW,
        answer=Shape(about="The report.", kind=Report),
        query=(
            Parameter(
                name="deep",
                value=FLAG,
                about="Compare every workflow with the invariants; reads everything.",
                default=False,
            ),
        ),
    ),
)
