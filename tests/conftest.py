"""For all tests: Triton's interpreter where there is no GPU, a browser, and what a page showed when a test failed."""

import os
import shutil

import pytest

from tests.browsing import browser, evidence_of  # noqa: F401 (a fixture)

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is imported


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails with pages open tells what they show and what they logged."""
    if call.excinfo and call.when == "call" and not call.excinfo.errisinstance(pytest.skip.Exception):
        evidence_of(item, call.when)
    return (yield)
