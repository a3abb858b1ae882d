"""The Python files that a plug-in consists of: its own, and those beside it that it imports."""

from __future__ import annotations

import ast
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

OURS = "unlearn_bench"  # a plug-in may lie in a checkout of the project, which is not part of the plug-in


def sources_digest(file: Path, content: bytes, root: Path, package: str = "") -> str:
    """Returns the SHA-256 of a plug-in: of its file and of the files that it imports, directly or through each other.

    Counted are the files in ``root`` and below that an ``import`` statement names, also one within a function. Modules
    that lie elsewhere, that are imported by a computed name, and files that are not Python are not counted. Without
    imports that count, the result is the SHA-256 of the file.

    Args:
        file: the plug-in's file.
        content: its bytes.
        root: the folder in which absolute imports are looked up.
        package: only modules of this top-level package count; empty for all.
    """
    found, pending = {file: content}, [file]
    while pending:
        current = pending.pop()
        for other in _imported(found[current], current, root, package):
            if other not in found:
                with contextlib.suppress(OSError):  # the import itself fails too
                    found[other] = other.read_bytes()
                    pending.append(other)
    own = hashlib.sha256(found.pop(file)).hexdigest()
    if not found:
        return own
    lines = sorted(f"{path.relative_to(root).as_posix()} {hashlib.sha256(found[path]).hexdigest()}" for path in found)
    return hashlib.sha256("\n".join([own, *lines]).encode()).hexdigest()


def _imported(content: bytes, file: Path, root: Path, package: str) -> Iterator[Path]:
    """Yields the existing files that the ``import`` statements of a file name."""
    folder = file.parent.relative_to(root).parts
    for name in _names(content, folder):
        if not name or name[0] == OURS or (package and name[0] != package):
            continue
        for length in range(1, len(name) + 1):  # importing a.b also runs a
            path = root.joinpath(*name[:length])
            yield from (one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file())


def _names(content: bytes, folder: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yields the names in import statements, split at their dots; relative ones are completed by ``folder``."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # the import itself fails too
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) - node.level + 1] if node.level else ()
            base = (*start, *(node.module.split(".") if node.module else ()))
            yield from ((*base, alias.name) for alias in node.names)
            yield base
