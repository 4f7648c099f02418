"""The report: figures and tables of depth and its errors, on one self-contained page."""
