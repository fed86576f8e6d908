"""Tables of angles and the update of the weights on the GPU, against float64.

Where there is no CUDA device, the tests run in a process of their own, in which
Triton interprets the kernels: that has to be decided before Triton is imported.
"""

from __future__ import annotations

import io

import pytest
import torch

from skmatgnn.graphs import DeviceGraphs
from skmatgnn.nets._adamw import OneLaunchAdamW
from skmatgnn.nn.ops import _distinct, kernels, pack_maps
from skmatgnn.nn.ops._choice import (
    ANGLE_STEPS,
    STEPS_VARIABLE,
    angle_steps,
    way_of_computing,
)
from skmatgnn.utils.capacity import Capacity
from tests.nn.test_fused_ops import (
    DEVICE,
    TOLERANCE,
    check_interpreted,
    kernel_test,
    make_alignn,
    make_case,
    make_graphs,
    outer_test,
    relative_errors,
)


@outer_test
def test_kernels__interpreted_in_a_process_of_their_own__pass_the_tests_below():
    check_interpreted(__file__)


def test_angle_steps__variable__sets_them(monkeypatch):
    monkeypatch.delenv(STEPS_VARIABLE, raising=False)
    usual, way = angle_steps(), way_of_computing()
    assert usual == ANGLE_STEPS
    for text, number in (("0", 0), ("700", 700), ("", usual)):
        monkeypatch.setenv(STEPS_VARIABLE, text)
        assert angle_steps() == number
        assert (way_of_computing() == way) == (number == usual)


