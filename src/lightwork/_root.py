"""The root of all errors, in a module of its own so that they need not stand in one."""

from __future__ import annotations


class LightworkError(Exception):
    """The root of all errors that lightwork itself raises."""


LightworkError.__module__ = __name__.replace("_root", "errors")
