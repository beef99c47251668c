"""From events to messages for people: one for each incident and change of its state, one for a storm, none while muted.

A storm is more than five incidents of one class that open at once. It is one alert, from the first of them until the
last is over; what else happens to each of them is not told. No I/O. The rule that must never break: what was told as
open is told once when it is over.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from ..events.notices import IncidentChange, IncidentUpdated
from ..events.topics import AnyEvent
from ..events.types import Cursor
from .cloudevents import subject_of, type_of

MOST_ALONE: Final = 5
"""Events of one kind at once that have a message each."""

_OPENING: Final = (IncidentChange.OPENED, IncidentChange.REOPENED)
_OPENING_TYPES: Final = frozenset(f"incident.{change}" for change in _OPENING)


class AlertAction(StrEnum):
    """What a message asks of its receiver."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    TELL = "tell"
    """Nothing but to show it."""


_ACTIONS: Final = {
    IncidentChange.OPENED: AlertAction.TRIGGER,
    IncidentChange.REOPENED: AlertAction.TRIGGER,
    IncidentChange.CHANGED: AlertAction.TRIGGER,
    IncidentChange.ACKNOWLEDGED: AlertAction.ACKNOWLEDGE,
    IncidentChange.RESOLVED: AlertAction.RESOLVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """Incidents of one class that were told in one message."""

    since: datetime
    """Since when: those that opened later are of it."""

    open: int
    """How many of them are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message."""

    action: AlertAction
    """What it asks of its receiver."""

    events: tuple[AnyEvent, ...]
    """What it tells of, oldest first; at least one."""

    storm: Storm | None = None
    """Of incidents: the storm that it is about, as a whole."""

    @property
    def newest(self) -> AnyEvent:
        """The newest event that it tells of."""
        return self.events[-1]

    @property
    def cursor(self) -> Cursor:
        """Of its newest event; no other message of the endpoint has it."""
        return self.newest.cursor

    @property
    def type(self) -> str:
        """The type of its events."""
        return type_of(self.newest)

    @property
    def unmuted(self) -> bool:
        """Whether it tells of incidents whose mute has ended."""
        return isinstance(self.newest, IncidentUpdated) and self.newest.unmuted

    def is_asked_for(self, types: frozenset[str], *, bundled: bool) -> bool:
        """Whether an endpoint with these types gets it.

        Who is told of what opens is told when its mute has ended, and who keeps what is open when it is over.
        """
        over = self.action is AlertAction.RESOLVE and not bundled
        return self.type in types or ((self.unmuted or over) and not types.isdisjoint(_OPENING_TYPES))

    @property
    def subject(self) -> str:
        """What it is about: one thing, or a class of incidents."""
        newest = self.newest
        if len(self.events) == 1 and self.storm is None:
            return subject_of(newest)
        return f"incidents/{newest.incident_class}" if isinstance(newest, IncidentUpdated) else self.type

    @property
    def key(self) -> str:
        """What its receiver knows the same alert by, from its trigger to its end."""
        newest = self.newest
        if isinstance(newest, IncidentUpdated) and self.storm is None:
            return newest.fingerprint
        return f"storm:{newest.incident_class}" if isinstance(newest, IncidentUpdated) else self.type


def alerts_of(
    events: Sequence[AnyEvent], storms: Mapping[str, Storm], *, bundled: bool
) -> tuple[list[Alert], dict[str, Storm]]:
    """The messages that tell of a page of the log, in the order of their cursors, and the storms after it.

    Args:
        events: Whole batches, in the order of their cursors.
        storms: Class of incidents -> its storm, before.
        bundled: Whether more than five events of one kind are one message too; else each alert is ended by its own.
    """
    incidents = [event for event in events if isinstance(event, IncidentUpdated)]
    now = _with_new_storms(incidents, storms)
    of_storms: defaultdict[str, list[IncidentUpdated]] = defaultdict(list)
    alone: list[AnyEvent] = []
    for event in events:
        if isinstance(event, IncidentUpdated) and _is_of(event, now):
            of_storms[event.incident_class].append(event)
        elif not (isinstance(event, IncidentUpdated) and event.muted and not _ends_an_alert(event, bundled=bundled)):
            alone.append(event)
    alerts = _bundle(alone) if bundled else [_single(event) for event in alone]
    for incident_class, found in of_storms.items():
        told, now[incident_class] = _tell_storm(found, now[incident_class])
        alerts += told
    after = {name: storm for name, storm in now.items() if storm.open > 0}
    return sorted(alerts, key=lambda alert: alert.cursor), after


def _with_new_storms(incidents: Sequence[IncidentUpdated], storms: Mapping[str, Storm]) -> dict[str, Storm]:
    opening = [event for event in incidents if event.change in _OPENING]
    heard = Counter(event.incident_class for event in opening if not event.muted)
    new = {
        name: Storm(since=min(event.opened_at for event in opening if event.incident_class == name), open=0)
        for name, many in heard.items()
        if many > MOST_ALONE and name not in storms
    }
    return {**storms, **new}


def _is_of(event: IncidentUpdated, storms: Mapping[str, Storm]) -> bool:
    storm = storms.get(event.incident_class)
    return storm is not None and event.opened_at >= storm.since


def _ends_an_alert(event: IncidentUpdated, *, bundled: bool) -> bool:
    """Whether a receiver that keeps what is open waits for it, though the incident was muted meanwhile."""
    return event.change is IncidentChange.RESOLVED and not bundled


def _tell_storm(found: Sequence[IncidentUpdated], storm: Storm) -> tuple[list[Alert], Storm]:
    opened = [event for event in found if event.change in _OPENING]
    over = [event for event in found if event.change is IncidentChange.RESOLVED]
    after = replace(storm, open=storm.open + len(opened) - len(over))
    alerts: list[Alert] = []
    unmuted = [event for event in found if event.unmuted]
    heard = [tuple(event for event in several if not event.muted) for several in (opened, unmuted)]
    alerts += [Alert(action=AlertAction.TRIGGER, events=several, storm=after) for several in heard if several]
    if over and after.open <= 0:
        alerts.append(Alert(action=AlertAction.RESOLVE, events=tuple(over), storm=after))
    return alerts, after


def _bundle(events: Sequence[AnyEvent]) -> list[Alert]:
    alike: defaultdict[tuple[str, str, bool], list[AnyEvent]] = defaultdict(list)
    for event in events:
        of, unmuted = (event.incident_class, event.unmuted) if isinstance(event, IncidentUpdated) else ("", False)
        alike[type_of(event), of, unmuted].append(event)
    alerts: list[Alert] = []
    for several in alike.values():
        if len(several) > MOST_ALONE:
            alerts.append(replace(_single(several[-1]), events=tuple(several)))
        else:
            alerts += [_single(event) for event in several]
    return alerts


def _single(event: AnyEvent) -> Alert:
    action = _ACTIONS[event.change] if isinstance(event, IncidentUpdated) else AlertAction.TELL
    return Alert(action=action, events=(event,))
