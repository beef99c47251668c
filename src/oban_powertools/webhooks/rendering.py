"""Alerts as their receivers take them: a text for chat, an event of PagerDuty's, an alert of Alertmanager's. No I/O.

Source: PagerDuty, Events API v2; Alertmanager, openapi.yaml of its API v2; the incoming webhooks of Slack, which
Mattermost, Rocket.Chat and Google Chat take too. The rule that must never break: no field is sent that a receiver does
not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, assert_never
from uuid import uuid4

from ..events.notices import IncidentUpdated, RepairEnded, describe_notice
from ..events.topics import AnyEvent
from ..events.types import StepUpdated, WorkflowFinished
from ..wire import rfc3339, to_json
from .alerts import Alert, AlertAction
from .formats import Format

_LONGEST_TEXT: Final = 3000
"""Characters of a text for chat; Slack cuts at 40,000 and advises 4,000."""

_LONGEST_SUMMARY: Final = 1024
"""Characters, as PagerDuty bounds them."""

_LONGEST_KEY: Final = 255
"""Characters, as PagerDuty bounds them."""

_FIRING_FOR: Final = timedelta(days=365)
"""Until when Alertmanager believes in an alert that it does not hear of again. What is over is told."""

_CLIENT: Final = "Powertools"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSource:
    """Whose alerts they are."""

    name: str
    """The setting ``webhook_source``: it tells one database from another."""

    console_url: str | None
    """Where an operator finds what is told of."""


def alert_message(form: Format, alert: Alert, source: AlertSource) -> dict[str, Any] | None:
    """The message as it is stored, its body beside what names it; None where the receiver has no such thing."""
    body = _body(form, alert, source)
    return (
        None if body is None else _message(f"oban_powertools.{alert.type}", alert.subject, alert.newest.timestamp, body)
    )


def ping_body(form: Format, source: AlertSource) -> dict[str, Any] | list[dict[str, Any]]:
    """What says nothing and wakes nobody."""
    now = datetime.now(UTC)
    match form:
        case Format.PAGERDUTY:
            return {"event_action": "resolve", "dedup_key": _key(source, "ping")}
        case Format.ALERTMANAGER:
            return [_alertmanager("ping", "ping", "a test, which is over", now, now, source, None)]
        case Format.CHAT | Format.CLOUDEVENTS:
            return {"text": f"A test of Powertools, {source.name}"}
        case _:
            assert_never(form)


def missed_message(form: Format, *, missed: int) -> dict[str, Any] | None:
    """That so many events were removed before they could be told of; None where the receiver has no such thing."""
    if form is not Format.CHAT:
        return None
    text = f"{missed} events of Powertools were removed from its log before they could be told of here"
    return _message("oban_powertools.events.missed", "events", datetime.now(UTC), {"text": text})


def ping_message(form: Format, source: AlertSource) -> dict[str, Any]:
    """The message of a test."""
    return _message("oban_powertools.ping", "ping", datetime.now(UTC), ping_body(form, source))


def _message(kind: str, subject: str, at: datetime, body: Any) -> dict[str, Any]:
    return {"id": f"msg_{uuid4().hex}", "type": kind, "subject": subject, "time": rfc3339(at), "body": body}


def _body(form: Format, alert: Alert, source: AlertSource) -> dict[str, Any] | list[dict[str, Any]] | None:
    match form:
        case Format.CHAT:
            lines = [_text(alert), *filter(None, [_link(alert, source)])]
            return {"text": _escaped("\n".join(lines))}
        case Format.PAGERDUTY:
            return _pagerduty(alert, source)
        case Format.ALERTMANAGER:
            return _alertmanager_of(alert, source)
        case Format.CLOUDEVENTS:
            raise AssertionError("a CloudEvent tells of one event: event_message")
        case _:
            assert_never(form)


def _text(alert: Alert) -> str:
    """One sentence for people."""
    newest, many = alert.newest, len(alert.events)
    if alert.storm is not None and isinstance(newest, IncidentUpdated):
        if alert.action is AlertAction.RESOLVE:
            since = alert.storm.since.strftime("%Y-%m-%d %H:%M")
            return f"All incidents of class {newest.incident_class} that opened since {since} UTC are over"
        if not newest.unmuted:
            return f"{many} incidents of class {newest.incident_class} opened, {_example(newest)}"
    if isinstance(newest, IncidentUpdated) and many > 1:
        became = "are muted no more" if newest.unmuted else newest.change
        return f"{many} incidents of class {newest.incident_class} {became}, {_example(newest)}"
    if many > 1:
        return f"{many} times {alert.type}, lastly {_sentence(newest)}"
    return _sentence(newest)


def _example(incident: IncidentUpdated) -> str:
    return f"such as {incident.incident_id}: {incident.title}"


def _sentence(event: AnyEvent) -> str:
    match event:
        case IncidentUpdated() if event.unmuted:
            return f"Incident {event.incident_id} is muted no more, and active: {event.title}"
        case IncidentUpdated():
            by = f" by {event.actor}" if event.actor else ""
            because = f", because {event.because}" if event.because else ""
            return f"Incident {event.incident_id} {event.change}{by}: {event.title}{because}"
        case StepUpdated():
            error = f": {event.error}" if event.error else ""
            return (
                f"Step {event.step_name} of workflow {event.workflow_id} {event.workflow_label} {event.change}{error}"
            )
        case WorkflowFinished():
            return f"Workflow {event.workflow_id} {event.workflow_label} finished: {event.outcome}"
        case RepairEnded():
            return f"Repair {event.outcome}: {', '.join(describe_notice(event))}"
        case _:
            return f"{event.type.replace('_', ' ').capitalize()}: {', '.join(describe_notice(event))}"


def _link(alert: Alert, source: AlertSource) -> str | None:
    """Where an operator finds it; None without a console."""
    if source.console_url is None:
        return None
    newest = alert.newest
    base = source.console_url.rstrip("/")
    if isinstance(newest, IncidentUpdated):
        return f"{base}/incidents/{newest.incident_id}" if alert.storm is None else f"{base}/incidents"
    if isinstance(newest, StepUpdated | WorkflowFinished):
        return f"{base}/workflows/{newest.workflow_id}"
    return base


def _escaped(text: str) -> str:
    """As chats take it: what they read as commands is none of ours."""
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _key(source: AlertSource, of: str) -> str:
    whole = f"{source.name}:{of}"
    if len(whole) <= _LONGEST_KEY:
        return whole
    return f"{whole[: _LONGEST_KEY - 33]}~{sha256(whole.encode()).hexdigest()[:32]}"


def _pagerduty(alert: Alert, source: AlertSource) -> dict[str, Any]:
    body: dict[str, Any] = {"event_action": alert.action.value, "dedup_key": _key(source, alert.key)}
    newest = alert.newest
    if alert.action is not AlertAction.TRIGGER or not isinstance(newest, IncidentUpdated):
        return body
    body["payload"] = {
        "summary": _text(alert)[:_LONGEST_SUMMARY],
        "timestamp": rfc3339(newest.timestamp),
        "severity": "error",
        "source": source.name,
        "component": newest.subject_id[:_LONGEST_SUMMARY],
        "group": newest.subject_type,
        "class": newest.incident_class,
        "custom_details": _details(newest, alert),
    }
    body["client"] = _CLIENT
    if link := _link(alert, source):
        body |= {"client_url": link, "links": [{"href": link, "text": "in the console"}]}
    return body


def _details(newest: IncidentUpdated, alert: Alert) -> dict[str, Any]:
    of_one = {"incident_id": newest.incident_id, "fingerprint": newest.fingerprint, "count": newest.count}
    of_one |= {"waiting_workflows": newest.waiting_workflows, "waiting_steps": newest.waiting_steps}
    return to_json(of_one) if alert.storm is None else {"incidents": len(alert.events), "open": alert.storm.open}


def _alertmanager_of(alert: Alert, source: AlertSource) -> list[dict[str, Any]] | None:
    newest = alert.newest
    if alert.action is AlertAction.ACKNOWLEDGE or not isinstance(newest, IncidentUpdated):
        return None
    starts_at = newest.opened_at if alert.storm is None else alert.storm.since
    ends_at = newest.timestamp if alert.action is AlertAction.RESOLVE else starts_at + _FIRING_FOR
    one = _alertmanager(
        newest.incident_class, alert.key, _text(alert), starts_at, ends_at, source, _link(alert, source)
    )
    return [one]


def _alertmanager(
    incident_class: str,
    key: str,
    summary: str,
    starts_at: datetime,
    ends_at: datetime,
    source: AlertSource,
    link: str | None,
) -> dict[str, Any]:
    # What is in the labels names the alert: nothing that changes while it lasts.
    labels = {"alertname": "PowertoolsIncident", "severity": "error", "incident_class": incident_class}
    alert: Mapping[str, Any] = {
        "labels": {**labels, "key": _key(source, key), "source": source.name},
        "annotations": {"summary": summary},
        "startsAt": rfc3339(starts_at),
        "endsAt": rfc3339(ends_at),
    }
    return {**alert, "generatorURL": link} if link else dict(alert)
