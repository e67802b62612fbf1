"""The frame that all pages share: style, drawing code, and how data is put into a page. No page asks the network for anything."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

OURS = "agent.reports"


def pages_of(package: str, world: str, **filters: Callable[..., str]) -> Environment:
    """The templates of `package`, on the frame of all pages; `world` says beside the name what kind of run they show."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(OURS, ".")]),
        autoescape=select_autoescape(["j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    environment.globals["world"] = world
    # The style and the drawing code are ours; they are put into the pages as they are.
    for name in ("page.css", "draw.js"):
        source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
        environment.globals[name.replace(".", "_")] = Markup(source)  # noqa: S704
    return environment


def library() -> Markup:
    """The drawing library, for a page that stands alone."""
    return Markup(get_plotlyjs())  # noqa: S704


def embedded(value: Mapping[str, Any]) -> Markup:
    """JSON that may stand inside a script: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704
