"""The fused kernels against the plain implementation in float64.

Where there is no CUDA device, the tests run in a process of their own, in which
Triton interprets the kernels: that has to be decided before Triton is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import nn
from torch.torch_version import TorchVersion

from skmatgnn.graphs import DeviceGraphs, StructureToGraph
from skmatgnn.nn import ALIGNN
from skmatgnn.nn.layers import EdgeGatedConv, GaussianBasis, NormedLinear
from skmatgnn.nn.ops import (
    Adjacency,
    ConvParts,
    LineGraph,
    _choice,
    bond_cosines,
    edge_gated_update,
    kernels,
    linear_norm_silu,
    segment_mean,
)
from skmatgnn.utils.capacity import Capacity

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = find_spec("triton") is not None
RECENT_TRITON = HAS_TRITON and (
    TorchVersion(version("triton")) >= _choice.OLDEST_TRITON
)
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
# float32: rounding of sums; bfloat16: eight bits, in what is stored a few times over
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
# A row of one number has no spread. What is left of its gradient is the rounding of a
# product, which compiled kernels subtract from itself unrounded, over the root of eps.
ROW_OF_ONE = 2**-24 / 1e-5**0.5 / 1e-2
DEGREES = {
    "ragged": [0, 1, 12, 0, 64, 5, 3, 17, 0],
    "small": [0, 9, 0, 4, 1, 0],
    "one_atom": [6],
    "one_atom_alone": [0],
    "no_edges": [0, 0, 0],
    "no_graphs": [],
}

kernel_test = pytest.mark.skipif(
    not (RECENT_TRITON and (INTERPRETED or DEVICE == "cuda")),
    reason="needs Triton and a CUDA device, or TRITON_INTERPRET=1",
)
outer_test = pytest.mark.skipif(
    not RECENT_TRITON or INTERPRETED,
    reason="needs Triton 3.4 or later, in a process that does not interpret",
)
gpu_test = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device"),
]


def make_graph(degrees, *, consecutive=False, seed=0):
    """Edges into nodes of these degrees, from senders drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    degree = torch.tensor(degrees, dtype=torch.int64)
    n, ptr = len(degree), torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    receiver = torch.repeat_interleave(torch.arange(n), degree)
    if not consecutive:
        sender = torch.randint(0, max(1, n), (len(receiver),), generator=generator)
        return Adjacency.from_edges(sender, receiver, n)
    first = torch.rand(n, generator=generator) * (n - degree + 1).clamp(min=0)
    place = torch.arange(len(receiver)) - ptr[receiver]
    return LineGraph.from_edges(first.long()[receiver] + place, receiver, n)


def make_case(degrees, dim, norm="layer", *, consecutive=False, seed=0, **options):
    """A convolution with random weights, its inputs, and weights of its outputs."""
    generator = torch.Generator().manual_seed(seed)
    graph = make_graph(degrees, consecutive=consecutive, seed=seed)
    conv = EdgeGatedConv(dim, norm, **options)
    with torch.no_grad():
        for name, value in conv.named_parameters():
            scale = dim**-0.5 if value.ndim == 2 else 0.5
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(scale * noise + (1 if "norm.weight" in name else 0))
    sizes = (graph.n_nodes, graph.n_edges) * 2
    rows = [torch.randn(n, dim, generator=generator) for n in sizes]
    return SimpleNamespace(conv=conv, graph=graph, rows=rows)


def compute(case, choice, dtype, device=DEVICE):
    """Outputs and all gradients by name; bfloat16 as autocast does it."""
    low = dtype == torch.bfloat16
    conv = case.conv.to(device, torch.float32 if low else dtype)
    conv.zero_grad()
    full = [row.to(device, torch.float32 if low else dtype) for row in case.rows]
    nodes, edges = (row.clone().requires_grad_() for row in full[:2])
    with kernels(choice), torch.autocast(device, torch.bfloat16, enabled=low):
        outputs = conv(nodes, edges, case.graph.to(device))
    loss = sum((o * w).sum() for o, w in zip(outputs, full[2:], strict=True))
    loss.backward()
    found = {
        "new_nodes": outputs[0],
        "new_edges": outputs[1],
        "nodes": nodes.grad,
        "edges": edges.grad,
        **{name: value.grad for name, value in conv.named_parameters()},
    }
    return {name: value.detach().cpu() for name, value in found.items()}


