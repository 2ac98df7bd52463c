"""The base class of every canvas: what the loop asks of one."""

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

    Every learnable parameter has the pictures as its first dimension. Its start is a function of the pictures' seeds.
    """

    lr: float  # the step size that suits this canvas
    precision: Precision = FLOAT32  # that its network computes in, where it has one
    thrifty = False  # whether it renders in less memory and more time
    tidy_every = 0  # the steps between two calls of `tidy`; 0 is never
    options: CanvasOptions = CanvasOptions()
    spherical = False  # whether the way between two pictures turns the vectors of their parameters
    tiled = False  # whether opposite edges are to fit together
    cuts_off = False  # whether colours may lie beyond black and white, and are cut off by `bounded`
    keeps_uncut = False  # whether `bounded` keeps what it was given, as `uncut`
    uncut: Tensor | None = None
    draws: Draws | None = None  # of the step that it renders for, where chance has a part; None for a picture to keep

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: Any) -> Self:
        """A canvas by the name of its model (empty where it takes none). Raises models.UnknownModel.

        `size` is (width, height) in pixels; `options` is of the class that the canvas's spec names.
        """
        raise NotImplementedError

    def configure(self, options: CanvasOptions) -> None:
        """Take other values of the live options, from the next step on."""
        self.options = options

    def forward(self) -> Tensor:
        raise NotImplementedError

    def render(self, width: int, height: int) -> Tensor:
        """The pictures at another size, from the same parameters: (n, 3, height, width) RGB in [0, 1].

        Raises SettingsError where the canvas has one size alone.
        """
        raise SettingsError("this canvas has one size alone; siren and fourier can be rendered at any")

    def start_from(self, image: Tensor) -> None:
        """Begin with this picture, (1 or n, 3, H, W) RGB in [0, 1], of any size."""
        raise NotImplementedError

    def bounded(self, image: Tensor) -> Tensor:
        """A picture cut off at 0 and 1, with gradients that lead back in."""
        if self.keeps_uncut:
            self.uncut = image
        return clamp_with_grad(image)

    def constrain(self) -> None:
        """After each step: put the parameters back where they are allowed to be."""

    def tidy(self) -> None:
        """Re-encode the current image, where the canvas has an encoder. Default: nothing."""

    def penalties(self, progress: float) -> dict[str, Tensor]:
        """Losses on the parameters themselves, each (n,)."""
        return {}

    def learnable(self) -> list[nn.Parameter]:
        """What the optimizer changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def remember(self) -> None:
        """Make the current parameters the start that `drift` measures from."""
        for index, parameter in enumerate(self.learnable()):
            self.register_buffer(f"start_{index}", parameter.detach().clone())

    def drift(self) -> Tensor:
        """The mean squared difference of the parameters from those at the last `remember`, (n,)."""
        apart = [
            (parameter - self.get_buffer(f"start_{index}")).square().flatten(1)
            for index, parameter in enumerate(self.learnable())
        ]
        return torch.cat(apart, 1).mean(1)

    def learned(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold, by name: learnable parameters and the start."""
        kept: dict[str, Tensor] = {name: value for name, value in self.named_parameters() if value.requires_grad}
        kept |= {name: value for name, value in self.named_buffers() if name.startswith("start_")}
        return {name: value.detach() for name, value in kept.items()}

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
        """Render in less memory from now on, more slowly. False where no more memory can be saved."""
        return False


def _shapes(tensors: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(tensors.items()))
