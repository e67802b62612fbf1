"""Recipes: what they learn, what they do with bad rows, and how they fail."""

import math

import numpy as np
import optuna
import pandas as pd
import pytest

from agent.recipes import registry
from agent.recipes.columns import Columns
from agent.recipes.registry import UnknownRecipe
from agent.recipes.scoring import RecipeFailed, evaluate, fit, split
from agent.recipes.search import chosen, middle, suggest

PARAMETERS = {
    "hist_gradient_boosting": {"learning_rate": 0.1, "max_iter": 50, "max_leaf_nodes": 15, "l2_regularization": 1.0},
    "logistic": {"C": 1.0},
    "river_logistic": {"first_rate": 0.1, "l2": 1e-4},
}
BAD_ROWS = [{}, {"x": math.nan, "kind": None}, {"x": math.inf}, {"x": "many", "kind": 3}, {"x": 0.5, "other": 1}]


def rows_of(count: int = 2000, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """The label follows `x` and `kind`; some of both are missing."""
    drawn = np.random.default_rng(seed)
    rows = pd.DataFrame({"x": drawn.random(count), "kind": drawn.choice(["a", "b"], count)})
    odds = 0.7 * rows["x"] + 0.3 * (rows["kind"] == "b")
    labels = pd.Series((drawn.random(count) < odds).astype(float))
    rows.loc[drawn.random(count) < 0.05, "x"] = math.nan
    return rows, labels


class Broken:
    name = "broken"

    def space(self) -> dict:
        return {}

    def fit(self, rows, labels, parameters, seed):
        raise KeyError("price")


class Silent(Broken):
    """Fits something that answers with NaN."""

    name = "silent"

    def fit(self, rows, labels, parameters, seed):
        return self

    def predict(self, rows) -> list[float]:
        return [math.nan] * len(rows)


@pytest.mark.parametrize("use", sorted(PARAMETERS))
def test_a_version_serves_what_it_learned_of_all_rows_not_the_mood_of_the_last(use: str) -> None:
    """A hundred late rows of one class move the mean answer by little, for a version does not learn on while it serves."""
    rows, labels = rows_of(4000)
    moody = labels.copy()
    moody.iloc[-100:] = 1.0
    calm_mean, moody_mean = (
        np.mean(fit(registry.build(use), rows, each, PARAMETERS[use], 0).predict(rows.to_dict(orient="records")))
        for each in (labels, moody)
    )
    assert moody_mean == pytest.approx(calm_mean, abs=0.05)


@pytest.mark.parametrize("use", sorted(PARAMETERS))
def test_every_family_beats_the_base_rate_on_later_rows(use: str) -> None:
    """The Brier loss of always answering the base rate is what a model must be better than."""
    rows, labels = rows_of()
    _, _, _, late = split(rows, labels, 0.25)
    base = float(((late - labels.mean()) ** 2).mean())
    loss = evaluate(
        registry.build(use), rows, labels, PARAMETERS[use], seed=0, validation_share=0.25, loss="brier"
    )  # fmt: skip
    assert loss < 0.95 * base


@pytest.mark.parametrize("use", sorted(PARAMETERS))
def test_every_row_gets_a_probability_however_bad_it_is(use: str) -> None:
    """Missing columns, NaN, infinity, a text for a number, a number for a text, a column that nobody knows."""
    fitted = fit(registry.build(use), *rows_of(), PARAMETERS[use], 0)
    answers = fitted.predict(BAD_ROWS)
    assert len(answers) == len(BAD_ROWS)
    assert all(0.0 <= each <= 1.0 for each in answers)
    assert fitted.columns == ("x", "kind")


@pytest.mark.parametrize("use", sorted(PARAMETERS))
def test_one_seed_one_model(use: str) -> None:
    """Fitting twice gives the same answers to the last bit."""
    rows = [{"x": n / 10, "kind": "ab"[n % 2]} for n in range(10)]
    first, second = (fit(registry.build(use), *rows_of(), PARAMETERS[use], 7).predict(rows) for _ in range(2))
    assert first == second


def test_a_recipe_that_raises_is_named_with_its_parameters_and_its_words() -> None:
    """Whatever it raised."""
    with pytest.raises(RecipeFailed, match=r"recipe broken with {'a': 1}: KeyError: 'price'"):
        fit(Broken(), *rows_of(100), {"a": 1}, 0)


def test_predictions_that_are_no_numbers_fail_the_trial() -> None:
    """They would poison every mean."""
    with pytest.raises(RecipeFailed, match=r"recipe silent .* not a finite number"):
        evaluate(Silent(), *rows_of(100), {}, seed=0, validation_share=0.25, loss="brier")


@pytest.mark.parametrize("use", sorted(PARAMETERS))
def test_labels_of_one_class_can_not_be_learned(use: str) -> None:
    """And the message says so, rather than a library's."""
    rows, labels = rows_of(100)
    with pytest.raises(RecipeFailed, match=r"the labels hold one class only \(1"):
        fit(registry.build(use), rows, labels * 0 + 1.0, PARAMETERS[use], 0)


def test_the_newest_rows_validate() -> None:
    """Never a random part: the future is what a model is for."""
    rows = pd.DataFrame({"x": range(10)})
    early, early_labels, late, late_labels = split(rows, rows["x"], 0.25)
    assert (list(early["x"]), list(early_labels)) == (list(range(8)), list(range(8)))
    assert (list(late["x"]), list(late_labels)) == ([8, 9], [8, 9])


def test_a_trial_is_asked_for_the_chosen_recipe_only_and_comes_back_as_it_was_asked() -> None:
    """Define-by-run: parameters are named after their recipe."""
    recipes = [registry.build("logistic"), registry.build("river_logistic")]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(20):
        trial = study.ask()
        suggest(trial, recipes)
        recipe, parameters = chosen(trial.params, recipes)
        assert set(parameters) == set(recipe.space())
        assert set(trial.params) == {"recipe", *(f"{recipe.name}.{name}" for name in parameters)}
        seen.add(recipe.name)
    assert seen == {"logistic", "river_logistic"}


def test_an_unknown_recipe_is_named() -> None:
    """With those that are known."""
    with pytest.raises(UnknownRecipe, match=r"unknown recipe 'logistik'.*logistic"):
        registry.build("logistik")


def test_columns_read_live_rows_as_they_read_a_frame() -> None:
    """Two ways, one matrix; what is unknown is missing."""
    rows, _ = rows_of(50)
    columns = Columns.learn(rows)
    assert columns.categorical == [False, True]
    live = columns.of_rows([{str(k): v for k, v in row.items()} for row in rows.to_dict(orient="records")])
    np.testing.assert_array_equal(live, columns.matrix(rows))
    assert np.isnan(columns.of_rows([{"x": True and "1", "kind": "c"}])).all()


@pytest.mark.parametrize("use", sorted(registry.RECIPES))
def test_the_middle_of_a_recipe_is_a_point_of_its_space(use: str) -> None:
    """Optuna takes it as it is, so the first trial of each recipe is of that point and of no other."""
    recipe = registry.build(use)
    first = middle(recipe)
    study = optuna.create_study()
    study.enqueue_trial(first)
    trial = study.ask()
    suggest(trial, [recipe])
    assert trial.params == first


def test_the_middle_of_a_logarithmic_range_is_the_geometric_one() -> None:
    """Of a plain one it is half way, on a step; of choices the first."""
    boosting, tree = (middle(registry.build(use)) for use in ("hist_gradient_boosting", "hoeffding_tree"))
    assert boosting["hist_gradient_boosting.learning_rate"] == pytest.approx(math.sqrt(0.02 * 0.3))
    assert boosting["hist_gradient_boosting.max_iter"] == 100
    assert boosting["hist_gradient_boosting.max_leaf_nodes"] == 21
    assert tree["hoeffding_tree.leaf_prediction"] == "mc"


@pytest.mark.parametrize("use", ["logistic", "hist_gradient_boosting", "river_logistic", "hoeffding_tree"])
@pytest.mark.parametrize(("coding", "told"), [((1.0, 2.0), "1, 2"), ((-1.0, 1.0), "-1, 1"), ((0.0, 0.5), "0, 0.5")])
def test_a_binary_recipe_refuses_labels_that_are_not_0_and_1(use: str, coding: tuple, told: str) -> None:
    """It says which it found; nothing is fitted or scored on a loss that means nothing."""
    labels = pd.Series([coding[n % 2] for n in range(100)])
    rows = pd.DataFrame({"x": np.arange(100.0)})
    with pytest.raises(ValueError, match=f"are 0 and 1; found {told}$"):
        registry.build(use).fit(rows, labels, PARAMETERS.get(use, {}), 0)


@pytest.mark.parametrize("loss", ["brier", "log_loss", "zero_one"])
def test_a_loss_of_classes_is_not_taken_of_other_labels(loss: str) -> None:
    """Whatever the recipe; `squared` and `absolute` are taken of any."""
    rows, labels = pd.DataFrame({"x": np.arange(100.0)}), pd.Series(np.arange(100.0))
    told = f"{loss} is a loss of classes 0 and 1; found the label 75"
    with pytest.raises(RecipeFailed, match=told):
        evaluate(registry.build("prior"), rows, labels, {}, seed=0, validation_share=0.25, loss=loss)
    assert evaluate(registry.build("prior"), rows, labels, {}, seed=0, validation_share=0.25, loss="absolute") > 0
