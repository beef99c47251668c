"""The error of a step that a workflow does not have, with the name that may be meant."""

from ..database import Session
from ..errors import StepNotFoundError
from ..spelling import did_you_mean
from ..states import WorkflowId


async def unknown_step(session: Session, workflow_id: WorkflowId, name: str) -> StepNotFoundError:
    """What to raise; reads the names of the workflow's steps."""
    rows = await session.all("known_step_names", {"workflow_id": workflow_id})
    return StepNotFoundError(workflow_id, name, did_you_mean(name, (row["name"] for row in rows)))
