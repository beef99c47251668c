"""Webhooks: endpoints, their secrets and their deliveries. A ping is sent by the command line only."""

from collections.abc import Callable
from typing import Any, Final

from ...acts import Action
from ...errors import CursorExpiredError, WebhookDeliveryNotFoundError, WebhookNotFoundError
from ...webhooks import EVENT_TYPES, DeliveryState, Format, IssuedSecret, WebhookDelivery, WebhookEndpoint, WebhookHour
from ..rates import Rate
from . import values
from .endpoint import BEFORE, LIMIT, Call, Endpoint, Reply, Shape, cut_page, page
from .values import FLAG, ID, PLACE, PROSE, SECONDS, TEXTS, Parameter
from .workflows import REASON

_ENDPOINT: Final = Parameter(name="endpoint_id", value=ID, about="The endpoint.", required=True, example="1")
_DESCRIPTION: Final = Parameter(name="description", value=PROSE, about="Your own description.")
_TYPES: Final = Parameter(
    name="types",
    value=TEXTS,
    about=f"Only these events; without it the default of the format. Known: {', '.join(EVENT_TYPES)}.",
    example=["workflow.finished"],
)
_NAME: Final = Parameter(name="workflow_name", value=values.text(most=1000), about="Only of workflows of this name.")
_CONSOLE: Final = Parameter(
    name="console_url", value=values.text(most=2000), about="Where an operator finds what is told of."
)
_SECRETS: Final = (
    Parameter(
        name="secret", value=values.text(most=1000), about="One that the receiver has; without it a new one is made."
    ),
    Parameter(
        name="secret_from_env", value=values.text(most=200), about="The variable that holds it wherever deliveries run."
    ),
)
_PRIVATE: Final = "Permit plain HTTP, and addresses that are not public."


async def list_webhooks(call: Call) -> Any:
    """Every endpoint, the oldest first."""
    return page(await call.calls.webhooks.list(), None)


async def tally_webhooks(call: Call) -> Any:
    """What became of the deliveries of every endpoint, hour by hour."""
    return page(await call.calls.webhooks.outcomes(hours=call["hours"]), None)


async def add_webhook(call: Call) -> Reply:
    """Add an endpoint: send events to a URL from now on. The secret is shown this once."""
    names = ("description", "types", "workflow_name", "allow_private", "secret", "secret_from_env", "format")
    issued = await call.calls.webhooks.add(call["url"], **call.reasoned(*names, "console_url", "since"))
    return Reply(value=issued, status=201, location=f"/webhooks/{issued.endpoint.id}")


async def get_webhook(call: Call) -> WebhookEndpoint:
    """One endpoint."""
    return await call.calls.webhooks.get(call["endpoint_id"])


async def update_webhook(call: Call) -> WebhookEndpoint:
    """Change the given fields; deliveries that wait for their next attempt are tried at once."""
    names = ("url", "description", "types", "workflow_name", "any_workflow", "allow_private", "console_url")
    return await call.calls.webhooks.update(call["endpoint_id"], **call.reasoned(*names))


async def enable_webhook(call: Call) -> WebhookEndpoint:
    """Send events to it again."""
    return await call.calls.webhooks.enable(call["endpoint_id"], **call.reasoned())


async def disable_webhook(call: Call) -> WebhookEndpoint:
    """Send nothing to it."""
    return await call.calls.webhooks.disable(call["endpoint_id"], **call.reasoned())


async def remove_webhook(call: Call) -> Any:
    """Remove an endpoint with its deliveries."""
    await call.calls.webhooks.remove(call["endpoint_id"], **call.reasoned())
    return {"removed": True}


async def rotate_webhook_secret(call: Call) -> IssuedSecret:
    """Sign with a new secret, and for a while also with the old one."""
    names = ("keep_old_for", "secret", "secret_from_env")
    return await call.calls.webhooks.rotate_secret(call["endpoint_id"], **call.reasoned(*names))


async def replay_webhook(call: Call) -> Any:
    """Send deliveries that were given up again: one, or all of them."""
    cursor = call.values.get("cursor")
    count = await call.calls.webhooks.replay(call["endpoint_id"], cursor, **call.reasoned())
    return {"replayed": count}


async def list_deliveries(call: Call) -> Any:
    """The deliveries of an endpoint, newest first."""
    limit = call["limit"]
    found = await call.calls.webhooks.deliveries(call["endpoint_id"], **call.only("state", "before"), limit=limit + 1)
    return cut_page(found, limit, lambda delivery: delivery.cursor)


