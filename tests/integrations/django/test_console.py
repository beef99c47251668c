"""The console beside Django: who gets in, with which name, and to which hosts it answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.handlers.asgi import ASGIHandler
from django.test import Client, override_settings

from oban_powertools.integrations.django import powertools
from oban_powertools.integrations.django.asgi import console_application, with_console

pytestmark = pytest.mark.usefixtures("migrated")


@contextmanager
def signed_in(*permissions: str, active: bool = True) -> Iterator[dict[str, str]]:
    """The cookies of somebody with these permissions."""
    user = User.objects.create_user("ada", "ada@shop.example", "pw")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    User.objects.update(is_active=active)
    yield {name: morsel.value for name, morsel in browser.cookies.items()}


def ask(*requests: tuple[str, str, dict[str, Any]], **cookies: str) -> list[httpx.Response]:
    """The answers of the application to requests, one after the other."""

    async def asked() -> list[httpx.Response]:
        application: Any = with_console(ASGIHandler())
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver", cookies=cookies) as browser:
            answers = [await browser.request(method, path, **options) for method, path, options in requests]
        await closed(application)
        return answers

    return async_to_sync(asked)()


async def closed(application: Any) -> list[str]:
    """End its life as a server does."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await application({"type": "lifespan"}, receive, send)
    return sent


def get(path: str, **options: Any) -> tuple[str, str, dict[str, Any]]:
    return "GET", path, options


def test_somebody_unknown_is_led_to_djangos_login() -> None:
    (answer,) = ask(get("/ops/jobs/workflows"))

    assert (answer.status_code, answer.headers["location"]) == (303, "/accounts/login/?next=/ops/jobs/")


def test_whoever_may_look_sees_the_console_under_its_name() -> None:
    with signed_in("view_console") as cookies:
        (answer,) = ask(get("/ops/jobs/"), **cookies)

    assert answer.status_code == 200
    assert "ada" in answer.text


def test_whoever_may_not_look_is_refused() -> None:
    with signed_in("execute_repair") as cookies:
        (answer,) = ask(get("/ops/jobs/"), **cookies)

    assert answer.status_code == 403
    assert "powertools.view_console" in answer.text


def test_whoever_was_made_inactive_is_unknown() -> None:
    with signed_in("view_console", active=False) as cookies:
        (answer,) = ask(get("/ops/jobs/"), **cookies)

    assert answer.status_code == 303


@pytest.mark.parametrize(("permission", "allowed"), [("audit_export", True), ("manage_queues", False)])
def test_an_act_needs_its_permission_and_is_recorded_under_the_name(permission: str, allowed: bool) -> None:
    options = {"json": {}, "headers": {"Sec-Fetch-Site": "same-origin"}}

    with signed_in("view_console", permission) as cookies:
        (answer,) = ask(("POST", "/ops/jobs/api/v1/audit/export", options), **cookies)

    assert (answer.status_code == 200) is allowed
    (record,) = powertools.audit.list()
    assert record.actor_id == "ada"


def test_other_paths_are_djangos() -> None:
    answers = ask(get("/admin/login/"), get("/ops/jobsite/"), get("/ops/"))

    assert [answer.status_code for answer in answers] == [200, 404, 404]


def test_a_host_that_django_would_refuse_is_refused() -> None:
    (answer,) = ask(get("/ops/jobs/", headers={"Host": "evil.example"}))

    assert answer.status_code == 400


@override_settings(OBAN_POWERTOOLS={"CONSOLE": {"PATH": "/jobs", "NAME": "the shop", "ENVIRONMENT": "Production"}})
def test_the_setting_says_where_it_is_and_what_it_is_called() -> None:
    with signed_in("view_console") as cookies:
        (answer,) = ask(get("/jobs/"), **cookies)

    assert "the shop" in answer.text
    assert "Production" in answer.text


def test_another_way_to_know_the_user_replaces_the_session() -> None:
    with signed_in("view_console"):

        async def asked() -> httpx.Response:
            console = console_application(find_user=lambda connection: User.objects.get(username="ada"))
            transport = httpx.ASGITransport(console)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as browser:
                answer = await browser.get("/")
            await console.aclose()
            return answer

        assert async_to_sync(asked)().status_code == 200


def test_its_connections_are_closed_when_the_server_stops() -> None:
    assert async_to_sync(closed)(with_console(ASGIHandler())) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
