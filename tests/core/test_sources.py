"""What a user says about a data set."""

import pytest

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.sources import Reading, recorded_name, split_source


def test_names_of_data_sets_have_two_parts() -> None:
    for source, parts in (
        ("digits", ("digits", "")),
        ("folder:a/b:c", ("folder", "a/b:c")),
        ("parquet:own.py:x", ("parquet", "own.py:x")),
        ("package.module:make", ("package.module", "make")),
        (r"C:\data\own.py:make", (r"C:\data\own.py", "make")),
        ("./own.py:make", ("./own.py", "make")),
    ):
        assert split_source(source) == parts


def test_records_keep_no_path_and_name_the_size() -> None:
    for source, size, name in (
        ("digits", None, "digits"),
        ("folder:/home/someone/photos", None, "folder:photos"),
        ("folder:/home/someone/photos.zip", 64, "folder:photos@64"),
        ("parquet:some/where", 32, "parquet:where@32"),
        ("/home/someone/own.py:make", None, "own.py:make"),
        ("package.module:make", 8, "package.module:make@8"),
    ):
        assert recorded_name(source, size) == name


def test_a_reading_says_which_options_ask_for_it() -> None:
    assert Reading().words == []
    assert Reading(64, "classes", True).words == ["--size", "64", "--layout", "classes", "--strict"]


@pytest.mark.parametrize(
    ("values", "sentence"), [((0,), "--size is 0"), ((10**6,), "1 to 4096"), ((8, "x"), "'x', exp")]
)
def test_wrong_values_are_one_sentence(values: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Reading(*values)
