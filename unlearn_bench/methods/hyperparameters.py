"""Annotations of the hyper-parameters that many methods share: one type, range and help for each."""

from typing import Annotated

from pydantic import Field

from unlearn_bench.data.batches import Fill, Flip
from unlearn_bench.options import Added, Search
from unlearn_bench.recipe import ScheduleName
from unlearn_bench.training import OptimizerName

Epochs = Annotated[int, Field(ge=1, le=10_000, description="passes over the data"), Search(1, 20)]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="images in a mini-batch")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="learning rate"), Search(1e-5, 1.0, log=True)]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="weight decay"), Search(1e-4, 0.1, log=True)]
Decay = Annotated[float, Field(gt=0, le=1, description="factor of the learning rate after each epoch")]

# of training from scratch; added when references of an older recipe were recorded
Optimizer = Annotated[OptimizerName, Field(description="of all weights"), Added()]
Momentum = Annotated[float, Field(ge=0, lt=1, description="momentum of SGD"), Added()]
Nesterov = Annotated[bool, Field(description="Nesterov's step, with momentum"), Added()]
Schedule = Annotated[ScheduleName, Field(description="of the learning rate, besides decay; lr is its peak"), Added()]
Warmup = Annotated[
    float, Field(ge=0, lt=1, description="share of the steps before the peak of the triangular schedule"), Added()
]
LabelSmoothing = Annotated[float, Field(ge=0, lt=1, description="share of the label spread over all classes"), Added()]
DecayMatricesOnly = Annotated[bool, Field(description="no weight decay of biases, scales and shifts"), Added()]
CropPadding = Annotated[
    int, Field(ge=0, le=32, description="pixels around an image to be cropped, where the data set has crops"), Added()
]
CropFill = Annotated[Fill, Field(description="what these pixels are"), Added()]
FlipKind = Annotated[Flip, Field(description="which images are mirrored, where the data set has crops"), Added()]
