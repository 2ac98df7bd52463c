"""The benchmark of the queue's load, small: nothing is lost or painted twice, and turns are fair."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


def test_people_who_send_at_once_and_a_killed_server_lose_nothing(tmp_path):
    from benchmarks.queue_load import measure

    figures = measure(tmp_path, 12)
    assert figures["jobs promised"] >= 24
    assert figures["lost"] == figures["begun twice"] == figures["run folders too many"] == 0
    assert figures["people among the first turns, one for each"] == 12
    assert figures["people among the second turns"] == 12
    assert figures["within one second: 99 % of the answers within, ms"] < 1000
