"""The peer's side of the comparisons with alignn; runs in the peer's environment.

    python _alignn_peer.py {pure,dgl} IN.npz OUT.npz

It calls alignn as installed and imports nothing of skmatgnn.
"""

from __future__ import annotations

import sys
import types

import numpy as np
import torch


def import_dgl():
    """DGL 1.1 asks for a module that newer setuptools no longer vendors."""
    import packaging.version

    extern = types.ModuleType("setuptools.extern")
    extern.__path__ = []
    extern.packaging = packaging
    sys.modules.setdefault("setuptools.extern", extern)
    sys.modules.setdefault("setuptools.extern.packaging", packaging)
    sys.modules.setdefault("setuptools.extern.packaging.version", packaging.version)
    sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
    import dgl

    return dgl


def peer_names(name):
    """Names of the peer's parameters that a parameter of ours is made of."""
    halves = {
        "sender": ("src_gate", "dst_update"),
        "receiver": ("dst_gate", "src_update"),
    }
    *path, module, kind = name.split(".")
    if module in halves:
        return [".".join((*path, part, kind)) for part in halves[module]]
    single = {"edge": "edge_gate", "node_norm": "bn_nodes", "edge_norm": "bn_edges"}
    if module in single:
        return [".".join((*path, single[module], kind))]
    if name.startswith("head."):
        return [f"fc.{kind}"]
    if "embedding" in name and kind != "centers":
        return [".".join((*path, "layer", module, kind))]
    return [name]


def load_weights(model, data):
    state = model.state_dict()
    loaded = set()
    for key in data:
        name = key.removeprefix("weight:")
        if name in {key, "elements.table"}:
            continue
        names = peer_names(name)
        values = np.split(data[key], len(names)) if len(names) > 1 else [data[key]]
        for part, value in zip(names, values, strict=True):
            state[part].copy_(torch.from_numpy(np.array(value)))
            loaded.add(part)
    # the edge update of the last layers is read by nobody, and we do not have it
    missing = {name for name in state if name not in loaded}
    unexpected = {name for name in missing if "bn_edges" not in name and name[0] != "_"}
    if unexpected:
        raise RuntimeError(f"weights that were not set: {sorted(unexpected)}")


def gradients(model, data):
    parameters = dict(model.named_parameters())
    result = {}
    for key in data:
        if not key.startswith("weight:"):
            continue
        names = peer_names(key.removeprefix("weight:"))
        if names[0] in parameters:
            parts = [parameters[name].grad for name in names]
            if all(part is not None for part in parts):
                grad = torch.cat(parts).numpy()
                result[key.replace("weight:", "grad:")] = grad
    return result


def triplets(data):
    """All pairs of bonds k->j, j->i, found by comparing end points."""
    short = np.linalg.norm(data["vector"], axis=1) <= data["three_body_cutoff"]
    first, second = [], []
    for edge in np.flatnonzero(short):
        into = np.flatnonzero(short & (data["receiver"] == data["sender"][edge]))
        first.append(into)
        second.append(np.full(len(into), edge))
    return np.concatenate(first), np.concatenate(second)


def config_of(data):
    return {
        "alignn_layers": int(data["size:n_alignn_layers"]),
        "gcn_layers": int(data["size:n_gcn_layers"]),
        "hidden_features": int(data["size:hidden_dim"]),
        "output_features": int(data["size:n_outputs"]),
        "atom_input_features": data["atom_features"].shape[1],
    }


def make_pure(data, dtype, device="cpu"):
    from alignn.models.alignn_atomwise_pure import (
        ALIGNNAtomWisePure,
        ALIGNNAtomWisePureConfig,
    )
    from alignn.torch_graph_builder import TorchGraph

    config = ALIGNNAtomWisePureConfig(
        name="alignn_atomwise_pure",
        calculate_gradient=False,
        gradwise_weight=0.0,
        energy_mult_natoms=False,
        use_penalty=False,
        **config_of(data),
    )
    model = ALIGNNAtomWisePure(config).to(device)
    tensor = {key: torch.from_numpy(np.array(data[key])) for key in data.files}
    first, second = (torch.from_numpy(part) for part in triplets(data))
    vector = tensor["vector"].to(dtype)
    graph = TorchGraph(
        num_nodes=int(data["n_atoms"].sum()),
        src=tensor["sender"],
        dst=tensor["receiver"],
        ndata={"atom_features": tensor["atom_features"].to(dtype)},
        edata={"r": vector},
        batch_num_nodes=tensor["n_atoms"],
        batch_num_edges=tensor["n_edges"],
    )
    line = TorchGraph(num_nodes=len(vector), src=first, dst=second)
    graph, line = graph.to(device), line.to(device)
    lattice = torch.eye(3, dtype=dtype, device=device)
    lattice = lattice.expand(len(data["n_atoms"]), 3, 3)
    return model, lambda: model([graph, line, lattice])["out"], len(first)


def make_dgl(data, dtype):
    dgl = import_dgl()
    from alignn.models.alignn import ALIGNN, ALIGNNConfig

    model = ALIGNN(ALIGNNConfig(name="alignn", **config_of(data)))
    tensor = {key: torch.from_numpy(np.array(data[key])) for key in data.files}
    first, second = (torch.from_numpy(part) for part in triplets(data))
    vector = tensor["vector"].to(dtype)
    graph = dgl.graph(
        (tensor["sender"], tensor["receiver"]), num_nodes=int(data["n_atoms"].sum())
    )
    graph.set_batch_num_nodes(tensor["n_atoms"])
    graph.set_batch_num_edges(tensor["n_edges"])
    line = dgl.graph((first, second), num_nodes=len(vector))
    unit = vector / vector.norm(dim=1, keepdim=True)
    cosine = (-unit[first] * unit[second]).sum(dim=1).clamp(-1, 1)

    def run():
        graph.ndata["atom_features"] = tensor["atom_features"].to(dtype)
        graph.edata["r"] = vector
        line.edata["h"] = cosine
        return model((graph, line, None))

    return model, run, len(first)


def main():
    kind, source, target = sys.argv[1:]
    torch.set_num_threads(1)
    data = np.load(source)
    dtype = torch.from_numpy(data["weight:head.weight"]).dtype
    model, run, n_triplets = {"pure": make_pure, "dgl": make_dgl}[kind](data, dtype)
    if n_triplets != data["n_triplets"]:
        raise RuntimeError(f"{n_triplets} triplets here, {data['n_triplets']} there")
    model = model.to(dtype)
    for basis in (model.edge_embedding[0], model.angle_embedding[0]):
        # the peer takes the spacing from float32 centres
        gamma = (basis.bins - 1) / (basis.vmax - basis.vmin)
        if abs(basis.gamma / gamma - 1) > 1e-5:
            raise RuntimeError(f"gamma is {basis.gamma} and not {gamma}")
        basis.gamma = gamma
    load_weights(model, data)
    result = {}
    with torch.no_grad():
        model.eval()
        result["eval"] = run().numpy()
    model.train()
    output = run()
    output.square().sum().backward()
    result["train"] = output.detach().numpy()
    np.savez(target, **result, **gradients(model, data))


if __name__ == "__main__":
    main()
