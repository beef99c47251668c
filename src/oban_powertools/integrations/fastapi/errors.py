"""Answer our errors as problems (RFC 9457), by the one table that the console and its API answer by."""

import secrets
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from ...errors import PowertoolsError
from ...privacy.logs import find_logger
from ...web.answers import find_problem
from ...web.api.problems import answer_problem

logger: Final = find_logger(__name__)


def handle_errors(app: FastAPI) -> None:
    """Answer each ``PowertoolsError`` that leaves a path function: 404, 403, 409, 422 and so on, as in the API.

    Errors of the configuration, which are the host's own, are logged and answered with 500.
    """
    app.add_exception_handler(PowertoolsError, answer_error)


async def answer_error(request: Request, error: Exception) -> Response:
    """The problem of an error, with ``X-Request-Id`` as the request brought it, or a new one."""
    request_id = request.headers.get("x-request-id") or secrets.token_hex(8)
    problem = find_problem(error)
    assert problem is not None, "every PowertoolsError has its status"
    if problem.status == 500:
        logger.error("%s %s failed (request %s)", request.method, request.url.path, request_id, exc_info=error)
    return answer_problem(problem, request_id, error, {"X-Request-Id": request_id})
