"""Run the benchmarks: ``python benchmarks`` all, ``python benchmarks core`` one.

Each ``bench_<domain>.py`` has ``def main(quick: bool) -> None`` and prints one table with its floor in the same run.
``--quick`` runs each row for about a second: it shows that the benchmark works, not what it measures.
"""

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run what was named, or everything."""
    names = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    sys.path.insert(0, str(HERE))
    found = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    for name in names or found:
        if name not in found:
            sys.exit(f"no benchmark {name!r}; there are: {', '.join(found)}")
        import_module(f"bench_{name}").main(quick="--quick" in sys.argv)


main()
