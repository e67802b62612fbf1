"""What happened, read from the journal alone: drift, rollouts, scaling, healing, and the course of the fleet. Pure.

Times are seconds since `began_s`, the start of the demo.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.journal.record import Entry, Kind

Plain = dict[str, Any]
RIVER_DETECTORS = frozenset({"adwin", "page_hinkley", "kswin", "ddm", "eddm", "fhddm", "hddm_a", "hddm_w"})
SERVED_STAGES = {"start_rollout": "shadow", "promote": "full"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the demo did to a replica, and when (POSIX seconds)."""

    fault: str
    replica: str
    at_s: float


@dataclass
class Happened:
    """The sections of the result that the journal gives, and what the timeline shows."""

    drift: list[Plain] = field(default_factory=list)
    rollouts: list[Plain] = field(default_factory=list)
    scaling: list[Plain] = field(default_factory=list)
    healing: list[Plain] = field(default_factory=list)
    decisions: list[Plain] = field(default_factory=list)
    ticks: list[Plain] = field(default_factory=list)


class Reader:
    """Takes in entries in order, as they come, so that the live view and the result are made of the same."""

    def __init__(self, model: str, deployment: str, began_s: float, faults: Sequence[Fault] = ()) -> None:
        self.happened = Happened()
        self.seq = 0
        self._model = model
        self._deployment = deployment
        self._began_s = began_s
        self._faults = faults
        self._symptoms: set[tuple[str, ...]] = set()
        self._orders: dict[int, Plain] = {}
        self._rollouts: dict[str, Plain] = {}
        self._wanted = 0
        self._ran: set[str] = set()

    def read(self, entries: Iterable[Entry]) -> "Reader":
        for entry in entries:
            self.seq = entry.seq
            match entry.kind:
                case Kind.OBSERVED:
                    self._observed(entry)
                case Kind.INTENT:
                    self._intent(entry)
                case Kind.OUTCOME:
                    self._outcome(entry)
                case Kind.REFUSED:
                    self._orders.get(entry.payload["number"], {})["refused"] = entry.payload["reason"]
                case Kind.DECIDED:
                    self._decided(entry)
        return self

    def _since(self, at_s: float) -> float:
        return round(at_s - self._began_s, 2)

    # what was seen

    def _observed(self, entry: Entry) -> None:
        model = entry.payload["models"].get(self._model) or {}
        deployment = entry.payload["deployments"].get(self._deployment) or {}
        self._drift(model, entry.at_s)
        tick = self._tick(model, deployment, entry.at_s)
        self.happened.ticks.append(tick)
        running = {each["id"] for each in deployment.get("replicas", ()) if each["state"] == "running"}
        self._heal(running, deployment.get("replicas_wanted", 0), entry.at_s)
        self._wanted = deployment.get("replicas_wanted", self._wanted)

    def _drift(self, model: Mapping[str, Any], at_s: float) -> None:
        report = model.get("report") or {}
        for symptom in report.get("symptoms", ()):
            key = (str(report.get("version")), symptom["kind"], symptom["signal"], symptom["detector"])
            if key in self._symptoms:
                continue
            self._symptoms.add(key)
            evidence = {name: symptom[name] for name in ("kind", "signal", "value", "threshold", "n")}
            self.happened.drift.append(
                {
                    "at_s": self._since(at_s),
                    "detector": symptom["detector"],
                    "evidence": {**evidence, "version": report.get("version")},
                }
            )

    def _tick(self, model: Mapping[str, Any], deployment: Mapping[str, Any], at_s: float) -> Plain:
        rollout, report, training = (model.get(name) or {} for name in ("rollout", "report", "training"))
        traffic = deployment.get("traffic") or {}
        window_s = traffic.get("window_s") or 0.0
        return {
            "at_s": self._since(at_s),
            "replicas": sum(each["state"] == "running" for each in deployment.get("replicas", ())),
            "wanted": deployment.get("replicas_wanted", 0),
            "ongoing": traffic.get("ongoing"),
            "rate_rps": traffic["requests"] / window_s if window_s else None,
            "share": rollout.get("share", 0.0),
            "shadow": rollout.get("shadow", 0.0),
            "champion": (model.get("champion") or {}).get("number"),
            "challenger": rollout.get("version"),
            "candidates": [each["number"] for each in model.get("candidates", ())],
            "loss": report.get("loss"),
            "loss_reference": report.get("loss_reference"),
            "symptoms": len(report.get("symptoms", ())),
            "training": training.get("state") == "running",
            "trials_done": training.get("trials_done", 0),
        }

    # what was wanted and what came of it

    def _intent(self, entry: Entry) -> None:
        order, action = entry.payload, entry.payload["action"]
        shown = {
            "number": order["number"],
            "at_s": self._since(entry.at_s),
            "kind": action["kind"],
            "what": words(action),
            "because": [words_of_evidence(each) for each in order["because"]],
            "policy": order["policy"],
            "status": "open",
            "took_s": None,
        }
        self._orders[order["number"]] = shown
        self.happened.decisions.append(shown)
        match action["kind"]:
            case "start_rollout" | "set_traffic" | "promote" | "roll_back":
                self._stage(action, order, shown)
            case "scale":
                shown["from"], shown["to"] = self._wanted, action["replicas"]
            case "restart":
                self._noticed(action["replica"], entry.at_s)

    def _stage(self, action: Mapping[str, Any], order: Mapping[str, Any], shown: Plain) -> None:
        version = action["version"]
        rollout = self._rollouts.get(version)
        if rollout is None or (action["kind"] == "start_rollout" and rollout["verdict"] != "running"):
            rollout = {"version": version, "stages": [], "verdict": "running", "evidence": []}
            self._rollouts[version] = rollout
            self.happened.rollouts.append(rollout)
        if action["kind"] == "roll_back":
            rollout["verdict"] = "rolled_back"
        else:
            share = action.get("share")
            stage = SERVED_STAGES.get(action["kind"]) or f"canary {100 * (share or 0.0):g} %"
            if not rollout["stages"] or rollout["stages"][-1]["stage"] != stage:
                rollout["stages"].append({"stage": stage, "at_s": shown["at_s"], "order": shown["number"]})
        rollout["evidence"] = list(order["because"])

    def _outcome(self, entry: Entry) -> None:
        outcome = entry.payload
        shown = self._orders.get(outcome["number"])
        if shown is None:
            return
        shown["status"], shown["detail"] = outcome["status"], outcome["detail"]
        shown["took_s"] = round(self._since(entry.at_s) - shown["at_s"], 2)
        if outcome["status"] != "succeeded":
            return
        if shown["kind"] == "scale":
            self.happened.scaling.append({"at_s": shown["at_s"], "from": shown["from"], "to": shown["to"]})
        elif shown["kind"] == "promote":
            for rollout in self.happened.rollouts:
                if any(stage["order"] == shown["number"] for stage in rollout["stages"]):
                    rollout["verdict"] = "promoted"

    def _decided(self, entry: Entry) -> None:
        for alert in entry.payload["alerts"]:
            self.happened.decisions.append(
                {
                    "number": None,
                    "at_s": self._since(entry.at_s),
                    "kind": "alert",
                    "what": alert["text"],
                    "because": [],
                    "policy": "",
                    "status": alert["severity"],
                    "took_s": None,
                }
            )
            for fault in self._faults:
                if fault.replica in alert["text"]:
                    self._noticed(fault.replica, entry.at_s)

    # what became of the faults

    def _noticed(self, replica: str, at_s: float) -> None:
        for fault in self._faults:
            if fault.replica == replica and fault.at_s <= at_s:
                healing = self._healing(fault)
                if healing["noticed_after_s"] is None:
                    healing["noticed_after_s"] = round(at_s - fault.at_s, 2)

    def _heal(self, running: set[str], wanted: int, at_s: float) -> None:
        for fault in self._faults:
            if at_s <= fault.at_s:
                continue
            healing = self._healing(fault)
            gone = fault.replica not in running
            if healing["healed_after_s"] is None and gone and running and len(running) >= wanted:
                healing["healed_after_s"] = round(at_s - fault.at_s, 2)

    def _healing(self, fault: Fault) -> Plain:
        for healing in self.happened.healing:
            if healing["fault"] == fault.fault:
                return healing
        healing = {"fault": fault.fault, "noticed_after_s": None, "healed_after_s": None}
        self.happened.healing.append(healing)
        return healing


