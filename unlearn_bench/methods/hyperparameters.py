"""Annotations of the hyper-parameters that several methods share: type, range and help text."""

from typing import Annotated, Literal

from pydantic import Field

from unlearn_bench.core.options import Added, Search
from unlearn_bench.data.batches import Fill, Flip
from unlearn_bench.training.loop import OptimizerName, ScheduleName

Epochs = Annotated[int, Field(ge=1, le=10_000, description="passes over the data"), Search(1, 20)]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="images in a mini-batch")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="learning rate"), Search(1e-5, 1.0, log=True)]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="weight decay"), Search(1e-4, 0.1, log=True)]
MomentumOfSgd = Annotated[float, Field(ge=0, lt=1, description="momentum of SGD")]
Decay = Annotated[float, Field(gt=0, le=1, description="factor of the learning rate after each epoch")]
SgdMomentum = Annotated[float, Field(ge=0, lt=1, description="momentum of SGD")]

# of SSD and LFSSD
Alpha = Annotated[
    float,
    Field(ge=0, le=1e6, description="factor α by which a weight must be more important for D_f to be dampened"),
    Search(1, 100, log=True),
]
Dampening = Annotated[
    float, Field(ge=0, le=1e6, description="factor λ of what is left of a dampened weight"), Search(0.01, 10, log=True)
]
Against = Annotated[
    Literal["D_r", "D"],
    Field(description="data whose importance that of D_f is compared with, estimated from D'_r, or from D'_r and D_f"),
]

# of training from scratch; added after references had been recorded with an older recipe
Optimizer = Annotated[OptimizerName, Field(description="optimizer of all weights"), Added()]
Momentum = Annotated[float, Field(ge=0, lt=1, description="momentum of SGD"), Added()]
Nesterov = Annotated[bool, Field(description="whether SGD uses Nesterov's step; needs momentum"), Added()]
Schedule = Annotated[ScheduleName, Field(description="learning rate schedule besides decay; lr is its peak"), Added()]
Warmup = Annotated[
    float, Field(ge=0, lt=1, description="share of the steps before the peak of the triangular schedule"), Added()
]
LabelSmoothing = Annotated[
    float, Field(ge=0, lt=1, description="share of the label that is spread over all classes"), Added()
]
DecayMatricesOnly = Annotated[
    bool, Field(description="whether only matrices and convolutions have weight decay"), Added()
]
CropPadding = Annotated[
    int,
    Field(ge=0, le=32, description="pixels added around an image before a crop, if the data set is augmented"),
    Added(),
]
CropFill = Annotated[Fill, Field(description="values of the added pixels"), Added()]
FlipKind = Annotated[Flip, Field(description="which images are mirrored, if the data set is augmented"), Added()]