def _post(
    word: str, handler: Callable[..., Any], answer: Shape, repeat: str, *body: Parameter, errors: tuple[Any, ...] = ()
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/webhooks/{{endpoint_id}}/{word}",
        handler=handler,
        tag="Webhooks",
        answer=answer,
        path_inputs=(_ENDPOINT,),
        body=(*body, REASON),
        act=Action.MANAGE_WEBHOOKS,
        rate=Rate.CHANGE,
        repeat=repeat,
        errors=(WebhookNotFoundError, *errors),
    )


_SAME: Final = "The endpoint stays as it is then; the audit has another record."
_IS: Final = Shape(about="The endpoint as it is then.", kind=WebhookEndpoint)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/webhooks",
        handler=list_webhooks,
        tag="Webhooks",
        answer=Shape(about="All of them.", kind=WebhookEndpoint, paged=True),
    ),
    Endpoint(
        method="POST",
        path="/webhooks",
        handler=add_webhook,
        tag="Webhooks",
        answer=Shape(about="The endpoint with its secret.", kind=IssuedSecret, statuses=(201,)),
        body=(
            Parameter(
                name="url",
                value=values.text(most=2000),
                about="Where to.",
                required=True,
                example="https://hooks.example.com/powertools",
            ),
            _DESCRIPTION,
            _TYPES,
            _NAME,
            Parameter(name="allow_private", value=FLAG, about=_PRIVATE),
            *_SECRETS,
            Parameter(name="format", value=values.word(Format), about="What is sent; without it `cloudevents`."),
            _CONSOLE,
            Parameter(name="since", value=PLACE, about="Begin after this event; without it with the next one."),
            REASON,
        ),
        act=Action.MANAGE_WEBHOOKS,
        rate=Rate.CHANGE,
        repeat="Adds another endpoint.",
        errors=(CursorExpiredError,),
    ),
    Endpoint(
        method="GET",
        path="/webhooks/outcomes",
        handler=tally_webhooks,
        tag="Webhooks",
        answer=Shape(about="Only hours in which something was delivered or given up.", kind=WebhookHour, paged=True),
        query=(
            Parameter(name="hours", value=values.count(most=72), about="So many, with the one that runs.", default=24),
        ),
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{endpoint_id}",
        handler=get_webhook,
        tag="Webhooks",
        answer=Shape(about="The endpoint.", kind=WebhookEndpoint, tagged=True),
        path_inputs=(_ENDPOINT,),
        errors=(WebhookNotFoundError,),
    ),
    Endpoint(
        method="PATCH",
        path="/webhooks/{endpoint_id}",
        handler=update_webhook,
        tag="Webhooks",
        answer=_IS,
        path_inputs=(_ENDPOINT,),
        body=(
            Parameter(name="url", value=values.text(most=2000), about="Where to."),
            _DESCRIPTION,
            _TYPES,
            _NAME,
            Parameter(name="any_workflow", value=FLAG, about="Of workflows of any name from now on."),
            Parameter(name="allow_private", value=FLAG, about=_PRIVATE),
            _CONSOLE,
            REASON,
        ),
        act=Action.MANAGE_WEBHOOKS,
        rate=Rate.CHANGE,
        repeat=_SAME,
        errors=(WebhookNotFoundError,),
    ),
    _post("enable", enable_webhook, _IS, _SAME),
    _post("disable", disable_webhook, _IS, _SAME),
    _post(
        "remove",
        remove_webhook,
        Shape(about="It is gone.", extra={"removed": bool}),
        "Answers 404: there is none any more.",
    ),
    _post(
        "rotate-secret",
        rotate_webhook_secret,
        Shape(about="The endpoint with its secret, which is shown this once.", kind=IssuedSecret),
        "Makes another secret.",
        Parameter(
            name="keep_old_for_seconds",
            value=SECONDS,
            about="How long the old one signs too; without it a day.",
            to="keep_old_for",
        ),
        *_SECRETS,
    ),
    _post(
        "replay",
        replay_webhook,
        Shape(about="How many deliveries are sent again.", extra={"replayed": int}),
        "Sends those again that were given up since.",
        Parameter(
            name="cursor", value=PLACE, about="Only the delivery of this event; without it all that were given up."
        ),
        errors=(WebhookDeliveryNotFoundError,),
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{endpoint_id}/deliveries",
        handler=list_deliveries,
        tag="Webhooks",
        answer=Shape(about="A page of deliveries.", kind=WebhookDelivery, paged=True),
        path_inputs=(_ENDPOINT,),
        query=(Parameter(name="state", value=values.word(DeliveryState), about="Only in this state."), BEFORE, LIMIT),
        errors=(WebhookNotFoundError,),
    ),
)
