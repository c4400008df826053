"""Fuzz one target, guided by coverage: `python -m tests.fuzz TARGET [options of libFuzzer]`.

`make fuzz` makes what this needs. New inputs are kept in build/fuzz/corpus, findings
in build/fuzz/findings. With the name of a file in place of options, that input is run.
With `-merge=1`, what the inputs in build/fuzz/corpus add is put into the tests' corpus.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import atheris

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "fuzz"

# What must be there before Python is: the sanitizers with libFuzzer, and what it mutates by.
PRELOADED = [
    os.path.join(atheris.path(), "asan_with_fuzzer.so"),
    str(getattr(find_spec("atheris.custom_mutator"), "origin", None)),
]
ENVIRONMENT = {
    "LD_PRELOAD": " ".join(PRELOADED),
    # CPython itself leaks by design; and what was freed is not to fill the processor's cache.
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:malloc_context_size=2",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    # Each object of Python in memory of its own, so that what is read beyond it shows.
    "PYTHONMALLOC": "malloc",
}

MOST_SECONDS = 10.0
"""Of processor time for an input: what takes more is a finding."""

# What does not end at all, or takes more memory, is one, too: the clock goes on while a
# busy machine makes this wait. Short inputs come first.
BOUNDS = ["-timeout=60", "-rss_limit_mb=2048", "-len_control=100"]


def main(name: str, *options: str) -> None:
    """Fuzz the target `name`; it does not come back."""
    if not (BUILD / "ready").exists():
        sys.exit("the compiled parts are not built for this: make fuzz does that")
    # It is taken away again: what this starts may be no Python, and does not have its symbols.
    if os.environ.pop("LD_PRELOAD", "") != ENVIRONMENT["LD_PRELOAD"]:
        os.environ.update(ENVIRONMENT)
        os.execv(sys.executable, [sys.executable, "-m", "tests.fuzz", name, *options])  # noqa: S606
    with atheris.instrument_imports(include=["layerscan", "dotenv", "tarfile", "yaml"]):
        # The compiled parts are those that are built for this, all else is as it is in src.
        for built in (BUILD / "lib").rglob("*.so"):
            package = ".".join(built.parent.relative_to(BUILD / "lib").parts)
            import_module(package).__path__.insert(0, str(built.parent))
        target = import_module(f"tests.fuzz.targets.{name}")
    corpora = [str(BUILD / "corpus" / name), str(HERE / "corpus" / name)]
    for folder in (corpora[0], BUILD / "findings"):
        os.makedirs(folder, exist_ok=True)
    if any(option.endswith("merge=1") for option in options):
        corpora.reverse()
    if any(not option.startswith("-") for option in options):
        corpora.clear()
    arguments = [
        *BOUNDS,
        f"-max_len={target.LONGEST}",
        f"-artifact_prefix={BUILD / 'findings' / name}-",
        *options,
        *corpora,
    ]

    def mutated(data: bytes, longest: int, seed: int) -> bytes:
        """Every other input is what the target makes of `data`, if it can."""
        found = target.mutate(data, seed) if seed % 2 and hasattr(target, "mutate") else None
        return bytes(atheris.Mutate(data, longest) if found is None else found)[:longest]

    def run(data: bytes) -> None:
        begun = process_time()
        target.run(data)
        if process_time() - begun > MOST_SECONDS:
            raise TimeoutError(f"{len(data)} bytes took {process_time() - begun:.0f} s")

    # The command by which libFuzzer starts itself anew to merge.
    command = f"{sys.executable} -m tests.fuzz {name}"
    atheris.Setup([command, *arguments], run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
