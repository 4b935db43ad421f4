"""Moorline moors floating image tags: it finds, pins, judges and proposes.

The data flow is `pipeline`; layers are kept by the import contracts in `pyproject.toml`.
"""
