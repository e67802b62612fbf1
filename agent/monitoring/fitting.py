"""Which loss is taken of a prediction and its label, and of which pairs none is: a loss that means nothing is worse than none.

1. The losses of classes (`brier`, `log_loss`, `zero_one`) are of a probability and a label within [0, 1]; any other pair is left out, and
   counted.
2. Where more than MISFITS of the last JUDGED pairs were left out, no loss is taken any more until fewer are: what is left would be a
   choice of rows.
3. With `auto` the loss is `brier`, and `absolute` from where both predictions and labels are no parts of 1: those of prices, counts, ranks.
   Scores and log-odds beside labels of 0 and 1, or probabilities beside labels of 1 and 2, have no loss until people name one.
"""

from collections import Counter

from agent.monitoring.losses import LOSSES, OF_NUMBERS

JUDGED = 100
MISFITS = 5
LABEL = "label is outside [0, 1], as no loss of classes takes it: left out of the loss"
PREDICTION = "prediction is outside [0, 1], as no loss of classes takes it: left out of the loss"
FIRST_OF_AUTO = "brier"


class FittingLoss:
    """The loss of one model. `misfits` counts, by reason, the pairs that had none."""

    def __init__(self, chosen: str) -> None:
        self._auto = chosen == "auto"
        self._take(FIRST_OF_AUTO if self._auto else chosen)
        self._withheld = False
        self._pairs = self._odd_labels = self._odd_predictions = 0
        self.misfits: Counter[str] = Counter()

    @property
    def name(self) -> str | None:
        """None while none is taken."""
        return None if self._withheld else self._taken

    def of(self, prediction: float, label: float) -> float | None:
        """None for a pair that none is taken of."""
        if self._withheld:
            return None
        if self._of_numbers or (0.0 <= prediction <= 1.0 and 0.0 <= label <= 1.0):
            return self._loss(prediction, label)
        return None

    def note(self, prediction: float, label: float) -> bool:
        """A pair was seen; whether another loss is taken from now on, so that those before are no reference."""
        if self._of_numbers:
            return False
        self._pairs += 1
        if not (0.0 <= label <= 1.0 and 0.0 <= prediction <= 1.0):
            self._odd(prediction, label)
        return self._pairs >= JUDGED and self._judge()

    def _odd(self, prediction: float, label: float) -> None:
        if not 0.0 <= label <= 1.0:
            self._odd_labels += 1
            self.misfits[LABEL] += 1
        if not 0.0 <= prediction <= 1.0:
            self._odd_predictions += 1
            self.misfits[PREDICTION] += 1

    def _take(self, name: str) -> None:
        self._taken, self._loss, self._of_numbers = name, LOSSES[name], name in OF_NUMBERS

    def _judge(self) -> bool:
        before = self.name
        labels, predictions = self._odd_labels > MISFITS, self._odd_predictions > MISFITS
        self._pairs = self._odd_labels = self._odd_predictions = 0
        if self._auto and labels and predictions:
            self._take("absolute")
            self._withheld = False
            self.misfits.clear()
        else:
            self._withheld = labels or predictions
        return self.name != before
