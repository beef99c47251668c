"""The plug-in's fixtures, also where the package was installed before it had an entry point."""

import pytest

from oban_powertools import pytest_plugin

_powertools_databases = pytest_plugin._powertools_databases
powertools_dsn = pytest_plugin.powertools_dsn
powertools_options = pytest_plugin.powertools_options
powertools_template = pytest_plugin.powertools_template
sync_workflow_runner = pytest_plugin.sync_workflow_runner
workflow_runner = pytest_plugin.workflow_runner


@pytest.fixture(scope="session")
def powertools_server(server_dsn: str) -> str:
    return server_dsn
