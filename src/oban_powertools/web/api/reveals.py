"""Reveal one value that the display policy hides: an act that changes nothing, and is recorded before it answers."""

from typing import Final

from ...acts import Action
from ...errors import JobNotFoundError, PowertoolsError, StepNotFoundError, WorkflowNotFoundError
from ...operators.revealing import VALUES_OF, Revealed
from ..rates import Rate
from . import values
from .endpoint import Call, CarryOut, Endpoint, Shape
from .jobs import JOB
from .values import Parameter
from .workflows import REASON, WORKFLOW

_STEP: Final = Parameter(
    name="step", value=values.text(most=1000), about="The step; without it the workflow itself.", example="charge"
)


async def reveal_of_job(call: Call) -> Revealed:
    """One value of a job as it is stored, with what the display policy hides of it.

    Of its errors the last. The display policy may refuse it, whoever asks; no agent gets it.
    """
    return await call.calls.jobs.reveal(call["job_id"], **call.reasoned("what"))


async def reveal_of_workflow(call: Call) -> Revealed:
    """One value of a workflow, or of a step, as it is stored, with what the display policy hides of it.

    The `context` is the workflow's; `args`, `result` and `error` are a step's. The display policy may refuse it,
    whoever asks; no agent gets it.
    """
    return await call.calls.workflows.reveal(call["workflow_id"], **call.reasoned("step", "what"))


def _what(*kinds: str) -> Parameter:
    words = [what.value for kind, whats in VALUES_OF.items() if kind in kinds for what in whats]
    return Parameter(name="what", value=values.word(words), about="Which value.", required=True, example=words[0])


def _post(
    path: str, handler: CarryOut, of: Parameter, *body: Parameter, errors: tuple[type[PowertoolsError], ...]
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=path,
        handler=handler,
        tag="Acts",
        answer=Shape(about="The value.", kind=Revealed),
        path_inputs=(of,),
        body=(*body, REASON),
        act=Action.REVEAL_VALUE,
        rate=Rate.CHANGE,
        repeat="Reveals it again, and records that.",
        errors=errors,
    )


ENDPOINTS: Final = (
    _post("/jobs/{job_id}/reveal", reveal_of_job, JOB, _what("job"), errors=(JobNotFoundError,)),
    _post(
        "/workflows/{workflow_id}/reveal",
        reveal_of_workflow,
        WORKFLOW,
        _STEP,
        _what("step", "workflow"),
        errors=(WorkflowNotFoundError, StepNotFoundError),
    ),
)
