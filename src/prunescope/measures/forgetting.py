"""Forgetting: what pruned networks no longer know that the dense ones of the same seeds did, by class and image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field

from prunescope.errors import PrunescopeError, some
from prunescope.images.attributes import OWN, group, own_attributes, read_attributes
from prunescope.images.digests import digest_of
from prunescope.images.source import ImageSet
from prunescope.measures.forgetting_attributes import associations
from prunescope.measures.forgetting_classes import forgotten_classes
from prunescope.measures.forgetting_groups import forgotten_groups
from prunescope.measures.forgetting_images import forgotten_images
from prunescope.measures.forgetting_pairs import NAMED_BY, NEEDED, Pairs, pairs_of, pairs_of_study
from prunescope.measures.forgetting_scores import forgetting_scores
from prunescope.measures.measure import MEASURES, Measure, MeasureSettings, Tables, refuse

OF_ONE: dict[str, Callable[[Pairs], pd.DataFrame]] = {
    "forgetting": forgetting_scores,
    "forgetting_classes": forgotten_classes,
    "forgetting_images": forgotten_images,
}


class ForgettingSettings(MeasureSettings):
    """What forgetting is set against."""

    places: ClassVar[frozenset[str]] = frozenset({"attributes"})

    attributes: str | None = Field(
        None,
        description="CSV file with one row an image: its name, and attributes by which images are grouped; "
        "own: what the source of the images knows of them (scenes do); null: none.",
    )
    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="The attributes that are used; null: all."
    )
    image_column: str | None = Field(
        None, description="Column of the CSV file that names the image; null: the first."
    )
    bins: int = Field(
        4, ge=2, description="Groups that a number of more than 8 values is cut into, at quantiles."
    )
    seed: int = Field(0, ge=0, description="Of the permutations that test attributes.")


def forgetting(
    dense: pd.DataFrame,
    pruned: pd.DataFrame,
    *,
    classes: Sequence[str] | None = None,
    attributes: pd.DataFrame | None = None,
    **settings: Any,
) -> Tables:
    """Return what pruned networks forget, from what they and the dense networks say of the same images.

    Args:
        dense: one row an image and network: `image, label, prediction, confidence` (the probability of the
            prediction), and `seed` where there are several networks; `label` and `prediction` are indices.
        pruned: the same of the networks made from them, with the same seeds.
        classes: names by index (default: the indices).
        attributes: one row an image: `image`, and attributes, numbers or text.
        settings: `bins=4`, `seed=0` of `ForgettingSettings`.

    Returns:
        The tables `forgetting`, `forgetting_classes`, `forgetting_images`, and with attributes `forgetting_groups`
        and `forgetting_attributes`; their columns are described at `forgetting_scores`, `forgotten_classes`,
        `forgotten_images`, `forgotten_groups` and `associations`.

    Raises:
        PrunescopeError: a column is missing, or has no value where it needs one; seeds or images differ; attributes
            lack an image, or a name that is text.

    Example::

        tables = ps.load_tables("runs/demo")
        said = tables["images"].merge(tables["networks"][["network", "series", "target", "stage", "seed"]])
        pruned = said.query("series == 'weights' and target == '0.9' and stage == 'retrained'")
        found = ps.forgetting(said.query("stage == 'dense'"), pruned)
        found["forgetting_images"].nlargest(10, "lost")

    *Source:* Hooker et al., What Do Compressed Deep Neural Networks Forget?, 2019.
    """
    refuse(settings, "columns", "image_column")
    chosen = ForgettingSettings.chosen(**settings)
    both = [_by_seed(table, name) for table, name in ((dense, "dense"), (pruned, "pruned"))]
    if list(both[0]) != list(both[1]):
        raise PrunescopeError(
            f"dense networks have the seeds {_listed(both[0])}, pruned ones {_listed(both[1])}: give the same of both"
        )
    if classes is None:
        last = max(int(table[name].max()) for table in (dense, pruned) for name in ("label", "prediction"))
        classes = [str(index) for index in range(last + 1)]
    pairs = pairs_of(list(both[0].values()), list(both[1].values()), classes)
    found = {name: table(pairs) for name, table in OF_ONE.items()}
    if attributes is not None:
        own = _aligned(attributes, pairs)
        found["forgetting_groups"] = _grouped(pairs, own, chosen.bins)
        (found["forgetting_attributes"],) = associations([pairs], own, chosen.seed)
    return found


def _by_seed(table: pd.DataFrame, name: str) -> dict[Any, pd.DataFrame]:
    missing = [column for column in NEEDED if column not in table]
    if missing or table.empty:
        raise PrunescopeError(
            f"the table {name!r} needs one row or more with the columns {', '.join(NEEDED)}"
            + (f", and lacks {', '.join(missing)}" if missing else ", and has no row")
        )
    for column in (*NEEDED[:3], *(["seed"] if "seed" in table else [])):
        unknown = int(table[column].isna().sum())
        if unknown:
            raise PrunescopeError(
                f"the table {name!r} has {unknown} rows without {column}: leave them out, or fill it"
            )
    for column in ("label", "prediction"):
        if not pd.api.types.is_numeric_dtype(table[column]) or (table[column] % 1 != 0).any():
            raise PrunescopeError(
                f"the column {column!r} of the table {name!r} needs indices of classes, as 0, 1, 2, and holds "
                f"{table[column].iloc[0]!r}"
            )
    if "seed" not in table:
        return {0: table}
    return dict(iter(table.groupby("seed")))


def _listed(seeds: Mapping[Any, pd.DataFrame]) -> str:
    return ", ".join(map(str, seeds))


def _aligned(attributes: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """Return the attributes of the images compared, in their order."""
    if "image" not in attributes or attributes["image"].duplicated().any():
        raise PrunescopeError("attributes need a column 'image' that names each image once")
    names = list(attributes.columns.drop("image"))
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise PrunescopeError(
            "attributes need one column or more beside 'image', each with a name of its own that is text, and have "
            f"{some([repr(name) for name in names]) if names else 'none'}"
        )
    known = attributes.set_index("image")
    missing = [str(name) for name in pairs.images if name not in known.index]
    if missing:
        raise PrunescopeError(
            f"attributes lack {len(missing)} of {len(pairs.images)} images, first {missing[0]!r}"
        )
    found = known.loc[list(pairs.images)].reset_index(drop=True)
    if nowhere := [name for name in names if found[name].isna().all()]:
        raise PrunescopeError(
            f"attributes without any value for these images: {some(nowhere)}; leave them out"
        )
    return found


def _grouped(pairs: Pairs, attributes: pd.DataFrame, bins: int) -> pd.DataFrame:
    found = [forgotten_groups(pairs, group(attributes[name], bins)) for name in attributes]
    return pd.concat(found, ignore_index=True)


def attributes_of(settings: ForgettingSettings, test: ImageSet, data: Path | None) -> pd.DataFrame | None:
    """Return the attributes of the test images, in their order; None where none are asked for.

    Raises:
        PrunescopeError: they cannot be read, or do not fit the images.
    """
    if settings.attributes is None:
        if settings.columns or settings.image_column:
            raise PrunescopeError(
                "columns and image_column choose among attributes, and none are given: set attributes to a CSV file, "
                f"or to {OWN!r} for what the source of the images knows"
            )
        return None
    if settings.attributes == OWN:
        return own_attributes(test, settings.columns)
    path = (data or Path.cwd()) / Path(settings.attributes).expanduser()
    return read_attributes(path, test.names, settings.columns, settings.image_column)


def _inputs(settings: ForgettingSettings, test: ImageSet, data: Path | None) -> dict[str, Any]:
    """Say which attributes decide the result, and check now that they fit the images."""
    found = attributes_of(settings, test, data)
    if found is None:
        return {}
    return {"attributes": digest_of(found.to_csv(index=False).encode("utf-8", "surrogatepass"))}


def compare(
    tables: Mapping[str, pd.DataFrame], settings: ForgettingSettings, test: ImageSet, data: Path | None
) -> Tables:
    """Compare every pruned network of a study with the dense one of its seed, seeds together."""
    if "images" not in tables:
        return {}
    found = list(pairs_of_study(tables["networks"], tables["images"], test.classes))
    if not found:
        return {}
    made = {
        name: _together([(names, table(pairs)) for names, pairs in found]) for name, table in OF_ONE.items()
    }
    own = attributes_of(settings, test, data)
    if own is None:
        return made
    own.insert(0, "image", pd.Series(test.names))
    aligned = _aligned(own, found[0][1])
    groups = [(names, _grouped(pairs, aligned, settings.bins)) for names, pairs in found]
    tested = associations([pairs for _, pairs in found], aligned, settings.seed)
    return made | {
        "forgetting_groups": _together(groups),
        "forgetting_attributes": _together([(names, t) for (names, _), t in zip(found, tested, strict=True)]),
        "image_attributes": own,
    }


def _together(parts: Sequence[tuple[Mapping[str, str], pd.DataFrame]]) -> pd.DataFrame:
    """Join the tables of all comparisons into one, whose first columns say which."""
    named = [table.assign(**names)[[*NAMED_BY, *table.columns]] for names, table in parts]
    return pd.concat(named, ignore_index=True)


MEASURES.register("forgetting")(
    Measure(
        "forgetting",
        1,
        ForgettingSettings,
        None,
        looks_at_images=False,
        inputs=_inputs,
        compare=compare,
        needs=("accuracy",),
        pictures=lambda settings, test, data: test,
    )
)
