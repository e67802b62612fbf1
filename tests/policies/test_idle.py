from policies.idle import Idle
from policies.testing import PolicyChecks, deployment, observation, traffic


class TestIdle(PolicyChecks):
    def make(self) -> Idle:
        return Idle()


def test_idle_wants_nothing_however_much_there_is_to_do():
    """The off switch is off."""
    assert Idle().propose(observation(0.0, deployment(traffic=traffic(ongoing=1e6)))) == ()
