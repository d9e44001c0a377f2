"""`prunescope prune`: scores, allocation and budgets on the command line."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.call import Called, refused
from prunescope import Mask, count, open_network, prune
from prunescope.cli.budget import read_budget
from prunescope.cli.prune import SCORES
from prunescope.errors import PrunescopeError
from prunescope.networks.checkpoints import read_state
from prunescope.networks.layers import find_layers
from prunescope.networks.preprocess import IMAGENET_MEAN, IMAGENET_STD
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.scores import all_scores
from study.tiny import write_data

Prune = Callable[..., Called]
TINY = ("study.tiny:tiny",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pruned.safetensors"


@pytest.fixture
def pruned(prunescope: Callable[..., Called], file: Path) -> Prune:
    """Prune `sprig`, or another network, into `file`."""

    def call(*arguments: object, network: str = "prunescope/sprig") -> Called:
        return prunescope("prune", network, *arguments, "--out", file)

    return call


def mask_of(file: Path) -> Mask:
    return Mask.load(file.with_suffix(".mask.safetensors"))


def test_the_help_names_every_score_and_imports_nothing_heavy() -> None:
    assert sorted(SCORES) == list(all_scores())
    script = (
        "import sys; from prunescope.cli.main import run; sys.argv = ['prunescope', 'prune', '--help']\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": ""},
    ).stdout
    assert "HEAVY []" in found
    listed = found.replace(" ", "").replace("│", "").replace("\n", "")
    assert f"Score;thelowestgo:{','.join(SCORES)},orafunctionofyourown,file.py:function." in listed
    assert "inablock;therateisamultipleof1/m." in listed


def test_a_budget_instead_of_a_rate(pruned: Prune, file: Path) -> None:
    said = pruned("--granularity", "filter", "--scope", "global", "--budget", "macs=0.4")

    assert said.code == 0, said.err
    left = count(open_network(str(file)))
    reached = sum(part.macs_effective for part in left.layers.values())
    dense = sum(part.layer.macs for part in left.layers.values())
    assert reached <= 0.4 * dense
    rate = read_state(file)[1]["record"]["rate"]
    assert f"at rate {rate:.2%}" in said.out
    assert f"asked for at most {0.4 * dense / 1e6:.3g} M MACs: {reached / 1e6:.3g} M MACs" in said.out
    network = open_network("prunescope/sprig")
    less = prune(network, "filter", scope="global", rate=rate - 1e-4)
    less.apply(network)
    assert sum(part.macs_effective for part in count(network).layers.values()) > 0.4 * dense


def test_a_file_of_bytes_fits(prunescope: Callable[..., Called], pruned: Prune, file: Path) -> None:
    said = pruned("--granularity", "filter", "--round-to", 4, "--budget", "bytes=400kB")
    assert said.code == 0, said.err
    small = file.with_name("small.safetensors")
    assert prunescope("compact", file, "--out", small).code == 0
    assert small.stat().st_size <= 400_000
    assert f"at most 400 kB, as prunescope compact writes it: {small.stat().st_size / 1e3:.3g} kB" in said.out


def test_milliseconds_are_measured(pruned: Prune, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that a test can foresee: a microsecond a weight that is kept."""

    def clock(network: torch.nn.Module, mask: Mask | None = None, **_: object) -> float:
        return sum(int((layer.module.weight != 0).sum()) for layer in find_layers(network).values()) / 1000

    monkeypatch.setattr("prunescope.measures.latency.milliseconds", clock)
    said = pruned("--granularity", "filter", "--budget", "ms=135")
    assert said.code == 0, said.err
    assert clock(open_network(str(file))) <= 135
    assert "asked for at most 135 ms: 13" in said.out


