"""The part of the campaign that coverage guides, a process of its own: libFuzzer ends it.

    python -m keygrove_bench.fuzz.guided SECONDS CORPUS FINDINGS TALLY

libFuzzer keeps in the folder CORPUS what reaches anything new. What breaks a law is written to
FINDINGS, one input for each place; what hangs, or takes too much memory, is libFuzzer's to write
there. The file TALLY says twice a second how far it is.
"""

import sys
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

atheris: Any = import_module("atheris")  # it has no types, and is not on every machine

# What is to be guided by has to be instrumented when it is imported.
with atheris.instrument_imports(
    include=["keygrove_protocols", "keygrove.ingest", "keygrove.storage"]
):
    from keygrove_bench.fuzz.findings import Watch
    from keygrove_bench.fuzz.mutation import Mutator, seeds

OCTETS_MAX = 32 << 10
HANG_S = 25
"""For one input: twenty times what the largest may take."""
MEMORY_MB_MAX = 2_048
OWN_SHARE = 0.8
"""Of mutations that are ours; the others are libFuzzer's."""


def main(seconds: int, corpus: Path, findings: Path, tally: Path) -> None:
    """Fuzz until the time is over. It never returns."""
    watch = Watch(findings, tally)
    watch.tell()
    mutator = Mutator(seeds())

    def mutate(data: bytes, octets_max: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() > OWN_SHARE:
            return bytes(atheris.Mutate(data, octets_max))
        return mutator.mutate(data, random)[:octets_max]

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={OCTETS_MAX}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], watch.try_one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
