"""Serve's REST interface on the dashboard: details of all applications, and the external scaler."""

import os
from typing import Any

import httpx

from agent.ports import Refused

TIMEOUT_S = 5.0
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable, not a token


class ServeAway(Exception):
    """The dashboard does not answer, or not with what was expected."""


class ServeRest:
    """`dashboard_url` such as http://127.0.0.1:8265. The token of the cluster is read from the environment, never logged."""

    def __init__(self, dashboard_url: str) -> None:
        token = os.environ.get(TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(retries=2)
        self._client = httpx.Client(base_url=dashboard_url, headers=headers, timeout=TIMEOUT_S, transport=transport)
        self.url = dashboard_url

    def details(self) -> dict[str, Any]:
        """Everything Serve says of its applications. Raises ServeAway."""
        try:
            answer = self._client.get("/api/serve/applications/")
            answer.raise_for_status()
            details: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServeAway(f"the details of Serve can not be read from {self.url}: {error}") from error
        return details

    def scale(self, deployment: str, replicas: int) -> None:
        """Set the replica count of "application/deployment". Raises Refused with what Serve said, or ServeAway."""
        application, _, name = deployment.partition("/")
        try:
            answer = self._client.post(
                f"/api/v1/applications/{application}/deployments/{name}/scale", json={"target_num_replicas": replicas}
            )
        except httpx.HTTPError as error:
            raise ServeAway(f"Serve can not be reached at {self.url}: {error}") from error
        if answer.status_code == httpx.codes.PRECONDITION_FAILED:
            raise Refused(
                f"application {application!r} lacks `external_scaler_enabled: true` in its Serve configuration"
            )
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Refused(f"Serve has no deployment {deployment!r}")
        if answer.is_error:
            raise Refused(
                f"Serve refused {replicas} replicas of {deployment}: {answer.status_code} {answer.text[:300]}"
            )
