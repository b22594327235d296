"""Stands in for a framework's package: its other modules are found where the framework itself is installed."""

from pkgutil import extend_path

__path__: list[str]
__path__ = extend_path(__path__, __name__)
