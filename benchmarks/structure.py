"""Size and structure of a checkout: folders, arrows between them, circles, lengths of files and functions, README.

    python benchmarks/structure.py [CHECKOUT ...]

An arrow leads from a folder or loose module of the package to another one that it imports, anywhere in a file; the
package's own `__init__` and `__main__` are left out. Functions are counted without signature and docstring.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

FACE = {"__init__", "__main__"}


def imports(file: Path, modules: set[str]) -> Iterator[str]:
    """Yields the modules of the package that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("unlearn_bench"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def functions(file: Path) -> Iterator[int]:
    """Yields the length of every function's body, in lines."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            yield (node.end_lineno or 0) - first.lineno + 1


def longest_chain(arrows: dict[str, set[str]]) -> tuple[int, int]:
    """Returns how many modules the longest chain of imports has, and how many modules are on a circle."""
    depth: dict[str, int] = {}
    circles: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            circles.update(path[path.index(name) :])
            return 0
        if name not in depth:
            depth[name] = 1 + max((visit(other, (*path, name)) for other in sorted(arrows[name])), default=0)
        return depth[name]

    longest = max(visit(name, ()) for name in arrows)
    return longest, len(circles)


def structure_of(checkout: Path) -> dict[str, object]:
    """Returns what a checkout is like, name and number."""
    package = checkout / "unlearn_bench"
    files = {
        ".".join(file.relative_to(checkout).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted(package.rglob("*.py"))
    }
    part = {name: file.relative_to(package).with_suffix("").parts[0] for name, file in files.items()}
    arrows = {name: set(imports(file, set(files))) - {name} for name, file in files.items()}
    between = {
        (part[name], part[other])
        for name, found in arrows.items()
        for other in found
        if other in part and part[name] != part[other] and not {part[name], part[other]} & FACE
    }
    parts: dict[str, set[str]] = {name: set() for name in set(part.values())}
    for start, end in between:
        parts[start].add(end)
    lengths = [len(file.read_text(encoding="utf-8").splitlines()) for file in files.values()]
    bodies = [length for file in files.values() for length in functions(file)]
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    tests = sorted((checkout / "tests").rglob("*.py"))
    inside = {name: {other for other in found if other in arrows} for name, found in arrows.items()}
    return {
        "folders at the top": len({p for p in part.values() if (package / p).is_dir()}),
        "loose files at the top": len(list(package.glob("*.py"))),
        "arrows between folders and loose files": len(between),
        "folders and loose files on a circle": longest_chain(parts)[1],
        "longest chain of folders and loose files": longest_chain(parts)[0],
        "longest chain of files": longest_chain(inside)[0],
        "files": len(lengths),
        "lines of a file: median": statistics.median(lengths),
        "lines of a file: largest": max(lengths),
        "lines of a function: median": statistics.median(bodies),
        "lines of a function: largest": max(bodies),
        "functions over 45 lines": sum(length > 45 for length in bodies),
        "lines of the package": sum(lengths),
        "lines of the README": len(readme.splitlines()),
        "words of the README": len(readme.split()),
        "lines of tests": sum(len(file.read_text(encoding="utf-8").splitlines()) for file in tests),
        "lines of a test file: largest": max(len(file.read_text(encoding="utf-8").splitlines()) for file in tests),
    }


def main() -> None:
    checkouts = [Path(word) for word in sys.argv[1:]] or [Path(__file__).parent.parent]
    found = [structure_of(checkout) for checkout in checkouts]
    rows = [[name, *(each[name] for each in found)] for name in found[0]]
    print(tabulate(rows, ["", *(checkout.resolve().name for checkout in checkouts)], tablefmt="github"))


if __name__ == "__main__":
    main()
