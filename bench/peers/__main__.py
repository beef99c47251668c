"""Measure us among our peers and print one table.

    python -m bench.peers [--peers absurd,dbos] [--rounds 3] [--small] [--full] [--json FILE] [--publish]

As it comes: W1 to W4 for every peer and for us at 100 and at 20 at a time, and plain Oban jobs without us and with us.
"""

import sys
from pathlib import Path

import click

from bench.peers.lineup import OTHERS, OURS
from bench.peers.publish import RESULTS, publish
from bench.peers.run import Everything, run
from bench.peers.table import table
from bench.server import server

LOCAL = RESULTS.parent / "local" / "peers.json"
"""Where results go that are not for the documentation; not under version control."""


@click.command()
@click.option("--peers", default=",".join(OTHERS), show_default=True, help="Who else takes part; empty for nobody.")
@click.option("--limits", default="100,20", show_default=True, help="Steps at a time.")
@click.option("--rounds", default=3, show_default=True, help="How often everybody has a turn.")
@click.option("--small", is_flag=True, help="A trial of some minutes, whose figures mean nothing.")
@click.option("--full", is_flag=True, help="Also other conditions, and W5: takes hours.")
@click.option("--history", default=1_000_000, show_default=True, help="Steps of the history for W5.")
@click.option("--history-within", default=300.0, show_default=True, help="Seconds for a peer's history.")
@click.option("--json", "file", default=LOCAL, type=click.Path(path_type=Path), help="Where the results go.")
@click.option("--publish", "publishing", is_flag=True, help="Put results, table and plots into the documentation.")
def main(
    peers: str,
    limits: str,
    rounds: int,
    small: bool,
    full: bool,
    history: int,
    history_within: float,
    file: Path,
    publishing: bool,
) -> None:
    """Measure us among our peers: one table."""
    others = [name for name in peers.split(",") if name]
    if publishing and small:
        raise click.UsageError("a trial is not for the documentation: leave out --small or --publish")
    if unknown := sorted(set(others) - set(OTHERS)):
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known are {', '.join(OTHERS)}")
    wanted = Everything(
        systems=[OURS, *others],
        limits=[int(limit) for limit in limits.split(",")],
        rounds=rounds,
        small=small,
        full=full,
        history=history,
        history_within=history_within,
    )
    with server() as dsn:
        document = run(dsn, wanted, RESULTS if publishing else file)
    print(f"\n{table(document)}")
    if publishing:
        publish(document)
    if any(row["failed"] for row in document["rows"]):
        sys.exit("error: not everything could be measured; the table says what")


if __name__ == "__main__":
    main()
