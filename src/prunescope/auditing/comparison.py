"""Two networks, measured: all tables, numbers and pictures of an audit."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.auditing.answers import Answers, compare_answers
from prunescope.auditing.classes import Matched
from prunescope.auditing.measuring import Measuring, program_size
from prunescope.auditing.metrics import flatten
from prunescope.auditing.networks import Audited
from prunescope.auditing.pictures import write_pictures
from prunescope.auditing.relation import Relation, relate
from prunescope.auditing.settings import AuditSettings
from prunescope.auditing.units import comparable, dense_numbers, numbered_alike, with_gone_units
from prunescope.auditing.work import Part, Work
from prunescope.errors import PrunescopeError, describe_os_error, some
from prunescope.measures import all_measures
from prunescope.networks.programs import Program
from prunescope.pruning.recognition import Recognised, recognise
from prunescope.study.tables import STOP_COLUMNS, TABLES_FOLDER, joined, with_what_is_left, write_tables

ABOUT = "audit.json"


class Comparison:
    """Two networks, measured on the same images.

    Attributes:
        relation: of their weights.
        recognised: what was pruned.
        order: which dense unit each unit of the pruned network is, in layers where they are numbered otherwise.
        apart: why their layers and units cannot be set side by side; "" if they can.
        parts: what was done.
        answers: what both say of the images.
    """

    def __init__(
        self,
        pair: tuple[Audited, Audited],
        matched: Matched,
        settings: AuditSettings,
        skip: Collection[str],
        place: dict[str, Any],
        data: Path | None,
        work: Work,
    ) -> None:
        self.pair, self.matched, self.settings, self.data, self.work = pair, matched, settings, data, work
        self.skip = skip
        self.measuring = Measuring(pair, matched, settings, place, data, work)
        dense, pruned = (one.weights for one in pair)
        self.relation: Relation = relate(dense, pruned)
        self.recognised: Recognised = recognise(pruned, dense)
        self.order = dense_numbers(pair[1], self.relation)
        self.apart = comparable(pair, self.order)
        self.parts: list[Part] = self.measuring.parts()
        work.do(self.parts)
        first, second = (self.measuring.logits(part) for part in self.parts if part.measure == "accuracy")
        self.answers: Answers = compare_answers(first, second, matched.test, settings.accuracy)

    def everything(self) -> tuple[dict[str, pd.DataFrame], dict[str, Any], dict[str, list[float]]]:
        """Return all tables, and the metrics with their intervals."""
        parts = self.measuring.tables(self.parts)
        for table, rows in self.answers.tables.items():
            parts.setdefault(table, {})["accuracy"] = [rows]
        parts.setdefault("scores", {}).setdefault("size", []).extend(
            program_size(one) for one in self.pair if not one.internals
        )
        self._name_units(parts)
        tables = {name: joined(name, frames) for name, frames in parts.items()}
        tables["networks"] = with_what_is_left(self._networks(), tables.get("scores"))
        self._compare(tables)
        tables |= {
            "answers": self.answers.table,
            "relations": self.relation.layers,
            "steps": pd.DataFrame(self.work.rows),
        }
        before = recognise(self.pair[0].weights).layers
        patterns = [before.assign(network="dense"), self.recognised.layers.assign(network="pruned")]
        tables["patterns"] = pd.concat(patterns, ignore_index=True)
        metrics, intervals = flatten(tables, self.recognised.overall, self.relation.overall, self.answers)
        return tables, metrics, intervals

    def _networks(self) -> pd.DataFrame:
        """Return the table `networks`: one dense, one pruned from it."""
        overall = self.recognised.overall
        common = {"step": "", "seed": 0, "round": 0}
        dense = {
            "network": "dense",
            "series": "dense",
            "stage": "dense",
            "rate": 0.0,
            "target": "0",
            "parent": None,
        }
        pruned = {
            "network": "pruned",
            "series": "pruned",
            "stage": "pruned",
            "retraining": "none",
            "granularity": overall["granularity"],
            "rate": overall["share"],
            "target": "",
            "parent": "dense",
        }
        return pd.DataFrame([dense | common, pruned | common], columns=list(STOP_COLUMNS))

    def _name_units(self, parts: dict[str, dict[str, list[pd.DataFrame]]]) -> None:
        """Number the units of the pruned network as those of the dense one, and name those that are logits."""
        for table in ("units", "examples"):
            for rows in [rows for frames in parts.get(table, {}).values() for rows in frames]:
                one = self.pair[rows["network"].iloc[0] == "pruned"] if len(rows) else None
                if one is not None and "class" in rows:
                    names = rows["unit"].map(self.matched.named(one.role))
                    rows["class"] = names.where(rows["layer"].isin(one.logit_layers), None)
                if one is self.pair[1] and not self.apart:
                    rows["unit"] = numbered_alike(rows, self.order)
        if "dissection" in (units := parts.get("units", {})) and self.order and not self.apart:
            units["dissection"][1] = with_gone_units(*units["dissection"])

    def _compare(self, tables: dict[str, pd.DataFrame]) -> None:
        """Add what measures say only of two networks."""
        for name in ("mis", "dissection", "forgetting"):
            settings = getattr(self.settings, name)
            units = name != "forgetting"
            if settings is None or name in self.work.failures or (units and self.apart):
                continue
            if not units and not self.matched.test.labelled:
                self.work.failures[name] = "the images have no labels"
                continue
            try:
                found = all_measures()[name].compare(tables, settings, self.matched.test, self.data)
            except PrunescopeError as error:
                self.work.failures[name] = str(error)
                continue
            for table, rows in found.items():
                both = [tables[table], rows] if table in tables else [rows]
                tables[table] = pd.concat(both, ignore_index=True)

    def not_measured(self) -> dict[str, str]:
        """Return measure to why it was not done."""
        not_asked = {
            "speed": "not asked for (--speed)",
            "dissection": "no annotated images were given (--concepts)",
        }
        left_out = dict.fromkeys(self.skip, "left out (--skip)")
        why = {name: not_asked[name] for name in not_asked if name not in self.settings.measures} | left_out
        return dict(sorted(why.items())) | self.work.failures

    def warnings(self, any_order: bool) -> list[str]:
        """Return what a reader must know before trusting the numbers."""
        found = list(self.answers.warnings)
        if lost := self.matched.left_out["images"]:
            found.append(f"Images of {some(lost)} are left out: no output of both networks is of that class.")
        for one in self.pair:
            if isinstance(one.network, Program) and one.network.assumed_preprocess:
                found.append(
                    f"{one.shown} does not say what it expects of its images: ImageNet's usual preprocessing was "
                    f"assumed. Give --{one.role}-preprocess if that is wrong."
                )
        if any_order and self.pair[1].nonzero > self.pair[0].nonzero:
            found.append(
                "The network called dense has fewer weights other than 0 than the one called pruned."
            )
        if self.pair[0].digest == self.pair[1].digest:
            found.append(
                "Both networks have the same weights: every change is 0, and every condition says little."
            )
        return found

    def seconds(self) -> dict[str, float]:
        """Return how long each measure took, of both networks together."""
        rows = pd.DataFrame(self.work.rows)
        return {str(name): float(own["seconds"].sum()) for name, own in rows.groupby("kind", sort=False)}

    def write(self, folder: Path, about: dict[str, Any], tables: dict[str, pd.DataFrame]) -> Path:
        """Write `audit.json`, the tables, what is shown of images, and the page."""
        from prunescope.report.audit import write_audit

        try:
            write_tables(tables, folder / TABLES_FOLDER)
            maps = {part.network: part for part in self.parts if part.measure == "explanations"}
            write_pictures(
                folder, tables, self.pair, self.matched.test, self.settings, self.data,
                lambda network, method: self.work.folder(maps[network]),
            )  # fmt: skip
            draft = folder / f".{ABOUT}"
            draft.write_text(json.dumps(about, indent=1), encoding="utf-8")
            draft.replace(folder / ABOUT)
        except OSError as error:
            raise describe_os_error(error, f"writing {folder}") from error
        return write_audit(folder)
