"""Django in this process, on a database of the test's own."""

from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.support.django_site.configured import configure, pointed_at

if not settings.configured:
    configure()


@pytest.fixture
def migrated(dsn: str) -> Iterator[str]:
    """A database with both schemas and Django's own tables."""
    from django.core.management import call_command

    with pointed_at(dsn):
        call_command("migrate", verbosity=0)
        yield dsn
