"""Topics: which events a subscriber of a topic gets. No I/O.

The rule that must never break: feed, log and doors agree on the topics of an event.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self, assert_never

from ..arguments import as_text, as_workflow_id, refuse
from ..spelling import did_you_mean
from .notices import ExecutorUpdated, IncidentUpdated, Notice, RepairEnded, RetentionRan
from .types import Event, StepUpdated, WorkflowFinished

type AnyEvent = Event | Notice
"""Whatever is in the log."""

_LONGEST: Final = 2_000
"""Characters of an id: no topic is longer, whatever a door is asked for."""

_EXPECTED: Final = "workflow:all, workflow:ID, incident:all, incident:ID, executor:all, executor:ID or audit:all"


class TopicKind(StrEnum):
    """What a topic is about."""

    WORKFLOW = "workflow"
    INCIDENT = "incident"
    EXECUTOR = "executor"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Some of the events of the log."""

    kind: TopicKind
    """What it is about."""

    subject: str | None = None
    """The id of the only one; None for all."""

    def __str__(self) -> str:
        """Its name, as in ``workflow:42``."""
        return f"{self.kind}:{'all' if self.subject is None else self.subject}"

    @classmethod
    def parse(cls, name: object) -> Self:
        """The topic of a name.

        Raises:
            InvalidArgumentError: There is no such topic.
        """
        text = as_text("topic", name)
        kind, colon, subject = text.partition(":")
        if not colon or kind not in TopicKind or not subject or len(subject) > _LONGEST:
            raise refuse("topic", text, f"{_EXPECTED}{did_you_mean(kind, TopicKind)}")
        if subject == "all":
            return cls(kind=TopicKind(kind))
        numbered = subject.isascii() and subject.isdigit() and subject[0] != "0" and int(subject) < 2**63
        if kind == TopicKind.AUDIT or (kind != TopicKind.EXECUTOR and not numbered):
            raise refuse("topic", text, _EXPECTED)
        return cls(kind=TopicKind(kind), subject=subject)

    def __contains__(self, event: AnyEvent) -> bool:
        """Whether an event is of it."""
        if isinstance(event, StepUpdated | WorkflowFinished):  # there are thousands a second
            return self.kind is TopicKind.WORKFLOW and self.subject in (None, str(event.workflow_id))
        one = topic_of(event)
        return one.kind is self.kind and self.subject in (None, one.subject)


WORKFLOWS: Final = Topic(kind=TopicKind.WORKFLOW)
"""The events of every workflow."""


def of_workflow(workflow_id: object) -> Topic:
    """The events of one workflow."""
    return Topic(kind=TopicKind.WORKFLOW, subject=str(as_workflow_id(workflow_id)))


def topic_of(event: AnyEvent) -> Topic:
    """The narrowest topic of an event."""
    match event:
        case StepUpdated() | WorkflowFinished():
            return Topic(kind=TopicKind.WORKFLOW, subject=str(event.workflow_id))
        case IncidentUpdated():
            return Topic(kind=TopicKind.INCIDENT, subject=str(event.incident_id))
        case ExecutorUpdated():
            return Topic(kind=TopicKind.EXECUTOR, subject=event.executor_id)
        case RepairEnded() | RetentionRan():
            return Topic(kind=TopicKind.AUDIT)
        case _:
            assert_never(event)
