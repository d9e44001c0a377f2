"""The runtimes in which a network is timed. Each prepares a network and a batch, and hands back one forward pass."""

from __future__ import annotations

import copy
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.export import BATCH, IMAGES, export, first_line, require_deploy
from prunescope.networks.network import device_of, logits_of
from prunescope.networks.programs import Program
from prunescope.registry import Registry

Logits = Callable[[], torch.Tensor]  # one forward pass of the batch


class Candidate:
    """A network to be timed: a copy in eval mode without gradients, and, once a runtime asks, an ONNX file of it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @cached_property
    def onnx(self) -> bytes:
        """The network as ONNX, for any batch."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.onnx")
            export(self.network, path)
            return path.read_bytes()

    def prepared(self, runtime: str, images: torch.Tensor, threads: int) -> Logits:
        """Return the forward pass of a batch in a runtime, as `Runtime.prepare` does.

        Raises:
            PrunescopeError: the runtime cannot run this network; a program runs in its own alone.
        """
        if not isinstance(self.network, Program):
            return RUNTIMES[runtime].prepare(self, images, threads)
        if self.network.runtime != runtime:
            raise PrunescopeError(f"a program of {self.network.format} runs in {self.network.runtime} alone")
        return self.network.prepared(images, threads)


class Runtime(ABC):
    """One way to run a network."""

    package = "torch"

    @abstractmethod
    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Logits:
        """Return the forward pass of a batch, (images, 3, height, width), ready to be timed.

        It is prepared and run inside `computing_with(threads)`, without gradients.

        Raises:
            PrunescopeError: the runtime cannot run this network; says why in one line.
        """

    def require(self) -> None:  # noqa: B027, most need nothing
        """Check that the runtime is installed.

        Raises:
            PrunescopeError: it is not.
        """

    def forget(self) -> None:  # noqa: B027, most keep nothing
        """Forget what was prepared before, which is not run again."""

    def device(self, network: nn.Module) -> str:
        """Return the kind of device that a network is run on."""
        return "cpu"

    @property
    def version(self) -> str:
        """The version of the runtime."""
        return version(self.package)


RUNTIMES: Registry[Runtime] = Registry("runtime")


class PyTorch(Runtime):
    """PyTorch, operator by operator, in its usual memory order."""

    memory_format = torch.contiguous_format

    def device(self, network: nn.Module) -> str:
        """Return the kind of device that holds the network."""
        return device_of(network).type

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Logits:
        """Return the network's own forward pass."""
        network = self._compute(self._ordered(candidate.network))
        x = images.to(device_of(candidate.network), memory_format=self.memory_format)
        return lambda: logits_of(network(x))

    def _ordered(self, network: nn.Module) -> nn.Module:
        if self.memory_format is torch.contiguous_format:
            return network
        return copy.deepcopy(network).to(memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def _compute(self, network: nn.Module) -> nn.Module:
        return network


class ChannelsLast(PyTorch):
    """PyTorch with images and convolutions in channels-last order."""

    memory_format = torch.channels_last


class Compiled(PyTorch):
    """torch.compile, where there is a compiler for it. The time to compile is no part of the timing."""

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Logits:
        """Compile the network for this batch."""
        import torch._inductor.config as inductor

        with warnings.catch_warnings(action="ignore"), inductor.patch(compile_threads=1):
            run = super().prepare(candidate, images, threads)
            try:
                run()
            except Exception as error:  # there are as many kinds as there are things that can be missing
                raise PrunescopeError(f"torch.compile failed: {first_line(error)}") from error
        return run

    def forget(self) -> None:
        """Forget what was compiled: beyond a few networks torch.compile silently compiles no more."""
        torch.compiler.reset()

    def _compute(self, network: nn.Module) -> nn.Module:
        compiled: nn.Module = torch.compile(network, dynamic=False)  # type: ignore[assignment]
        return compiled


class OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU, with all its optimisations."""

    package = "onnxruntime"

    def require(self) -> None:
        """Check for onnxruntime, and for what exports to it."""
        require_deploy("onnxruntime", "onnx", "onnxscript")

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Logits:
        """Load the exported network with the batch fixed."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors only
        options.add_free_dimension_override_by_name(BATCH, len(images))
        try:
            session = onnxruntime.InferenceSession(
                candidate.onnx, options, providers=["CPUExecutionProvider"]
            )
        except PrunescopeError:
            raise
        except Exception as error:  # its exceptions share no other base
            raise PrunescopeError(f"ONNX Runtime cannot load it: {first_line(error)}") from error
        feed = {IMAGES: images.cpu().numpy()}
        return lambda: torch.from_numpy(session.run(None, feed)[0])


class OpenVino(Runtime):
    """OpenVINO on the CPU, in float32, for latency."""

    package = "openvino"

    def require(self) -> None:
        """Check for openvino, and for what exports to it."""
        require_deploy("openvino", "onnx", "onnxscript")

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Logits:
        """Compile the exported network with the batch fixed."""
        import openvino

        core = openvino.Core()
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        }
        try:
            model = core.read_model(candidate.onnx, b"")
            model.reshape(list(images.shape))
            request = core.compile_model(model, "CPU", options).create_infer_request()
            feed = np.ascontiguousarray(images.cpu().numpy())  # which knows no bfloat16
        except PrunescopeError:
            raise
        except Exception as error:
            raise PrunescopeError(f"OpenVINO cannot load it: {first_line(error)}") from error
        return lambda: torch.from_numpy(request.infer([feed], share_inputs=True, share_outputs=True)[0])


RUNTIMES.register("pytorch")(PyTorch())
RUNTIMES.register("channels-last")(ChannelsLast())
RUNTIMES.register("compile")(Compiled())
RUNTIMES.register("onnxruntime")(OnnxRuntime())
RUNTIMES.register("openvino")(OpenVino())


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Let torch use so many CPU threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Count numbers below the normal range of float32 as 0 for a while, in this thread.

    Some processors take many times as long over them. A network whose signal fades, as one with random weights
    may, would there seem slow for its values rather than for its shape.
    """
    before = bool(torch.tensor(1e-40) * 1.0 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