def test_a_rate_for_each_layer(pruned: Prune, file: Path) -> None:
    said = pruned("--scope", "specific", "--layer-rates", "conv*=0.5", "--layer-rates", "conv1.*= 0.25")

    assert said.code == 0, said.err
    assert "asked for 50.0% of conv*, 25.0% of conv1.*; of" in said.out
    mask = mask_of(file)
    for name, rate in mask.rates.items():
        expected = 0.25 if name.startswith("conv1.") else 0.5 if name.startswith("conv") else 0
        assert rate == expected
        assert int(mask.removed(name).sum()) == round(rate * mask.removed(name).numel())


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (("--granularity", "weight", "--scope", "erk"), {"scope": "erk"}),
        (("--granularity", "weight", "--by", "lamp", "--scope", "global"), {"by": "lamp", "scope": "global"}),
        (("--granularity", "filter", "--min-share", 0.7), {"min_share": 0.7}),
        (("--granularity", "n:m", "--m", 2, "--spare", "conv1.*"), {"m": 2, "spare": ["conv1.*"]}),
        (
            ("--granularity", "kernel", "--by", "synflow", "--score-steps", 3),
            {"by": "synflow", "score_steps": 3},
        ),
    ],
)
def test_choices_reach_the_pruning(
    pruned: Prune, file: Path, arguments: tuple[object, ...], choices: dict[str, object]
) -> None:
    said = pruned(*arguments, "--rate", 0.5)

    assert said.code == 0, said.err
    expected = prune(open_network("prunescope/sprig"), str(arguments[1]), rate=0.5, **choices)  # type: ignore[arg-type]
    found = mask_of(file)
    assert all(torch.equal(keep, expected.keep[name]) for name, keep in found.keep.items())
    record = read_state(file)[1]["record"]
    assert record["rate"] == 0.5
    assert {name: record[name] for name in choices} == choices


