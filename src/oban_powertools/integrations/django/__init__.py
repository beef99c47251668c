"""A Django app: migrations, calls on Django's connections, ``manage.py powertools``, the console with Django's login.

Needs the extra ``django`` (5.2 or newer, on psycopg 3). Nothing here imports models: Django imports this module before
its apps are ready. The rule that must never break: what a call writes inside ``transaction.atomic()`` is committed or
rolled back with it.
"""

from ...errors import ExtraMissingError

try:
    from .actors import DjangoUser, actor_for
    from .calls import DjangoCalls, enqueue, powertools
    from .configuration import find_dsn
except ModuleNotFoundError as _error:
    if (_error.name or "").startswith("oban_powertools"):
        raise
    raise ExtraMissingError("django", _error.name or "") from _error

__all__ = ["DjangoCalls", "DjangoUser", "actor_for", "enqueue", "find_dsn", "powertools"]
