"""Drawings of large workflows: milliseconds to choose, lay out and write each, and how good the layout is.

    python -m bench.graph [--steps N] [FILE ...]

Without FILE the workflows are made up: chains, fans, trees, lattices, layers with a few parents each, and edges at
random, which nobody draws and which are the hardest. FILEs are recorded workflows (WfFormat 1.5).
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import click

from bench.wfformat import read
from oban_powertools.graph.alone import draw_alone
from oban_powertools.graph.crossings import count_crossings, order_layers
from oban_powertools.graph.mesh import build_mesh
from oban_powertools.graph.place import place
from oban_powertools.graph.steps import Step
from oban_powertools.graph.svg import Surroundings
from oban_powertools.graph.view import Choice, choose
from oban_powertools.states import OperatorStatus

RUNS = 3

type Parents = Sequence[Sequence[int]]


def layered(steps: int) -> Parents:
    """Each step has one to three parents among those shortly before it."""
    random, near = Random(1), max(1, round(steps**0.5))
    return [
        sorted(random.sample(range(max(0, n - near), n), min(n, random.choice((1, 1, 1, 2, 3))))) for n in range(steps)
    ]


def scattered(steps: int) -> Parents:
    """Each step has up to three parents anywhere before it."""
    random = Random(1)
    return [sorted({random.randrange(n) for _ in range(random.randint(1, 3))}) if n else [] for n in range(steps)]


def lattice(steps: int) -> Parents:
    """Layers of 50; each step needs three neighbours of the layer above."""
    return [[] if n < 50 else sorted((n // 50 - 1) * 50 + (n + k) % 50 for k in range(3)) for n in range(steps)]


SHAPES: Mapping[str, Callable[[int], Parents]] = {
    "chain": lambda steps: [[n - 1] if n else [] for n in range(steps)],
    "fan": lambda steps: [[], *([0] for _ in range(steps - 2)), range(1, steps - 1)],
    "tree": lambda steps: [[(n - 1) // 2] if n else [] for n in range(steps)],
    "chain, all need the first": lambda steps: [sorted({0, n - 1}) if n else [] for n in range(steps)],
    "chain, the last needs all": lambda steps: [[n - 1] if n else [] for n in range(steps - 1)] + [range(steps - 1)],
    "lattice": lattice,
    "layered": layered,
    "single steps": lambda steps: [[] for _ in range(steps)],
    "at random": scattered,
}


def measure(steps: int = 5_000) -> None:
    """Print a line for each made-up workflow."""
    _head()
    for name, shape in SHAPES.items():
        _line(name, shape(steps))


def measure_recordings(files: Sequence[str]) -> None:
    """Print a line for each recorded workflow."""
    _head()
    for file in files:
        tasks = read(Path(file)).tasks
        place_of = {task: n for n, task in enumerate(tasks)}
        _line(Path(file).stem, [sorted(place_of[parent] for parent in task.parents) for task in tasks.values()])


def _head() -> None:
    columns = f"{'workflow':34} {'steps':>6} {'edges':>6} {'layers':>6} {'layout ms':>9} {'SVG ms':>7} {'kB':>7}"
    print(f"{columns} crossings cut")


def _line(name: str, parents: Parents) -> None:
    steps = [
        Step(
            workflow_id=1,
            position=n,
            name=f"step_{n}",
            parents=dict.fromkeys(of, "cancel"),
            status=OperatorStatus.WAITING,
            state="pending",
            worker=f"app.Worker{n % 5}",
        )
        for n, of in enumerate(parents)
    ]
    layouts: list[float] = []
    drawings: list[float] = []
    document = ""
    for _ in range(RUNS):
        begun = time.perf_counter()
        picture = place(choose(steps, Choice(fold=False)))
        laid_out = time.perf_counter()
        document = draw_alone(picture, Surroundings(title=name, description=name))
        layouts.append(laid_out - begun)
        drawings.append(time.perf_counter() - laid_out)
    mesh = build_mesh(parents)
    order_layers(mesh)
    at = {element: n for layer in mesh.layers for n, element in enumerate(layer)}
    crossings = count_crossings(mesh, [at[element] for element in range(len(mesh.above))])
    edges = sum(map(len, parents))
    print(
        f"{name[:34]:34} {len(steps):6} {edges:6} {len(mesh.layers):6} {1000 * statistics.median(layouts):9.0f}"
        f" {1000 * statistics.median(drawings):7.0f} {len(document) / 1000:7.0f} {crossings:9} {len(mesh.cut):3}",
        flush=True,
    )


@click.command()
@click.option("--steps", default=5_000, show_default=True, help="Steps of each made-up workflow.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False))
def main(steps: int, files: tuple[str, ...]) -> None:
    """Measure how long drawings take."""
    if files:
        measure_recordings(files)
    else:
        measure(steps)


if __name__ == "__main__":
    main()
