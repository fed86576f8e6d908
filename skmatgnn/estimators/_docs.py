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
n_devices : int or None, default={n_devices}
    Devices that train together, each a part of every batch, in processes that ``fit``
    starts: CUDA devices from the first that torch sees, or, with ``device="cpu"``,
    processes on the CPU. The losses are those of one device to the last digits, with
    the same ``batch_size``, except that each device draws its own dropout and noise.
    Callbacks act in every process, and those of the first come back. None is one
    device, in this process.
precision : {"auto", "float32", "tf32", "bfloat16", "float64"}, default={precision}
    ``"auto"`` is tf32 matrix products on CUDA and float32 elsewhere, but bfloat16 for
    ALIGNN with layer norm and a ``hidden_dim`` of 128 or more, and for CrabNet with a
    ``d_model`` of 512 or more, on a CPU that torch says has ``avx512_bf16``. On the
    CPU, ALIGNN in bfloat16 is float32 but for the factors of products of that width;
    the last map of every network is in float32.
warm_start : bool, default={warm_start}
    Whether ``fit`` continues from the weights of the last ``fit``.
pretrained : path, FrozenEstimator or None, default={pretrained}
    What to start from: the checkpoint that ``save`` wrote, or a fitted estimator with
    the same network inside :class:`sklearn.frozen.FrozenEstimator`, without which
    ``clone`` would empty it. It is never changed. Parameters of the graphs and the
    network that are left at their defaults are taken from it; others must agree.
    ``warm_start`` goes on from the estimator's own weights instead.
fine_tuning : str, default={fine_tuning}
    What is trained of a pretrained network, or by ``warm_start``; a network that
    starts from random weights is trained as a whole, whatever stands here:
    {strategies}
    Whatever is not trained keeps its weights and its running statistics.
head : {"auto", "keep", "new"}, default={head}
    Whether the pretrained last layer is kept, or a new one drawn. ``"auto"`` keeps it
    if it has the form and the number of outputs, or exactly the classes, that are
    needed. A kept head of a regressor predicts on the pretrained scale of the targets
    where the new ones are of the same size on it (mean within three standard
    deviations, spread within a factor of ten), so that it is right from the start; and
    else on their own, as for another property. A kept head of a classifier keeps its
    classes, of which y may lack some with ``"keep"``.
checkpoint_dir : path or None, default={checkpoint_dir}
    Folder in which ``fit`` keeps its state, at a cost of two percent at most. The same
    fit again (data, parameters, ``random_state``, versions), by whatever process, goes
    on where the former was stopped, and comes to the same model, bit for bit on the
    same device; where it had finished, that model is there at once. Each fit has a file
    of its own, so that folds, searches and ensembles may share a folder. It needs a
    ``random_state``, and nothing in it is pickled.
callbacks : list of skorch callbacks or None, default={callbacks}
    Added to those of the estimator.
