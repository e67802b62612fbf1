"""A local Ray for demos, tests and first steps: loopback only, a token of its own, quick metrics."""

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 400_000_000


def prepare_environment() -> None:
    """What Ray reads from the environment when it starts; must be called before `import ray` starts anything."""
    # Without this Ray binds all interfaces; with it, the loopback one.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S", "1")
    os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S", "5")
    # Small batches gain nothing from threads, and many processes with a thread per core each stand in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ray starts workers at nice 15: anything else on the machine would go before them, and trials would not go far behind them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@dataclass(frozen=True)
class LocalRay:
    """A Ray that this process started, with Serve on `http_url`."""

    http_url: str
    dashboard_url: str
    address: str

    @classmethod
    def start(
        cls, *, num_cpus: int, http_port: int, num_gpus: int = 0, metrics_ms: int = 1000, quiet: bool = True
    ) -> "LocalRay":
        """Start Ray and Serve on the loopback interface. `num_cpus` and `num_gpus` are what Ray believes it has.

        Workers report their metrics every `metrics_ms`; what an agent sees is that much older.
        """
        prepare_environment()
        import ray  # noqa: PLC0415 - the environment comes first
        from ray import serve  # noqa: PLC0415

        context: Any = ray.init(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            include_dashboard=True,
            dashboard_host=LOOPBACK,
            dashboard_port=free_port(),
            _node_ip_address=LOOPBACK,
            namespace="homeostat",
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=not quiet,
            configure_logging=not quiet,
            _temp_dir=_short_folder(),
            _system_config={"metrics_report_interval_ms": metrics_ms},
        )
        serve.start(http_options={"host": LOOPBACK, "port": http_port})
        return cls(
            http_url=f"http://{LOOPBACK}:{http_port}",
            dashboard_url=f"http://{context.dashboard_url}",
            address=context.address_info["gcs_address"],
        )

    def stop(self) -> None:
        """Stop Serve and the Ray that was started."""
        import ray  # noqa: PLC0415
        from ray import serve  # noqa: PLC0415

        serve.shutdown()
        ray.shutdown()


def free_port(wished: int = 0) -> int:
    """`wished`, where nobody listens there, or else any port that is free."""
    import socket  # noqa: PLC0415

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, wished))
        except OSError:
            listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def _short_folder() -> str:
    """Ray's sockets need a short path."""
    return str(Path(tempfile.mkdtemp(prefix="hs-")))
