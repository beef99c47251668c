"""``manage.py test``: Django makes a database, with the schema by migrations."""

from django.test import TestCase

from oban_powertools.integrations.django import powertools

from .models import Order


class Orders(TestCase):
    """Each test is a transaction that is rolled back; calls see what it has inserted."""

    def test_an_order_has_its_workflow(self) -> None:
        answer = self.client.post("/orders/", {"amount": "12"})

        self.assertEqual(answer.status_code, 201)
        steps = powertools.workflows.list_steps(answer.json()["workflow"])
        self.assertEqual([step.name for step in steps.steps], ["charge", "ship"])

    def test_neither_is_stored_when_the_request_fails(self) -> None:
        self.client.post("/orders/", {"amount": "-1"})

        self.assertEqual(Order.objects.count(), 0)
        self.assertEqual(powertools.workflows.list(), [])

    def test_an_order_tells_how_far_its_workflow_is(self) -> None:
        order = self.client.post("/orders/", {"amount": "12"}).json()["order"]

        self.assertIn("0 of 2 steps ended", self.client.get(f"/orders/{order}/").json()["workflow"])
