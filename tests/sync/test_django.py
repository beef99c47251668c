"""The synchronous calls in Django's transactions."""

import subprocess
import sys


def test_workflows_are_inserted_in_djangos_transactions(dsn: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.django_shop", dsn], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout == "[('kept',)] ['after the commit', 'kept', 'nested', 'on its own']\n"
