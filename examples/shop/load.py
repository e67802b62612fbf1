"""Ask the fraud model of the shop more than one replica can answer, and say nothing.

python -m examples.shop.load [SECONDS]
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request

URL = "http://localhost:8000/fraud"
AT_A_TIME = 16


def ask(until_s: float) -> None:
    """One payment after the other; a model that is away is asked again."""
    body = json.dumps({"amount": 100, "foreign": 0}).encode()
    while time.monotonic() < until_s:
        try:
            urllib.request.urlopen(URL, body, timeout=10).read()
        except (OSError, urllib.error.URLError):
            time.sleep(1.0)


def main() -> None:
    until_s = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 60)
    threads = [threading.Thread(target=ask, args=(until_s,)) for _ in range(AT_A_TIME)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
