"""The files below a folder or in a zip, without what operating systems leave there. A zip is never unpacked."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unlearn_bench.core.errors import DataError

LITTER = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "__pycache__", "lost+found"),
    *("$recycle.bin", "system volume information"),
}  # in lower case
BROKEN_ZIP = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Tree:
    """Files, named by their paths below a root with ``/`` between the parts.

    Attributes:
        root: the folder or the zip.
        names: names of the files, sorted.
        folders: names of the folders, sorted; empty folders too.
        read: returns the first bytes of a file, as many as the number; −1 for the whole file.
        is_zip: whether the root is a zip.
    """

    root: Path
    names: tuple[str, ...]
    folders: tuple[str, ...]
    read: Callable[[str, int], bytes]
    is_zip: bool

    def shown(self, name: str) -> str:
        """Returns the path of a file or folder for messages."""
        return str(self.root / name)

    def sources(self, names: list[str]) -> list[Path]:
        """Returns the files on disk that hold these files; for a zip the zip itself."""
        return [self.root] if self.is_zip else [self.root / name for name in names]


def is_litter(name: str) -> bool:
    """Returns whether an operating system or a tool leaves files or folders of this name beside the user's.

    >>> is_litter("Thumbs.db"), is_litter("._cat.png"), is_litter("cat.png")
    (True, True, False)
    """
    return name.startswith(".") or name.lower().split(":")[0] in LITTER


@contextmanager
def open_tree(path: Path, shown: str, largest: int) -> Iterator[Tree]:
    """Yields the files of a folder or a zip.

    Args:
        path: the folder or the zip.
        shown: how the user wrote it.
        largest: bytes of the largest file of a zip that is read; a small zip can hold a huge file.

    Raises:
        DataError: it does not exist, or is neither a folder nor a readable zip.
    """
    if path.is_dir():
        yield _folder(path)
        return
    if not path.exists():
        raise DataError(f"There is no folder '{shown}'. Give a folder or a zip with one folder of images per class.")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{shown} is neither a folder nor a zip. Unpack it and give its folder.")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(info.flag_bits & 1 for info in archive.infolist()):
                raise DataError(f"{shown} is encrypted. Unpack it and give its folder.")
            yield _zip(archive, path, largest)
    except BROKEN_ZIP as problem:
        raise DataError(f"{shown} cannot be read as a zip: {problem}. Pack or download it again.") from None


def member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Returns a file of an archive.

    Raises:
        KeyError: there is no file of that name.
        BadZipFile: the file has more than ``largest`` bytes, or its compression does not allow to limit its size.
    """
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{name} is neither stored nor deflated")
    size = archive.getinfo(name).file_size
    if size > largest:
        raise zipfile.BadZipFile(f"{name} has {size:,} bytes, expected at most {largest:,}")
    return archive.read(name)


def _folder(root: Path) -> Tree:
    names: list[str] = []
    folders: list[str] = []

    def fail(problem: OSError) -> None:
        raise problem

    for path, below, files in os.walk(root, followlinks=True, onerror=fail):
        here = Path(path)
        # a link to a folder above would lead here again
        below[:] = [name for name in below if not is_litter(name) and not _is_above(here / name)]
        folders += [(here / name).relative_to(root).as_posix() for name in below]
        names += [(here / name).relative_to(root).as_posix() for name in files if not is_litter(name)]

    def read(name: str, size: int = -1) -> bytes:
        with (root / name).open("rb") as stream:
            return stream.read(size)

    return Tree(root, tuple(sorted(names)), tuple(sorted(folders)), read, False)


def _is_above(folder: Path) -> bool:
    return folder.is_symlink() and folder.resolve() in [parent.resolve() for parent in folder.parents]


def _zip(archive: zipfile.ZipFile, path: Path, largest: int) -> Tree:
    members: dict[str, str] = {}
    folders: set[str] = set()
    for name in archive.namelist():
        clean = PurePosixPath(name.replace("\\", "/"))  # written on Windows by some programs
        if any(is_litter(part) or part == "/" for part in clean.parts):
            continue
        folders |= {parent.as_posix() for parent in clean.parents} - {"."}
        if name.endswith(("/", "\\")):
            folders.add(clean.as_posix())
        else:
            members[clean.as_posix()] = name
    # the folder that was packed, perhaps with folders around it
    while len(top := {PurePosixPath(name).parts[0] for name in (*members, *folders)}) == 1 and top < folders:
        inner = f"{top.pop()}/"
        members = {name.removeprefix(inner): full for name, full in members.items()}
        folders = {name.removeprefix(inner) for name in folders if name.startswith(inner)}

    def read(name: str, size: int = -1) -> bytes:
        try:
            if size < 0:
                return member(archive, members[name], largest)
            with archive.open(members[name]) as stream:
                return stream.read(size)
        except BROKEN_ZIP as problem:  # of this file alone
            raise ValueError(problem) from None

    return Tree(path, tuple(sorted(members)), tuple(sorted(folders)), read, True)
