"""Numbers as a scenario may have them. Their bounds keep a slip of the hand from costing days or all memory."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from agent.settings import SECONDS_MAX, share_hint

NotNegative = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]
Moment = NotNegative
Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
"""Requests in a second; what a kernel plays in one."""
Cadence = Annotated[float, Field(ge=0.001, le=SECONDS_MAX, allow_inf_nan=False)]
"""Seconds between two events of a kind that goes on for ever."""
Cores = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
PerHour = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Part = Annotated[float, Field(gt=0, lt=1), BeforeValidator(share_hint)]
