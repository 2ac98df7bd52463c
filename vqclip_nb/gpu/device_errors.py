"""Device errors: why a GPU cannot be used, and the remedies."""

# Messages of torch for a GPU that is present but unusable, each with its remedy. The first match is shown.
TROUBLES = {
    r"no kernel image|not compatible with the current PyTorch": (
        "its compute capability is not in this build of PyTorch; install another (https://pytorch.org/get-started)"
    ),
    r"out of memory": "its memory is full; close what else uses it (in Colab: Runtime > Manage sessions)",
    r"driver.*(too old|version is insufficient)|insufficient driver": (
        "its driver is too old for this PyTorch; update the driver"
    ),
    r"no NVIDIA driver|forward compatibility|driver/library version mismatch": (
        "its driver does not run; reinstall it or restart the machine"
    ),
    r"without CUDA|not compiled with CUDA": (
        "this PyTorch was built without CUDA; install a build with it (https://pytorch.org/get-started)"
    ),
}
NO_GPU_IN_COLAB = (
    "this Colab runtime has no GPU and paints on the CPU, slowly; "
    "Runtime > Change runtime type > T4 GPU gives one, free of charge"
)
