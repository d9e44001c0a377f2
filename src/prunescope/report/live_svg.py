"""The picture of a figure as it stands in the page: without its legend, in the page's own colours."""

from __future__ import annotations

import math
import re
from xml.etree.ElementTree import Element, register_namespace, tostring

from markupsafe import Markup

from prunescope.report.dark import recolour

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
SAMPLE = (26.0, 11.0)  # width and height of a legend's sample, in points
WHITE = "fill: #ffffff"
CELLS = "-cells"  # ends the id of what has a scale of colours, which is the same on any page


def page_svg(root: Element, name: str, size: tuple[float, float]) -> str:
    """Make a picture ready to stand in the page; `root` is changed.

    matplotlib calls the parts of every figure alike (`axes_1`), so ids begin with `name`. What it says of all
    elements, in a `<style>`, would hold for the page.

    Args:
        size: width and height of what is shown, in points.
    """
    for parent in root.iter():
        for child in list(parent):
            if child.get("id") == "legend" or child.tag in {f"{SVG}metadata", f"{SVG}style"}:
                parent.remove(child)
    keep = [each for each in root.iter() if each.tag == f"{SVG}pattern" or each.get("id", "").endswith(CELLS)]
    kept = {each for parent in keep for each in parent.iter()}
    for each in root.iter():
        as_is = each in kept or (each.tag == f"{SVG}text" and WHITE in each.get("style", ""))
        for attribute, value in list(each.attrib.items()):
            each.set(attribute, _value_in_page(attribute, value, name, as_is=as_is))
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("viewBox", f"0 0 {size[0]:.2f} {size[1]:.2f}")
    register_namespace("", SVG[1:-1])
    register_namespace("xlink", XLINK[1:-1])
    return tostring(root, encoding="unicode")


def _value_in_page(attribute: str, value: str, name: str, *, as_is: bool) -> str:
    """Return an attribute's value in the page; `as_is` keeps the colours of what lies on coloured cells."""
    if attribute == "id":
        return f"{name}-{value}"
    if attribute == f"{XLINK}href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    value = value.replace("url(#", f"url(#{name}-")
    return recolour(value) if attribute == "style" and not as_is else value


def middle_of(root: Element, part: str) -> tuple[float, float]:
    """Return where a part lies that has this id in `root`, in points from the left and the top; NaN without it."""
    found = root.find(f".//{SVG}g[@id='{part}']")
    places: list[tuple[float, float]] = []
    for each in found.iter() if found is not None else ():
        if each.tag == f"{SVG}use":
            places.append((float(each.get("x", 0)), float(each.get("y", 0))))
        elif each.tag == f"{SVG}path" and not each.get("id"):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", each.get("d", ""))]
            places += list(zip(numbers[::2], numbers[1::2], strict=True))
    if not places:
        return math.nan, math.nan
    x, y = zip(*places, strict=True)
    return (min(x) + max(x)) / 2, (min(y) + max(y)) / 2


def sample(root: Element, part: str) -> Markup:
    """Cut a legend's sample, which has the id `part`, from the picture, with the shapes that it refers to."""
    found, middle = root.find(f".//{SVG}g[@id='{part}']"), middle_of(root, part)
    if found is None or math.isnan(middle[0]):
        return Markup()
    shapes = {shape.get("id"): shape for shape in root.iter(f"{SVG}path") if shape.get("id")}
    pieces = []
    for each in found.iter():
        shape = shapes.get(each.get(f"{XLINK}href", "").removeprefix("#"))
        if each.tag == f"{SVG}use" and shape is not None:
            style = f"{shape.get('style') or ''};{each.get('style') or ''}"
            pieces.append(_path(shape.get("d"), style, f"translate({each.get('x')} {each.get('y')})"))
        elif each.tag == f"{SVG}path" and not each.get("id"):
            pieces.append(_path(each.get("d"), each.get("style") or ""))
    view = f"{middle[0] - SAMPLE[0] / 2:.2f} {middle[1] - SAMPLE[1] / 2:.2f} {SAMPLE[0]:g} {SAMPLE[1]:g}"
    start = Markup('<svg class="sample" viewBox="{}" aria-hidden="true">').format(view)
    return start + Markup().join(pieces) + Markup("</svg>")


def _path(d: str | None, style: str, transform: str = "translate(0 0)") -> Markup:
    return Markup('<path d="{}" style="{}" transform="{}"/>').format(d or "", recolour(style), transform)
