"""The SIREN canvas: a network from coordinates to colours, whose weights are optimized."""

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class SirenOptions(CanvasOptions):
    """The options of a SIREN canvas. Deep Daze has 16 layers of 256 units, and w0 30 in all."""

    layers: int = option(5, "Layers", "sine layers of the network: more give finer pictures, more slowly", ge=2, le=64)
    hidden_size: int = option(96, "Hidden size", "units of each layer; Deep Daze has 256", ge=8, le=1024)
    w0: float = option(15.0, "w0", "frequency of the hidden layers: higher is more detailed", gt=0, le=200)
    w0_first: float = option(20.0, "First w0", "frequency of the first layer: higher is finer", gt=0, le=200)


SPEC = CanvasSpec(
    name="siren",
    title="SIREN, no model",
    good_at="flowing pictures that have no fixed size; the method of Deep Daze",
    lr=1e-3,
    options=SirenOptions,
)
