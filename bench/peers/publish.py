"""Puts results into the documentation: the table into a page, the plots beside the pictures.

python -m bench.peers.publish [FILE]
"""

import json
import sys
from pathlib import Path
from typing import Final

from bench.peers.environments import ROOT
from bench.peers.plots import write_plots
from bench.peers.results import Document
from bench.peers.table import table

RESULTS: Final = ROOT / "bench" / "results" / "peers.json"
"""What the documentation shows."""
PAGE: Final = ROOT / "docs" / "design" / "performance.md"
IMAGES: Final = ROOT / "docs" / "images"
BEGIN, END = "<!-- bench.peers.publish writes from here -->\n", "<!-- to here -->\n"


def publish(document: Document) -> None:
    """Replace what stands between the two marks of the page, and the plots."""
    PAGE.write_text(published(PAGE.read_text(), document))
    write_plots(document, IMAGES)


def published(page: str, document: Document) -> str:
    """The page with the table of these results."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(document)}\n\n{END}{after}"


if __name__ == "__main__":
    publish(json.loads((Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS).read_text()))
