from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from toy_images import toy_images

from prunescope.errors import PrunescopeError
from prunescope.images import ImageSet
from prunescope.networks.checkpoints import read_state
from prunescope.networks.operators import torchvision
from prunescope.probe.lpips import BACKBONES, Lpips, LpipsSimilarity, lpips_distances
from prunescope.probe.similarity import likeness, open_similarity, squares


def random_like(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Draw weights that keep the size of what passes through them."""
    return torch.randn(shape, generator=generator) * (2 / max(shape[1:].numel(), 1)) ** 0.5


def write_random(folder: Path, variant: str) -> None:
    """Write random weights of one variant: a checkpoint of its backbone without the classifier, and heads."""
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    backbone = BACKBONES[variant]
    with torch.device("meta"):
        shapes = torchvision.models.get_model(backbone.network).features.state_dict()
    drawn = {f"features.{name}": random_like(shape.shape, generator) for name, shape in shapes.items()}
    save_file(drawn, folder / f"{backbone.network}.safetensors")
    channels = enumerate(backbone.channels.values())
    heads = {f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1, generator=generator) for k, c in channels}
    torch.save(heads, folder / f"{variant}.pth")


@pytest.fixture
def random_weights(tmp_path: Path) -> Path:
    write_random(tmp_path / "weights", "squeeze")
    return tmp_path / "weights"


def opened(folder: Path, name: str = "lpips-squeeze") -> LpipsSimilarity:
    similarity = open_similarity(name, folder)
    assert isinstance(similarity, LpipsSimilarity)
    return similarity


@pytest.fixture
def of_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lpips, str], nn.Module]:
    """Return what makes torchmetrics' own network with the weights of ours."""
    module = pytest.importorskip("torchmetrics.functional.image.lpips")

    def build(model: Lpips, variant: str) -> nn.Module:
        monkeypatch.setattr(module, "_get_tv_model_features", lambda net, pretrained: model.features)
        theirs: nn.Module = module._LPIPS(pretrained=False, net=variant)
        for line, index in zip(theirs.lins, sorted(model.heads, key=int), strict=True):
            line.model[1].weight = nn.Parameter(model.heads[index].view(1, -1, 1, 1))
        return theirs

    return build


@pytest.mark.parametrize("size", [(64, 64), (97, 80)])
def test_squeeze_with_its_real_weights_equals_torchmetrics(
    real_data: Path, of_torchmetrics: Callable[[Lpips, str], nn.Module], size: tuple[int, int]
) -> None:
    model = opened(real_data / "weights").model
    images, others = torch.rand(2, 6, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = of_torchmetrics(model, "squeeze")(images, others).flatten()
    torch.testing.assert_close(model(images, others), expected, atol=1e-5, rtol=0)
    assert expected.min() > 0.01


@pytest.mark.parametrize("variant", ["alex", "vgg"])
def test_other_variants_equal_torchmetrics(
    tmp_path: Path, of_torchmetrics: Callable[[Lpips, str], nn.Module], variant: str
) -> None:
    write_random(tmp_path, variant)
    model = opened(tmp_path, f"lpips-{variant}").model
    images, others = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = of_torchmetrics(model, variant)(images, others).flatten()
    torch.testing.assert_close(model(images, others), expected, atol=1e-5, rtol=1e-5)
    assert expected.min() > 0.01


def test_the_documented_values_of_torchmetrics(real_data: Path) -> None:
    generator = torch.Generator().manual_seed(42)
    images, others = (torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1 for _ in range(2))
    found = opened(real_data / "weights").model(images, others)
    torch.testing.assert_close(
        found, torch.tensor([0.1024, 0.0938]), atol=2e-4, rtol=0
    )  # the weights are fp16


@pytest.mark.parametrize("tile", [16, 32, 1000])
def test_distances_in_tiles_are_those_of_pairs(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    monkeypatch.setattr("prunescope.probe.lpips.BATCH", 16)
    model = opened(random_weights).model
    images = squares(toy_images(40), 64)[:, :32, :32]
    images[39] = images[3]
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    embedded = model.embed(tensors).double()
    expected = torch.cdist(embedded, embedded, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    memory = tile * embedded.shape[1] * 4
    seen: list[tuple[int, int]] = []
    distances = lpips_distances(model, images, memory=memory, progress=lambda *done: seen.append(done))
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, atol=3e-6)
    np.testing.assert_array_equal(distances, distances.T)
    assert not np.diagonal(distances).any()
    batches = {16: 3 + 2 + 1, 32: 3 + 1, 1000: 3}[tile]
    assert seen == [(done, batches) for done in range(1, batches + 1)]


def test_similarity_is_minus_the_distance_of_the_middle_at_64_pixels(random_weights: Path) -> None:
    similarity, images = opened(random_weights), toy_images(5)
    alike = likeness(images, similarity)
    assert alike.embeddings is None
    expected = -lpips_distances(similarity.model, squares(images, 64))
    np.testing.assert_array_equal(alike.similarities, expected)
    assert alike.slope == 16
    one = likeness(toy_images(1), similarity).similarities
    np.testing.assert_array_equal(one, [[0]])


def test_too_many_images_are_refused(random_weights: Path) -> None:
    count = 20_001
    many = ImageSet(
        "many", ("thing",), np.zeros(count, np.int64), ("",) * count, "many", toy_images(1).decode
    )
    with pytest.raises(PrunescopeError, match=r"20001 are too many \(at most 20000\): set limit: 20000"):
        likeness(many, opened(random_weights))


def test_identity_is_that_of_the_weights(random_weights: Path, tmp_path: Path) -> None:
    identity = opened(random_weights).identity()
    assert identity == opened(random_weights, "lpips").identity()
    assert identity["name"] == "lpips-squeeze"
    shutil.copytree(random_weights, tmp_path / "copy")
    assert opened(tmp_path / "copy").identity() == identity
    for name in ("squeeze.pth", "squeezenet1_1.safetensors"):
        other = tmp_path / f"other-{name}"
        shutil.copytree(random_weights, other)
        change(other / name)
        assert opened(other).identity()["weights"] != identity["weights"]


def change(path: Path) -> None:
    state, _ = read_state(path)
    next(iter(state.values())).flatten()[0] += 0.5
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)


def test_heads_come_from_the_installed_package_without_importing_it(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "site" / "lpips" / "weights" / "v0.1"
    inside.mkdir(parents=True)
    (tmp_path / "site" / "lpips" / "__init__.py").write_text("raise RuntimeError('imported')")
    identity = opened(random_weights).identity()
    (random_weights / "squeeze.pth").rename(inside / "squeeze.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert opened(random_weights).identity() == identity


def test_without_a_folder_the_published_backbone_is_used(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    package = tmp_path / "site" / "lpips"
    (package / "weights" / "v0.1").mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(random_weights / "squeeze.pth", package / "weights" / "v0.1")
    monkeypatch.syspath_prepend(tmp_path / "site")

    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(PrunescopeError, match=r"(?s)download.pytorch.org/models/squeezenet1_1.*classical"):
        open_similarity("lpips")
    state, _ = read_state(random_weights / "squeezenet1_1.safetensors")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(state, tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    assert open_similarity("lpips").identity() == opened(random_weights).identity()


def no_backbone(folder: Path) -> None:
    (folder / "squeezenet1_1.safetensors").unlink()


def two_backbones(folder: Path) -> None:
    shutil.copy(folder / "squeezenet1_1.safetensors", folder / "squeezenet1_1_mine.safetensors")


def damaged_backbone(folder: Path) -> None:
    (folder / "squeezenet1_1.safetensors").write_bytes(b"half a file")


def other_backbone(folder: Path) -> None:
    write_random(folder, "alex")
    (folder / "alexnet.safetensors").replace(folder / "squeezenet1_1.safetensors")


def no_heads(folder: Path) -> None:
    (folder / "squeeze.pth").unlink()


def damaged_heads(folder: Path) -> None:
    (folder / "squeeze.pth").write_bytes(b"half a file")


def other_heads(folder: Path) -> None:
    write_random(folder, "alex")
    (folder / "alex.pth").replace(folder / "squeeze.pth")


def negative_heads(folder: Path) -> None:
    heads = torch.load(folder / "squeeze.pth")
    heads["lin3.model.1.weight"][0, 5] = -1e-3
    torch.save(heads, folder / "squeeze.pth")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            no_backbone,
            r"no squeezenet1_1\*\.pth .* fetch https://download\.pytorch\.org/.*similarity: classical",
        ),
        (two_backbones, r"more than once \(squeezenet1_1.safetensors, squeezenet1_1_mine.safetensors\)"),
        (damaged_backbone, "squeezenet1_1.safetensors: not a whole safetensors file"),
        (other_backbone, "squeezenet1_1.safetensors belongs to another architecture"),
        (
            no_heads,
            r"pip install 'prunescope\[lpips\]', or put .* or squeeze.pth into .*similarity: classical",
        ),
        (damaged_heads, "squeeze.pth: not a whole checkpoint of torch"),
        (
            other_heads,
            r"no heads of LPIPS v0.1 for squeeze: expected lin1.model.1.weight of shape \(1, 128, 1, 1\)",
        ),
        (negative_heads, "expected lin3.model.1.weight .* not negative"),
    ],
)
def test_bad_weights(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], message: str
) -> None:
    damage(random_weights)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # lpips may be installed here
    with pytest.raises(PrunescopeError, match=message):
        open_similarity("lpips", random_weights)
