"""matminer's Magpie features and scikit-learn's forest, as a user would join them."""

from __future__ import annotations

import warnings

from _side import SEED, Stopwatch, read_job, send

warnings.filterwarnings("ignore")  # matminer's notes on missing element properties

from matminer.featurizers.composition import ElementProperty  # noqa: E402
from pymatgen.core import Composition  # noqa: E402
from sklearn.ensemble import RandomForestRegressor  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402


def featurize(formulas):
    featurizer = ElementProperty.from_preset("magpie")
    featurizer.set_n_jobs(1)
    compositions = [Composition(formula) for formula in formulas]
    return featurizer.featurize_many(compositions, pbar=False)


def main():
    job = read_job()
    watch = Stopwatch()
    forest = RandomForestRegressor(random_state=SEED, **job["settings"]["params"])
    model = make_pipeline(SimpleImputer(), forest)
    features = watch.measure("featurize", featurize, job["train"])
    watch.measure("forest", model.fit, features, job["y"])
    found = watch.measure("predict", lambda: model.predict(featurize(job["test"])))
    send(
        job,
        ["matminer", "scikit-learn"],
        predictions=found.tolist(),
        fit_s=round(watch.seconds["featurize"] + watch.seconds["forest"], 3),
        predict_s=watch.seconds["predict"],
        steps=watch.seconds,
    )


main()
