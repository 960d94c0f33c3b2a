"""The benchmark: `python -m benchmarks [SECTION …]` from the project's folder, all sections if none is named."""

import argparse
import re
from pathlib import Path

from benchmarks import loading, sensors, uploads
from benchmarks.harness import machine

SECTIONS = {"loading": loading, "sensors": sensors, "uploads": uploads}
RESULTS = Path(__file__).parent / "RESULTS.md"

HEAD = """\
# Results

Written by `make bench`: medians, each contender in a fresh process of its own, one after the other in turns. CPU time
is that of all threads, in user and system mode; peak memory is that of the whole process.
"""


def main() -> None:
    """Run sections, print what they tell, and put it in their place in RESULTS.md."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Benchmarks of line-ads-pipeline."
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)} (all)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="how often each contender of the loading and uploads sections runs (%(default)s)",
    )
    parser.add_argument("--audiences", type=int, default=500, help="how many audience files (%(default)s)")
    options = parser.parse_args()
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"there is no section {unknown[0]}: it is one of {', '.join(SECTIONS)}")
    for name in options.sections or SECTIONS:
        section = SECTIONS[name]
        print(section.TITLE, flush=True)
        told = section.run(options)
        print(f"\n{told}\n", flush=True)
        _keep(section.TITLE, f"{machine()}\n\n{told}")


def _keep(title: str, told: str) -> None:
    """Put a section in its place; those that did not run stay, each with the machine it ran on."""
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    kept = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)*)", before, re.MULTILINE))
    kept[title] = f"{told}\n\n"
    titles = [section.TITLE for section in SECTIONS.values()]
    text = "\n".join(f"## {title}\n\n{kept[title].rstrip()}\n" for title in titles if title in kept)
    RESULTS.write_text(f"{HEAD}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
