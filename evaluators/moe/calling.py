"""Calls a method's hooks: in this process for methods that come with the package, in the sandbox for programs."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor

from evolve.evaluators.base import Invalid, IsolatedProgram
from evolve.evaluators.calls import Hooks
from evolve.evaluators.differentiate import as_torch_function, as_torch_loss
from evolve.evaluators.moe import apart
from evolve.evaluators.moe.spec import MOST_NULL, Size
from evolve.evaluators.moe.vocabulary import HOOKS, PER_TOKEN, Array, hooks_of

#: Room that arrays take for their alignment.
_SLACK_BYTES = 2**16


class Method(Protocol):
    """The hooks of a method, ready to be called."""

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        """What each hook that there is asks for, by name."""
        ...

    def plain(self, hook: str, arguments: Mapping[str, Any]) -> Any:  # Any: plain data, made up by untrusted code
        """Calls a hook that takes and returns plain data.

        Raises:
            ProgramFailed: If it is a program's, and fails.
        """
        ...

    def open(self, sizes: Mapping[str, int]) -> None:
        """Prepares for arrays of these sizes; called before `tensors`, and again before a training of other sizes.

        Args:
            sizes: By the letters of `vocabulary.Array`.
        """
        ...

    def tensors(self, hook: str, layer: int, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Calls a hook of tensors.

        Args:
            hook: Its name.
            layer: That it is called for; 0 for hooks of all layers.
            inputs: Exactly what it asks for.

        Returns:
            Its outputs in the order of the vocabulary, of the declared shapes and dtypes, finite; gradients flow back to the
            inputs that are differentiated.

        Raises:
            ProgramFailed: If it is a program's, and fails.
            Invalid: If it returns something else.
        """
        ...


