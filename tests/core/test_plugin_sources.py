"""The files of a plug-in: those that it imports from beside itself count, and nothing else does."""

import hashlib
from pathlib import Path

import pytest

from unlearn_bench.core.errors import PluginError
from unlearn_bench.core.plugin_sources import sources_digest
from unlearn_bench.core.registry import load_plugin, plugin_files, without_plugin_files
from unlearn_bench.models import models

FILES = {
    "plain.py": "import torch\nfrom pathlib import Path\n",
    "direct.py": "import helper\n",
    "named.py": "from helper import LR\n",
    "late.py": "def f():\n    import helper\n",
    "through.py": "from pack.parts import value\n",
    "both.py": "import helper, plain\n",
    "star.py": "from pack import *\n",
    "circle.py": "import circle_too\n",
    "circle_too.py": "import circle, helper\n",
    "helper.py": "LR = 1\n",
    "pack/__init__.py": "from .parts import value\n",
    "pack/parts.py": "from ..helper import LR\nfrom . import deep\nvalue = LR\n",
    "pack/deep.py": "from helper import LR\n",
    "unlearn_bench/helper.py": "",
    "checkout.py": "from unlearn_bench import helper\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def digest(folder: Path, name: str, package: str = "") -> str:
    file = folder / name
    return sources_digest(file, file.read_bytes(), folder, package)


@pytest.mark.parametrize("name", ["direct.py", "named.py", "late.py", "through.py", "both.py", "star.py", "circle.py"])
def test_an_imported_file_counts_also_through_others(folder: Path, name: str) -> None:
    before = digest(folder, name)
    (folder / "helper.py").write_text("LR = 2\n")
    assert digest(folder, name) != before
    (folder / "helper.py").write_text(FILES["helper.py"])
    assert digest(folder, name) == before


@pytest.mark.parametrize("name", ["plain.py", "checkout.py", "pack/__init__.py"])
def test_what_lies_elsewhere_does_not_count(folder: Path, name: str) -> None:
    """A file without imports from beside itself has its own SHA-256, under which older runs are recorded."""
    if name == "pack/__init__.py":
        assert digest(folder, name, "other") == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        return
    (folder / "unlearn_bench" / "helper.py").write_text("changed = True\n")
    assert digest(folder, name) == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_of_a_package_only_its_own_modules_count(folder: Path) -> None:
    before = digest(folder, "pack/parts.py", "pack")
    (folder / "helper.py").write_text("LR = 2\n")
    assert digest(folder, "pack/parts.py", "pack") == before
    (folder / "pack" / "deep.py").write_text("x = 1\n")
    assert digest(folder, "pack/parts.py", "pack") != before


@pytest.mark.parametrize("content", ["def", "\0", "import helper\nx = (\n"])
def test_a_file_that_is_not_python_is_hashed_as_it_is(folder: Path, content: str) -> None:
    (folder / "helper.py").write_text(content)
    assert len(digest(folder, "direct.py")) == 64


def test_another_process_loads_the_same_helper_or_stops(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    model = "from unlearn_bench.models import model\n@model(label='', source='')\ndef with_helper(): ...\n"
    (folder / "direct.py").write_text("import helper\n" + model)
    with without_plugin_files():
        load_plugin(folder / "direct.py")
        files, revision = plugin_files(), models.get("with_helper").revision
    with without_plugin_files():
        load_plugin(folder / "direct.py", files[folder / "direct.py"])
        assert models.get("with_helper").revision == revision
    (folder / "helper.py").write_text("LR = 2\n")
    with without_plugin_files(), pytest.raises(PluginError, match=r"direct\.py was changed while the command ran"):
        load_plugin(folder / "direct.py", files[folder / "direct.py"])
