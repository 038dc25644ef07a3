"""A campaign of fuzzing: half of the time guided by coverage, half drawn and shrunk.

`laws` says what must hold of every input. Findings stay as files, which a test replays.
"""

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from keygrove_bench.fuzz import mutation
from keygrove_bench.fuzz.drawn import draw
from keygrove_bench.fuzz.findings import Tally, Watch
from keygrove_bench.report import Report, Row, aimed, load_average, report, row

MEMORY_GROWTH_MB_MAX = 64
"""After the first quarter of a run. libFuzzer keeps its corpus in memory, some tens of MiB in an
hour; a leak of an input each time would be several times that in a minute."""
NO_ATHERIS = "atheris is not installed: `pip install keygrove[fuzz]`"
GUIDED = "keygrove_bench.fuzz.guided"
_MB = 1 << 20
_ENGINES = {"guided": "guided by coverage (atheris)", "drawn": "drawn (hypothesis)"}


def fuzz(seconds: int, folder: Path = mutation.FINDINGS) -> Report:
    """Fuzz for so long; what is found is in `folder`. Without atheris all of it is drawn."""
    load, results = load_average(), list[Row]()
    is_guided = find_spec("atheris") is not None
    share = seconds // 2 if is_guided else seconds
    with TemporaryDirectory(prefix="keygrove-fuzz-") as temporary:
        told = Path(temporary) / "drawn.json"
        watch = Watch(folder, told)
        if is_guided:
            results += _rows("guided", *_guide(share, folder, Path(temporary)))
        else:
            results.append(
                row(("guided", f"inputs tried, {_ENGINES['guided']}"), NO_ATHERIS, "", {})
            )
        draw(watch, seconds - share)
        results += _rows("drawn", watch.tally)
    names = ["cryptography", "hypothesis", *(["atheris"] if is_guided else [])]
    return report("fuzz", results, {name: version(name) for name in names}, load)


def _guide(seconds: int, folder: Path, temporary: Path) -> tuple[Tally, str]:
    """Run libFuzzer. The second is what it had to say if it did not end well."""
    corpus, told = temporary / "corpus", temporary / "guided.json"
    folder.mkdir(parents=True, exist_ok=True)
    corpus.mkdir()
    for number, data in enumerate(mutation.seeds()):
        (corpus / str(number)).write_bytes(data)
    command = [sys.executable, "-W", "ignore", "-m", GUIDED, str(seconds)]
    ended = subprocess.run(
        [*command, str(corpus), str(folder), str(told)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    problem = _problem(ended.returncode, ended.stderr.decode(errors="replace"))
    return msgspec.json.decode(told.read_bytes(), type=Tally), problem


def _problem(status: int, said: str) -> str:
    """Why libFuzzer ended before its time: a hang, too much memory, or somebody stopped it."""
    if not status:
        return ""
    lines = said.splitlines()
    why = [line for line in lines if "libFuzzer:" in line] or lines[-1:]
    return f"ended with {status}: {' '.join(why)}"


def _rows(engine: str, tally: Tally, problem: str = "") -> list[Row]:
    findings = [*tally.findings, *([problem] if problem else [])]
    for one in findings:
        sys.stderr.write(f"{engine}: {one}\n")
    return [
        row((engine, f"inputs tried, {_ENGINES[engine]}"), [tally.executions], "inputs", {}),
        _limited((f"{engine}-findings", "of them broke a law"), len(findings), "findings", 0),
        _limited(
            (f"{engine}-memory", "growth of memory after the first quarter"),
            _growth_mb(tally.memory_bytes),
            "MB",
            MEMORY_GROWTH_MB_MAX,
        ),
    ]


def _growth_mb(samples: Sequence[int]) -> float:
    """From the most in the first quarter to the most in the last."""
    quarter = max(1, len(samples) // 4)
    return max(0.0, (max(samples[-quarter:]) - max(samples[:quarter])) / _MB)


def _limited(what: tuple[str, str], value: float, unit: str, limit: float) -> Row:
    return aimed(row(what, [value], unit, {}), limit, is_limit=True)
