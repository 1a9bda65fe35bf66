"""A user's file as a module, read as it is now."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


class _AsItIs(SourceFileLoader):
    """Compiles a file anew: what Python keeps of one that was changed within the same second may be what it was."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def module_of(path: Path, name: str) -> ModuleType:
    """The module in a file, under a name; dataclasses and pydantic look it up there. Raises what the file raises."""
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsItIs(name, str(path.absolute())))
    if spec is None or spec.loader is None:
        raise ImportError("cannot be imported", path=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
