"""MODNet's part of ``composition_models.py``; runs in the Python that has modnet.

Its default features of compositions without AtomicPackingEfficiency, which takes
seconds a composition, and its ranking, with the information between features from a
sample of the rows where the job asks for it. Features and that information do not
depend on the target: they are kept in a folder, with the time that they took.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import warnings
from pathlib import Path

from _side import SEED, Stopwatch, read_job, send

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.filterwarnings("ignore")  # old APIs of its dependencies

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import tensorflow as tf  # noqa: E402
from modnet.featurizers.presets import (  # noqa: E402
    DEFAULT_COMPOSITION_ONLY_FEATURIZER,
    FEATURIZER_PRESETS,
)
from modnet.models import EnsembleMODNetModel, MODNetModel  # noqa: E402
from modnet.preprocessing import MODData, get_cross_nmi  # noqa: E402
from pymatgen.core import Composition  # noqa: E402

TARGET = "y"


def featurize(formulas):
    featurizer = FEATURIZER_PRESETS[DEFAULT_COMPOSITION_ONLY_FEATURIZER]()
    featurizer.composition_featurizers = tuple(
        step
        for step in featurizer.composition_featurizers
        if type(step).__name__ != "AtomicPackingEfficiency"
    )
    data = MODData(
        [Composition(formula) for formula in formulas], featurizer=featurizer
    )
    data.featurize(n_jobs=1)
    return data.df_featurized


def cross_information(features, n_rows):
    if n_rows is not None and n_rows < len(features):
        features = features.sample(n=n_rows, random_state=SEED)
    # a seed of zero would count as none
    return get_cross_nmi(features, n_jobs=1, random_state=SEED + 1)


def remembered(folder, name, key, watch, function, *args):
    """Take a table from the folder, or compute it and put it there."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path = Path(folder) / f"{name}-{digest}.csv"
    seconds = path.with_suffix(".json")
    if seconds.exists():
        watch.seconds[name] = json.loads(seconds.read_text())
        return pd.read_csv(path, index_col=0)
    table = watch.measure(name, function, *args)
    table.to_csv(path)
    seconds.write_text(json.dumps(watch.seconds[name]))
    return table


def make_model(n_models, **params):
    targets = [[[TARGET]]]
    if n_models == 1:
        return MODNetModel(targets, {TARGET: 1}, **params)
    return EnsembleMODNetModel(
        n_models=n_models, targets=targets, weights={TARGET: 1}, **params
    )


def main():
    job = read_job()
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - it draws from the global generator
    tf.random.set_seed(SEED)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    watch, settings = Stopwatch(), job["settings"]
    formulas, n_train = job["train"] + job["test"], len(job["train"])

    table = remembered(job["cache"], "featurize", formulas, watch, featurize, formulas)
    rows, rest = table.iloc[:n_train], table.iloc[n_train:]
    n_cross = settings["cross_rows"]
    key = [job["train"], n_cross]
    cross = remembered(
        job["cache"], "cross_nmi", key, watch, cross_information, rows, n_cross
    )
    data = MODData(df_featurized=rows, targets=job["y"], target_names=[TARGET])
    watch.measure(
        "ranking", data.feature_selection, n=-1, cross_nmi=cross, random_state=SEED
    )
    model = make_model(settings["n_models"], **settings["params"])
    watch.measure("network", model.fit, data, **settings["fit_params"])
    unseen = MODData(df_featurized=rest)
    found = watch.measure("predict_network", model.predict, unseen)

    steps = watch.seconds
    each = steps["featurize"] / len(formulas)
    fit_s = each * n_train + steps["cross_nmi"] + steps["ranking"] + steps["network"]
    send(
        job,
        ["modnet", "tensorflow", "matminer", "scikit-learn"],
        predictions=found[TARGET].astype(float).tolist(),
        fit_s=round(fit_s, 3),
        predict_s=round(each * len(job["test"]) + steps["predict_network"], 3),
        steps={
            **steps,
            "n_features": table.shape[1],
            "n_ranked": len(data.optimal_features),
        },
    )


if __name__ == "__main__":  # modnet starts processes
    main()
