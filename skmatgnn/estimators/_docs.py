"""Parameter descriptions that several estimators share."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc, signature
from textwrap import indent
from typing import TypeVar

__all__ = ["FITTED", "TRAINING", "document", "fill_sections"]

T = TypeVar("T", bound=type)

GRAPH = """
cutoff : float, default={cutoff}
    Radius of the graphs and of the radial basis, in Angstrom. Graphs that are given
    as X keep their own.
max_neighbors : int or None, default={max_neighbors}
    Neighbours of each atom, whole shells; None for all within ``cutoff``.
"""

ALIGNN = """
three_body_cutoff : float or None, default={three_body_cutoff}
    Longest bond, in Angstrom, of which angles are taken; None for all, as published.
n_alignn_layers : int, default={n_alignn_layers}
    Layers that update atoms, bonds and angles.
n_gcn_layers : int, default={n_gcn_layers}
    Layers after them that update atoms and bonds.
hidden_dim : int, default={hidden_dim}
    Width of atom, bond and angle features.
embedding_dim : int, default={embedding_dim}
    Width between the bases and ``hidden_dim``.
n_radial : int, default={n_radial}
    Gaussians of the bond length.
n_angular : int, default={n_angular}
    Gaussians of the cosine of the bond angle.
norm : {"layer", "batch"}, default={norm}
    Normalisation; ``"batch"`` as published.
edge_messages : bool, default={edge_messages}
    Whether messages carry the features of bonds and angles themselves. False is as
    published: then lengths and angles only weigh the messages of different neighbours,
    and all structures of a pure element get the same prediction.
"""

CGCNN = """
n_conv_layers : int, default={n_conv_layers}
    Graph convolutions.
node_dim : int, default={node_dim}
    Width of the atom features.
hidden_dim : int, default={hidden_dim}
    Width after pooling.
n_hidden_layers : int, default={n_hidden_layers}
    Layers of that width.
edge_step : float, default={edge_step}
    Spacing of the Gaussians of the bond length, in Angstrom.
norm : {"layer", "batch"}, default={norm}
    Normalisation; ``"batch"`` as published.
"""

COMMON = """
lr : float, default={lr}
    Peak learning rate of AdamW.
lr_schedule : {"one_cycle", "constant"}, default={lr_schedule}
    ``"one_cycle"`` raises the rate to ``lr`` and anneals it to zero by the last epoch.
weight_decay : float, default={weight_decay}
    Decoupled weight decay.
early_stopping : bool, default={early_stopping}
    Whether to set ``validation_fraction`` of the data aside, keep the epoch that
    predicts it best, and stop when it has not improved for ``n_iter_no_change``
    epochs. Otherwise the epoch with the lowest training loss is kept.
validation_fraction : float, default={validation_fraction}
    Share of the samples, or of the ``groups`` that are given to ``fit``.
n_iter_no_change : int, default={n_iter_no_change}
    Patience of ``early_stopping``, in epochs.
random_state : int, RandomState instance or None, default={random_state}
    Seed of the initial weights, the shuffling and the validation split. The same seed
    on the same device gives the same model, bit for bit.
device : str or torch.device, default={device}
    ``"auto"`` is CUDA if torch sees it, else the CPU.
precision : {"auto", "float32", "tf32", "bfloat16", "float64"}, default={precision}
    ``"auto"`` is tf32 matrix products on CUDA and float32 elsewhere.
warm_start : bool, default={warm_start}
    Whether ``fit`` continues from the weights of the last ``fit``.
callbacks : list of skorch callbacks or None, default={callbacks}
    Added to those of the estimator.
