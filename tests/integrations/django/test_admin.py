"""Django's admin shows what is there, to whom may look, and changes nothing."""

from contextlib import nullcontext
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from django.test import Client, override_settings

from oban_powertools import Workflow
from oban_powertools.acts import Action
from oban_powertools.errors import NotAuthorizedError
from oban_powertools.integrations.django import actor_for, powertools
from oban_powertools.integrations.django.models import ListedExecutor, ListedIncident, ListedJob, ListedWorkflow
from tests.support.by_hand import step

pytestmark = pytest.mark.usefixtures("migrated")
MODELS = (ListedWorkflow, ListedIncident, ListedExecutor, ListedJob)


def staff(*permissions: str) -> User:
    user = User.objects.create_user("ada", "ada@shop.example", "pw", is_staff=True, first_name="Ada", last_name="L")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def client(user: User) -> Client:
    found = Client()
    found.force_login(user)
    return found


def test_each_act_has_a_permission_of_django() -> None:
    codenames = set(Permission.objects.filter(content_type__app_label="powertools").values_list("codename", flat=True))

    assert codenames == {action.row.permission for action in Action} | {"view_console"}


def test_an_actor_has_the_permissions_of_its_user() -> None:
    actor = actor_for(staff("execute_repair", "manage_queues", "view_console"))

    assert actor is not None
    assert (actor.id, actor.label) == ("ada", "Ada L")
    assert set(actor.claims["permissions"]) == {"execute_repair", "manage_queues"}


@pytest.mark.parametrize(("permission", "allowed"), [("execute_repair", True), ("manage_queues", False)])
def test_a_call_is_allowed_by_djangos_permission(permission: str, allowed: bool) -> None:
    workflow = Workflow("bill")
    workflow.add("a", step())
    handle = powertools.workflows.insert(workflow)
    refusals: Any = nullcontext() if allowed else pytest.raises(NotAuthorizedError)

    with refusals:
        powertools.workflows.request_cancel(handle.id, actor=actor_for(staff(permission)), reason="it is not wanted")

    assert (powertools.workflows.get(handle.id).cancel_requested_at is not None) is allowed


@pytest.mark.parametrize("model", MODELS)
def test_a_list_can_be_seen_and_nothing_be_changed(model: Any) -> None:
    browser = client(staff("view_console"))
    address = f"/admin/powertools/{model._meta.model_name}/"

    shown = browser.get(address)

    assert shown.status_code == 200
    assert "delete_selected" not in shown.content.decode()
    assert browser.get(f"{address}add/").status_code == 403
    assert browser.post(f"{address}1/delete/").status_code == 403


@override_settings(OBAN_POWERTOOLS={"CONSOLE": {"PATH": "/jobs"}})
def test_a_row_links_to_the_console_and_shows_no_payload() -> None:
    workflow = Workflow("bill", context={"card": "velvet"})
    workflow.add("a", step())
    workflow_id = powertools.workflows.insert(workflow).id

    page = client(staff("view_console")).get(f"/admin/powertools/listedworkflow/{workflow_id}/change/").content.decode()

    assert f'href="/jobs/workflows/{workflow_id}"' in page
    assert "velvet" not in page
    assert 'name="_save"' not in page


def test_whoever_may_not_look_sees_nothing() -> None:
    browser = client(staff("execute_repair"))

    assert browser.get("/admin/powertools/listedworkflow/").status_code == 403
    assert "Workflows" not in browser.get("/admin/").content.decode()


def test_every_listed_model_is_registered() -> None:
    assert {*MODELS} <= {*admin.site._registry}


def test_an_anonymous_user_is_no_actor() -> None:
    with pytest.raises(PermissionDenied):
        actor_for(AnonymousUser())
