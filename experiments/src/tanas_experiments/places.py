"""Where records and pages lie: in the repository, beside this package."""

from __future__ import annotations

from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[2]
RECORDS = EXPERIMENTS / "records"
"""A JSON file an experiment."""
PAGES = EXPERIMENTS / "pages"
