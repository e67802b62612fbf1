"""A batch as JUnit XML: a suite for each run, a case for each expectation and one for the rules that must always hold."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from agent.units import number
from simulators.batch import Outcome

RULES = "every rule is kept"


def write(outcomes: Sequence[Outcome], file: Path) -> None:
    """Raises OSError where `file` can not be written."""
    report = JUnitXml(name="homeostat sim run")
    for outcome in outcomes:
        suite = TestSuite(outcome.task.label)
        suite.add_property("seed", str(outcome.task.seed))
        suite.add_property("journal_sha256", str(outcome.told["journal_sha256"]))
        for case in _cases(outcome):
            suite.add_testcase(case)
        report.add_testsuite(suite)
    report.update_statistics()
    report.write(str(file), pretty=True)


def _cases(outcome: Outcome) -> Iterator[TestCase]:
    name = outcome.task.label
    yield _with(TestCase(RULES, classname=name, time=outcome.told["wall_s"]), _of_rules(outcome))
    for each in outcome.expectations:
        case = TestCase(each.text, classname=name, time=0.0)
        if outcome.state == "interrupted":
            yield _with(case, Skipped("the run was interrupted"))
        elif each.held:
            yield case
        else:
            yield _with(
                case, Failure(f"measured {number(each.value) or 'nothing'}; expected {each.text}", "expectation")
            )


def _of_rules(outcome: Outcome) -> Failure | Error | Skipped | None:
    broken, error = outcome.broken, outcome.told["error"]
    if broken is not None:
        failure = Failure(f"{broken.rule}: {broken.told}", "rule")
        events = "\n".join(broken.events)
        failure.text = f"at {broken.at_s:.3f} s, seed {broken.seed}; the last events were\n{events}"
        return failure
    if error:
        fell = Error("the run fell over", "crash")
        fell.text = error
        return fell
    return Skipped("the run was interrupted") if outcome.state == "interrupted" else None


def _with(case: TestCase, result: Failure | Error | Skipped | None) -> TestCase:
    if result is not None:
        case.result = [result]
    return case
