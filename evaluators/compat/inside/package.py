"""Stands in for a framework's package: its other modules are found where the framework itself is installed."""

from pkgutil import extend_path

__path__ = extend_path(globals()["__path__"], __name__)
