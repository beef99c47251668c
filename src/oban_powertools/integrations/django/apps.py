"""The app: ``"oban_powertools.integrations.django"`` in ``INSTALLED_APPS``."""

from typing import Any

from django.apps import AppConfig
from django.core.checks import Tags, register

from .actors import APP
from .checks import check_database, check_setting


class PowertoolsConfig(AppConfig):
    """The app ``powertools``."""

    name = "oban_powertools.integrations.django"
    label = APP
    verbose_name: Any = "Powertools"

    def ready(self) -> None:
        """Register the checks."""
        register(check_setting)
        register(check_database, Tags.database)