net_params : dict or None, default={net_params}
    Anything else for :class:`skorch.NeuralNet`, for example
    ``{"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}``.
"""

TRAINING = f"""
element_features : {{"cgcnn", "one_hot"}} or array-like, default={{element_features}}
    Features of the elements: the 92 of CGCNN (up to fermium), a 1 for each element
    (all 118), or a table whose row ``Z`` describes the element of atomic number ``Z``.
loss : {{"auto", "l1", "mse", "huber", "cross_entropy"}}, default={{loss}}
    What is minimised, on scaled targets. ``"auto"`` is ``"l1"`` for a regressor and
    ``"cross_entropy"``, the only choice, for a classifier.
max_epochs : int, default={{max_epochs}}
    Passes over the data.
batch_size : int, default={{batch_size}}
    Most crystals in a batch.
{COMMON.strip()}
n_jobs : int or None, default={{n_jobs}}
    Processes that build graphs.
verbose : bool, default={{verbose}}
    Whether to show progress.
"""

CRABNET = """
d_model : int, default={d_model}
    Width of the element tokens; a multiple of four and of ``n_heads``. The residual
    network after the attention has layers of 2, 1, 1/2 and 1/4 times this width.
n_layers : int, default={n_layers}
    Attention layers.
n_heads : int, default={n_heads}
    Attention heads in each layer.
dim_feedforward : int or None, default={dim_feedforward}
    Width inside an attention layer; None is four times ``d_model``.
norm_first : bool, default={norm_first}
    Whether attention layers normalise their inputs; False normalises the sums after
    them, as published.
dropout : float, default={dropout}
    Share of values that are set to zero in training.
element_features : str or array-like, default={element_features}
    Features of the elements: ``"matscholar"``, 200 learnt from abstracts (up to
    lawrencium); ``"magpie"``, 22 properties; ``"one_hot"``, a 1 for each element (all
    118); or a table whose row ``Z`` describes the element of atomic number ``Z``.
    Columns are standardised over the elements, but for ``"one_hot"``.
fraction_noise : float, default={fraction_noise}
    In training each fraction is multiplied by one plus this times a normal number.
average_duplicates : bool, default={average_duplicates}
    Whether rows of the same composition ("LiFePO4" and "Li2Fe2P2O8") become one, with
    their mean target and the sum of their weights. Rows of different ``groups`` stay
    apart, and so do rows of different class.
"""

COMPOSITION_TRAINING = f"""
loss : str, default={{loss}}
    What is minimised, on scaled targets. For a regressor ``"l1_with_std"``, the
    absolute error and beside it the likelihood of its size, is what ``"auto"`` means;
    ``"robust_l1"`` is the published likelihood of both together; ``"l1"``, ``"mse"``
    and ``"huber"`` learn no spread. A classifier takes ``"auto"`` or
    ``"cross_entropy"``.
max_epochs : int, default={{max_epochs}}
    Passes over the data.
batch_size : int or "auto", default={{batch_size}}
    Most compositions in a batch; ``"auto"`` follows the size of the data: the power of
    two that is closest to a 32nd of it, from 16 to 512.
{COMMON.strip()}
verbose : bool, default={{verbose}}
    Whether to show progress.
"""

COMPOSITION_FITTED = """
net_ : GraphNet
    The trained skorch net; ``net_.module_`` is the torch module.
n_outputs_ : int
    Targets, or classes.
history_ : list of dict
    Losses and seconds of each epoch.
n_epochs_ : int
    Epochs that were run.
best_epoch_ : int
    Epoch whose weights are kept, counted from 1.
device_ : str
    Device that trained.
"""

FITTED = """
net_ : GraphNet
    The trained skorch net; ``net_.module_`` is the torch module.
n_outputs_ : int
    Columns of the network's output.
history_ : list of dict
    Losses and seconds of each epoch.
n_epochs_ : int
    Epochs that were run.
best_epoch_ : int
    Epoch whose weights are kept, counted from 1.
graph_settings_ : GraphSettings
    How the training graphs were made.
device_ : str
    Device that trained.
"""

ARCHITECTURES = {"alignn": ALIGNN, "cgcnn": CGCNN, "crabnet": CRABNET}
ON_COMPOSITIONS = {"crabnet"}


def document(architecture: str) -> Callable[[T], T]:
    """Fill the shared sections, and the defaults in them, of a class docstring.

    Parameters
    ----------
    architecture : {"alignn", "cgcnn", "crabnet"}

    Returns
    -------
    callable
        A class decorator.
    """
    sections = {
        "graph": GRAPH,
        "architecture": ARCHITECTURES[architecture],
        "training": TRAINING,
        "fitted": FITTED,
    }
    if architecture in ON_COMPOSITIONS:
        sections |= {"training": COMPOSITION_TRAINING, "fitted": COMPOSITION_FITTED}
    return fill_sections(sections)


def fill_sections(sections: dict[str, str]) -> Callable[[T], T]:
    """Fill sections, and the defaults in them, of a class docstring.

    Parameters
    ----------
    sections : dict of str to str
        Text of each by the name that stands in braces.

    Returns
    -------
    callable
        A class decorator.
    """

    def fill(cls: T) -> T:
        doc = cleandoc(cls.__doc__ or "")
        for key, text in sections.items():
            doc = doc.replace("{" + key + "}", text.strip())
        for name, parameter in signature(cls).parameters.items():
            default = parameter.default
            shown = f'"{default}"' if isinstance(default, str) else repr(default)
            doc = doc.replace("{" + name + "}", shown)
        cls.__doc__ = indent(doc, "    ").strip() + "\n    "
        return cls

    return fill
