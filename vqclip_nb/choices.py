"""Choices: the allowed values of settings with long lists of names."""

from typing import Literal

Optimizers = Literal[
    "adam", "adamw", "adam-custom", "adamax", "adamp", "nadam", "radam", "diffgrad", "adagrad", "rmsprop", "sgd"
]
CutoutMethods = Literal[
    "pooling",
    "pooling-published",
    "crops",
    "updated",
    "original",
    "gaussian",
    "pytti",
    "uniform",
    "uniform-rising",
    "uniform-centre",
    "normal",
    "normal-centre",
    "overview",
]
