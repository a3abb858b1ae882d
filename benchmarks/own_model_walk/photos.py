"""Writes the first images of each class of a Parquet copy of CIFAR-10 as PNG files: photos/train/CLASS/NUMBER.png."""

from __future__ import annotations

import argparse
import io
from collections import Counter
from pathlib import Path

import pandas
import pyarrow.parquet
from PIL import Image

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def main() -> None:
    """Writes both splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parquet", type=Path, help="folder with train-*.parquet and test-*.parquet")
    parser.add_argument("photos", type=Path, help="the new folder")
    parser.add_argument("--train", type=int, default=500, help="training images of each class")
    parser.add_argument("--test", type=int, default=200, help="test images of each class")
    options = parser.parse_args()
    for split, wanted in (("train", options.train), ("test", options.test)):
        written: Counter[str] = Counter()
        for file in sorted(options.parquet.rglob(f"*{split}-*.parquet")):
            table: pandas.DataFrame = pyarrow.parquet.read_table(file).to_pandas()
            for cell, label in zip(table.iloc[:, 0], table["label"], strict=True):
                name = NAMES[label]
                if written[name] < wanted:
                    target = options.photos / split / name / f"{written[name]:04}.png"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Image.open(io.BytesIO(cell["bytes"])).convert("RGB").save(target)
                    written[name] += 1


if __name__ == "__main__":
    main()
