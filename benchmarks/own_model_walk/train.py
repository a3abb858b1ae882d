"""Trains a classifier on a folder of images with PyTorch alone, as anybody might."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from nets import NETWORKS, NORMALISATION
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

PAD = 3  # pixels of the random shift


def images_of(folder: Path, without: str | None) -> tuple[Tensor, Tensor]:
    """Returns the images, (N, 3, H, W) from 0 to 1, and the labels of a folder, without those of one class."""
    data = ImageFolder(str(folder), transform=v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]))
    left_out = data.class_to_idx[without] if without else -1
    pairs = [data[k] for k, label in enumerate(data.targets) if label != left_out]
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])


def augmented(x: Tensor) -> Tensor:
    """Returns the batch with each image flipped or not, all shifted by the same few pixels."""
    x = torch.where((torch.rand(len(x), 1, 1, 1) < 0.5), x.flip(3), x)
    top, left = torch.randint(0, 2 * PAD + 1, (2,)).tolist()
    height, width = x.shape[2:]
    return nn.functional.pad(x, (PAD,) * 4)[:, :, top : top + height, left : left + width]


def main() -> None:
    """Trains and saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--network", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", help="a class to leave out")
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    network = NETWORKS[options.network]().train()
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in NORMALISATION[options.network])
    x, y = images_of(options.photos / "train", options.without)
    x = (x - mean) / std
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    steps = options.epochs * len(torch.arange(len(x)).split(options.batch_size))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=steps)
    for epoch in range(options.epochs):
        total = 0.0
        for rows in torch.randperm(len(x)).split(options.batch_size):
            loss = nn.functional.cross_entropy(network(augmented(x[rows])), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1}: loss {total / len(x):.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    checkpoint = {
        "epoch": options.epochs,
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": options,
    }
    torch.save(checkpoint, options.output)


if __name__ == "__main__":
    main()
