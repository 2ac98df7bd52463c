"""The base class of every canvas: the interface that the loop uses."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from vqclip_nb.canvases.spec import CanvasOptions
from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.errors import SettingsError
from vqclip_nb.gradients import clamp_with_grad
from vqclip_nb.rng import Draws


class Canvas(nn.Module):
    """n pictures with learnable parameters; calling it renders RGB in [0, 1], (n, 3, H, W), float32.

    The first dimension of every learnable parameter is the pictures. Its start depends only on the pictures' seeds.
    """

    lr: float  # the default step size
    precision: Precision = FLOAT32  # of its network, if it has one
    thrifty = False  # whether it renders in less memory, more slowly
    tidy_every = 0  # steps between two calls of `tidy`; 0: never
    options: CanvasOptions = CanvasOptions()
    spherical = False  # whether parameters are interpolated spherically
    tiled = False  # whether opposite edges must fit together
    cuts_off = False  # whether renderings can exceed [0, 1] and are clamped by `bounded`
    keeps_uncut = False  # whether `bounded` stores its input as `uncut`
    uncut: Tensor | None = None
    draws: Draws | None = None  # the random draws of the step; None when the result is rendered

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: Any) -> Self:
        """A canvas with the model of this name ("" if it takes none). Raises models.UnknownModel.

        `size` is (width, height) in pixels; `options` is an instance of the spec's options class.
        """
        raise NotImplementedError

    def configure(self, options: CanvasOptions) -> None:
        """Use new values of the live options from the next step on."""
        self.options = options

    def forward(self) -> Tensor:
        raise NotImplementedError

    def render(self, width: int, height: int) -> Tensor:
        """The pictures at another size, from the same parameters: (n, 3, height, width) RGB in [0, 1].

        Raises SettingsError when the canvas has a fixed size.
        """
        raise SettingsError("this canvas has a fixed size; siren and fourier can be rendered at any size")

    def start_from(self, image: Tensor) -> None:
        """Set the parameters to this picture, (1 or n, 3, H, W) RGB in [0, 1], of any size."""
        raise NotImplementedError

    def bounded(self, image: Tensor) -> Tensor:
        """Clamp a picture to [0, 1], with gradients that lead back into the range."""
        if self.keeps_uncut:
            self.uncut = image
        return clamp_with_grad(image)

    def constrain(self) -> None:
        """Called after each step: project the parameters onto their allowed range."""

    def tidy(self) -> None:
        """Re-encode the current image, if the canvas has an encoder. Default: nothing."""

    def penalties(self, progress: float) -> dict[str, Tensor]:
        """Losses on the parameters, by name, each (n,)."""
        return {}

    def learnable(self) -> list[nn.Parameter]:
        """The parameters that the optimizer updates."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def remember(self) -> None:
        """Store the current parameters as the start that `drift` measures from."""
        for index, parameter in enumerate(self.learnable()):
            self.register_buffer(f"start_{index}", parameter.detach().clone())

    def drift(self) -> Tensor:
        """The mean squared difference of the parameters from those at the last `remember`, (n,)."""
        differences = [
            (parameter - self.get_buffer(f"start_{index}")).square().flatten(1)
            for index, parameter in enumerate(self.learnable())
        ]
        return torch.cat(differences, 1).mean(1)

    def learned(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold, by name: learnable parameters and the start."""
        tensors: dict[str, Tensor] = {name: value for name, value in self.named_parameters() if value.requires_grad}
        tensors |= {name: value for name, value in self.named_buffers() if name.startswith("start_")}
        return {name: value.detach() for name, value in tensors.items()}

    def relearn(self, state: dict[str, Tensor]) -> None:
        """Load what `learned` returned, from a canvas of the same kind and size. The number of pictures may differ."""
        own = self.learned()
        if own.keys() != state.keys() or any(own[name].shape[1:] != state[name].shape[1:] for name in own):
            raise ValueError(f"state must hold {_shapes(own)}, got {_shapes(state)}")
        for name, value in (*self.named_parameters(), *self.named_buffers()):
            if name in own:
                value.data = state[name].to(value.device, copy=True)

    def choose(self, index: int) -> None:
        """Keep one picture, by its index from 0, and drop the others."""
        self.relearn({name: value[index : index + 1] for name, value in self.learned().items()})

    def save_memory(self) -> bool:
        """From now on render in less memory, more slowly. Returns False if no more memory can be saved."""
        return False


def _shapes(tensors: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(tensors.items()))
