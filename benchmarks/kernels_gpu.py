"""Time each kernel of the fused convolution alone, at several tile shapes.

    python benchmarks/kernels_gpu.py [--size 64x30] [--precisions float32 bfloat16]
        [--json FILE]

The line graph of crystals with 12 neighbours an atom, width 256. For each kernel and
tile: median milliseconds, and the fraction of a large copy's bandwidth at which it
moves the bytes that it has to. Results of every tile are compared with the first's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import torch
from step_gpu import (
    EDGE_ROWS,
    NODE_ROWS,
    SUPERCELLS,
    WIDTH,
    copy_bandwidth,
    make_batch,
    median_seconds,
)

from skmatgnn.nn.ops import kernels

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EDGES, PER_WARP = (1, 2, 4, 8), (256, 512, 1024)
OPTIONS = ((), (("maxnreg", 128),))
PROGRAMS = (528, 1056, 2112, 4224)


def make_calls(batch, dtype, fused):
    """One function a kernel, on inputs as the convolution would make them."""
    graph, device = batch.triplets, batch.displacement.device
    generator = torch.Generator(device).manual_seed(0)

    def rows(n, width=WIDTH, kind=dtype):
        return torch.randn(n, width, device=device, generator=generator).to(kind)

    n, m = graph.n_nodes, graph.n_edges
    nodes, edges, mapped = rows(n), rows(m), rows(m)
    both = rows(n, 4 * WIDTH)
    affine = tuple(rows(4, kind=torch.float32).unbind())
    plan = fused._Plan(  # noqa: SLF001 - the kernels have no other door
        graph,
        1e-6,
        norm=True,
        update_edges=True,
        edge_messages=True,
        save=True,
        node_eps=1e-5,
        edge_eps=1e-5,
    )
    inputs = (plan, nodes, edges, mapped, both, affine)
    saved = fused.run_forward(*inputs)[2:]
    back = (plan, mapped, both, [*saved, *affine], rows(n), rows(m))
    grad_mapped, grad_both, scaled, _ = fused.run_receivers(*back)
    last = (graph, mapped, both, grad_mapped, scaled, grad_both)

    def receivers():
        by_edge, by_node, *others = fused.run_receivers(*back)
        return by_edge, by_node[:, 2 * WIDTH :], *others

    def senders():
        fused.run_senders(*last)
        return (grad_both[:, : 2 * WIDTH],)

    return {
        "forward": lambda: fused.run_forward(*inputs),
        "receiver": receivers,
        "sender": senders,
    }


def floor_seconds(kernel, batch, dtype, bandwidth):
    name, graph = f"{kernel} kernel", batch.triplets
    rows = EDGE_ROWS[name] * graph.n_edges + NODE_ROWS[name] * graph.n_nodes
    return rows * WIDTH * dtype.itemsize / bandwidth


def flat(outputs):
    tensors = itertools.chain.from_iterable(
        x if isinstance(x, tuple) else (x,) for x in outputs
    )
    return [x.float() for x in tensors if x is not None]


def settings(fused):
    """Tiles of which every warp has its share, in the warps that there may be."""
    for edges, per_warp, options in itertools.product(EDGES, PER_WARP, OPTIONS):
        if per_warp * fused.MAX_WARPS >= edges * WIDTH >= per_warp:
            yield fused.Tile(edges, per_warp, options)


def time_kernel(kernel, call, floor, fused):
    expected, rows, default = flat(call()), [], fused.TILES[kernel]
    programs = PROGRAMS if kernel == "receiver" else (fused.MAX_PROGRAMS,)
    before = fused.MAX_PROGRAMS
    for tile, n_programs in itertools.product(settings(fused), programs):
        fused.TILES[kernel], fused.MAX_PROGRAMS = tile, n_programs
        pairs = zip(flat(call()), expected, strict=True)
        error = max(float((a - b).norm() / b.norm()) for a, b in pairs)
        seconds = median_seconds(call, 10)
        row = {"kernel": kernel, "edges": tile.edges, "per_warp": tile.per_warp}
        row |= {"options": dict(tile.options), "programs": n_programs}
        row |= {"ms": 1e3 * seconds, "fraction": floor / seconds, "error": error}
        rows.append(row)
    fused.TILES[kernel], fused.MAX_PROGRAMS = default, before
    rows.sort(key=lambda row: row["ms"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="64x30")
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=[*DTYPES])
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    n_crystals, n_atoms = map(int, options.size.split("x"))
    if n_atoms not in SUPERCELLS:
        parser.error(f"crystals have {' or '.join(map(str, SUPERCELLS))} atoms")
    if not torch.cuda.is_available():
        sys.exit("kernels_gpu.py needs a CUDA device; torch sees none.")
    from skmatgnn.nn.ops import fused

    batch, bandwidth = make_batch(n_crystals, n_atoms, "cuda"), copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e12:.2f} TB/s")
    report = []
    for precision in options.precisions:
        dtype = DTYPES[precision]
        with kernels("triton"), torch.no_grad():
            calls = make_calls(batch, dtype, fused)
            for kernel, call in calls.items():
                floor = floor_seconds(kernel, batch, dtype, bandwidth)
                rows = time_kernel(kernel, call, floor, fused)
                report += [row | {"precision": precision} for row in rows]
                print(f"{precision} {kernel}: floor {1e3 * floor:.3f} ms")
                for row in (*rows[:5], rows[-1]):
                    print(
                        "  ",
                        *(
                            f"{k}={v:.3g}"
                            if k in ("ms", "fraction", "error")
                            else f"{k}={v}"
                            for k, v in row.items()
                        ),
                        flush=True,
                    )
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
