"""How the compiled extensions are built; the rest is in pyproject.toml.

Switches, each an environment variable (docs/explanation/development.md shows their use):

LAYERSCAN_BUILD_DEBUG=1           bounds checks on, no optimisation, debug info
LAYERSCAN_BUILD_SANITIZE=NAMES    sanitizers: address,undefined or thread; fuzzer-no-link of clang
LAYERSCAN_BUILD_WERROR=1          warnings are errors, Cython's and the C compiler's
LAYERSCAN_BUILD_QUICK=NAMES       only these extensions, separated by commas; no optimisation
"""

import os

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

debug = os.environ.get("LAYERSCAN_BUILD_DEBUG") == "1"
sanitize = os.environ.get("LAYERSCAN_BUILD_SANITIZE", "")
werror = os.environ.get("LAYERSCAN_BUILD_WERROR") == "1"
quick = os.environ.get("LAYERSCAN_BUILD_QUICK", "")
NAMES = (
    "_walk",
    "prediction.filesystems._htree",
    "stores.containerd._bolt",
    "tar._tar",
)

compile_args = ["-std=gnu11", "-pthread", "-Wall", "-Wextra"]
link_args = ["-pthread"]
compile_args += ["-O0", "-g3"] if debug else ["-O0"] if quick else ["-O3"]
if sanitize:
    compile_args += ["-g", "-fno-omit-frame-pointer", f"-fsanitize={sanitize}"]
    link_args.append(f"-fsanitize={sanitize}")
if not (debug or sanitize):
    # Stripped: what is to be looked into is built otherwise.
    link_args.append("-s")
if werror:
    Options.warning_errors = True
    compile_args.append("-Werror")
# Python's own headers and Cython's generated code trip over these two.
compile_args += ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def extension(name: str) -> Extension:
    """The extension that `name`.pyx is compiled to."""
    return Extension(
        f"layerscan.{name}",
        [f"src/layerscan/{name.replace('.', '/')}.pyx"],
        # What belongs to an interpreter is kept with its module: there may be several.
        # Types are, too: of those that are not, Cython 3.3 lets the garbage collector see
        # some before they are types, and it crashes.
        define_macros=[("CYTHON_USE_MODULE_STATE", "1"), ("CYTHON_USE_TYPE_SPECS", "1")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


def is_quick(name: str) -> bool:
    """Whether LAYERSCAN_BUILD_QUICK names it, without its package."""
    return name.rpartition(".")[2] in quick.split(",")


# The processes that cythonize starts import this file, too.
if __name__ == "__main__":
    setup(
        ext_modules=cythonize(
            [extension(name) for name in NAMES if not quick or is_quick(name)],
            compiler_directives={
                "language_level": 3,
                "boundscheck": debug,
                "wraparound": False,
                "initializedcheck": debug,
                "cdivision": True,
            },
            build_dir="build/cython",
            force=bool(debug or sanitize or werror),
            nthreads=os.cpu_count() or 1,
        ),
        options={"build_ext": {"parallel": True}},
    )
