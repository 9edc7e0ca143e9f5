"""Linear heads on fixed features by exact least squares, the limit of gradient descent from 0."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from flags.errors import RunError
from tf_models.random_features import FEATURES, HEAD, features_of


def solve_head(
    model: keras.Model, batches: Iterable[np.ndarray | tf.Tensor], labels: np.ndarray, ridge: float = 0.0
) -> None:
    """Fits the head of a `random_features` model to one-hot labels.

    Args:
        batches: preprocessed images.
        labels: [examples].
        ridge: see `minimum_norm`.

    Raises:
        RunError: the SVD did not converge, or the solution is not finite.
    """
    layer, head, network = model.get_layer(FEATURES), model.get_layer(HEAD), features_of(model)
    features = layer.numbers(np.concatenate([network(images, training=False).numpy() for images in batches]))
    failed = f"least squares of {features.shape[0]:,} examples on {features.shape[1]:,} features"
    try:
        weights = minimum_norm(features, np.eye(head.units)[labels], ridge)
    except np.linalg.LinAlgError as error:
        raise RunError(f"{failed}: {error}. Try another --seed.") from error
    if not np.isfinite(weights).all():
        raise RunError(f"{failed}: the solution is not finite. Try another --seed.")
    head.kernel.assign(layer.head_kernel(weights))


def minimum_norm(features: np.ndarray, targets: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """Returns the minimum-norm w that minimises |features w - targets|^2 + ridge |w|^2, in float64.

    A QR decomposition reduces the SVD to a square matrix of the smaller side. Without a ridge, singular values below
    the rounding error of the largest count as 0, as in `numpy.linalg.lstsq`.

    Args:
        features: [examples, D], real or complex.
        targets: [examples, outputs].

    Returns:
        [D, outputs], with the dtype of the features.
    """
    rounding = max(features.shape) * np.finfo(np.float64).eps
    if features.shape[1] > features.shape[0]:
        q, r = np.linalg.qr(features.conj().T)  # features = r^H q^H
        return q @ _solved(r.conj().T, targets, ridge, rounding)
    q, r = np.linalg.qr(features)
    return _solved(r, q.conj().T @ targets, ridge, rounding)


def _solved(square: np.ndarray, targets: np.ndarray, ridge: float, rounding: float) -> np.ndarray:
    """`minimum_norm` for a square matrix."""
    u, values, vh = np.linalg.svd(square)
    if ridge > 0:
        inverse = values / (values**2 + ridge)
    else:
        is_zero = values <= rounding * values[0]
        inverse = np.where(is_zero, 0.0, 1 / np.where(is_zero, 1.0, values))
    return vh.conj().T @ (inverse[:, None] * (u.conj().T @ targets))
