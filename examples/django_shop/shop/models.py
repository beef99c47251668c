"""Orders."""

from django.db import models


class Order(models.Model):
    """What somebody has bought."""

    amount = models.IntegerField()
    state = models.CharField(max_length=20, default="new")
    workflow_id = models.BigIntegerField(null=True)