def all_of(folder: Path) -> Calibration:
    """Every image of the tiny study's folder, read with Pillow and normalised by hand."""
    files = sorted(folder.glob("*/*.png"))
    images = [Image.open(file).resize((256, 256), Image.Resampling.BILINEAR) for file in files]
    pixels = np.stack([np.asarray(image)[16:240, 16:240] for image in images]) / 255
    normal = (pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    classes = sorted({file.parent.name for file in files})
    labels = torch.tensor([classes.index(file.parent.name) for file in files])
    return Calibration(torch.from_numpy(normal).permute(0, 3, 1, 2).float(), labels)


@pytest.mark.parametrize("by", ["snip", "taylor", "car"])
def test_scores_look_at_the_images_that_are_given(by: str, prunescope: Prune, tmp_path: Path) -> None:
    data, file = write_data(tmp_path / "data"), tmp_path / "out.safetensors"
    shared = ("--granularity", "filter", "--rate", 0.5, "--scope", "global", "--data", data, "--out", file)
    looking = ("--by", by, "--images", "folder:train", "--calibration", 30)

    said = prunescope("prune", *TINY, *looking, *shared)

    assert said.code == 0, said.err
    images = all_of(data / "train")

    def evaluate(network: torch.nn.Module) -> float:
        with torch.no_grad():
            return float((network(images.inputs).argmax(1) == images.labels).double().mean())

    given = {"evaluate": evaluate} if by == "car" else {"calibration": images}
    expected = prune(open_network(*TINY), "filter", by=by, rate=0.5, scope="global", **given)  # type: ignore[arg-type]
    found = mask_of(file)
    assert all(torch.equal(keep, expected.keep[name]) for name, keep in found.keep.items())
    record = read_state(file)[1]["record"]
    assert (record["images"], record["calibration"]) == ("folder:train", 30)


def test_the_seed_draws_the_images(prunescope: Prune, tmp_path: Path) -> None:
    data, file = write_data(tmp_path / "data"), tmp_path / "out.safetensors"
    looking = ("--by", "snip", "--images", "folder:train", "--calibration", 3, "--rate", 0.5)

    def kept(seed: int) -> list[bool]:
        said = prunescope("prune", *TINY, *looking, "--seed", seed, "--data", data, "--out", file)
        assert said.code == 0, said.err
        return mask_of(file).keep["conv3.weight"].flatten().tolist()

    assert kept(1) == kept(1) != kept(2)


def test_a_score_of_ones_own(pruned: Prune, file: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "def first(request):\n"
        "    import torch\n"
        "    shapes = {name: request.granularity.shape(layer) for name, layer in request.layers.items()}\n"
        "    return {n: torch.arange(float(torch.Size(s).numel())).view(s) for n, s in shapes.items()}\n"
    )
    assert pruned("--granularity", "connection", "--by", f"{own}:first", "--rate", 0.5).code == 0
    mask = mask_of(file)
    for name in mask.rates:
        gone = mask.removed(name).flatten()
        assert gone.tolist() == [i < round(0.5 * len(gone)) for i in range(len(gone))]


@pytest.mark.parametrize(
    ("text", "of", "amount", "is_fraction"),
    [
        ("macs=0.5", "macs", 0.5, True),
        ("macs=1", "macs", 1, True),
        ("macs=750M", "macs", 750e6, False),
        ("macs=1.5 G", "macs", 1.5e9, False),
        ("macs=2e6", "macs", 2e6, False),
        ("weights=.3", "weights", 0.3, True),
        ("bytes=3MB", "bytes", 3e6, False),
        ("bytes=1B", "bytes", 1, False),
        ("bytes=0.25M", "bytes", 250e3, False),
        ("ms=0.5", "milliseconds", 0.5, False),
    ],
)
def test_budgets_are_read(text: str, of: str, amount: float, is_fraction: bool) -> None:
    found = read_budget(text)
    assert found[0] == of
    assert math.isclose(found[1], amount)
    assert found[2] is is_fraction


@pytest.mark.parametrize(
    "text", ["macs", "macs=", "macs=x", "macs=-1", "macs=0", "macs=1MB", "ms=5M", "macs=1.2.3", "weights=nan"]
)
def test_budgets_that_cannot_be_read(text: str) -> None:
    with pytest.raises(PrunescopeError, match="expected a fraction of what the dense network has"):
        read_budget(text)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "say how much to prune, in one way: --rate 0.5, --budget macs=0.5"),
        (("--rate", 0.5, "--budget", "macs=0.5"), "several were given"),
        (("--budget", "mac=0.5"), "(did you mean 'macs'?)"),
        (
            ("--budget", "macs=1k", "--granularity", "filter"),
            "a budget of 1 k MACs cannot be met: the least possible is",
        ),
        (("--budget", "ms=5", "--granularity", "weight"), "a mask by weight leaves no channel to take out"),
        (("--rate", 0.5, "--scope", "specific"), "--scope specific with --layer-rates"),
        (("--layer-rates", "*=0.5"), "--layer-rates goes with --scope specific"),
        (("--scope", "specific", "--layer-rates", "*:0.5"), "--layer-rates '*:0.5': expected GLOB=RATE"),
        (("--scope", "specific", "--layer-rates", "conv9=0.5"), "no layer 'conv9' in those that are pruned"),
        (("--scope", "specific", "--layer-rates", "*=1.5"), "the rate of '*' is 1.5, which is impossible"),
        (
            ("--rate", 0.5, "--scope", "glibal"),
            "--scope 'glibal': expected layer, global, specific or erk",
        ),
        (("--rate", 0.5, "--by", "snop"), "no score 'snop' (did you mean 'snip'"),
        (("--rate", 0.5, "--by", "snip"), "--by snip looks at labelled images: give them, --images"),
        (("--rate", 0.5, "--images", "scenes"), "--by l1 looks at weights alone: leave out --images scenes"),
        (
            ("--rate", 0.5, "--by", "snip", "--images", "folder:train", "--calibration", 31),
            "--calibration 31: folder:train has 30 images, so ask for at most 30",
        ),
        (
            ("--rate", 0.5, "--by", "snip", "--images", "folder:train", "--calibration", 3),
            "outputs, the images 3 classes (folder:train)",
        ),
        (
            ("--rate", 0.5, "--granularity", "n:m", "--scope", "global", "--spare", "conv1*"),
            "its scope is layer",
        ),
    ],
)
def test_what_cannot_be_pruned_so(
    pruned: Prune, file: Path, tmp_path: Path, arguments: tuple[object, ...], expected: str
) -> None:
    data = write_data(tmp_path / "data")
    refused(pruned(*arguments, "--data", data), expected)
    assert not file.exists()
