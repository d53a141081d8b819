"""Commands that measure: `python -m tanas_experiments.run.NAME`, each writes its record."""
