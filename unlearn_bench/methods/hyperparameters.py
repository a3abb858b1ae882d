"""Annotations of the hyper-parameters that many methods share: one type, range and help for each."""

from typing import Annotated

from pydantic import Field

from unlearn_bench.options import Search

Epochs = Annotated[int, Field(ge=1, le=10_000, description="passes over the data"), Search(1, 20)]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="images in a mini-batch")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="learning rate"), Search(1e-5, 1.0, log=True)]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="weight decay"), Search(1e-4, 0.1, log=True)]
Decay = Annotated[float, Field(gt=0, le=1, description="factor of the learning rate after each epoch")]
