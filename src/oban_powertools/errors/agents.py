"""Errors of the door of agents."""

from .commands import CommandRefusedError


class ExecutionDisabledError(CommandRefusedError):
    """An agent asked for an execution that nobody switched on."""

    code = "execution_disabled"
    sentence = (
        "agents may not execute repairs here: a person does, or starts the server with powertools mcp --allow-execute"
    )


class NotConfirmedError(CommandRefusedError):
    """A person was to confirm what an agent asked for, and did not."""

    code = "not_confirmed"
    sentence = "{action} was not executed: {why}; a person can execute it with powertools repair, or in the console"

    action: str
    why: str
