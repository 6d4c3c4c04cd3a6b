"""`last_edge.train` and `last_edge.export` are packages and, for scripts, functions of the API at once.

Importing a package makes it an attribute of the one above, whatever stood there under its name. So the package itself
is what is called: it hands everything on to the function of its name in `last_edge.api`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package whose call is the call of `last_edge.api.NAME`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """See the function of this name in `last_edge.api`."""
        return getattr(import_module("last_edge.api"), self.__name__.rpartition(".")[2])(*arguments, **options)


def make_callable(package: str) -> None:
    """Let a package that is being imported be called."""
    sys.modules[package].__class__ = CallablePackage
