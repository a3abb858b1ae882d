"""Loads the weights of train.py, or those that another program wrote in their place, and prints accuracies as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from nets import NETWORKS, NORMALISATION
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2


@torch.no_grad()
def main() -> None:
    """Prints the share of right images in percent: of the class and of the others, in both splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--network", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--forget", required=True, help="a class, or a file with a path of a training image a line")
    options = parser.parse_args()
    network = NETWORKS[options.network]()
    with torch.serialization.safe_globals([argparse.Namespace, *map(type, [options.photos])]):
        checkpoint = torch.load(options.weights, weights_only=True)
    network.load_state_dict(checkpoint["state_dict"], strict=True)
    network.eval()
    mean, std = NORMALISATION[options.network]
    transform = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    listed = Path(options.forget)
    chosen = set(listed.read_text().split()) if listed.is_file() else None
    found: dict[str, float] = {}
    for split in ("train", "test"):
        data = ImageFolder(str(options.photos / split), transform=transform)
        parts: list[tuple[Tensor, Tensor]] = [
            (network(x).argmax(dim=1), y) for x, y in torch.utils.data.DataLoader(data, batch_size=250)
        ]
        right = torch.cat([predicted == y for predicted, y in parts])
        if chosen is None:
            is_forget = torch.tensor(data.targets) == data.class_to_idx[options.forget]
        else:
            names = [Path(file).relative_to(options.photos).as_posix() for file, _ in data.samples]
            is_forget = torch.tensor([name in chosen for name in names])
        for name, mask in (("forget", is_forget), ("retain", ~is_forget)):
            if bool(mask.any()):
                found[f"{split} {name}"] = 100 * float(right[mask].double().mean())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
