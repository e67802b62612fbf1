"""Say how payments turned out, as whoever learns the truth would: the foreign and the large ones were fraud.

python -m examples.shop_probe.labels [COUNT]
"""

import sys

import ray

from ray_cluster.probe import Probe

LARGE = 150


def main() -> None:
    """Label the payments p0, p1 and so on, COUNT of them."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    ray.init(address="auto", log_to_driver=False, configure_logging=False)
    probe = Probe("fraud-probed")
    for n in range(count):
        probe.label(f"p{n}", float(n == 0 or 10 * n > LARGE))
    probe.close()
    print(f"{count} labels are sent")


if __name__ == "__main__":
    main()
