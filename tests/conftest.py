"""Rules for all tests: a Ray is started by tests that say so, and by no other."""

import sys

import pytest


@pytest.fixture(autouse=True)
def no_ray_unless_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray.init` raises in a test without the marker `ray`, so that none starts a cluster by accident."""
    if request.node.get_closest_marker("ray") or "ray" not in sys.modules:
        return

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this test started a Ray, but does not carry the marker `ray`")

    monkeypatch.setattr(sys.modules["ray"], "init", refuse, raising=False)
