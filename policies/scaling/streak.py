"""How long one and the same thing has been wanted, at look after look."""

from dataclasses import dataclass

ELAPSED_EPSILON_S = 1e-6
"""A difference of two large times may fall just short of the delay that has passed."""


@dataclass(slots=True)
class Streak:
    """A look at what was measured speaks for the time since the look before it, though never for more than it was measured over.

    So with a look every 10 s three looks in a row make 30 s, as where looks are counted (Faro, EuroSys 2025: a threshold of
    delay // interval), and a look after a long silence makes no more than its own window.
    """

    direction: int = 0
    """1 for more, -1 for fewer, 0 for neither."""
    since_s: float = 0.0
    looked_s: float | None = None

    def lasted(self, direction: int, at_s: float, delay_s: float, window_s: float) -> bool:
        """Whether `direction` has been wanted for `delay_s`, in which case it starts anew."""
        before_s = at_s if self.looked_s is None else max(self.looked_s, at_s - window_s)
        self.looked_s = at_s
        if direction != self.direction:
            self.direction, self.since_s = direction, before_s
        if direction == 0 or at_s - self.since_s + ELAPSED_EPSILON_S < delay_s:
            return False
        self.direction = 0
        return True

    def forget(self, at_s: float) -> None:
        """Nothing was wanted until now, as far as anybody knows."""
        self.direction, self.looked_s = 0, at_s
