"""Time each kernel of the fused convolution alone, at several tile shapes.

    python benchmarks/kernels_gpu.py [--size 64x30] [--precisions float32 bfloat16]
        [--json FILE]
    python benchmarks/kernels_gpu.py --table [--size 64x30]

The line graph of crystals with 12 neighbours an atom, width 256. For each kernel and
tile: median milliseconds, and the fraction of a large copy's bandwidth at which it
moves the bytes that it has to; the kernels of the backward pass all run, while the
tile of one is varied. Results of every tile are compared with the first's. With
--table instead: sums over the angles that read the same row of their table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from dataclasses import asdict
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
from skmatgnn.nn.ops._choice import ANGLE_STEPS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EDGES, PER_WARP = (1, 2, 4, 8), (256, 512, 1024)
OPTIONS = ((), (("maxnreg", 128),), (("maxnreg", 168),))
WARPS, NODES, STAGES = (1056, 1584, 2112, 4224), (1, 2, 4), (1, 3, 4)
KERNELS = ("forward", "node", "sender", "receiver")


def make_calls(batch, dtype, launch):
    """One function a kernel, on inputs as the convolution would make them."""
    graph, device = batch.triplets, batch.displacement.device
    generator = torch.Generator(device).manual_seed(0)

    def rows(n, width=WIDTH, kind=dtype):
        return torch.randn(n, width, device=device, generator=generator).to(kind)

    n, m = graph.n_nodes, graph.n_edges
    nodes, edges, mapped = rows(n), rows(m), rows(m)
    both = rows(n, 4 * WIDTH)
    affine = tuple(rows(4, kind=torch.float32).unbind())
    plan = launch.Plan(
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
    saved = launch.run_forward(*inputs)[2:]
    back = (plan, mapped, both, [*saved, *affine], rows(n), rows(m))
    calls = dict.fromkeys(KERNELS, lambda: launch.run_backward(*back))
    return calls | {"forward": lambda: launch.run_forward(*inputs)}


def floor_seconds(kernel, batch, dtype, bandwidth):
    names = [kernel] if kernel == "forward" else KERNELS[1:]
    graph, names = batch.triplets, [f"{name} kernel" for name in names]
    rows = graph.n_edges * sum(EDGE_ROWS.get(name, 0) for name in names)
    rows += graph.n_nodes * sum(NODE_ROWS[name] for name in names)
    return rows * WIDTH * dtype.itemsize / bandwidth


def flat(outputs):
    tensors = itertools.chain.from_iterable(
        x if isinstance(x, tuple) else (x,) for x in outputs
    )
    return [x.float() for x in tensors if x is not None]


def settings(kernel, launch):
    """Tiles of which every warp has its share, in the warps that there may be."""
    shared = kernel in ("node", "sender")  # sums over all rows, by program
    piped = kernel in ("forward", "sender")
    for edges, per_warp, options, nodes, warps, stages in itertools.product(
        EDGES,
        PER_WARP,
        OPTIONS,
        NODES if kernel == "sender" else (1,),
        WARPS if shared else (launch.Tile().warps_at_once,),
        STAGES if piped else (1,),
    ):
        if nodes > 1 and edges > 1:  # too many to try
            continue
        if per_warp * launch.MAX_WARPS >= nodes * edges * WIDTH >= per_warp:
            yield launch.Tile(edges, per_warp, nodes, warps, stages, options)


def time_kernel(kernel, call, floor, launch):
    expected, rows = flat(call()), []
    every = (launch.TILES, launch.NARROW_TILES, launch.MANY_TILES)
    defaults = [dict(tiles) for tiles in every]
    for tile in settings(kernel, launch):
        for tiles in every:
            tiles[kernel] = tile
        pairs = zip(flat(call()), expected, strict=True)
        error = max(float((a - b).norm() / b.norm()) for a, b in pairs)
        seconds = median_seconds(call, 10)
        row = {"kernel": kernel, **asdict(tile), "options": dict(tile.options)}
        row |= {"ms": 1e3 * seconds, "fraction": floor / seconds, "error": error}
        rows.append(row)
    for tiles, default in zip(every, defaults, strict=True):
        tiles.clear()
        tiles.update(default)
    rows.sort(key=lambda row: row["ms"])
    return rows


def table_rows(batch, bandwidth):
    """Sums over the edges that read the same row of a table."""
    from skmatgnn.nn.ops import _table as table
    from skmatgnn.nn.ops import bond_cosines

    cosines, n = bond_cosines(batch.displacement, batch.triplets), ANGLE_STEPS
    index = table.nearest(cosines, -1.0, 1.0, n)[1]
    pair = tuple(torch.randn(len(index), WIDTH, device="cuda").bfloat16() for _ in "ab")
    expected = [
        torch.zeros(n + 1, WIDTH, device="cuda").index_add_(0, index.long(), x.float())
        for x in pair
    ]
    moved = 2 * pair[0].nbytes
    for share, tile, joined in itertools.product((32, 64, 128), (512, 1024), (8, 16)):
        table.SHARE, table.TILE, table.JOINED = share, tile, joined

        def call():
            return table.sums_by_row(table.sorted_rows(index, n + 1), pair)

        seconds = median_seconds(call, 10)
        pairs = zip(call(), expected, strict=True)
        error = max(float((a.float() - b).norm() / b.norm()) for a, b in pairs)
        yield {
            "kernel": "sums by row, sorting included",
            "way": f"share {share}, tile {tile}, joined {joined}",
            "ms": 1e3 * seconds,
            "fraction": moved / seconds / bandwidth,
            "error": error,
        }


def run_table(n_crystals, n_atoms):
    batch, bandwidth = make_batch(n_crystals, n_atoms, "cuda"), copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e12:.2f} TB/s")
    report = []
    with kernels("triton"), torch.no_grad():
        for row in table_rows(batch, bandwidth):
            report.append(row)
            print(
                f"{row['kernel']:30} {row['way']:40} {row['ms']:.4f} ms, "
                f"{row['fraction']:.2f} of the copy, off by {row['error']:.1e}",
                flush=True,
            )
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="64x30")
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=[*DTYPES])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    n_crystals, n_atoms = map(int, options.size.split("x"))
    if n_atoms not in SUPERCELLS:
        parser.error(f"crystals have {' or '.join(map(str, SUPERCELLS))} atoms")
    if not torch.cuda.is_available():
        sys.exit("kernels_gpu.py needs a CUDA device; torch sees none.")
    if options.table:
        report = run_table(n_crystals, n_atoms)
        if options.json:
            Path(options.json).write_text(json.dumps(report, indent=2))
        return
    from skmatgnn.nn.ops import _triton_launch as launch

    batch, bandwidth = make_batch(n_crystals, n_atoms, "cuda"), copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e12:.2f} TB/s")
    report = []
    for precision in options.precisions:
        dtype = DTYPES[precision]
        with kernels("triton"), torch.no_grad():
            calls = make_calls(batch, dtype, launch)
            for kernel, call in calls.items():
                floor = floor_seconds(kernel, batch, dtype, bandwidth)
                rows = time_kernel(kernel, call, floor, launch)
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
