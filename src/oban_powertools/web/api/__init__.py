"""The JSON API, ``/api/v1`` of the console: the same calls, actor and policy as its pages.

``endpoints`` has one row for each method and path; routes, the OpenAPI document and the tests are made of it. The rule
that must never break: what an endpoint answers has passed the display policy.
"""

from .app import Api
from .openapi import document

__all__ = ["Api", "document"]
