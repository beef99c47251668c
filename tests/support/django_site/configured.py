"""Configures Django in this process, once, and points it at a test's database."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg.conninfo import conninfo_to_dict


def configure() -> None:
    """With the zone of this process as it was: Django sets one."""
    zone = os.environ.get("TZ")
    settings.configure(
        SECRET_KEY="for tests",
        DATABASES={
            "default": {"ENGINE": "django.db.backends.postgresql", "NAME": "nowhere"},
            "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.admin",
            "oban_powertools.integrations.django",
            "tests.support.django_site",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ROOT_URLCONF="tests.support.django_site.urls",
        STATIC_URL="static/",
        ALLOWED_HOSTS=["testserver", ".shop.example"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
    )
    django.setup()
    # Names of tables are read from the settings once, as for models: not first in a test that has other settings.
    MigrationLoader(None)
    if zone is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = zone
    time.tzset()


@contextmanager
def pointed_at(dsn: str) -> Iterator[None]:
    """Django's connections are to this database; its name is in ``DATABASES`` as a person would write it."""
    from oban_powertools.integrations.django import powertools
    from oban_powertools.integrations.django.configuration import configuration

    where: dict[str, Any] = conninfo_to_dict(dsn)
    database = connections["default"].settings_dict
    before = dict(database)
    configuration.cache_clear()
    database.update({name: where.get(key, "") for name, key in _KEYS.items()})
    try:
        yield
    finally:
        powertools.close()
        connections.close_all()
        database.clear()
        database.update(before)
        configuration.cache_clear()


_KEYS = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
