"""The setting ``OBAN_POWERTOOLS`` is checked, and the DSN is the one of ``DATABASES``."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict

from oban_powertools import Settings
from oban_powertools.integrations.django import find_dsn
from oban_powertools.integrations.django.configuration import configuration
from oban_powertools.privacy.display import DisplayPolicy

DISPLAY = DisplayPolicy()


def may(*_: object) -> bool:
    return True


def test_every_key_may_be_missing() -> None:
    with override_settings(OBAN_POWERTOOLS={}):
        said = configuration()

    assert (said.database, said.queues, said.workers, said.settings) == ("default", {}, None, Settings())
    assert said.console.path == "/ops/jobs"


def test_every_key_is_read() -> None:
    here = "tests.integrations.django.test_configuration"
    setting = {
        "DATABASE": "default",
        "SCHEMA": "flows",
        "PREFIX": "jobs",
        "QUEUES": {"mail": 5},
        "WORKERS": ["shop.workers"],
        "SETTINGS": {"sweep_every": timedelta(seconds=2)},
        "AUTHORIZE": f"{here}.may",
        "DISPLAY": f"{here}.DISPLAY",
        "CONSOLE": {"PATH": "/jobs", "NAME": "shop", "ENVIRONMENT": "Production", "READ_ONLY": True},
    }
    with override_settings(OBAN_POWERTOOLS=setting):
        said = configuration()

    assert (said.names.schema, said.names.prefix) == ("flows", "jobs")
    assert (said.queues, said.workers) == ({"mail": 5}, ("shop.workers",))
    assert said.settings.sweep_every == timedelta(seconds=2)
    assert isinstance(said.display, DisplayPolicy)
    assert (said.console.path, said.console.name, said.console.read_only) == ("/jobs", "shop", True)


WRONG: dict[str, tuple[Any, str]] = {
    "no dict": ([], r"OBAN_POWERTOOLS is \[\]; expected a dict"),
    "unknown key": ({"QUEUE": {}}, r"a dict with 'QUEUE'; expected only DATABASE, SCHEMA"),
    "unknown alias": (
        {"DATABASE": "jobs"},
        r"\['DATABASE'\] is 'jobs'; expected an alias of DATABASES: default, other",
    ),
    "schema": ({"SCHEMA": "Flows"}, r"\['SCHEMA'\] is 'Flows'; expected a lower-case name"),
    "queues": ({"QUEUES": {"a": 0}}, r"\['QUEUES'\] is \{'a': 0\}; expected queue -> how many"),
    "a queue's type": ({"QUEUES": ["a"]}, r"\['QUEUES'\] is \['a'\]; expected queue -> how many"),
    "workers": ({"WORKERS": "shop.jobs"}, r"\['WORKERS'\] is 'shop\.jobs'; expected a list of modules"),
    "a setting": ({"SETTINGS": {"sweep": 1}}, r"\['SETTINGS'\] is a dict with 'sweep'; expected only payload_limit"),
    "a setting's value": ({"SETTINGS": {"pool_size": 0}}, r"\['SETTINGS'\]\['pool_size'\] is 0; expected"),
    "authorize": ({"AUTHORIZE": may}, r"\['AUTHORIZE'\] is <function.*; expected a dotted path"),
    "no such module": ({"AUTHORIZE": "shop.nobody.may"}, r"'shop\.nobody\.may', which cannot be imported"),
    "no such name": ({"AUTHORIZE": "os.may"}, r"expected a name of the module os after the last dot"),
    "not callable": ({"AUTHORIZE": "os.sep"}, r"expected the dotted path of a function"),
    "display": ({"DISPLAY": "os.sep"}, r"\['DISPLAY'\] is 'os\.sep'; expected the dotted path of a DisplayPolicy"),
    "console": ({"CONSOLE": {"PATHS": ""}}, r"\['CONSOLE'\] is a dict with 'PATHS'; expected only PATH"),
    "path": ({"CONSOLE": {"PATH": "ops/"}}, r"\['CONSOLE'\]\['PATH'\] is 'ops/'; expected a path as /ops/jobs"),
    "read only": ({"CONSOLE": {"READ_ONLY": "yes"}}, r"\['CONSOLE'\]\['READ_ONLY'\] is 'yes'"),
}


@pytest.mark.parametrize(("setting", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_work_is_told_by_the_check_and_at_the_call(setting: Any, sentence: str) -> None:
    with override_settings(OBAN_POWERTOOLS=setting):
        told = [error.msg for error in run_checks() if error.id == "powertools.E001"]
        with pytest.raises(ImproperlyConfigured, match=sentence) as caught:
            configuration()

    assert told == [str(caught.value)]


DSNS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "everything": (
        {"NAME": "shop", "USER": "app", "PASSWORD": "p w'd\\", "HOST": "db", "PORT": 5433},
        {"dbname": "shop", "user": "app", "password": "p w'd\\", "host": "db", "port": "5433"},
    ),
    "ssl": (
        {"NAME": "shop", "OPTIONS": {"sslmode": "verify-full", "sslrootcert": Path("/etc/ca.pem")}},
        {"dbname": "shop", "sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"},
    ),
    "a service": ({"NAME": "", "OPTIONS": {"service": "shop"}}, {"service": "shop"}),
    "what is Django's alone": (
        {"NAME": "shop", "OPTIONS": {"pool": {"max_size": 4}, "server_side_binding": True, "isolation_level": 3}},
        {"dbname": "shop"},
    ),
    "a role": (
        {"NAME": "shop", "OPTIONS": {"assume_role": "shop owner", "options": "-c jit=off"}},
        {"dbname": "shop", "options": r"-c jit=off -c role=shop\ owner"},
    ),
}


@pytest.mark.parametrize(("database", "expected"), DSNS.values(), ids=DSNS.keys())
def test_the_dsn_is_what_django_connects_with(
    database: dict[str, Any], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = connections["default"].settings_dict
    for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
        monkeypatch.setitem(settings, key, database.get(key, ""))
    monkeypatch.setitem(settings, "OPTIONS", database.get("OPTIONS", {}))

    assert conninfo_to_dict(find_dsn()) == expected
