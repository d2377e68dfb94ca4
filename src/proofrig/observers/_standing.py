"""Stands in for builtin functions of files, everywhere others may have taken them from.

Standard library only, Python 3.9+.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


class Standing:
    """Stands in for a builtin function. No descriptor, as that is none: a class that keeps it as an
    attribute gets it back as it is. Pickled, it is the builtin."""

    def __init__(self, inner: Any, call: Callable[..., Any]) -> None:
        self.__wrapped__ = inner
        self.__name__ = self.__qualname__ = inner.__name__
        self.__module__ = inner.__module__
        self.__doc__ = inner.__doc__
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce__(self) -> Any:
        from copy import copy

        return copy, (self.__wrapped__,)


def stand_in_os(name: str, call: Callable[..., Any]) -> None:
    """Put a stand-in where `os` has a function, and where others already took it from."""
    inner = getattr(os, name)
    standing = Standing(inner, partial(call, inner))
    setattr(os, name, standing)
    for names in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if inner in names:
            names.add(standing)
    stand_in_pathlib(inner, standing)


def stand_in_pathlib(inner: Any, standing: Standing) -> None:
    """Before Python 3.11 pathlib keeps the functions of `os` and `io`."""
    accessor = getattr(sys.modules.get("pathlib"), "_NormalAccessor", None)
    for name, value in list(vars(accessor).items()) if accessor is not None else ():
        if value is inner or getattr(value, "__func__", None) is inner:
            setattr(accessor, name, standing)
