"""A search starts from the trials of the last, also where its space is another than the last one's."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, RDBStorage

from agent.recipes.search import suggest
from ray_cluster.studies import TRIALS_KEPT, study_of

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Recipe:
    """One with a parameter up to `high`."""

    def __init__(self, name: str, high: float = 1.0) -> None:
        self.name = name
        self._high = high

    def space(self) -> dict:
        return {"p": FloatDistribution(0.0, self._high)}

    def fit(self, *_: object) -> None: ...


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return RDBStorage(f"sqlite:///{tmp_path}/studies.db")


def searched(storage: BaseStorage, recipes: list, trials: int = 8, loss: str = "brier") -> optuna.Study:
    """A search of so many trials, as Tune makes it."""
    study = optuna.load_study(study_name=study_of("m", recipes, loss, storage), storage=storage)
    for _ in range(trials):
        trial = study.ask()
        suggest(trial, recipes)
        study.tell(trial, sum(v for v in trial.params.values() if isinstance(v, float)))
    return study


def params(study: optuna.Study) -> list[dict]:
    return [trial.params for trial in study.trials]


def test_the_same_space_goes_on_in_the_same_study(storage: BaseStorage) -> None:
    """As before a restart."""
    assert len(searched(storage, [Recipe("a"), Recipe("b")]).trials) == 8
    assert len(searched(storage, [Recipe("a"), Recipe("b")]).trials) == 16
    assert len(optuna.get_all_study_names(storage)) == 1


@pytest.mark.parametrize("recipes", [["a", "b", "c"], ["b", "a"], ["c", "b", "a"]])
def test_a_recipe_that_is_added_or_moved_breaks_no_search_and_loses_no_trial(
    storage: BaseStorage, recipes: list
) -> None:
    """Optuna refuses other choices in one study; another study begins with all of its trials."""
    before = params(searched(storage, [Recipe("a"), Recipe("b")]))
    after = params(searched(storage, [Recipe(name) for name in recipes]))
    assert (after[:8], len(after)) == (before, 16)


def test_a_recipe_that_is_taken_away_takes_its_trials_along(storage: BaseStorage) -> None:
    """Those of the others stay."""
    before = params(searched(storage, [Recipe("a"), Recipe("b")]))
    kept = [each for each in before if each["recipe"] == "b"]
    assert params(searched(storage, [Recipe("b")], trials=0)) == kept


def test_trials_outside_a_new_range_are_left(storage: BaseStorage) -> None:
    """What can not be chosen any more says nothing."""
    before = params(searched(storage, [Recipe("a")]))
    narrow = [Recipe("a", high=0.5)]
    assert params(searched(storage, narrow, trials=0)) == [each for each in before if each["a.p"] <= 0.5]


def test_trials_of_another_loss_or_another_model_are_none_of_it(storage: BaseStorage) -> None:
    """A Brier loss and an absolute one are not to be compared; nor is model "m" model "m-2"."""
    searched(storage, [Recipe("a")])
    assert params(searched(storage, [Recipe("a")], trials=0, loss="absolute")) == []
    for other in ("m-2", "n"):
        assert (
            optuna.load_study(study_name=study_of(other, [Recipe("a")], "brier", storage), storage=storage).trials == []
        )


def test_a_study_from_before_there_were_spaces_is_taken_over(storage: BaseStorage) -> None:
    """It has the model's bare name; the newest trials are kept."""
    old = optuna.create_study(study_name="m", storage=storage)
    for n in range(TRIALS_KEPT + 5):
        point = {"recipe": optuna.distributions.CategoricalDistribution(["a"]), "a.p": FloatDistribution(0.0, 1.0)}
        old.add_trial(optuna.create_trial(params={"recipe": "a", "a.p": n / 1000}, distributions=point, value=1.0))
    taken = params(searched(storage, [Recipe("a"), Recipe("b")], trials=0))
    assert [each["a.p"] for each in taken] == [n / 1000 for n in range(5, TRIALS_KEPT + 5)]
