"""Fuzz a reader under the guidance of coverage: ``run_atheris.py TARGET [OPTIONS]``.

It needs atheris (``pip install atheris``, Linux). Options are libFuzzer's: ``-runs=N``,
``-max_total_time=SECONDS``, and a folder that keeps the inputs that were worth it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
OURS = [f"skmatgnn.{name}" for name in ("datasets", "estimators", "nets", "utils")]
with atheris.instrument_imports(include=OURS):
    import targets as fuzzed


def main(name, *options):
    target, seeds = fuzzed.targets()[name]
    corpus = Path(f"corpus-{name}")
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)

    def mutate(data, most, seed):
        rng = random.Random(seed)
        return fuzzed.mutated(data or rng.choice(seeds), rng)[:most]

    arguments = [sys.argv[0], "-timeout=20", "-rss_limit_mb=6000", "-max_len=200000"]
    atheris.Setup(
        [*arguments, *options, str(corpus)],
        lambda data: fuzzed.attempt(target, data),
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
