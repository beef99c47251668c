"""Orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """As makemigrations wrote it."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.IntegerField()),
                ("state", models.CharField(default="new", max_length=20)),
                ("workflow_id", models.BigIntegerField(null=True)),
            ],
        ),
    ]
