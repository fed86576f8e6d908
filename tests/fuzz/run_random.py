"""Fuzz the readers for a while: ``run_random.py SECONDS [TARGET ...]``.

Prints the number of inputs of each target, and keeps what breaks one in the present
folder. Inputs that take longer than twenty seconds count as bugs too.
"""

from __future__ import annotations

import faulthandler
import hashlib
import random
import resource
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import targets as fuzzed

MOST_SECONDS = 20
MOST_MEMORY = 6 * 2**30


def main(seconds, *names):
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    rng = random.Random(time.time_ns())
    known = set()
    counts = dict.fromkeys(names or fuzzed.targets(), (0, 0))
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for name in counts:
            target, seeds = fuzzed.targets()[name]
            data = fuzzed.mutated(rng.choice(seeds), rng)
            Path("last_input").write_bytes(data)
            faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
            try:
                fine = fuzzed.attempt(target, data)
            except Exception as error:  # noqa: BLE001 - all are to be kept
                place = traceback.extract_tb(error.__traceback__)[-1]
                key = (name, type(error), place.filename, place.lineno)
                if key not in known:
                    known.add(key)
                    path = Path(f"{name}-{hashlib.sha256(data).hexdigest()[:10]}")
                    path.write_bytes(data)
                    print(path, repr(error)[:300], place, flush=True)
                fine = False
            faulthandler.cancel_dump_traceback_later()
            n, n_fine = counts[name]
            counts[name] = n + 1, n_fine + fine
    print("inputs, and how many of them could be read:", counts, flush=True)
    return bool(known)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
