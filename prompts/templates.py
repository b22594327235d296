"""Reads templates: the built-in ones, replaced file by file by a task's and a run's own.

Only files from these folders are ever templates. What programs, evaluators, models and people write during a run comes in as
values, and values are not looked at for placeholders.
"""

from __future__ import annotations

import hashlib
import math
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from evolve.errors import ConfigError, nearest_hint
from evolve.llm.specs import DEFAULT_PROMPT, EditKind
from evolve.prompts.parts import Part
from evolve.prompts.specimens import specimens
from evolve.prompts.views import VIEWS

_BUILT_IN = Path(__file__).parent / "templates"
#: Where variants of the system text stand, in the built-in folder and in others.
_VARIANTS = "variants"
_VARIANT = re.compile(r"[a-z0-9][a-z0-9_-]*\.md")
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
        own = sorted(name for name in texts if _BUILT_IN not in paths[name].parents)
        for name in own:
            self._compile(name)
        if own:
            self._try_out(own)

    @classmethod
    def load(cls, *folders: Path | str) -> Templates:
        """Reads the built-in templates and those that replace them.

        Args:
            folders: Each may hold some of the templates, under the names of the built-in ones, and variants of the system text of
                any name in a folder ``variants``; a later folder counts more.

        Raises:
            ConfigError: If a folder or a file in it cannot be read, has an unknown name, is no template, or asks for something
                that it is not given. The message names the file, and the line where there is one.
        """
        paths = _files(_BUILT_IN)
        known = sorted(paths)
        for folder in map(Path, folders):
            for name, path in _files(folder).items():
                if name not in known and not name.startswith(f"{_VARIANTS}/"):
                    raise ConfigError(f"{path} replaces no template; {nearest_hint(name, known)}")
                paths[name] = path
        return cls({name: _read(path) for name, path in paths.items()}, paths)

    @property
    def sha256(self) -> str:
        """Hash of all texts in use."""
        digest = hashlib.sha256()
        for name in sorted(self._texts):
            content = self._texts[name].encode()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    @property
    def variants(self) -> list[str]:
        """Names of the variants of the system text, the default first."""
        names = [name.removeprefix(f"{_VARIANTS}/").removesuffix(".md") for name in self._texts if name.startswith(f"{_VARIANTS}/")]
        return [DEFAULT_PROMPT, *sorted(names)]

    def check_variants(self, names: Iterable[str], where: str) -> None:
        """Refuses variants of the system text that there are not.

        Args:
            names: Of the variants.
            where: Who asks for them, for the message.

        Raises:
            ConfigError: If one is unknown; the message names the nearest.
        """
        for name in names:
            if name not in self.variants:
                raise ConfigError(f"{where}: unknown variant of the prompt {name!r}; {nearest_hint(name, self.variants)}")

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
        original = name.removeprefix(_ORIGINAL)
        path = _BUILT_IN / original
        if name.startswith(_ORIGINAL) and original in self._texts and path.is_file():
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
        for part in specimens(self.variants[1:]):
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


def _files(folder: Path) -> dict[str, Path]:
    """Lists the templates of a folder by name.

    Raises:
        ConfigError: If it cannot be read, or a variant's name cannot stand in a SPEC.
    """
    found = {path.name: path for path in _listed(folder)}
    variants = found.pop(_VARIANTS, None)
    for path in [] if variants is None else _listed(variants):
        if not _VARIANT.fullmatch(path.name) or path.stem in (DEFAULT_PROMPT, *EditKind):
            raise ConfigError(
                f"{path} is no variant of the system text: call it NAME.md, of small letters, digits, - and _, and not like a "
                "kind of edit; the default one is system.md, in the folder above"
            )
        found[f"{_VARIANTS}/{path.name}"] = path
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"the folder of templates {str(folder)!r} cannot be read: {error.strerror}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the template {path} cannot be read: {error}") from error
