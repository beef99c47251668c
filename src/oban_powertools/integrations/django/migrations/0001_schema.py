"""The schema, Oban's tables where they are missing, and what Django knows of both."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from ..actors import NAMED
from ..configuration import find_table
from ..operations import BringSchema


class Migration(migrations.Migration):
    """Runs in one transaction."""

    initial: Any = True
    operations: ClassVar[Sequence[Operation]] = [
        BringSchema(24),
        migrations.CreateModel(
            name="ListedWorkflow",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("state", models.TextField()),
                ("total", models.IntegerField()),
                ("open", models.IntegerField()),
                ("failed", models.IntegerField()),
                ("inserted_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "workflow",
                "db_table": find_table("schema", "workflows"),
                "ordering": ["-id"],
                "managed": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ListedIncident",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("kind", models.TextField(db_column="class")),
                ("state", models.TextField()),
                ("title", models.TextField()),
                ("count", models.BigIntegerField()),
                ("assignee", models.TextField(null=True)),
                ("opened_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "incident",
                "db_table": find_table("schema", "incidents"),
                "ordering": ["-id"],
                "managed": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ListedExecutor",
            fields=[
                ("executor_id", models.TextField(primary_key=True, serialize=False)),
                ("node", models.TextField()),
                ("queue", models.TextField(db_column="producer_scope")),
                ("started_at", models.DateTimeField()),
                ("beat_at", models.DateTimeField()),
                ("stopped_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "executor",
                "db_table": find_table("schema", "executors"),
                "ordering": ["-started_at"],
                "managed": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ListedJob",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("state", models.TextField()),
                ("queue", models.TextField()),
                ("worker", models.TextField()),
                ("attempt", models.SmallIntegerField()),
                ("max_attempts", models.SmallIntegerField()),
            ],
            options={
                "verbose_name": "job",
                "db_table": find_table("prefix", "oban_jobs"),
                "ordering": ["-id"],
                "managed": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ConsolePermissions",
            fields=[],
            options={
                "verbose_name": "console",
                # Django makes permissions after a migration, from the model: this list changes nothing in the database.
                "permissions": NAMED,
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("powertools.listedworkflow",),
        ),
    ]
