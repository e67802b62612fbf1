"""Numbers as a scenario may have them."""

from typing import Annotated

from pydantic import Field

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Moment = NotNegative