class LocalMethod:
    """A method whose module is run in this process; for code that is trusted."""

    def __init__(self, module: ModuleType, source: str) -> None:
        """Takes a module; see `load`."""
        self._module = module
        self._sizes: Mapping[str, int] = {}
        self._asks = MappingProxyType(hooks_of(source))

    @classmethod
    def load(cls, path: Path, constants: Mapping[str, float] = MappingProxyType({})) -> LocalMethod:
        """Runs a method's file.

        Args:
            path: Of the file.
            constants: Values in place of those that the file gives its constants.

        Raises:
            ValueError: If the file has no such constant.
        """
        spec = importlib.util.spec_from_file_location(f"evolve_moe_method_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, value in constants.items():
            if not hasattr(module, name):
                raise ValueError(f"{path.name} has no constant {name}")
            setattr(module, name, value)
        return cls(module, path.read_text("utf-8"))

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return self._asks

    def plain(self, hook: str, arguments: Mapping[str, Any]) -> Any:  # Any: plain data
        return getattr(self._module, hook)(**{name: arguments[name] for name in self._asks[hook]})

    def open(self, sizes: Mapping[str, int]) -> None:
        self._sizes = dict(sizes)

    def tensors(self, hook: str, layer: int, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        differentiate = [name for name, array in _arrays(hook, self._asks[hook]).items() if array.differentiated]
        if not differentiate:
            return self._answers(hook, inputs)
        call = apart.call_loss if hook == "loss" else apart.call
        return call(partial(self._answers, hook), inputs, differentiate)

    def _answers(self, hook: str, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        answer = getattr(self._module, hook)(**inputs)
        answers = answer if isinstance(answer, tuple) else (answer,)
        outputs = HOOKS[hook].outputs
        if len(answers) != len(outputs):
            raise Invalid(f"{hook} returned {len(answers)} tensors; expected {', '.join(outputs)}")
        for (name, array), value in zip(outputs.items(), answers, strict=True):
            shape = array.shape(self._sizes)
            if value.shape != shape or value.dtype != getattr(torch, array.dtype):
                raise Invalid(
                    f"{name} of {hook} has shape {tuple(value.shape)} and dtype {value.dtype}; expected {shape}, {array.dtype}"
                )
            if not bool(torch.isfinite(value).all()):
                raise Invalid(f"{name} of {hook} is not finite")
        return answers


class SandboxedMethod:
    """A method that is a program: its hooks run in the sandbox, tensors cross through shared memory."""

    def __init__(self, program: IsolatedProgram, hooks: Hooks, asks: Mapping[str, tuple[str, ...]]) -> None:
        """Takes over what `sandboxed` made; use that."""
        self._program = program
        self._hooks = hooks
        self._asks = MappingProxyType(dict(asks))
        self._bound: dict[tuple[str, int], Callable[..., tuple[Tensor, ...]]] = {}
        self._opened: dict[tuple[tuple[str, int], ...], dict[tuple[str, int], Callable[..., tuple[Tensor, ...]]]] = {}

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return self._asks

    def plain(self, hook: str, arguments: Mapping[str, Any]) -> Any:  # Any: plain data
        return self._program.call(hook, **{name: arguments[name] for name in self._asks[hook]})

    def open(self, sizes: Mapping[str, int]) -> None:
        key = tuple(sorted(sizes.items()))
        if key not in self._opened:
            self._opened[key] = {
                (hook, layer): self._bind(hook, sizes)
                for hook in self._asks
                if HOOKS[hook].outputs
                for layer in range(sizes["L"] if hook in PER_TOKEN else 1)
            }
        self._bound = self._opened[key]

    def tensors(self, hook: str, layer: int, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        return self._bound[hook, layer](**inputs)

    def _bind(self, hook: str, sizes: Mapping[str, int]) -> Callable[..., tuple[Tensor, ...]]:
        arrays = _arrays(hook, self._asks[hook])
        inputs = {name: (array.shape(sizes), array.dtype) for name, array in arrays.items()}
        differentiate = [name for name, array in arrays.items() if array.differentiated]
        if hook == "loss" and differentiate:
            loss = as_torch_loss(self._hooks.bind_loss(hook, inputs, differentiate=differentiate))
            return lambda **tensors: (loss(**tensors),)
        outputs = {name: (array.shape(sizes), array.dtype) for name, array in HOOKS[hook].outputs.items()}
        return as_torch_function(self._hooks.bind_tensors(hook, inputs, outputs, differentiate=differentiate))


class Completed:
    """A method of which some hooks are another's: what a task does not leave to programs is run in this process."""

    def __init__(self, method: Method, fixed: Method, hooks: Sequence[str]) -> None:
        """Puts two methods together.

        Args:
            method: The program's.
            fixed: Trusted.
            hooks: Those that are taken of it.
        """
        self._method, self._fixed = method, fixed
        self._asks = MappingProxyType({**method.asks, **{hook: fixed.asks[hook] for hook in hooks}})
        self._hooks = frozenset(hooks)

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return self._asks

    def plain(self, hook: str, arguments: Mapping[str, Any]) -> Any:  # Any: plain data
        return self._of(hook).plain(hook, arguments)

    def open(self, sizes: Mapping[str, int]) -> None:
        self._method.open(sizes)
        self._fixed.open(sizes)

    def tensors(self, hook: str, layer: int, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        return self._of(hook).tensors(hook, layer, inputs)

    def _of(self, hook: str) -> Method:
        return self._fixed if hook in self._hooks else self._method


@contextmanager
def sandboxed(program: IsolatedProgram, allowed: Sequence[str], sizes: Sequence[Size]) -> Iterator[SandboxedMethod]:
    """Opens a program's hooks.

    Args:
        program: Its first file defines them.
        allowed: Hooks that the task leaves to programs.
        sizes: Of all trainings that it is to be opened for.

    Raises:
        Invalid: If the program defines hooks otherwise than it may (see `hooks_of`).
        ProgramFailed: If it cannot be loaded.
    """
    asks = hooks_of(next(iter(program.files.values())), allowed)
    with program.hooks(shared_mb=_shared_mb(asks, sizes)) as hooks:
        missing = sorted(set(asks) - hooks.defined)
        if missing:
            raise Invalid(f"{', '.join(missing)}: defined in the text, and gone once the program has been loaded")
        yield SandboxedMethod(program, hooks, asks)


def _arrays(hook: str, asked: Sequence[str]) -> dict[str, Array]:
    arrays = {}
    for name in asked:
        array = HOOKS[hook].inputs[name]
        assert array is not None, f"{hook} takes plain data"
        arrays[name] = array
    return arrays


def _shared_mb(asks: Mapping[str, tuple[str, ...]], sizes: Sequence[Size]) -> int:
    """Room for all arrays of all hooks: inputs, outputs, and the gradients that come and go."""
    total = _SLACK_BYTES
    for size in sizes:
        letters = size.letters(size.model.experts * (1 + MOST_NULL if "cost" in asks else 1))
        for hook, asked in asks.items():
            if HOOKS[hook].outputs:
                arrays = [*_arrays(hook, asked).values(), *HOOKS[hook].outputs.values()]
                bytes_each = sum(2 * (8 * math.prod(array.shape(letters)) + 64) for array in arrays)
                total += bytes_each * (letters["L"] if hook in PER_TOKEN else 1)
    return math.ceil(total / 2**20)