def relative_errors(found, expected):
    """Norms, since single elements may cancel; beside the largest of the gradients."""
    outputs = ("new_nodes", "new_edges")
    floor = max((v.norm() for k, v in expected.items() if k not in outputs), default=0)
    errors = {}
    for name, right in expected.items():
        assert found[name].shape == right.shape, name
        assert torch.isfinite(found[name]).all(), name
        scale = right.norm().clamp(min=1e-6)
        if name not in outputs:  # some vanish but for rounding
            scale = torch.maximum(scale, 1e-2 * floor)
        errors[name] = float((found[name].double() - right).norm() / scale)
    return errors


def check(case, dtype=torch.float32):
    expected = compute(case, "reference", torch.float64, "cpu")
    errors = relative_errors(compute(case, "triton", dtype), expected)
    tolerance = ROW_OF_ONE if case.conv.dim == 1 else TOLERANCE[dtype]
    assert max(errors.values()) < tolerance, errors


def check_interpreted(path):
    """Run the tests of a file in a process in which Triton interprets the kernels."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    plugins = ["-p", "no:randomly", "-p", "no:benchmark"]
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [*command, *plugins, "-rs", path],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]


@outer_test
def test_kernels__interpreted_in_a_process_of_their_own__pass_the_tests_below():
    check_interpreted(__file__)


@kernel_test
@pytest.mark.parametrize("dim", [1, 7, 64, 100, 256])
@pytest.mark.parametrize("edge_messages", [False, True])
def test_fused__widths_and_degrees_to_64__equal_float64(dim, edge_messages):
    check(make_case(DEGREES["ragged"], dim, edge_messages=edge_messages))


@kernel_test
@pytest.mark.parametrize(("nodes", "stages"), [(2, 1), (4, 1), (1, 3), (4, 4)])
def test_fused__so_many_senders_and_turns_at_once__equal_float64(
    nodes, stages, monkeypatch
):
    from skmatgnn.nn.ops import _triton_launch as launch

    tile = launch.Tile(nodes=nodes, warps_at_once=8, stages=stages)
    monkeypatch.setitem(launch.NARROW_TILES, "sender", tile)
    check(make_case(DEGREES["ragged"], 20))


@kernel_test
def test_fused__many_senders_of_wide_rows__equal_float64(monkeypatch):
    from skmatgnn.nn.ops import _triton_launch as launch

    monkeypatch.setattr(launch, "MANY", 4)
    assert launch._tile("sender", launch.WIDE, 4) is launch.MANY_TILES["sender"]
    check(make_case(DEGREES["ragged"], launch.WIDE))


@kernel_test
@pytest.mark.parametrize("degrees", [name for name in DEGREES if name != "ragged"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("update_edges", [False, True])
@pytest.mark.parametrize("edge_messages", [False, True])
def test_fused__settings__equal_float64(degrees, norm, update_edges, edge_messages):
    options = {"update_edges": update_edges, "edge_messages": edge_messages}
    case = make_case(DEGREES[degrees], 20, norm, **options)
    case.conv.eval()  # or a batch norm would move, and fail on a single row in float64
    check(case)


@kernel_test
@pytest.mark.parametrize("update_edges", [False, True])
def test_fused__batch_norm_in_training__equals_float64(update_edges):
    case = make_case(DEGREES["ragged"], 20, "batch", update_edges=update_edges)
    exact = compute(case, "reference", torch.float64, "cpu")
    plain = relative_errors(compute(case, "reference", torch.float32), exact)
    fused = relative_errors(compute(case, "triton", torch.float32), exact)
    # the norm takes the mean off what went into it, and so the gradients by biases
    # vanish but for rounding, in plain torch as well
    assert max(fused.values()) < 4 * max(plain.values()), (fused, plain)
    assert max(fused.values()) < 1e-4


@kernel_test
@pytest.mark.parametrize("dim", [20, 64])
def test_fused__consecutive_senders__equal_float64(dim):
    degrees = [0, 3, 9, 0, 5, 1, 7, 2, 0]
    check(make_case(degrees, dim, consecutive=True, edge_messages=True))


@kernel_test
@pytest.mark.parametrize("dim", [600, 2048])
def test_fused__very_wide__equals_float64(dim):
    check(make_case([2, 0, 3], dim))


@kernel_test
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("dim", [7, 64])
def test_fused__bfloat16__equals_float64_to_its_digits(norm, dim):
    case = make_case(DEGREES["ragged"], dim, norm, edge_messages=True)
    case.conv.eval()
    check(case, torch.bfloat16)


@kernel_test
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_fused__twice__is_bitwise_equal(dtype):
    case = make_case(DEGREES["ragged"], 64, edge_messages=True)
    first, second = (compute(case, "triton", dtype) for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@kernel_test
def test_fused__against_plain_in_float32__no_less_exact():
    case = make_case(DEGREES["ragged"], 64, edge_messages=True)
    exact = compute(case, "reference", torch.float64, "cpu")
    plain = relative_errors(compute(case, "reference", torch.float32), exact)
    fused = relative_errors(compute(case, "triton", torch.float32), exact)
    assert max(fused.values()) < 2 * max(plain.values()), (fused, plain)


@kernel_test
def test_fused__inputs_and_parameters_frozen__others_get_the_same_gradients():
    case = make_case(DEGREES["ragged"], 20)
    whole = compute(case, "triton", torch.float32)
    for part in ("sender", "receiver", "edge", "edge_norm", "node_norm"):
        getattr(case.conv, part).requires_grad_(False)
        graph = case.graph.to(DEVICE)
        nodes, edges, *weights = (row.to(DEVICE) for row in case.rows)
        case.conv.zero_grad()
        with kernels("triton"):
            outputs = case.conv(nodes, edges, graph)
        sum((o * w).sum() for o, w in zip(outputs, weights, strict=True)).backward()
        for name, value in case.conv.named_parameters():
            assert (value.grad is None) == name.startswith(f"{part}.")
            if value.grad is not None:
                assert torch.equal(value.grad.cpu(), whole[name]), name
        case.conv.requires_grad_(True)


@kernel_test
def test_fused__only_one_output_used__equals_float64():
    case = make_case(DEGREES["ragged"], 20)
    for unused in (2, 3):
        rows = list(case.rows)
        case.rows[unused] = torch.zeros_like(rows[unused])
        check(case)
        results = []
        for choice, dtype in (("reference", torch.float64), ("triton", torch.float32)):
            conv = case.conv.to(DEVICE, dtype)
            nodes, edges = (row.to(DEVICE, dtype) for row in rows[:2])
            nodes = nodes.clone().requires_grad_()
            with kernels(choice):
                output = conv(nodes, edges, case.graph.to(DEVICE))[3 - unused]
            results.append(torch.autograd.grad(output.square().sum(), nodes)[0])
        error = (results[1].double() - results[0]).norm() / results[0].norm()
        assert error < TOLERANCE[torch.float32]
        case.rows = rows


@kernel_test
def test_fused__without_gradients__gives_the_same_and_keeps_the_inputs():
    case = make_case(DEGREES["ragged"], 20)
    expected = compute(case, "triton", torch.float32)
    nodes, edges = (row.to(DEVICE) for row in case.rows[:2])
    before = nodes.clone(), edges.clone()
    with torch.no_grad(), kernels("triton"):
        found = case.conv(nodes, edges, case.graph.to(DEVICE))
    # compiled without what the backward pass needs, so other instructions may be chosen
    close = {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(found[0].cpu(), expected["new_nodes"], **close)
    torch.testing.assert_close(found[1].cpu(), expected["new_edges"], **close)
    assert torch.equal(nodes, before[0])
    assert torch.equal(edges, before[1])


@kernel_test
def test_fused__unusual_layouts_of_inputs__are_read_right():
    case = make_case(DEGREES["ragged"], 20)
    expected = compute(case, "triton", torch.float32)
    nodes, edges = (row.to(DEVICE).T.contiguous().T for row in case.rows[:2])
    assert not nodes.is_contiguous()
    with kernels("triton"):
        new_nodes, new_edges = case.conv(nodes, edges, case.graph.to(DEVICE))
    torch.testing.assert_close(new_nodes.cpu(), expected["new_nodes"])
    torch.testing.assert_close(new_edges.cpu(), expected["new_edges"])
    new_nodes.sum().backward()  # a gradient of stride zero
    assert torch.isfinite(case.conv.edge.weight.grad).all()


@kernel_test
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("n", "dim"), [(0, 7), (1, 1), (5, 7), (67, 64), (9, 100), (19, 256), (3, 2048)]
)
def test_linear_norm_silu__rows__equals_float64_forward_and_backward(n, dim, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 9, generator=generator).to(dtype)
    grad = torch.randn(n, dim, generator=generator).to(dtype)
    layer, norm = nn.Linear(9, dim), nn.LayerNorm(dim)
    with torch.no_grad():
        norm.weight += 0.3 * torch.randn(dim, generator=generator)
        norm.bias += 0.3 * torch.randn(dim, generator=generator)
        for value in layer.parameters():  # both sides are to have the same
            value.copy_(value.to(dtype))
    modules, results = nn.ModuleList([layer, norm]), []
    for choice, kind in (("reference", torch.float64), ("triton", dtype)):
        modules.zero_grad()
        modules.to(DEVICE, kind if choice == "reference" else torch.float32)
        rows = x.to(DEVICE, kind, copy=True).requires_grad_()
        with kernels(choice):
            y = linear_norm_silu(rows, layer, norm)
        assert y.dtype == kind
        y.backward(grad.to(DEVICE, kind))
        found = {"new_nodes": y.detach(), "x": rows.grad}
        found |= {name: value.grad for name, value in modules.named_parameters()}
        results.append({name: value.cpu() for name, value in found.items()})
    errors = relative_errors(results[1], results[0])
    assert max(errors.values()) < max(TOLERANCE[dtype], ROW_OF_ONE * (dim == 1)), errors


@kernel_test
@pytest.mark.parametrize("frozen", [(), (0,), (1,), (0, 1)])
def test_linear_norm_silu__frozen_parts__have_no_gradient(frozen):
    torch.manual_seed(0)
    modules = nn.ModuleList([nn.Linear(5, 8), nn.LayerNorm(8)]).to(DEVICE)
    for i in frozen:
        modules[i].requires_grad_(False)
    x = torch.randn(6, 5, device=DEVICE, requires_grad=True)
    with kernels("triton"):
        linear_norm_silu(x, *modules).square().sum().backward()
    for i, module in enumerate(modules):
        assert all((p.grad is None) == (i in frozen) for p in module.parameters())
    assert x.grad is not None


@kernel_test
@pytest.mark.parametrize("full_precision", [False, True])
def test_normed_linear__autocast__format_is_chosen(full_precision):
    block = NormedLinear(5, 8, "layer", full_precision=full_precision).to(DEVICE)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    expected = block(x).detach()
    with kernels("triton"), torch.autocast(DEVICE, torch.bfloat16):
        y = block(x)
    assert y.dtype == (torch.float32 if full_precision else torch.bfloat16)
    torch.testing.assert_close(y.detach().float(), expected, rtol=2e-2, atol=2e-2)
    y.sum().backward()
    assert torch.isfinite(block[0].weight.grad).all()


@kernel_test
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dim", [1, 64, 100])
@pytest.mark.parametrize("degrees", DEGREES.values())
def test_segment_mean__ragged__equals_float64_forward_and_backward(degrees, dim, dtype):
    generator = torch.Generator().manual_seed(0)
    ids = make_graph(degrees).receiver
    ptr = torch.tensor([0, *degrees]).cumsum(0)
    x = torch.randn(len(ids), dim, generator=generator).to(dtype)
    grad = torch.randn(len(degrees), dim, generator=generator).to(dtype)
    found = {}
    for choice, kind in (("reference", torch.float64), ("triton", dtype)):
        rows = x.to(DEVICE, kind, copy=True).requires_grad_()
        with kernels(choice):
            y = segment_mean(rows, ptr.to(DEVICE), ids.to(DEVICE))
        y.backward(grad.to(DEVICE, kind))
        found[choice] = {"new_nodes": y.detach().cpu(), "x": rows.grad.cpu()}
    errors = relative_errors(found["triton"], found["reference"])
    assert max(errors.values()) < TOLERANCE[dtype], errors


@kernel_test
def test_bond_cosines__random_and_parallel_bonds__equal_float64():
    generator = torch.Generator().manual_seed(0)
    bonds = torch.randn(300, 3, generator=generator)
    bonds[1::2] = -bonds[::2]  # each has a reverse
    bonds[-1] = torch.nan
    one = torch.arange(300)
    partners = torch.stack([one.flip(0), one, one ^ 1], dim=1)  # another, itself, back
    graph = Adjacency.from_edges(partners.ravel(), one.repeat_interleave(3), 300)
    expected = bond_cosines(bonds.double(), graph)
    with kernels("triton"):
        found = bond_cosines(bonds.to(DEVICE), graph.to(DEVICE)).cpu()
    assert expected[1:897:3].allclose(-torch.ones(299, dtype=torch.float64))
    assert expected.isnan().sum() == 5
    assert found[~found.isnan()].abs().max() <= 1
    torch.testing.assert_close(
        found.double(), expected, rtol=0, atol=1e-6, equal_nan=True
    )


@kernel_test
@pytest.mark.parametrize("n", [0, 1, 37])
def test_gaussians__scalars__equal_float64(n):
    basis = GaussianBasis.alignn(0.0, 8.0, 40).to(DEVICE)
    x = 8 * torch.rand(n, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    expected = torch.exp(-basis.gamma * (x.double()[:, None] - basis.centers) ** 2)
    with kernels("triton"):
        torch.testing.assert_close(basis(x).double(), expected, rtol=1e-5, atol=1e-6)
        with torch.autocast(DEVICE, torch.bfloat16):
            half = basis(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), expected, rtol=2**-7, atol=1e-6)


@kernel_test
def test_geometry__positions_with_a_gradient__have_it():
    bonds = torch.randn(6, 3, device=DEVICE).requires_grad_()
    triplets = Adjacency.from_edges(torch.arange(5, -1, -1), torch.arange(6), 6)
    with kernels("triton"):
        cosines = bond_cosines(bonds, triplets.to(DEVICE))
        GaussianBasis.alignn(-1.0, 1.0, 5).to(DEVICE)(cosines).sum().backward()
    assert torch.isfinite(bonds.grad).all()
    assert bonds.grad.any()


@kernel_test
def test_fused__alignn_on_crystals__equals_float64():
    batch = make_batch(DEVICE)
    found = {}
    for choice, dtype in (("reference", torch.float64), ("triton", torch.float32)):
        model = make_alignn(DEVICE, dtype, n_alignn_layers=2, n_gcn_layers=1)
        with kernels(choice):
            output = model(batch(dtype))
        output.square().sum().backward()
        grads = {n: p.grad.cpu() for n, p in model.named_parameters()}
        found[choice] = {"new_nodes": output.detach().cpu(), **grads}
    errors = relative_errors(found["triton"], found["reference"])
    assert max(errors.values()) < 1e-4, errors


@kernel_test
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_fused__padded_batch__equals_float64_without_padding(norm, monkeypatch):
    empty = torch.empty_like

    def dirty(*args, **kwargs):  # memory that somebody left
        found = empty(*args, **kwargs)
        return found.fill_(torch.nan) if found.is_floating_point() else found

    graphs, rows = make_graphs(), torch.tensor([1, 0, 1])
    found = {}
    for choice, dtype in (("reference", torch.float64), ("triton", torch.float32)):
        model = make_alignn(DEVICE, dtype, n_alignn_layers=2, n_gcn_layers=2, norm=norm)
        packed = DeviceGraphs(graphs, DEVICE, dtype=dtype)
        batch = packed.take(rows.numpy())
        if choice == "triton":
            usual = packed.capacity(rows.numpy()).sizes()
            sizes = tuple((kind, n + 30) for kind, n in usual.items())
            batch = packed.take_padded(rows.to(DEVICE), Capacity(3, sizes))
            assert batch.triplets.n_edges > batch.triplets.receiver_ptr[-1] + 20
            monkeypatch.setattr(torch, "empty_like", dirty)
        with kernels(choice):
            output = model(batch)[:3]
            output.square().sum().backward()
        grads = {n: p.grad.cpu() for n, p in model.named_parameters()}
        found[choice] = {"new_nodes": output.detach().cpu(), **grads}
    errors = relative_errors(found["triton"], found["reference"])
    assert max(errors.values()) < 1e-4, errors


def make_alignn(device, dtype, hidden_dim=16, **options):
    torch.manual_seed(0)
    table = torch.randn(97, 9)
    model = ALIGNN(table, hidden_dim=hidden_dim, edge_messages=True, **options)
    return model.to(device, dtype)


def make_graphs():
    """Rock salt and a body-centred metal, angles between the shorter bonds only."""
    cells = [
        Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5, 0.52, 0.49]]),
        Structure(Lattice.cubic(3.2), ["W"], [[0] * 3]),
    ]
    return StructureToGraph(max_neighbors=8, three_body_cutoff=3.7).transform(cells)


def make_batch(device):
    graphs, rows = make_graphs(), torch.arange(2).numpy()
    return lambda dtype: DeviceGraphs(graphs, device, dtype=dtype).take(rows)


def test_line_graph__of_crystals__senders_are_consecutive():
    triplets = make_batch("cpu")(torch.float32).triplets
    assert isinstance(triplets, LineGraph)
    assert isinstance(triplets.to("cpu"), LineGraph)
    assert triplets.n_edges > 0
    ptr = triplets.receiver_ptr
    assert (ptr.diff() == 0).any()
    first = triplets.sender[ptr[triplets.receiver]]
    place = torch.arange(triplets.n_edges) - ptr[triplets.receiver]
    assert torch.equal(first + place, triplets.sender)


@pytest.mark.parametrize("choice", ["auto", "blocked", "reference"])
def test_kernels__on_cpu__no_triton_computes(choice, monkeypatch):
    case = make_case(DEGREES["ragged"], 7)
    rows = case.rows[:2]
    monkeypatch.setenv("SKMATGNN_KERNELS", choice)
    found = case.conv(*rows, case.graph)
    with kernels("reference"):
        expected = case.conv(*rows, case.graph)
    torch.testing.assert_close(found, expected)
    in_blocks = "EdgeGated" in type(found[0].grad_fn).__name__
    assert in_blocks == (choice != "reference")


def test_kernels__choice_in_a_thread__holds_there_only(monkeypatch):
    monkeypatch.delenv(_choice.VARIABLE, raising=False)
    unsupported = torch.zeros(1, dtype=torch.float64)
    with ThreadPoolExecutor(1) as pool, kernels("triton"):
        assert pool.submit(_choice.use_kernels, unsupported, 4).result() is False
        with pytest.raises(RuntimeError, match="cannot compute"):
            _choice.use_kernels(unsupported, 4)


def test_kernels__unknown_choice__raises(monkeypatch):
    with pytest.raises(ValueError, match=r"one of .*'reference'.*; got 'fast'"):
        kernels("fast").__enter__()
    monkeypatch.setenv("SKMATGNN_KERNELS", "fast")
    with pytest.raises(ValueError, match="got 'fast'"):
        run_door(torch.float32)


def run_door(dtype, dim=4):
    x, graph = torch.zeros(3, dim, dtype=dtype), make_graph([1, 2, 0])
    wide = nn.Linear(dim, 2 * dim, dtype=dtype)
    parts = ConvParts(
        sender_map=wide,
        receiver_map=wide,
        edge_map=nn.Linear(dim, dim, dtype=dtype),
        node_norm=nn.LayerNorm(dim, dtype=dtype),
        edge_norm=None,
        eps=1e-6,
        edge_messages=False,
    )
    return edge_gated_update(x, x, graph, parts)


@pytest.mark.parametrize(
    ("dtype", "dim", "reason"),
    [
        (torch.float64, 4, "numbers are torch.float64"),
        (torch.float32, 4096, "4096 features, more than 2048"),
    ],
)
def test_kernels__demanded_for_what_they_cannot__raises(dtype, dim, reason):
    with kernels("triton"), pytest.raises(RuntimeError, match=reason):
        run_door(dtype, dim)


@pytest.mark.skipif(INTERPRETED, reason="here the interpreter makes it possible")
def test_kernels__demanded_on_cpu_without_the_interpreter__raises():
    expected = "TRITON_INTERPRET=1" if HAS_TRITON else "no Triton"
    with kernels("triton"), pytest.raises(RuntimeError, match=expected):
        run_door(torch.float32)


@pytest.mark.skipif(not HAS_TRITON, reason="needs Triton")
def test_kernels__older_triton__are_not_used(monkeypatch):
    import triton

    monkeypatch.setattr(triton, "__version__", "3.1.0")
    _choice._compiler_obstacle.cache_clear()
    try:
        assert _choice._compiler_obstacle() == "Triton 3.1.0 is older than 3.4"
    finally:
        _choice._compiler_obstacle.cache_clear()


@pytest.mark.skipif(not HAS_TRITON, reason="needs Triton")
def test_kernels__toolchain_broken__warns_once_and_plain_torch_computes(monkeypatch):
    from skmatgnn.nn.ops import _triton_probe

    def broken():
        raise OSError("no C compiler")

    monkeypatch.setattr(_triton_probe, "probe", broken)
    _choice._compiler_obstacle.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=r"no C compiler.*in plain torch"):
            reason = _choice._compiler_obstacle()
        assert "OSError" in reason
        assert _choice._compiler_obstacle() == reason
    finally:
        _choice._compiler_obstacle.cache_clear()


def alignn_step(choice, precision, hidden_dim):
    """Output and gradients of the whole network on the GPU."""
    model = make_alignn("cuda", torch.float32, hidden_dim)
    batch = make_batch("cuda")(torch.float32)
    low = precision == "bfloat16"
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        with kernels(choice), torch.autocast("cuda", torch.bfloat16, enabled=low):
            output = model(batch)
            output.float().square().sum().backward()
    finally:
        torch.set_float32_matmul_precision(before)
    grads = {name: value.grad.cpu() for name, value in model.named_parameters()}
    return {"new_nodes": output.detach().cpu(), **grads}


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [
        pytest.param("float32", 1e-4, marks=gpu_test),
        pytest.param("tf32", 2e-2, marks=gpu_test),
        pytest.param("bfloat16", 1e-1, marks=gpu_test),
    ],
)
@pytest.mark.parametrize("hidden_dim", [64, 256])
def test_fused__whole_alignn_on_cuda__equals_plain(precision, tolerance, hidden_dim):
    plain = alignn_step("reference", precision, hidden_dim)
    found = alignn_step("triton", precision, hidden_dim)
    expected = {name: value.double() for name, value in plain.items()}
    errors = relative_errors(found, expected)
    assert max(errors.values()) < tolerance, errors
    again = alignn_step("triton", precision, hidden_dim)
    for name, value in found.items():
        assert torch.equal(value, again[name]), name
    automatic = alignn_step("auto", precision, hidden_dim)
    for name, value in found.items():
        assert torch.equal(value, automatic[name]), name


@pytest.mark.parametrize("dtype", [pytest.param(d, marks=gpu_test) for d in TOLERANCE])
def test_fused__large_layer_on_cuda__is_faster_than_plain(dtype):
    case = make_case([12] * 8000, 256, consecutive=True, edge_messages=True)
    conv, graph = case.conv.cuda(), case.graph.to("cuda")
    rows = [row.to("cuda", dtype) for row in case.rows]
    for row in rows[:2]:
        row.requires_grad_()

    def step():
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
            outputs = conv(*rows[:2], graph)
        pairs = zip(outputs, rows[2:], strict=True)
        torch.autograd.backward(outputs, [w.to(o.dtype) for o, w in pairs])

    milliseconds = {}
    for choice in ("reference", "triton"):
        times = []
        with kernels(choice):
            for _ in range(12):
                start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                step()
                stop.record()
                torch.cuda.synchronize()
                times.append(start.elapsed_time(stop))
        milliseconds[choice] = min(times[3:])
    assert milliseconds["triton"] < milliseconds["reference"], milliseconds
