"""What can not be learned is told before a search begins, with counts and with what to do; odd tables are learned all the same."""

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from agent.recipes import registry
from agent.recipes.columns import Columns
from agent.recipes.readiness import NotReady, check
from agent.recipes.scoring import evaluate, loss_for
from tests.agent.recipes.test_recipes import PARAMETERS as SOME

PARAMETERS = {
    **SOME,
    "hist_gradient_boosting": SOME["hist_gradient_boosting"] | {"max_iter": 2},
    "hoeffding_tree": {"grace_period": 100, "max_depth": 4, "leaf_prediction": "mc"},
    "prior": {},
}


class Line:
    """A regression of a user's own."""

    name = "line"

    def space(self) -> dict:
        return {}

    def fit(self, rows, labels, parameters, seed):
        return self


def table(count: int = 100) -> tuple[pd.DataFrame, pd.Series]:
    drawn = np.random.default_rng(3)
    rows = pd.DataFrame({"x": drawn.random(count), "word": drawn.choice(["a", "b"], count)})
    return rows, pd.Series([float(n % 2) for n in range(count)])


def told(rows, labels, *uses: str, loss: str = "brier", share: float = 0.25, own: tuple = ()) -> str:
    """Why a search on these rows does not begin."""
    with pytest.raises(NotReady) as refused:
        check(rows, labels, [*map(registry.build, uses), *own], loss=loss, validation_share=share)
    return str(refused.value)


def test_a_table_without_rows_or_features_is_told_as_such() -> None:
    """No labelled row, only the target, and features that are empty in every row."""
    rows, labels = table()
    assert told(rows.iloc[:0], labels.iloc[:0], "prior").startswith("there are no labelled rows: all were dropped")
    assert (
        told(rows[[]], labels, "logistic")
        == "the 100 rows hold labels and no feature: tell the probe what a model may read"
    )
    empty = pd.DataFrame({"x": [math.nan] * 100, "y": [None] * 100})
    assert (
        told(empty, labels, "prior") == "all features are empty in all 100 rows (x, y): nothing can be learned of them"
    )


@pytest.mark.parametrize(("share", "left"), [(0.999, 0), (0.95, 5)])
def test_a_share_that_leaves_too_few_rows_to_learn_from_is_told_with_both_counts(share: float, left: int) -> None:
    """Before every trial fails for it."""
    assert told(*table(), "logistic", share=share) == (
        f"validation_share {share:g} of 100 rows leaves {left} to learn from; at least 10 are needed: lower validation_share, "
        "or wait for more labelled rows"
    )


def test_one_class_among_the_older_rows_is_told_with_the_counts_of_both_parts() -> None:
    """A recipe of two classes has nothing to tell apart then; one that needs no two still gives its model."""
    rows, labels = table()
    labels[:] = [0.0] * 80 + [1.0] * 20
    assert told(rows, labels, "logistic", "hoeffding_tree") == (
        "the 75 older rows, from which a trial learns, hold one class only (0 in 75 rows), the 25 newest, which validate, 1 in 20 rows, "
        "0 in 5: wait for labels of both classes, or change rows_max or validation_share so that both are among the older rows"
    )
    check(rows, labels, [registry.build("logistic"), registry.build("prior")], loss="brier", validation_share=0.25)


@pytest.mark.parametrize("coding", [(1.0, 2.0), (-1.0, 1.0), (0.0, 2.0)])
@pytest.mark.parametrize("use", sorted(registry.RECIPES))
def test_classes_that_are_written_otherwise_are_refused_alike_by_every_recipe(use: str, coding: tuple) -> None:
    """Also where only older rows hold one, and the newest, which validate, do not."""
    rows, labels = table()
    first, second = coding
    message = told(rows, labels.map({0.0: first, 1.0: second}), use)
    assert message.startswith(
        f"the labels hold {first:g} in 50 rows, {second:g} in 50; loss brier is for classes 0 and 1: send 1 for"
    )
    some = labels.where(labels.index > 0, 2.0)
    assert told(rows, some, use).startswith("the labels hold 1 in 50 rows, 0 in 49, 2 in 1; loss brier is for classes")


