"""Watch on a new champion: did it get worse since it was promoted? What to do about it is the policy's part."""

from collections import deque
from dataclasses import dataclass, field

from policies.action import Evidence
from policies.observation import Deployment, DeploymentStatus, Model, Report, Symptom

ILL = {DeploymentStatus.UNHEALTHY, DeploymentStatus.DEPLOY_FAILED}


def regression(
    model: Model, at_s: float, *, watch_s: float, stale_after_s: float, loss_then: float | None
) -> tuple[Evidence, ...] | None:
    """Why the champion of `model` should not have been promoted; None where nothing speaks against it, or nothing is known.

    1. It was promoted at most `watch_s` ago, and there is a report on it, at most `stale_after_s` old.
    2. A detector says that its error drifted since it was promoted.
    3. The drift did harm: its loss over a full window lies above `loss_then`, the most that it may have been promoted with, or else
       above the report's own reference. Where either is unknown nothing is known: detectors of change alarm on a loss that falls, too.
    """
    champion, report = model.champion, model.report
    if champion is None or report is None or model.champion_since_s is None:
        return None
    age_s = at_s - model.champion_since_s
    if age_s > watch_s or at_s - report.measured_at_s > stale_after_s or report.version != champion.number:
        return None
    before = report.loss_reference if loss_then is None else loss_then
    symptom = _drift(report, model.champion_since_s)
    if symptom is None or before is None or report.loss is None or report.loss <= before:
        return None
    return (
        Evidence(name="promoted_s_ago", value=age_s, threshold=watch_s, note="newly promoted"),
        Evidence(
            name=f"error_drift:{symptom.detector}",
            value=symptom.value,
            threshold=symptom.threshold,
            n=symptom.n,
            note=symptom.signal,
        ),
        Evidence(name="loss", value=report.loss, threshold=before, n=report.window_rows, note="now, against before"),
    )


@dataclass(slots=True)
class Normal:
    """What a model's champion has lost over full windows: that much is no regression of the next one, for the world has its moods."""

    version: str | None = None
    _losses: deque[tuple[float, float]] = field(default_factory=deque)
    """(measured_at_s, loss) of the champion's windows, without those that a later one was as bad as: the first is the worst."""

    def see(self, model: Model) -> None:
        """Take in the newest report, where it is on the champion."""
        champion, report = model.champion, model.report
        if champion is None:
            return
        if champion.number != self.version:
            self.version, self._losses = champion.number, deque()
        if report is None or report.version != champion.number or report.loss is None:
            return
        while self._losses and self._losses[-1][1] <= report.loss:
            self._losses.pop()
        self._losses.append((report.measured_at_s, report.loss))

    def worst_since(self, since_s: float) -> float | None:
        """The highest loss that was measured at `since_s` or later; None where there is none."""
        while self._losses and self._losses[0][0] < since_s:
            self._losses.popleft()
        return self._losses[0][1] if self._losses else None


def does_not_run(deployment: Deployment | None) -> bool:
    """Whether what serves the champion is known to fail, with fewer than half of its replicas healthy: a crash loop, not a lost node."""
    return (
        deployment is not None and deployment.status in ILL and 2 * len(deployment.healthy) < deployment.replicas_wanted
    )


def _drift(report: Report, since_s: float) -> Symptom | None:
    return next((each for each in report.symptoms if each.kind == "error_drift" and each.since_s >= since_s), None)
