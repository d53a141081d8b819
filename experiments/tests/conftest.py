"""The desk of the tests of tanas, for commands of the experiments."""

from tests.conftest import desk, shelf, tanas

__all__ = ["desk", "shelf", "tanas"]