def words(action: Mapping[str, Any]) -> str:
    """An action as a person would say it."""
    match action["kind"]:
        case "scale":
            return f"scale {action['deployment']} to {action['replicas']} replicas"
        case "restart":
            return f"replace replica {action['replica']} of {action['deployment']}"
        case "retrain":
            return f"retrain {action['model']}"
        case "start_rollout":
            return f"start version {action['version']} in shadow"
        case "set_traffic":
            return f"give version {action['version']} {100 * action['share']:g} % of the keys"
        case "promote":
            return f"promote version {action['version']}"
        case "roll_back":
            return f"roll version {action['version']} back to {action['to']}"
        case kind:
            subject = action.get("model") or action.get("subject") or ""
            return f"{kind.replace('_', ' ')} {subject}".strip()


def words_of_evidence(evidence: Mapping[str, Any]) -> str:
    """One reason as a person would say it."""
    parts = [evidence["name"]]
    if evidence.get("value") is not None:
        parts.append(f"{evidence['value']:.4g}")
    if evidence.get("threshold") is not None:
        parts.append(f"against {evidence['threshold']:.4g}")
    if evidence.get("n"):
        parts.append(f"on {evidence['n']}")
    return " ".join(parts) + (f" ({evidence['note']})" if evidence.get("note") else "")
