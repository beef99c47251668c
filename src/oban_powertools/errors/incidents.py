"""Errors of acknowledging, assigning, noting and muting incidents."""

from typing import ClassVar

from .commands import CommandRefusedError, NotFoundError


class IncidentNotFoundError(NotFoundError):
    """No incident has this id or fingerprint."""

    code = "incident_not_found"
    names: ClassVar[tuple[str, ...]] = ("incident", "incident")
    sentence = "incident {incident} does not exist: powertools incidents list shows those that do"

    incident: str


class IncidentResolvedError(CommandRefusedError):
    """The incident is over; it can be noted and assigned, and reopens by itself."""

    code = "incident_resolved"
    sentence = "incident {fingerprint} is resolved: there is nothing to acknowledge or mute"

    fingerprint: str
