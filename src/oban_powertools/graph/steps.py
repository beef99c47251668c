"""The steps to draw: plain values, from wherever they were read. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..states import OperatorStatus, StepKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step to draw."""

    workflow_id: int
    """The workflow it belongs to."""

    position: int
    """Its index among the steps of its workflow."""

    name: str
    """Unique in its workflow; any text."""

    parents: Mapping[int, str]
    """Position of a parent -> policy of the edge; ``continue`` is drawn dashed."""

    status: OperatorStatus
    """The operator's word."""

    state: str
    """The raw state, also one that this release does not know."""

    kind: str = StepKind.JOB
    """What it runs on."""

    worker: str | None = None
    """Oban's path of the worker class; None where no job runs."""

    remark: str = ""
    """A few words that follow the operator's, such as ``attempt 3 of 5``."""

    child_id: int | None = None
    """The workflow it runs: a nested one, or the items of a map."""

    inside: Sequence["Step"] = ()
    """The steps of the workflow it runs, where they were read."""

    @property
    def key(self) -> str:
        """Names it among all steps of a drawing: ``workflow id/step name``, as the targets of repairs."""
        return f"{self.workflow_id}/{self.name}"

    @property
    def anchor(self) -> str:
        """Its id in a document."""
        return f"s{self.workflow_id}-{self.position}"

    @property
    def place(self) -> str:
        """The same in a few characters, for an address: ``workflow id.position``."""
        return f"{self.workflow_id}.{self.position}"

    def walk(self) -> Iterator["Step"]:
        """The step, and all steps inside it that were read."""
        yield self
        for step in self.inside:
            yield from step.walk()
