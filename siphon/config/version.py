"""The version, from the installed distribution; in a checkout that is not installed, from its pyproject.toml."""

import importlib.metadata
import tomllib
from pathlib import Path


def _version() -> str:
    project = Path(__file__).parents[2] / "pyproject.toml"
    try:
        with project.open("rb") as file:
            return str(tomllib.load(file)["project"]["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        pass
    try:
        return importlib.metadata.version("siphond")
    except importlib.metadata.PackageNotFoundError:
        return "0"


VERSION = _version()
PRODUCT = f"siphond/{VERSION}"
