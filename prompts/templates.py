"""Reads templates: the built-in ones, replaced file by file by a task's and a run's own.

Only files from these folders are ever templates. What programs, evaluators, models and people write during a run comes in as
values, and values are not looked at for placeholders.
"""

from __future__ import annotations

import hashlib
import math
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from evolve.errors import ConfigError, nearest_hint
from evolve.prompts.parts import Part
from evolve.prompts.specimens import specimens
from evolve.prompts.views import VIEWS

_BUILT_IN = Path(__file__).parent / "templates"
#: How a template that replaces a built-in one includes it.
_ORIGINAL = "built-in/"


class Templates:
    """The texts of all prompts of a run, compiled."""

    def __init__(self, texts: Mapping[str, str], paths: Mapping[str, Path]) -> None:
        """Compiles templates that are not built in and fills each in once; see `load`. The tests do so with the built-in ones.

        Args:
            texts: By name, such as ``"parent.md"``.
            paths: Where each text comes from, for messages.

        Raises:
            ConfigError: If a text is no template, or asks for something that it is not given.
        """
        self._texts = dict(texts)
        self._paths = dict(paths)
        self._environment = _environment(self._source)
        own = sorted(name for name in texts if paths[name].parent != _BUILT_IN)
        for name in own:
            self._compile(name)
        if own:
            self._try_out(own)

    @classmethod
    def load(cls, *folders: Path | str) -> Templates:
        """Reads the built-in templates and those that replace them.

        Args:
            folders: Each may hold some of the templates, under the names of the built-in ones; a later folder counts more.

        Raises:
            ConfigError: If a folder or a file in it cannot be read, has an unknown name, is no template, or asks for something
                that it is not given. The message names the file, and the line where there is one.
        """
        paths = {path.name: path for path in _files(_BUILT_IN)}
        known = sorted(paths)
        for folder in map(Path, folders):
            for path in _files(folder):
                if path.name not in known:
                    raise ConfigError(f"{path} replaces no template; {nearest_hint(path.name, known)}")
                paths[path.name] = path
        return cls({name: _read(path) for name, path in paths.items()}, paths)

    @property
    def sha256(self) -> str:
        """Hash of all texts in use."""
        digest = hashlib.sha256()
        for name in sorted(self._texts):
            content = self._texts[name].encode()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    def fill(self, part: Part) -> str:
        """Fills a template in.

        Returns:
            Its text without blank lines at either end.

        Raises:
            ConfigError: If the template asks for something that it is not given.
        """
        try:
            return self._environment.get_template(part.template).render(part.context).strip("\n")
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ConfigError(f"{self._place(part.template, error)}: {error}") from error

    def _source(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        """Looks a template up as jinja2 asks for it: text, file, and whether it still holds."""
        if name in self._texts:
            return self._texts[name], str(self._paths[name]), lambda: True
        path = _BUILT_IN / name.removeprefix(_ORIGINAL)
        if name.startswith(_ORIGINAL) and path.name in self._texts:
            return _read(path), str(path), lambda: True
        return None

    def _compile(self, name: str) -> None:
        try:
            self._environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"{error.filename or self._paths[name]} line {error.lineno}: {error.message}") from error

    def _try_out(self, names: Collection[str]) -> None:
        """Fills templates in with specimens, and looks for unknown names also where these do not lead."""
        known: dict[str, set[str]] = {name: set() for name in names}
        for part in specimens():
            if part.template in known:
                self.fill(part)
                known[part.template] |= set(part.context)
        for name in names:
            unknown = sorted(
                meta.find_undeclared_variables(self._environment.parse(self._texts[name]))
                - known[name]
                - set(self._environment.globals)
            )
            if unknown:
                hint = nearest_hint(unknown[0], sorted(known[name]))
                raise ConfigError(f"{self._paths[name]}: unknown name {unknown[0]!r}; {hint}")

    def _place(self, name: str, error: Exception) -> str:
        """Returns the file, and the line if the error came from one."""
        files = {str(path) for path in self._paths.values()}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        return f"{frames[-1].filename} line {frames[-1].lineno}" if frames else str(self._paths[name])


class _Environment(ImmutableSandboxedEnvironment):
    """Lets templates look at views without much ado."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # Any: as jinja2 declares it
        # They are frozen records of texts and numbers. What jinja2 asks about other objects would take a fifth of a prompt's time.
        return not attr.startswith("_") if isinstance(obj, VIEWS) else super().is_safe_attribute(obj, attr, value)


def _environment(source: Callable[[str], tuple[str, str, Callable[[], bool]] | None]) -> jinja2.Environment:
    return _Environment(
        loader=jinja2.FunctionLoader(source),
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        autoescape=False,  # prompts are Markdown for models, never HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _printable(value: object) -> object:
    """Refuses what would print as a word that means nothing to a model."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"a placeholder would be filled with {value!r}; test for it with {{% if %}} first")
    return value


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"the folder of templates {str(folder)!r} cannot be read: {error.strerror}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the template {path} cannot be read: {error}") from error
