"""Choices: the names that a setting may have, where there are many."""

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
