"""A stand-in for google.colab, with the real package's signatures, that records what it is asked for."""

import sys
import types


def stand_in(monkeypatch):
    """Put it where the real one would be; returns the list of what was asked of it."""
    requests = []

    def download(filename):
        requests.append(("download", filename))

    def mount(mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
        if " " in mountpoint:
            raise ValueError("Mountpoint must not contain a space.")
        requests.append(("mount", mountpoint))

    def flush_and_unmount(timeout_ms=24 * 60 * 60 * 1000):
        requests.append(("flush",))

    def unassign():
        requests.append(("unassign",))

    def enable_custom_widget_manager(version="5.0.0a"):
        requests.append(("custom widgets", version))

    def disable_custom_widget_manager():
        requests.append(("no custom widgets",))

    parts = {
        "files": (download,),
        "drive": (mount, flush_and_unmount),
        "runtime": (unassign,),
        "output": (enable_custom_widget_manager, disable_custom_widget_manager),
    }
    google, colab = types.ModuleType("google"), types.ModuleType("google.colab")
    google.colab = colab
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    for name, functions in parts.items():
        part = types.ModuleType(f"google.colab.{name}")
        vars(part).update({function.__name__: function for function in functions})
        vars(colab)[name] = part
        monkeypatch.setitem(sys.modules, part.__name__, part)
    return requests
