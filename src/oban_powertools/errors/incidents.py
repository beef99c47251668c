"""What an operator met who handles incidents."""

from .commands import CommandRefusedError, NotFoundError


class IncidentNotFoundError(NotFoundError):
    """No incident has this id or fingerprint."""

    code = "incident_not_found"

    def __init__(self, incident: str) -> None:
        super().__init__(incident)
        self.incident = incident

    def __str__(self) -> str:
        return f"incident {self.incident} does not exist: powertools incidents list shows those that do"


class IncidentResolvedError(CommandRefusedError):
    """The incident is over; it can be noted and assigned, and reopens by itself."""

    code = "incident_resolved"

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint)
        self.fingerprint = fingerprint

    def __str__(self) -> str:
        return f"incident {self.fingerprint} is resolved: there is nothing to acknowledge or mute"
