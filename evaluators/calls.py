"""How an evaluator and its program call each other many times: callbacks that it lends, hooks that it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ArraySpec", "Callback", "Hook", "Hooks", "Loss", "LossValue", "Refused", "TensorHook"]

#: Shape and dtype of an array that crosses through shared memory, such as ``((8, 64), "float32")``.
ArraySpec = tuple[Sequence[int], str]


class Refused(Exception):
    """A callback raises it to tell the program why it gets no answer.

    The program sees it as a ``RuntimeError`` with the same text, of the class ``callback.Refused``, and may catch it and
    go on.
    """


@dataclass(frozen=True, slots=True)
class Callback:
    """A function of the evaluator that a program may call, and how much of it.

    The function receives plain data and arrays that untrusted code made up, and has to check them: it raises
    `evolve.evaluators.base.Invalid` to end the evaluation as invalid, or `Refused` to have the program told. Anything else
    that it raises is the evaluator's own failure. A call that does not fit its signature never reaches it: the program
    gets a ``TypeError``.

    Attributes:
        function: Runs in the trusted process; returns plain data and arrays.
        max_calls: During one `IsolatedProgram.call`; one more, and the program is invalid.
        max_bytes: Size of the arguments of one call, encoded. The limit ``max_reply_mb`` of the task holds as well.
    """

    function: Callable[..., Any]  # Any: whatever plain data the two agree on
    max_calls: int = 10_000
    max_bytes: int = 2**20

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"a callback must be a function, got an object of type {type(self.function).__name__}")
        for name in ("max_calls", "max_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)!r}")


class Hook(Protocol):
    """A function of the program whose inputs and outputs lie in shared memory."""

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls the function and returns its outputs by name, copied out of the shared memory.

        Args:
            inputs: All that were declared, with exactly their shapes and dtypes.

        Raises:
            ProgramFailed: If the program does not answer within the limits, or with arrays of other shapes or kinds, or with
                NaN or infinity where only finite numbers count.
            TypeError: If an input is missing or not declared.
            ValueError: If an input's shape or dtype differs, or the hooks are closed.
        """
        ...


class LossValue(NamedTuple):
    """A loss and its derivatives; all finite.

    Attributes:
        value: The loss.
        gradients: Derivative by each input that was asked for, of that input's shape and dtype.
    """

    value: float
    gradients: dict[str, np.ndarray]


class Loss(Protocol):
    """A scalar function of the program, written with torch, that is differentiated where it runs: in the sandbox.

    Attributes:
        inputs: What it takes: shape and dtype by name.
        differentiate: The inputs that there are gradients for.
    """

    @property
    def inputs(self) -> Mapping[str, ArraySpec]: ...

    @property
    def differentiate(self) -> Sequence[str]: ...

    def __call__(self, **inputs: np.ndarray) -> LossValue:
        """Evaluates the loss and its gradients.

        Args:
            inputs: All that were declared, with exactly their shapes and dtypes.

        Raises:
            ProgramFailed: As for `Hook`, or if the answer is not a scalar tensor of floating-point numbers, or if the loss or
                a gradient is not finite.
            TypeError: If an input is missing or not declared.
            ValueError: If an input's shape or dtype differs, or the hooks are closed.
        """
        ...