net_params : dict or None, default={net_params}
    Anything else for :class:`skorch.NeuralNet`, for example
    ``{"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}``. A ``criterion`` is
    called with the outputs and with labels, of which ``labels.target`` are the scaled
    targets, NaN where unknown, and ``labels.weight`` the sample weights, or None.
"""

STRATEGIES = """
    ``"full"``, all; ``"head"``, the last layer; ``"two_body"``, it and the layers
    between atoms and bonds; ``"three_body"``, it and the layers between bonds and
    angles, which only ALIGNN has; ``"all_but_embedding"``; ``"gradual"``, all, but from
    the head down, one depth after another within the first half of the epochs;
    ``"discriminative"``, all, with a learning rate that is 2.6 times lower at each
    depth below the head.
"""

COMPOSITION_STRATEGIES = """
    ``"full"``, all; ``"head"``, the layers after the attention;
    ``"all_but_embedding"``; ``"gradual"``, all, but from the head down, one attention
    layer after another within the first half of the epochs; ``"discriminative"``, all,
    with a learning rate that is 2.6 times lower at each layer below the head.
    ``"two_body"`` and ``"three_body"`` name layers that CrabNet does not have.
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

MPT = """
architecture : {"alignn", "cgcnn"}, default={architecture}
    Graph network that the properties share. Parameters of the other one have no effect.
cutoff : float, default={cutoff}
    Radius of the graphs and of the radial basis, in Angstrom. Graphs that are given
    as X keep their own.
max_neighbors : int or None, default={max_neighbors}
    Neighbours of each atom, whole shells; None for all within ``cutoff``.
three_body_cutoff : float or None, default={three_body_cutoff}
    ALIGNN: longest bond, in Angstrom, of which angles are taken; None for all.
n_alignn_layers : int, default={n_alignn_layers}
    ALIGNN: layers that update atoms, bonds and angles.
n_gcn_layers : int, default={n_gcn_layers}
    ALIGNN: layers after them that update atoms and bonds.
hidden_dim : int or "auto", default={hidden_dim}
    ALIGNN: width of atom, bond and angle features; CGCNN: width after pooling.
    ``"auto"`` is the default of `ALIGNNRegressor` or `CGCNNRegressor`.
embedding_dim : int, default={embedding_dim}
    ALIGNN: width between the bases and ``hidden_dim``.
n_radial : int, default={n_radial}
    ALIGNN: Gaussians of the bond length.
n_angular : int, default={n_angular}
    ALIGNN: Gaussians of the cosine of the bond angle.
edge_messages : bool, default={edge_messages}
    ALIGNN: whether messages carry the features of bonds and angles themselves.
n_conv_layers : int, default={n_conv_layers}
    CGCNN: graph convolutions.
node_dim : int, default={node_dim}
    CGCNN: width of the atom features.
n_hidden_layers : int, default={n_hidden_layers}
    CGCNN: layers after pooling.
edge_step : float, default={edge_step}
    CGCNN: spacing of the Gaussians of the bond length, in Angstrom.
norm : {"auto", "layer", "batch"}, default={norm}
    Normalisation; ``"auto"`` as for ``hidden_dim``.
head_dim : int, default={head_dim}
    Width of the layers in the head of each property.
n_head_layers : int, default={n_head_layers}
    Number of these layers.
"""

PROPERTY_WEIGHTS = """
property_kinds : None, dict or array-like, default={property_kinds}
    Which properties are classes: ``{"is_metal": "classification"}`` by name, or
    ``"regression"`` or ``"classification"`` for each column. Values of a class are 0
    and 1, or False and True, or between, as where `merge_properties` averages labels
    that differ; its prediction is the probability of 1. None has all as real numbers.
property_weights : None, "balanced" or array-like, default={property_weights}
    How much a known value of each property counts in the loss: all the same, so that
    large properties rule; ``"balanced"``, inversely to the number of known values, so
    that properties count the same; or a number for each.
"""

MPT_LOSS = """
loss : {"auto", "l1", "mse", "huber"}, default={loss}
    What is minimised, on scaled targets; ``"auto"`` is ``"l1"``.
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

ARCHITECTURES = {"alignn": ALIGNN, "cgcnn": CGCNN, "crabnet": CRABNET, "mpt": MPT}
ON_COMPOSITIONS = {"crabnet"}


def document(architecture: str) -> Callable[[T], T]:
    """Fill the shared sections, and the defaults in them, of a class docstring.

    Parameters
    ----------
    architecture : {"alignn", "cgcnn", "crabnet", "mpt"}

    Returns
    -------
    callable
        A class decorator.
    """
    sections = {
        "graph": GRAPH,
        "architecture": ARCHITECTURES[architecture],
        "training": TRAINING,
        "strategies": STRATEGIES,
        "fitted": FITTED,
    }
    if architecture == "mpt":
        start = TRAINING.index("loss :")
        end = TRAINING.index("max_epochs :")
        training = TRAINING[:start] + PROPERTY_WEIGHTS.lstrip() + MPT_LOSS.lstrip()
        sections |= {"graph": "", "training": training + TRAINING[end:]}
    if architecture in ON_COMPOSITIONS:
        sections |= {
            "training": COMPOSITION_TRAINING,
            "strategies": COMPOSITION_STRATEGIES,
            "fitted": COMPOSITION_FITTED,
        }
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
