"""`python -m keygrove_bench.storage MODULE:FUNCTION WORD...`: see `worker.run`."""

import sys
from importlib import import_module

import msgspec

from keygrove_bench.storage.worker import NOT_RUN, NotRunError

module, _, name = sys.argv[1].partition(":")
try:
    figures = getattr(import_module(module), name)(*sys.argv[2:])
except NotRunError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(NOT_RUN) from error
sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