class TensorHook(Protocol):
    """A function of the program, written with torch, and gradients taken back through it where it runs: in the sandbox.

    For one place in a computation: the graph of a call is kept inside until gradients were taken back through it or the hook
    is called again. Bind once for each place that waits for gradients at the same time; all hooks of a program may be alive
    together.

    Attributes:
        function: Its name in the program's first file.
        inputs: What it takes: shape and dtype by name.
        outputs: What it returns, likewise.
        differentiate: The inputs that there are gradients for; none, and no graph is kept.
        calls: How often it has been called. Who notes it after a call can tell later whether the graph is still that call's.
    """

    @property
    def function(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, ArraySpec]: ...

    @property
    def outputs(self) -> Mapping[str, ArraySpec]: ...

    @property
    def differentiate(self) -> Sequence[str]: ...

    @property
    def calls(self) -> int: ...

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls the function and returns its outputs by name, copied out of the shared memory.

        Args:
            inputs: All that were declared, with exactly their shapes and dtypes.

        Raises:
            ProgramFailed: As for `Hook`.
            TypeError: If an input is missing or not declared.
            ValueError: If an input's shape or dtype differs, or the hooks are closed. A graph of an earlier call is gone then.
        """
        ...

    def pull_back(self, **cotangents: np.ndarray) -> dict[str, np.ndarray]:
        """Takes gradients back through the last call: of the sum over all outputs of cotangent times output.

        Args:
            cotangents: Of outputs of floating-point numbers, with their shapes and dtypes. An output that has none counts for
                nothing. One that is not finite makes gradients that are not, which the program is blamed for: look at the
                loss first.

        Returns:
            The derivative by each input of ``differentiate``, of that input's shape and dtype; 0 by what no output depends on.

        Raises:
            ProgramFailed: As for `Hook`, or if a gradient is not finite, whatever was said of outputs.
            TypeError: If a cotangent is of no output of floating-point numbers.
            ValueError: If there was no call since the last time, or nothing is differentiated, or a cotangent's shape or
                dtype differs, or the hooks are closed.
        """
        ...


class Hooks(Protocol):
    """Memory shared with a program, and its functions that are called through it.

    All of an evaluation's limits hold while a function runs: CPU seconds add up over all calls, wall-clock seconds over the
    time spent inside them. Crossing costs some ten microseconds, so what belongs to several layers or instances should be
    one call with one more leading axis.
    """

    @property
    def defined(self) -> frozenset[str]:
        """Names of the functions and classes in the program's first file: a trainer skips the hooks that are not there."""
        ...

    def bind(
        self,
        function: str,
        inputs: Mapping[str, ArraySpec],
        outputs: Mapping[str, ArraySpec],
        *,
        finite: bool = True,
    ) -> Hook:
        """Lays out memory for one function's inputs and outputs.

        Inside, the function is called with each input as a keyword argument: a read-only numpy view of the shared memory,
        which the next call overwrites. It returns the array, if one output is declared; a tuple or list in the order of
        declaration, or a dict by name, if there are several. What it returns is copied.

        Args:
            function: Its name in the program's first file.
            inputs: Shape and dtype (numbers or bool) of each, by name.
            outputs: The same.
            finite: Whether NaN and infinity in an output make the program invalid.

        Raises:
            ProgramFailed: If the program has no such function.
            ValueError: If a shape or dtype is none, nothing is declared, or the memory is too small.
        """
        ...

    def bind_loss(self, function: str, inputs: Mapping[str, ArraySpec], *, differentiate: Sequence[str]) -> Loss:
        """Lays out memory for a loss that the program computes with torch, and for its gradients.

        Inside, the function is called with each input as a keyword argument: a tensor on the CPU in the shared memory, which
        the next call overwrites. It returns a scalar tensor. A loss that does not depend on an input has gradient 0.
        torch should be named in the task's ``limits.preload``; importing it counts as the program's time otherwise.

        Args:
            function: Its name in the program's first file.
            inputs: Shape and dtype of each, by name.
            differentiate: Names of inputs of floating-point numbers, at least one.

        Raises:
            ProgramFailed: If the program has no such function, or torch cannot be imported inside.
            ValueError: As for `bind`, or if ``differentiate`` names no input of floating-point numbers.
        """
        ...

    def bind_tensors(
        self,
        function: str,
        inputs: Mapping[str, ArraySpec],
        outputs: Mapping[str, ArraySpec],
        *,
        differentiate: Sequence[str] = (),
        finite: bool = True,
    ) -> TensorHook:
        """Lays out memory for a function of tensors, and for gradients by some of them.

        Inside, the function is called with tensors as for `bind_loss` and returns tensors as for `bind`: the one that is
        declared; or several as a tuple or list in the order of declaration, or as a dict by name. An output of integers or
        bool has no derivative, nor has one of complex numbers.

        Args:
            function: Its name in the program's first file.
            inputs: Shape and dtype of each, by name.
            outputs: The same.
            differentiate: Names of inputs of floating-point numbers that gradients can be asked for by; none, and the
                function is called without a graph.
            finite: Whether NaN and infinity in an output make the program invalid; in a gradient they do in any case.

        Raises:
            ProgramFailed: As for `bind_loss`.
            ValueError: As for `bind`, or if a dtype is none of torch's, ``differentiate`` names another thing than inputs of
                floating-point numbers, or there is one to differentiate by but no output of floating-point numbers.
        """
        ...
