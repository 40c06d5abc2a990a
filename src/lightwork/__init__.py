"""lightwork: many hands make light work."""

__version__ = "0.1.0"
