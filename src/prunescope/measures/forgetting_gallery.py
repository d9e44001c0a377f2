"""Which forgotten images are shown: the same choice for whoever draws them and whoever lists them."""

from __future__ import annotations

import pandas as pd

MOST = 24  # images: a gallery that can be looked through


def gallery_images(forgetting_images: pd.DataFrame, most: int = MOST) -> list[str]:
    """Return the names of the images that pruning loses most, the most forgotten first.

    An image counts by `lost`, the share of seeds that name it right when dense less that when pruned, averaged over
    all series and targets: what goes early and with every seed comes first. Of a series that is retrained, only
    retrained networks count. Ties go by how often the prediction changed at all, then by the order of the table.

    Args:
        forgetting_images: the table of that name; `series`, `stage`, `image`, `lost` and `changed` are read.
        most: how many images at most. Images that are not lost on average are left out.
    """
    if forgetting_images.empty:
        return []
    retrained = forgetting_images["stage"] == "retrained"
    of_retrained = forgetting_images["series"].isin(forgetting_images.loc[retrained, "series"].unique())
    shown = forgetting_images[retrained | ~of_retrained].astype({"image": object})
    means = shown.groupby("image", sort=False)[["lost", "changed"]].mean().round(9)
    ranked = means[means["lost"] > 0].sort_values(["lost", "changed"], ascending=False, kind="stable")
    return [str(image) for image in ranked.index[:most]]
