"""The terminal is for the person who watches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ray_cluster.demo.terminal import kept_clean


def test_what_others_print_goes_to_the_log_and_what_the_demo_says_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Below Python, so that children and linked libraries are caught as well; afterwards all is as before."""
    log = tmp_path / "ray.log"
    with kept_clean(log) as console:
        console.print("for the person [/]")
        os.write(1, b"(pid=7) a worker's line\n")
        os.write(2, b"a deprecation warning\n")
        subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
    os.write(1, b"afterwards\n")
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == ("for the person [/]\nafterwards\n", "")
    assert log.read_text() == "(pid=7) a worker's line\na deprecation warning\na child\n"


def test_an_error_is_seen_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever ends the demo is not hidden in its log."""
    with pytest.raises(RuntimeError), kept_clean(tmp_path / "ray.log"):
        raise RuntimeError
    os.write(2, b"the traceback\n")
    assert capfd.readouterr().err == "the traceback\n"
