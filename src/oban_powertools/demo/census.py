"""Count what is in the standard library's Python source. No jobs, no database.

The rule that must never break: source is parsed, never imported, so that no module runs because it was counted.
"""

import ast
import io
import sys
import sysconfig
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypedDict

LEFT_OUT: Final = frozenset({"test", "tests", "idle_test", "site-packages", "__pycache__"})
"""Directories that hold no part of the library itself."""
SINGLE_FILES: Final = "single-file modules"
"""The group of the modules that belong to no package."""
SHOWN: Final = 12
"""Rows of each list of the largest."""

_LAYOUT: Final = frozenset(
    {tokenize.ENCODING, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)


class Sized(TypedDict):
    """A function's or module's length: ``{"name": "asyncio.runners.run", "lines": 30}``."""

    name: str
    lines: int


class Counts(TypedDict):
    """What is counted of a module and summed over a package; a docstring is no code, a comment may share its line."""

    lines: int
    code: int
    comments: int
    functions: int
    classes: int
    public: int
    documented: int


class ModuleCount(Counts):
    """One module: ``imports`` are the top-level modules it imports, sorted; ``longest`` is None without functions."""

    module: str
    imports: list[str]
    longest: Sized | None


class PackageCount(Counts):
    """The sums of a package; ``imports`` is module -> how many of ours import it; the lists start with the largest."""

    package: str
    modules: int
    imports: dict[str, int]
    longest: list[Sized]
    largest: list[Sized]


def list_modules() -> list[str]:
    """Dotted names of every module of the standard library whose source is installed, sorted."""
    root = _library()
    found: list[str] = []
    for name in sorted(sys.stdlib_module_names):
        if (root / f"{name}.py").is_file():
            found.append(name)
        found += [_dotted(path.relative_to(root)) for path in sorted((root / name).rglob("*.py"))]
    return [name for name in found if not LEFT_OUT.intersection(name.split("."))]


def package_of(module: str) -> str:
    """``asyncio`` for ``asyncio.events``; the group of single files for ``bisect``."""
    top = module.partition(".")[0]
    return top if (_library() / top).is_dir() else SINGLE_FILES


def count_module(module: str) -> ModuleCount:
    """Parse and count one module.

    Raises:
        LookupError: There is no Python source: the module is written in C, or not installed.
    """
    path = _library().joinpath(*module.split("."))
    sources = [source for source in (path.with_name(f"{path.name}.py"), path / "__init__.py") if source.is_file()]
    if not sources:
        raise LookupError(f"{module} has no Python source: it is built into the interpreter")
    return count_source(module, sources[0].read_bytes())


def count_source(module: str, source: bytes) -> ModuleCount:
    """Parse and count the source of a module.

    Raises:
        SyntaxError: It is not Python.
    """
    with warnings.catch_warnings(action="ignore"):  # invalid escapes are the library's business
        tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    public = [tree, *(node for node in (*functions, *classes) if not node.name.startswith("_"))]
    code, comments = _find_lines(source)
    code -= {line for node in (tree, *functions, *classes) for line in _docstring_lines(node)}
    lengths = [Sized(name=f"{module}.{node.name}", lines=_length(node)) for node in functions]
    return ModuleCount(
        module=module,
        lines=len(source.splitlines()),
        code=len(code),
        comments=len(comments),
        functions=len(functions),
        classes=len(classes),
        public=len(public),
        documented=sum(bool(_docstring_lines(node)) for node in public),
        imports=sorted(set(_imports(nodes))),
        longest=next(iter(largest_of(lengths)), None),
    )


def combine(package: str, modules: Sequence[ModuleCount]) -> PackageCount:
    """The sums of a package's modules."""
    imports = Counter(name for module in modules for name in module["imports"])
    longest = [module["longest"] for module in modules if module["longest"] is not None]
    return PackageCount(
        package=package,
        modules=len(modules),
        imports=dict(imports.most_common()),
        longest=largest_of(longest),
        largest=largest_of(Sized(name=module["module"], lines=module["lines"]) for module in modules),
        **add_up(modules),
    )


def largest_of(found: Iterable[Sized]) -> list[Sized]:
    """Those with the most lines, the largest first."""
    return sorted(found, key=lambda sized: sized["lines"], reverse=True)[:SHOWN]


def add_up(counts: Iterable[Counts]) -> Counts:
    """The sums of any counts."""
    listed = list(counts)
    return Counts(
        lines=sum(c["lines"] for c in listed),
        code=sum(c["code"] for c in listed),
        comments=sum(c["comments"] for c in listed),
        functions=sum(c["functions"] for c in listed),
        classes=sum(c["classes"] for c in listed),
        public=sum(c["public"] for c in listed),
        documented=sum(c["documented"] for c in listed),
    )


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _imports(nodes: Iterable[ast.AST]) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _docstring_lines(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> range:
    """Empty without a docstring."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return range(first.lineno, (first.end_lineno or first.lineno) + 1)
    return range(0)


def _find_lines(source: bytes) -> tuple[set[int], set[int]]:
    """The lines with code (docstrings count as such here), and those with a comment; the first is 1."""
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in _LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return code, comments
