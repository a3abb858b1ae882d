"""Artefacts behind a URL: what is written is read, damage is never read, failures that pass are repeated."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import register_implementation

from unlearn_bench.core import shared_storage
from unlearn_bench.core.artefacts import Artefacts, Folder
from unlearn_bench.core.errors import FileError, OptionError, StorageError
from unlearn_bench.core.logs import without_password
from unlearn_bench.core.shared_storage import SharedFolder, artefacts_at

NAME = "k.safetensors"


class Flaky(MemoryFileSystem):
    """Files in memory, behind a connection whose calls fail one after the other with ``failures``."""

    protocol = "flaky"
    store: dict[str, object] = {}
    failures: list[Exception] = []
    calls = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("flaky://", "memory://")))

    def _call(self) -> None:
        type(self).calls += 1
        if self.failures:
            raise self.failures.pop(0)

    def put_file(self, *arguments: object, **options: object) -> None:
        self._call()
        super().put_file(*arguments, **options)

    def get_file(self, *arguments: object, **options: object) -> None:
        self._call()
        super().get_file(*arguments, **options)

    def pipe_file(self, *arguments: object, **options: object) -> None:
        self._call()
        super().pipe_file(*arguments, **options)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Artefacts]:
    register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setenv("UNLEARN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shared_storage, "FIRST_DELAY", 0.001)
    Flaky.store.clear()
    Flaky.failures.clear()
    Flaky.calls = 0
    yield artefacts_at("flaky://store/prefix/", "models")


def write(files: Artefacts, content: bytes = b"weights") -> str:
    return files.write(NAME, lambda part: part.write_bytes(content) and None)


def test_what_is_written_is_read_here_and_after_the_copy_is_gone(files: Artefacts) -> None:
    digest = write(files)
    assert digest == hashlib.sha256(b"weights").hexdigest()
    copy = files.find(NAME, digest)
    assert copy and copy.parent == files.path and copy.read_bytes() == b"weights"
    downloads = Flaky.calls
    assert files.find(NAME, digest) == copy and Flaky.calls == downloads, "the copy is read, not the storage"
    copy.unlink()
    again = files.find(NAME, digest)
    assert again and again.read_bytes() == b"weights"
    assert list(Flaky.store) == ["/store/prefix/models/k.safetensors"], "nothing unfinished remains"
    assert files.names() == {NAME} and files.exists(NAME)
    files.remove(NAME)
    files.remove(NAME)
    assert files.names() == set() and not files.exists(NAME) and files.find(NAME, digest) is None


def test_a_damaged_copy_is_downloaded_again_and_a_damaged_object_is_not_read(files: Artefacts) -> None:
    digest = write(files)
    (files.path / NAME).write_bytes(b"weightz")
    copy = files.find(NAME, digest)
    assert copy and copy.read_bytes() == b"weights"
    MemoryFileSystem.pipe_file(Flaky(), "flaky://store/prefix/models/k.safetensors", b"weightz")
    assert files.find(NAME, digest) == copy, "the copy is intact"
    copy.write_bytes(b"weightz")
    assert files.find(NAME, digest) is None
    assert files.find("../models/k.safetensors", digest) is None
    assert write(files) == digest and files.find(NAME, digest)


def test_failures_that_pass_are_repeated(files: Artefacts) -> None:
    Flaky.failures[:] = [ConnectionError("reset")] * 4
    digest = write(files)
    (files.path / NAME).unlink()
    Flaky.failures[:] = [TimeoutError("slow"), OSError("503")]
    assert files.find(NAME, digest)
    assert Flaky.calls == 5 + 3


@pytest.mark.parametrize(
    ("failures", "calls"), [([ConnectionError("reset")] * 9, 5), ([PermissionError("Access Denied.")], 1)]
)
def test_other_failures_are_one_sentence_and_leave_nothing(
    files: Artefacts, failures: list[Exception], calls: int
) -> None:
    Flaky.failures[:] = failures
    with pytest.raises(
        StorageError, match=r"^flaky://store/prefix/models/k.safetensors cannot be written: (reset|Acc)"
    ):
        write(files)
    assert (Flaky.calls, files.names(), list(files.path.iterdir())) == (calls, set(), [])
    Flaky.failures[:] = failures
    with pytest.raises(StorageError, match="Check the URL, the network and the credentials"):
        files.find(NAME, "0" * 64)


def test_a_part_of_a_file_never_has_its_name(files: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = write(files)

    def cut(_self: Flaky, local: str, key: str) -> None:
        MemoryFileSystem.pipe_file(_self, key, Path(local).read_bytes()[:3])

    with monkeypatch.context() as patched:
        patched.setattr(Flaky, "put_file", cut)
        with pytest.raises(StorageError, match="3 of 9 bytes have arrived"):
            write(files, b"weights 2")
    assert list(Flaky.store) == ["/store/prefix/models/k.safetensors"]
    (files.path / NAME).unlink()
    assert files.find(NAME, digest), "the object before it is still there"


def test_a_full_disk_of_this_machine_is_no_fault_of_the_storage(files: Artefacts) -> None:
    digest = write(files)
    (files.path / NAME).unlink()
    Flaky.failures[:] = [OSError(28, "No space left on device")]
    with pytest.raises(FileError, match="No space left"):
        files.find(NAME, digest)


def test_the_check_says_what_fails(files: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    files.check()
    assert not Flaky.store
    Flaky.failures[:] = [PermissionError("Access Denied.")]
    with pytest.raises(StorageError, match=r"cannot be written: Access Denied\. Check"):
        files.check()
    monkeypatch.setattr(Flaky, "cat_file", lambda _self, _key: b"other")
    with pytest.raises(StorageError, match="cannot be read: it differs from what was written"):
        files.check()


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:topsecret@bucket/prefix",
        "s3://key:top/secret@bucket/prefix",
        "s3://topsecret@bucket",
        "sftp://me:topsecret@host/folder",
        "s3://bucket/prefix?secret_key=topsecret",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(OptionError, match="contains credentials or a query") as refused:
        artefacts_at(url, "models")
    assert "secret@" not in str(refused.value) and "topsecret" not in str(refused.value)
    assert url.startswith("s3://topsecret@") or "topsecret" not in without_password(url)


def test_urls_that_cannot_be_used_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="begins with 'nope', which fsspec does not know"):
        artefacts_at("nope://bucket", "models")
    with pytest.raises(OptionError, match="is not a URL for artefacts"):
        artefacts_at("simplecache::s3://bucket", "models")
    with pytest.raises(OptionError, match="'s3:bucket/prefix' is neither a URL nor a folder"):
        artefacts_at("s3:bucket/prefix", "models")
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file"), (tmp_path / "file").as_uri()):
        with pytest.raises(OptionError, match="file, which is not a folder"):
            artefacts_at(place, "models")
    for place in (str(tmp_path), tmp_path.as_uri()):
        folder = artefacts_at(place, "models")
        assert isinstance(folder, Folder) and folder.path == tmp_path / "models"
    for url in ("memory://store", "s3://bucket", "s3://arn:aws:s3:us-east-1:1234:accesspoint/name", "abfs://a@b.net/c"):
        monkeypatch.setattr(shared_storage, "find_spec", lambda name: name)  # as if each package were installed
        assert isinstance(artefacts_at(url, "models"), SharedFolder)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_storage, "find_spec", lambda _name: None)
    with pytest.raises(OptionError, match=r"pip install 'unlearn-bench\[s3\]'"):
        artefacts_at("s3://bucket", "models")