@kernel_test
@pytest.mark.parametrize(
    ("n", "n_rows", "dim"), [(0, 3, 7), (1, 1, 16), (70, 7, 16), (90, 20, 5)]
)
@pytest.mark.parametrize("two", [False, True])
def test_sums_by_row__rows_of_all_lengths__equal_float64(
    n, n_rows, dim, two, monkeypatch
):
    from skmatgnn.nn.ops import _table

    monkeypatch.setattr(_table, "SHARE", 8)
    generator = torch.Generator().manual_seed(0)
    index = (torch.rand(n, generator=generator) ** 3 * n_rows).int()
    index[::3] = n_rows - 1  # of which many programs have a part
    arrays = [torch.randn(n, dim, generator=generator) for _ in range(1 + two)]
    pair = tuple(x.to(DEVICE) for x in arrays) + (None,) * (1 - two)
    rows = _table.sorted_rows(index.to(DEVICE), n_rows)
    found, again = (_table.sums_by_row(rows, pair) for _ in range(2))
    for x, y, z in zip(arrays, found, again, strict=False):
        expected = torch.zeros(n_rows, dim, dtype=torch.float64)
        expected.index_add_(0, index.long(), x.double())
        torch.testing.assert_close(y.cpu().double(), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(y, z)
    assert two or found[1] is None


def compute(case, choice, dtype, table, index, *, low=False):
    """Outputs and gradients of a convolution whose edges read rows of a table."""
    device = DEVICE if choice == "triton" else "cpu"
    conv = case.conv.to(device, dtype)
    conv.zero_grad()
    nodes, table, *weights = (
        x.to(device, dtype, copy=True) for x in (case.rows[0], table, *case.rows[2:])
    )
    nodes.requires_grad_()
    table.requires_grad_()
    graph, index = case.graph.to(device), index.to(device)
    with kernels(choice), torch.autocast(device, torch.bfloat16, enabled=low):
        outputs = conv(nodes, table, graph, None, index)
    if conv.edge_norm is None:
        assert outputs[1] is table
        outputs = outputs[:1]
    pairs = zip(outputs, weights, strict=False)
    sum((y * w).sum() for y, w in pairs).backward()
    grads = {name: value.grad for name, value in conv.named_parameters()}
    grads |= {"nodes": nodes.grad, "table": table.grad}
    found = dict(zip(("new_nodes", "new_edges"), outputs, strict=False)) | grads
    return {name: value.detach().cpu() for name, value in found.items()}


@kernel_test
@pytest.mark.parametrize("update_edges", [False, True])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("consecutive", [False, True])
def test_fused__edges_read_rows_of_a_table__equals_float64(
    update_edges, norm, consecutive
):
    degrees = [0, 3, 9, 0, 5, 1, 7, 2, 0]
    case = make_case(
        degrees, 20, norm, consecutive=consecutive, update_edges=update_edges
    )
    case.conv.eval()
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(6, 20, generator=generator)
    index = torch.randint(0, 5, (case.graph.n_edges,), generator=generator)
    expected = compute(case, "reference", torch.float64, table, index)
    found, again = (
        compute(case, "triton", torch.float32, table, index.int()) for _ in range(2)
    )
    errors = relative_errors(found, expected)
    assert max(errors.values()) < TOLERANCE[torch.float32], errors
    for name, value in found.items():
        assert torch.equal(value, again[name]), name


@kernel_test
def test_alignn__padded_in_bfloat16_with_a_table_of_angles__equals_float64(
    monkeypatch,
):
    monkeypatch.setattr(_distinct, "MIN_ROWS", 0)
    tables = []
    nearest_rows = _distinct.nearest_rows

    def observed(*args):
        tables.append(nearest_rows(*args))
        return tables[-1]

    monkeypatch.setattr("skmatgnn.nn.models.alignn.nearest_rows", observed)
    graphs, rows = make_graphs(), torch.tensor([1, 0, 1])
    found = {}
    for choice, dtype in (("reference", torch.float64), ("triton", torch.float32)):
        low = choice == "triton"
        monkeypatch.setenv(STEPS_VARIABLE, "40" if low else "0")
        model = make_alignn(DEVICE, dtype, n_alignn_layers=2, n_gcn_layers=1)
        packed = DeviceGraphs(graphs, DEVICE, dtype=dtype)
        batch = packed.take(rows.numpy())
        if low:
            sizes = packed.capacity(rows.numpy()).sizes()
            capacity = Capacity(3, tuple((kind, n + 30) for kind, n in sizes.items()))
            batch = packed.take_padded(rows.to(DEVICE), capacity)
        with kernels(choice), torch.autocast(DEVICE, torch.bfloat16, enabled=low):
            output = model(batch)[:3]
        output.to(dtype).square().sum().backward()
        grads = {n: p.grad.cpu() for n, p in model.named_parameters()}
        found[choice] = {"new_nodes": output.detach().cpu(), **grads}
    assert [len(x) for x, index in tables if index is not None] == [41]
    errors = relative_errors(found["triton"], found["reference"])
    assert max(errors.values()) < 5e-2, errors


@kernel_test
def test_alignn__gradients_from_convolutions__are_overwritten_and_no_others(
    monkeypatch,
):
    from skmatgnn.nn.ops import fused

    through, seen = fused._through, []

    def observed(grad, weight, residual, private):
        before = None if residual is None else residual.clone()
        marked = getattr(residual, fused.GIVEN_AWAY, False)
        found = through(grad, weight, residual, private)
        if residual is not None:
            seen.append((marked, torch.equal(residual, before)))
        return found

    monkeypatch.setattr(fused, "_through", observed)
    graphs = make_graphs()
    model = make_alignn(DEVICE, torch.float32, n_alignn_layers=2, n_gcn_layers=1)
    batch = DeviceGraphs(graphs, DEVICE).take(torch.tensor([0, 1]).numpy())
    with kernels("triton"):
        model(batch).square().sum().backward()
    assert {marked for marked, _ in seen} == {True, False}
    assert all(kept != marked for marked, kept in seen)


@kernel_test
def test_convolution__gradients_that_a_user_gives__stay_as_they_are():
    case = make_case([0, 3, 2, 5], 20, "layer")
    nodes, edges = (x.to(DEVICE, torch.float32) for x in case.rows[:2])
    nodes.requires_grad_()
    graph, conv = case.graph.to(DEVICE), case.conv.to(DEVICE, torch.float32)
    with kernels("triton"):
        packed = pack_maps([conv.maps])[0]
        outputs = conv(nodes, edges.requires_grad_(), graph, packed)
        grads = [torch.randn_like(x) for x in outputs]
        kept = [x.clone() for x in grads]
        torch.autograd.backward(outputs, grads)
    assert all(torch.equal(*pair) for pair in zip(grads, kept, strict=True))


@kernel_test
def test_adamw__prepared_before_addresses_are_written__equals_its_step():
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((30, 50), (7,))]
    grads = [torch.randn(x.shape, generator=generator) for x in start]
    found = []
    for captured in (False, True):
        parameters = [torch.nn.Parameter(x.to(DEVICE, copy=True)) for x in start]
        frozen = torch.nn.Parameter(torch.ones(3, device=DEVICE))
        optimizer = OneLaunchAdamW(
            [
                {"params": [frozen, parameters[0]]},
                {"params": parameters[1:], "lr": 3.0},
            ],
            lr=0.1,
            fused=DEVICE == "cuda",
        )

        def closure(parameters=parameters):
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad = grad.to(DEVICE, copy=True)
            return 5.0

        with kernels("triton"):
            assert optimizer.step(closure) == 5.0  # torch's, which makes the state
            if captured:
                room = optimizer.room()
                closure()
                update = optimizer.prepare(room)
                update.write()
                rates = torch.tensor(update.rates(), dtype=torch.float64)
                update.launch(rates.to(DEVICE))
            else:
                optimizer.step(closure)
        assert torch.equal(frozen, torch.ones_like(frozen))
        found.append([x.detach() for x in parameters])
    for x, y, first in zip(*found, start, strict=True):
        assert torch.equal(x, y)
        assert (x.cpu() != first).all()


