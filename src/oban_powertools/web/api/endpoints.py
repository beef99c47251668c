"""Every endpoint of the API, in the order in which paths are compared."""

from typing import Final

from . import (
    acts,
    audit,
    bulks,
    events,
    incidents,
    jobs,
    previews,
    queues,
    retention,
    reveals,
    signals,
    webhooks,
    workflows,
)
from .endpoint import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *workflows.ENDPOINTS,
    *jobs.ENDPOINTS,
    *queues.ENDPOINTS,
    *signals.ENDPOINTS,
    *incidents.ENDPOINTS,
    *previews.ENDPOINTS,
    *bulks.ENDPOINTS,
    *acts.ENDPOINTS,
    *reveals.ENDPOINTS,
    *audit.ENDPOINTS,
    *events.ENDPOINTS,
    *retention.ENDPOINTS,
    *webhooks.ENDPOINTS,
)

ROOT: Final = "/api/v1"
"""Where they are, below the console."""

DOCUMENT: Final = f"{ROOT}/openapi.json"
"""Where this API describes itself."""