def test_labels_that_are_numbers_need_a_recipe_of_numbers() -> None:
    """Binary recipes alone can not learn them whatever the loss; beside one of a user's own they are left to that."""
    rows, labels = table()
    numbers = labels + rows["x"] * 100
    assert "; recipe logistic, hist_gradient_boosting is for classes 0 and 1" in told(
        rows, numbers, "logistic", "hist_gradient_boosting", loss="absolute"
    )
    check(rows, numbers, [registry.build("logistic"), Line()], loss="absolute", validation_share=0.25)


def test_labels_that_are_unknown_are_counted() -> None:
    """None and NaN are no class."""
    rows, labels = table()
    todo = "leave such rows out, and write classes as 0 and 1"
    assert told(rows, labels.where(labels.index > 4), "prior") == f"5 of 100 labels are no finite number (nan): {todo}"
    for odd in (None, "yes", 1j, 10**5000, pd.NaT):
        mixed = pd.Series([odd, 1.0, 0.0, 1.0] * 25, dtype=object)
        assert told(rows, mixed, "prior").startswith("25 of 100 labels are no finite number (")
        assert loss_for("auto", mixed) == "brier"
    assert told(rows, labels[:80], "prior") == "there are 100 rows and 80 labels; expected a label for each row"


def test_two_columns_of_one_name_are_refused_with_their_places() -> None:
    """Whether they are alike from the beginning or as texts."""
    rows, labels = table()
    assert told(pd.concat([rows, rows[["x"]]], axis=1), labels, "prior") == (
        "columns 1 and 3 of the rows are both called 'x'; each needs a name of its own"
    )
    assert "columns 1 and 2 of the rows are both called '1'" in told(rows.set_axis([1, "1"], axis=1), labels, "prior")
    assert "column 1 of the rows: a bool is no name" in told(rows.set_axis([True, "1"], axis=1), labels, "prior")


def test_what_a_training_scores_with_follows_from_the_labels_where_nobody_says_it() -> None:
    """More than two numbers that are no parts of 1 are lost absolutely; two are classes, written in whatever way."""
    cases = {
        (0.0, 1.0): "brier",
        (0.1, 0.5, 0.9): "brier",
        (1.0, 2.0): "brier",
        (-1.0, 1.0): "brier",
        (3.0, 4.5, 900.0): "absolute",
    }
    assert {values: loss_for("auto", pd.Series(values)) for values in cases} == cases
    assert loss_for("squared", pd.Series([0.0, 1.0])) == "squared"


@pytest.mark.parametrize("use", sorted(registry.RECIPES))
@pytest.mark.parametrize(
    "odd", [None, math.nan, 1.0, "same", True, Decimal("2.5"), pd.Timestamp("2026-01-02"), pd.Timedelta("1s"), pd.NA, 1j, pd.NaT]
)  # fmt: skip
def test_a_feature_that_is_always_empty_or_the_same_keeps_no_recipe_from_learning(use: str, odd) -> None:
    """Of whatever type; and a live row with or without it gets an answer."""
    rows, labels = table(60)
    rows = rows.assign(odd=pd.Series([odd] * 60))
    recipe = registry.build(use)
    check(rows, labels, [recipe], loss="brier", validation_share=0.25)
    assert evaluate(recipe, rows, labels, PARAMETERS[use], seed=0, validation_share=0.25, loss="brier") < 1.0
    fitted = recipe.fit(rows, labels, PARAMETERS[use], 0)
    answers = fitted.predict([{"x": 0.5, "word": "a", "odd": odd}, {"x": 0.5, "word": "a"}, {}])
    assert all(0.0 <= each <= 1.0 for each in answers)


