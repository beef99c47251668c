"""A Django program: orders and their workflows in one transaction.

``python -m tests.support.django_shop DSN``; Django is configured once a process.
"""

import sys
from typing import Any

import django
from django.conf import settings
from django.db import connection, transaction
from psycopg.conninfo import conninfo_to_dict

from oban_powertools import Workflow
from oban_powertools.sync import open_sync_calls
from tests.support.by_hand import step


def bill(name: str) -> Workflow:
    workflow = Workflow(name)
    workflow.add("bill", step())
    return workflow


def main(dsn: str) -> None:
    where: dict[str, Any] = conninfo_to_dict(dsn)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": where["dbname"],
        "USER": where.get("user", ""),
        "HOST": where.get("host", ""),
        "PORT": where.get("port", ""),
    }
    settings.configure(DATABASES={"default": database}, USE_TZ=True)

    django.setup()
    orders: Any = connection.cursor()
    orders.execute("CREATE TABLE orders (number text)")
    atomic: Any = transaction.atomic

    with open_sync_calls(dsn) as calls:
        with atomic():
            orders.execute("INSERT INTO orders VALUES ('kept')")
            calls.workflows.insert(bill("kept"), conn=connection)
            assert calls.workflows.list() == []
        try:
            with atomic():
                orders.execute("INSERT INTO orders VALUES ('undone')")
                calls.workflows.insert(bill("undone"), conn=connection)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        with atomic():
            with atomic():
                calls.workflows.insert(bill("nested"), conn=connection)
            transaction.on_commit(lambda: calls.workflows.insert(bill("after the commit")))
        calls.workflows.insert(bill("on its own"), conn=connection)

        orders.execute("SELECT number FROM orders")
        sys.stdout.write(f"{orders.fetchall()} {sorted(each.name for each in calls.workflows.list())}\n")
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
