"""A local Ray beside whatever else runs on the machine."""

import socket

from ray_cluster.local import LOOPBACK, free_port


def test_a_port_that_somebody_listens_on_is_left_to_him() -> None:
    """Two demos can run beside each other; one alone gets the port that it wished for."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        wished = taken.getsockname()[1]
        assert free_port(wished) != wished
    assert free_port(wished) == wished
