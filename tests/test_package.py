import importlib.metadata
import importlib.util
import subprocess
import sys
from importlib.resources import files

import pytest

import tanas

HEAVY = ("torch", "torchvision", "sklearn")


def imported_by(code):
    shown = f"{code}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_importing_tanas_does_not_import_torch():
    assert imported_by("import tanas; tanas.__version__; dir(tanas)") == "[]"


def test_listeners_and_engines_are_there_before_torch_is():
    assert imported_by("import tanas.api.progress, tanas.engines.local, tanas.ground.executor") == "[]"


def test_the_command_line_is_there_before_torch_is():
    assert imported_by("import tanas.cli.main") == "[]"


def test_python_m_tanas_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "tanas", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout


def test_search_and_load_are_those_of_the_api():
    from tanas.api import search as api

    assert tanas.search is api.search
    assert tanas.load is api.load


def test_what_is_exported_can_be_listed():
    assert {"__version__", "load", "search"} <= set(dir(tanas))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tanas' has no attribute 'serach'"):
        _ = tanas.serach


def test_the_version_is_that_of_the_installed_package():
    assert tanas.__version__ == importlib.metadata.version("tanas")


def test_types_are_shipped():
    assert files("tanas").joinpath("py.typed").is_file()
