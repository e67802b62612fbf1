"""A journal on every database that is supported; PostgreSQL is a real server, started for the session where its programs are at hand."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.journal.store import SqlJournal


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _user() -> str | None:
    """PostgreSQL will not run as root; any other user will do."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server of our own on 127.0.0.1."""
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed (Debian's package postgresql has them)")
    with tempfile.TemporaryDirectory(prefix="hs-pg-", ignore_cleanup_errors=True) as folder:
        user, port = _user(), _free_port()
        if user is not None:
            shutil.chown(folder, user)
            Path(folder).chmod(0o700)
        home = f"{folder}/db"
        made = subprocess.run(
            [initdb, "-D", home, "-U", "homeostat", "--auth=trust", "-E", "UTF8", "--no-sync"],
            user=user, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"initdb does not work here: {made.stderr.strip()[:200]}")
        process = subprocess.Popen(
            [server, "-D", home, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
            user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"postgresql+psycopg://homeostat@127.0.0.1:{port}/postgres"
        try:
            _wait_for(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # at once, whoever is still connected
            process.wait(timeout=20)


def _wait_for(url: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    deadline_s = time.monotonic() + 20
    while True:
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            engine.dispose()
            return


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty journal's address."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    server = request.getfixturevalue("postgres_server")
    import sqlalchemy as sa

    name = f"journal_{tmp_path.name.lower().replace('-', '_')}_{os.getpid()}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    engine.dispose()
    return server.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
def journal(url: str) -> Iterator[SqlJournal]:
    opened = SqlJournal(url)
    yield opened
    opened.close()