@pytest.mark.parametrize("use", sorted(registry.RECIPES))
@pytest.mark.parametrize("names", [(0, 1), (np.int64(7), "word"), (1.5, 2.0), (pd.Index([3, 4])[0], Decimal(4))])
def test_names_of_columns_that_are_numbers_are_their_texts(use: str, names: tuple) -> None:
    """A live row may say either, and is answered alike."""
    rows, labels = table()
    rows = rows.set_axis(pd.Index(names, dtype=object), axis=1)
    evaluate(registry.build(use), rows, labels, PARAMETERS[use], seed=0, validation_share=0.25, loss="brier")
    fitted = registry.build(use).fit(rows, labels, PARAMETERS[use], 0)
    texts = tuple(str(int(each)) if not isinstance(each, str) and each == int(each) else str(each) for each in names)
    assert fitted.columns in (texts, ())
    live = dict(zip(names, (0.9, "b"), strict=True))
    assert fitted.predict([live]) == fitted.predict([dict(zip(texts, (0.9, "b"), strict=True))])


def test_a_live_row_with_two_names_that_are_one_has_neither_value() -> None:
    """Which of them was meant is unknown; a name that is none is of no column."""
    columns = Columns.learn(pd.DataFrame({"1": [0.5, 1.5], "x": [1.0, 2.0]}))
    (read,) = columns.of_rows([{1: 0.5, "1": 0.5, "x": 2.0, None: 3.0, (1, 2): 4.0}])
    np.testing.assert_array_equal(read, [math.nan, 2.0])


@pytest.mark.parametrize(
    "values",
    [
        [Decimal("1.5"), Decimal("2.5"), None], [pd.Timedelta("1.5s"), pd.Timedelta("2.5s"), pd.NaT], [1.5, 2.5, pd.NA],
        [np.float32(1.5), np.float64(2.5), math.nan],
    ],
)  # fmt: skip
def test_numbers_of_any_type_are_learned_as_the_numbers_that_live_rows_hold(values: list) -> None:
    """As the data log writes them, and not as categories."""
    for dtype in (None, object):
        rows = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
        columns = Columns.learn(rows)
        assert (columns.categorical, columns.means) == ([False], {"x": 2.0})
        np.testing.assert_array_equal(columns.matrix(rows), [[1.5], [2.5], [math.nan]])
        np.testing.assert_array_equal(columns.of_rows([{"x": each} for each in values]), columns.matrix(rows))


CLASSES = [n % 2 for n in range(100)]


@pytest.mark.parametrize("use", PARAMETERS)
@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(CLASSES, dtype="category"),
        pd.Series(pd.Categorical(CLASSES, ordered=True)),
        pd.Series(CLASSES, dtype=float).astype("category"),
        pd.Series(CLASSES, dtype=bool).astype("category"),
        pd.Series(CLASSES, dtype="boolean"),
        pd.Series(CLASSES, dtype="Int64"),
        pd.Series(CLASSES, dtype="Sparse[int64]"),
        pd.Series([Decimal(each) for each in CLASSES]),
    ],
    ids=lambda labels: f"{labels.dtype}",
)
def test_labels_that_are_called_ready_are_learned_whatever_pandas_holds_them_in(use: str, labels: pd.Series) -> None:
    """Categories are the values that they stand for, in order or not."""
    rows, numbers = table()
    recipe = registry.build(use)
    check(rows, labels, [recipe], loss="brier", validation_share=0.25)
    found = [
        evaluate(recipe, rows, each, PARAMETERS[use], seed=1, validation_share=0.25, loss="brier")
        for each in (labels, numbers)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["timedelta64[ns]", "object", "category"])
def test_durations_are_no_labels_and_it_is_said_what_to_write(kind: str) -> None:
    """However they are held; other texts and moments are no numbers either."""
    rows, _ = table()
    refused = told(rows, pd.Series(pd.to_timedelta(CLASSES, unit="s")).astype(kind), "prior", "logistic")
    assert refused.startswith("100 of 100 labels are no finite number (Timedelta(")
    assert refused.endswith("leave such rows out, and write classes as 0 and 1, and durations as their seconds")
    for odd in (
        pd.Series(pd.to_datetime(CLASSES, unit="s")),
        pd.Series([str(each) for each in CLASSES], dtype="category"),
    ):
        assert told(rows, odd, "prior").endswith("leave such rows out, and write classes as 0 and 1")
