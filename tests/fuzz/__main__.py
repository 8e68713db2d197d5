"""Coverage-guided fuzzing with atheris: `make fuzz`, whose ARGS come here.

Each target runs in a process of its own for its share of the time. It starts from the corpus and
from what earlier runs have found worth keeping (`.fuzz/seeds`); what breaks something is written to
`.fuzz/finds`, and `keep` makes a case of the corpus of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from . import corpus, targets

FOLDER = Path(".fuzz")
#: Seconds after which one input hangs, bytes of the longest, MiB that the process may take.
BOUNDS = ["-timeout=20", "-max_len=4096", "-rss_limit_mb=1024"]


def main() -> int:
    """Run the targets in turn, or keep a find. Gives 1 if something was found."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (60)")
    parser.add_argument("--target", choices=targets.TARGETS, action="append", help="only this one")
    parser.add_argument("--keep", nargs=2, metavar=("FIND", "NAME"), help="make a case of a find")
    asked, further = parser.parse_known_args()
    if asked.keep:
        print(
            f"wrote {keep(Path(asked.keep[0]), asked.keep[1])}; its verdict is that of today's code"
        )
        return 0
    chosen = asked.target or list(targets.TARGETS)
    found = [run(name, asked.seconds // len(chosen), further) for name in chosen]
    return int(any(found))


def run(name: str, seconds: int, further: list[str]) -> bool:
    """Run one target; gives whether something was found."""
    print(f"== {name}, {seconds} s", flush=True)
    seeds, finds = FOLDER / "seeds" / name, FOLDER / "finds"
    seeds.mkdir(parents=True, exist_ok=True)
    finds.mkdir(parents=True, exist_ok=True)
    known = set(finds.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "words")
        words.write_text("".join(map(dictionary_line, targets.words())), encoding="ascii")
        own = Path(folder, "corpus")
        own.mkdir()
        for number, seed in enumerate(targets.TARGETS[name].seeds()):
            (own / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-dict={words}", *BOUNDS, "-verbosity=0"]
        options += ["-print_final_stats=1", f"-artifact_prefix={finds}/{name}-", *further]
        guided = [sys.executable, "-m", f"{__package__}.guided", name]
        done = subprocess.run([*guided, *options, str(seeds), str(own)], check=False)
    for find in sorted(set(finds.iterdir()) - known):
        print(f"FOUND {find}; to keep it: make fuzz ARGS='--keep {find} what-it-broke'")
    return done.returncode != 0


def dictionary_line(word: bytes) -> str:
    """A word as libFuzzer's dictionaries have it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def keep(find: Path, name: str) -> Path:
    """Write a case of the corpus that is what the find is."""
    target = targets.TARGETS[find.name.partition("-")[0]]
    kind, text = target.case(find.read_bytes())
    path = corpus.FOLDER / kind / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
