"""Points of any dimension, laid out on a plane to be drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_array, check_random_state

from skmatgnn.errors import InvalidTypeError
from skmatgnn.utils.validation import describe, require_option

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, RandomState

PROJECTIONS = ("auto", "pca", "tsne")


def ensure_points(points: Any) -> FloatArray:
    """Convert the coordinates of the samples."""
    try:
        return check_array(points, dtype=np.float64, input_name="points")
    except TypeError as error:
        raise InvalidTypeError(
            f"points must be numbers; got {describe(points)}."
        ) from error


def project(
    points: FloatArray, projection: str, random_state: RandomState
) -> tuple[FloatArray, tuple[str, str] | None]:
    """Bring points to two dimensions.

    Parameters
    ----------
    points : ndarray of shape (n_samples, n_dimensions)
        Coordinates.
    projection : {"auto", "pca", "tsne"}
        "auto" leaves two dimensions alone and takes principal components of others.
    random_state : int, RandomState or None
        For t-SNE, and for the spread of points on a line.

    Returns
    -------
    points : ndarray of shape (n_samples, 2)
    names : (str, str) or None
        Names of the axes; None if nothing was changed.
    """
    require_option("projection", projection, PROJECTIONS)
    if projection == "auto" and points.shape[1] == 2:
        return points, None
    if projection == "tsne":
        from skmatgnn.model_selection._embed import embed

        plane = embed(points, scaler=False, embedding="tsne", random_state=random_state)
        return plane, ("t-SNE 1", "t-SNE 2")
    if min(points.shape) == 1:
        spread = check_random_state(random_state).uniform(-1, 1, size=len(points))
        return np.column_stack([points[:, 0], spread]), (
            "Dimension 1",
            "Spread at random",
        )
    return _principal_components(points)


def _principal_components(points: FloatArray) -> tuple[FloatArray, tuple[str, str]]:
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    if np.ptp(points, axis=0).max() == 0:
        return np.zeros((len(points), 2)), ("PC 1", "PC 2")
    plane = pca.fit_transform(points)
    first, second = (
        f"PC {number} ({share:.0%} of variance)".replace("%", " %")
        for number, share in enumerate(pca.explained_variance_ratio_, start=1)
    )
    return plane, (first, second)
