"""Starting from a pretrained estimator: what is taken from it, and what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from torch import nn

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._checkpoint import load_estimator
from skmatgnn.estimators._element_table import element_signature
from skmatgnn.nets._fine_tuning import STRATEGIES
from skmatgnn.preprocessing import TargetScaler
from skmatgnn.utils._sklearn import StrOptions

if TYPE_CHECKING:
    from skmatgnn.estimators._net_base import BaseNetEstimator
    from skmatgnn.nets import GraphNet

__all__ = ["TRANSFER_CONSTRAINTS", "TransferMixin", "inherited_scale"]

TRANSFER_CONSTRAINTS = {
    "pretrained": [None, str, PathLike, BaseEstimator],
    "fine_tuning": [StrOptions(set(STRATEGIES))],
    "head": [StrOptions({"auto", "keep", "new"})],
}
HEAD = "head."
MOST_SHIFT, MOST_RATIO = 3.0, 10.0


class TransferMixin:
    """What estimators with a ``pretrained`` parameter do with it.

    Subclasses name, in ``_inheritable``, the parameters that the trunk depends on, and
    give, in ``_settings_of_fit``, their values in the last fit.
    """

    if TYPE_CHECKING:  # what the estimators have, as attributes or properties
        net_: Any
        signature_: dict[str, Any]
        pretrained: Any
        head: str

        @property
        def _trunk(self) -> type[nn.Module]: ...

        @property
        def _inheritable(self) -> tuple[str, ...]: ...

    else:
        _inheritable = ()

    def _settings_of_fit(self) -> dict[str, Any]:
        return {}

    def _features_of_fit(self) -> Any:
        features = self._setting("element_features")
        if element_signature(features) != self.signature_["element_features"]:
            raise InvalidValueError(
                f"The element_features of the pretrained {type(self).__name__} were "
                "changed after it was fitted. Set them back."
            )
        return features

    def _head_mismatch(self, source: BaseNetEstimator, *, strict: bool) -> str | None:
        """Why the head of a source cannot be ours, or, if not strict, need not be."""
        del strict
        if type(source.net_.module_.head) is not nn.Linear:
            return f"that of {type(source).__name__} has another form"
        return None

    def _own_setting(self, name: str) -> Any:
        """Value of a parameter if nothing is pretrained."""
        return getattr(self, name)

    def _setting(self, name: str) -> Any:
        """Value of a parameter, which may come from the pretrained estimator."""
        inherited = self.__dict__.get("_inherited", {})
        if name in inherited and _same(
            name, getattr(self, name), _defaults(self)[name]
        ):
            return inherited[name]
        return self._own_setting(name)

    @contextmanager
    def _transfer(self, *, cold: bool) -> Iterator[None]:
        """Know the pretrained estimator, if there is one, while training begins."""
        source = None
        if not cold:
            start = self.net_.module_
        elif getattr(self, "pretrained", None) is not None:
            source = _resolve(self.pretrained, self)
            start = source.net_.module_
        try:
            if cold:
                self.__dict__.pop("_inherited", None)
            if hasattr(self, "fine_tuning") and (source is not None or not cold):
                STRATEGIES[self.fine_tuning].select(start.blocks())
            if source is not None:
                self._require_same_trunk(source)
                self._source = source
                self._inherited = _inherit(self, source)
            yield
        finally:
            self.__dict__.pop("_source", None)

    def _require_same_trunk(self, source: BaseNetEstimator) -> None:
        if not isinstance(source.net_.module_, self._trunk):
            raise InvalidValueError(
                f"pretrained is {type(source).__name__}, whose network is no "
                f"{self._trunk.__name__}; {type(self).__name__} can only start from "
                "one that is."
            )

    def _keeps_head(self) -> bool:
        """Whether the pretrained head is kept; asked when the targets are known."""
        source = self.__dict__.get("_source")
        if source is None or self.head == "new":
            return False
        reason = self._head_mismatch(source, strict=self.head != "keep")
        if reason and self.head == "keep":
            raise InvalidValueError(
                f"head='keep' cannot keep the head of the pretrained "
                f"{type(source).__name__}: {reason}. Use head='new', or 'auto'."
            )
        return not reason

    def _start_from_source(self, net: GraphNet) -> None:
        """Copy the pretrained weights into a new network; theirs stay as they are."""
        given = self._source.net_.module_.state_dict()
        own = net.module_.state_dict()
        keeps_head = self._keeps_head()
        for name, tensor in own.items():
            if name.startswith(HEAD) and not keeps_head:
                continue
            if name not in given or given[name].shape != tensor.shape:
                came = tuple(given[name].shape) if name in given else "nothing"
                raise InvalidValueError(
                    f"The pretrained network does not fit: it has {came} for the "
                    f"weights {name}, of shape {tuple(tensor.shape)}."
                )
            own[name] = given[name]
        net.module_.load_state_dict(own)


def inherited_scale(
    own: TargetScaler, pretrained: TargetScaler, targets: np.ndarray
) -> TargetScaler:
    """Choose the scale on which a kept head predicts, target by target.

    The pretrained one, on which the head's predictions are right from the start, where
    the new targets are of the same size on it: their mean within three of its standard
    deviations, their spread within a factor of ten. Else, as for another property in
    another unit, their own, on which targets are of the size that the head was
    trained to predict.

    Parameters
    ----------
    own : TargetScaler
        Fitted to the new targets.
    pretrained : TargetScaler
    targets : ndarray of shape (n, t)
        The new ones; NaN where unknown.

    Returns
    -------
    TargetScaler
    """
    constant = np.nanmin(targets, axis=0) == np.nanmax(targets, axis=0)
    with np.errstate(over="ignore"):  # units may be as different as they like
        shift = np.abs(own.mean_ - pretrained.mean_) / pretrained.scale_
        ratio = own.scale_ / pretrained.scale_
    # equal targets, or a single one, have no spread to compare
    same = constant | ((ratio <= MOST_RATIO) & (ratio >= 1 / MOST_RATIO))
    same &= shift <= MOST_SHIFT
    scaler = TargetScaler()
    scaler.mean_ = np.where(same, pretrained.mean_, own.mean_)
    scaler.scale_ = np.where(same, pretrained.scale_, own.scale_)
    return scaler


def _resolve(pretrained: Any, estimator: Any) -> Any:
    if isinstance(pretrained, str | PathLike):
        pretrained = load_estimator(pretrained, device=estimator.device)
    elif isinstance(pretrained, FrozenEstimator):
        pretrained = pretrained.estimator
    else:
        name = type(pretrained).__name__
        raise InvalidValueError(
            f"pretrained is a bare {name}, which scikit-learn's clone would empty of "
            "what it has learnt. Fit it and wrap it in "
            f"sklearn.frozen.FrozenEstimator, or give the path of a checkpoint."
        )
    if not (isinstance(pretrained, TransferMixin) and hasattr(pretrained, "_trunk")):
        raise InvalidTypeError(
            f"pretrained is {type(pretrained).__name__}, which has no network to start "
            f"from; give an estimator such as {type(estimator).__name__}."
        )
    if not hasattr(pretrained, "net_"):
        raise InvalidValueError(
            f"pretrained is an unfitted {type(pretrained).__name__}. Fit it before it "
            "is wrapped in FrozenEstimator."
        )
    return pretrained


def _inherit(estimator: Any, source: Any) -> dict[str, Any]:
    """Take parameters that were left at their defaults from the pretrained one."""
    given = source._settings_of_fit()  # noqa: SLF001
    inherited, contradictions = {}, []
    for name in estimator._inheritable:  # noqa: SLF001
        value = estimator._own_setting(name)  # noqa: SLF001
        if _same(name, value, given[name]):
            continue
        if _same(name, getattr(estimator, name), _defaults(estimator)[name]):
            inherited[name] = given[name]
        else:
            came, expected = (_shown(v) for v in (value, given[name]))
            contradictions.append(f"{name}={came} in place of {expected}")
    if contradictions:
        raise InvalidValueError(
            f"The pretrained {type(source).__name__} has other settings than were "
            f"asked for: {', '.join(contradictions)}. Leave them at their defaults to "
            "take those of the pretrained one."
        )
    return inherited


def _defaults(estimator: Any) -> dict[str, Any]:
    parameters = signature(type(estimator)).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _same(name: str, a: Any, b: Any) -> bool:
    if name == "element_features":
        return element_signature(a) == element_signature(b)
    return bool(a == b)


def _shown(value: Any) -> str:
    return "a table" if isinstance(value, np.ndarray | list) else repr(value)
