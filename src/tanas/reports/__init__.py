"""Reports: a result as charts and as one self-contained page."""