@kernel_test
def test_adamw__gradients_that_stay_where_they_are__are_looked_up_once(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(40, 3, generator=generator)
    found, expected = (torch.nn.Parameter(start.to(DEVICE, copy=True)) for _ in "ab")
    optimizer = OneLaunchAdamW([found], lr=0.1, fused=DEVICE == "cuda")
    reference = torch.optim.AdamW([expected], lr=0.1)
    lookups, arrays = [], OneLaunchAdamW._arrays

    def observed(self, group):
        lookups.append(len(lookups))
        return arrays(self, group)

    monkeypatch.setattr(OneLaunchAdamW, "_arrays", observed)
    found.grad, counts = torch.zeros_like(found), []
    with kernels("triton"):
        for step in range(10):
            grad = torch.randn(start.shape, generator=generator).to(DEVICE)
            if step == 5:  # what is not contiguous is copied, and so looked up anew
                found.grad = torch.zeros_like(found).T.contiguous().T
            if step == 8:
                found.grad = torch.zeros_like(found)
            if step == 9:
                optimizer.load_state_dict(optimizer.state_dict())
            found.grad.copy_(grad)
            expected.grad = grad.clone()
            for each in (optimizer, reference):
                each.param_groups[0]["lr"] = 0.1 / (step + 1)
                each.step()
            counts.append(len(lookups))
    # the first step makes the state, two more see that gradients stay
    assert counts == [1, 2, 3, 3, 3, 4, 5, 6, 7, 8]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@kernel_test
def test_adamw__steps__equal_float64_and_survive_a_copy_of_the_state():
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 7), (2500,), (16, 64), (), (1,))
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    kinds = ((OneLaunchAdamW, torch.float32), (torch.optim.AdamW, torch.float64))
    parameters = [
        [torch.nn.Parameter(x.to(DEVICE, dtype)) for x in start] for _, dtype in kinds
    ]
    options = {"weight_decay": 1e-2, "fused": DEVICE == "cuda"}
    optimizers = [
        kind(group, **options)
        for (kind, _), group in zip(kinds, parameters, strict=True)
    ]
    with kernels("triton"):
        for step in range(8):
            for i, shape in enumerate(shapes):
                grad = torch.randn(shape, generator=generator) / 10**step
                for group in parameters:
                    group[i].grad = grad.to(group[i])
                    if (step, i) in ((3, 1), (4, 1), (0, 2)):  # frozen for a while
                        group[i].grad = None
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = 1e-2 / (step + 1)
                optimizer.step()
            if step == 5:
                file = io.BytesIO()
                torch.save(optimizers[0].state_dict(), file)
                file.seek(0)
                optimizers[0].load_state_dict(torch.load(file, weights_only=True))
    assert optimizers[0]._tables
    for found, expected in zip(*parameters, strict=True):
        close = {"rtol": 1e-5, "atol": 1e-6}
        torch.testing.assert_close(found.double(), expected, **close)
    steps = [
        [float(o.state[p]["step"]) for p in group]
        for o, group in zip(optimizers, parameters, strict=True)
    ]
    assert steps[0] == steps[1] == [8, 6, 7, 8, 8]


def test_adamw__where_no_kernel_computes__equals_torch():
    found, expected = (torch.nn.Parameter(torch.ones(5)) for _ in "ab")
    for kind, x in ((OneLaunchAdamW, found), (torch.optim.AdamW, expected)):
        optimizer = kind([x], lr=0.1)
        for step in range(3):
            x.grad = torch.arange(5.0) + step
            optimizer.step()
        assert not getattr(optimizer, "_tables", None)
    assert torch.equal(found, expected)
