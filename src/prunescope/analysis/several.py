"""Several runs looked at together: joined to one `Results`, after what cannot be compared was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.comparable import differences, refuse_unlike, told_apart
from prunescope.analysis.families import Family, Names, families_of, rename, renamed_by
from prunescope.analysis.results import TABLES_AS_THEY_ARE, Results, read_results
from prunescope.analysis.tables import KEYS
from prunescope.errors import PrunescopeError
from prunescope.measures.forgetting_gallery import gallery_images
from prunescope.measures.intervals import mean_interval

PUBLISHED = "published"
TABLES = ("networks", "layers", *TABLES_AS_THEY_ARE)
# What there is one of in each network: a dense network that runs share has been measured in each of them.
ONE_OF = {name: ["network", *keys] for name, (_, *keys) in KEYS.items()} | {
    "networks": ["network"],
    "layers": ["network", "layer"],
    "classes": ["network", "index"],
    "detectors": ["network", "control", "layer", "category"],
    "examples": ["network", "measure", "layer", "unit", "side", "rank"],
    "thumbnails": ["measure", "image"],
    "explanation_pictures": ["method", "network", "image", "kind"],
    "images": ["network", "image"],
    "curves": ["network", "epoch"],
}
FILLED = ("networks", "units")  # of which one run may have measured what another has not


def read_several(folders: Sequence[Path], published: Sequence[Path] = ()) -> Results:
    """Read one run or several as one, networks and series called `<run>: <name>`.

    Args:
        folders: runs that are compared; one alone is read as it is.
        published: published studies that are drawn along, whose series are called `published: <name>`. Only networks,
            their scores and their curves of training are taken.

    Raises:
        PrunescopeError: a run is given twice, cannot be read, or cannot be compared with the others.
    """
    if not folders:
        raise PrunescopeError("no run is given: expected the folder of at least one, runs/NAME")
    read = [read_results(Path(folder)) for folder in folders]
    runs = dict(zip(told_apart(folders, read), read, strict=True))
    refuse_unlike(runs)
    own = next(iter(runs.values())) if len(runs) == 1 else _together(runs)
    return _along(own, published) if published else own


def _together(runs: Mapping[str, Results]) -> Results:
    families = families_of(runs)
    of = {name: family for family in families for name in family.runs}
    named = [(run, Names(name, of[name], alone=len(families) == 1)) for name, run in runs.items()]
    told = Counter(name for run, names in named for name in names.of_networks(run).values())
    shared = [name for name, times in told.items() if times > 1]
    tables = {
        table: _joined(table, [names.in_table(table, run) for run, names in named], shared)
        for table in TABLES
    }
    tables["networks"] = _paired_anew(tables["networks"], tables["units"])
    answers = _answers([(run, names.of_networks(run)) for run, names in named])
    if shown := gallery_images(tables["forgetting_images"]):
        found = answers([str(name) for name in tables["networks"]["network"]])
        tables["images"] = found[found["image"].isin(shown)]
    return Results(study=_study(runs), files=[], answers_of=answers, **tables)


def _joined(table: str, parts: Sequence[pd.DataFrame], shared: Sequence[str]) -> pd.DataFrame:
    """Put the rows of all runs below one another; what is of a network that they share, once."""
    rows = _stacked(parts)
    if table not in ONE_OF:
        return rows
    keys = ONE_OF[table]
    of_shared = rows[rows["network"].isin(shared)] if "network" in keys else rows
    if table not in FILLED:
        return rows.drop(index=of_shared.index[of_shared.duplicated(keys)]).reset_index(drop=True)
    twice = rows.index.isin(of_shared.index[of_shared.duplicated(keys, keep=False)])
    if not twice.any():
        return rows
    once = rows[twice].groupby(keys, sort=False, observed=True, dropna=False).first().reset_index()
    types: dict[Any, Any] = dict(zip(rows, rows.dtypes, strict=True))
    whole = _stacked([once[rows.columns].astype(types), rows[~twice]])
    place = np.append(rows[twice].drop_duplicates(keys).index, rows[~twice].index)
    return whole.iloc[np.argsort(place)].reset_index(drop=True).copy()  # in one piece


def _paired_anew(networks: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Average MIS over the convolution units that are alive in every network of all runs, not only of each."""
    if networks["mis_paired"].isna().all():
        return networks
    live = units[(units["kind"] == "conv") & units["mis"].notna()].astype(
        {"network": object, "layer": object}
    )
    scores = live.pivot(index=["layer", "unit"], columns="network", values="mis").dropna()
    found = {name: (scores[name].mean(), *mean_interval(scores[name].to_numpy())) for name in scores}
    columns = ["mis_paired", "mis_paired_low", "mis_paired_high"]
    anew = pd.DataFrame.from_dict(found, orient="index", columns=columns).reindex(networks["network"])
    return networks.assign(**{name: anew[name].to_numpy() for name in columns})


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of the same columns below one another; a column of categories stays one."""
    some = [part for part in parts if len(part)] or list(parts[:1])
    categories = [name for name in some[0] if isinstance(some[0][name].dtype, pd.CategoricalDtype)]
    for name in categories:
        whole = pd.Index(
            dict.fromkeys(each for part in some for each in part[name].cat.categories), dtype=object
        )
        some = [part.assign(**{str(name): part[name].cat.set_categories(whole)}) for part in some]
    return pd.concat(some, ignore_index=True)


def _answers(runs: Sequence[tuple[Results, Mapping[str, str]]]) -> Callable[[Sequence[str]], pd.DataFrame]:
    """Return what reads the answers of networks from the runs that they are of."""

    def read(networks: Sequence[str]) -> pd.DataFrame:
        left, found = set(networks), []
        for run, names in runs:
            rows = run.answers_of([name for name, new in names.items() if new in left])
            rows = rows.assign(network=rename(rows["network"], renamed_by(names)))
            found.append(rows)
            left -= set(rows["network"].unique())
        return _stacked(found)

    return read


def _study(runs: Mapping[str, Results]) -> dict[str, Any]:
    """Describe several runs as one: what they have in common, and under `runs` what each says of itself."""
    studies = {name: run.study for name, run in runs.items()}
    first, *others = studies.values()
    common = {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }
    every = {name: study.get("settings") or {} for name, study in studies.items()}
    settings = {key: value for own in every.values() for key, value in own.items()}
    measures = {each["name"]: each for own in every.values() for each in own.get("measure") or []}
    series = [
        {**each, "series": f"{name}: {each.get('series', '')}"}
        for name, own in every.items()
        for each in own.get("prune") or []
    ]
    return common | {
        "study": " + ".join(runs),
        "title": f"{len(runs)} runs compared: {', '.join(runs)}",
        "description": "",
        "settings": settings | {"measure": list(measures.values()), "prune": series},
        "finished": max(str(study.get("finished") or "") for study in studies.values()),
        "runs": studies,
    }


def _along(own: Results, folders: Sequence[Path]) -> Results:
    """Add the networks, scores and curves of published studies, and say in what they differ."""
    read = [read_results(Path(folder)) for folder in folders]
    for folder, study in ((folder, run.study) for folder, run in zip(folders, read, strict=True)):
        if PUBLISHED not in study:
            raise PrunescopeError(
                f"{folder} is no published study: expected one that `prunescope import-published` wrote; "
                "give runs of your own as they are"
            )
    runs = dict(zip(told_apart(folders, read), read, strict=True))
    tables = {name: [getattr(own, name)] for name in ("networks", "scores", "curves")}
    told = {}
    for name, run in runs.items():
        prefix = PUBLISHED if len(runs) == 1 else f"{PUBLISHED}, {name}"
        names = Names(prefix, Family([prefix], {}, set()), alone=False)
        for table, parts in tables.items():
            rows = names.in_table(table, run)
            parts.append(rows.assign(published=True) if table == "networks" else rows)
        told[name] = {
            "source": str(run.study[PUBLISHED].get("source") or name),
            "differs": list(differences(own, run)),
            "inferred": [str(sentence) for sentence in run.study[PUBLISHED].get("inferred") or []],
        }
    study = own.study | {"drawn_along": told}
    whole: dict[str, Any] = {name: _stacked(parts) for name, parts in tables.items()}
    return replace(own, study=study, **whole)
