"""How a model is fitted, searched and scored."""
