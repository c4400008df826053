"""The console script ``layerscan-compose-publish``: called as compose-publish is.

    layerscan-compose-publish -d DIGEST_FILE -l LAYERS_META TARGET ARCH,ARCH

in an App's folder. The file with the digest, which a CI run has open, gets nothing but that.
"""

import argparse
import os
import sys


def publish_here(argv: list[str] | None = None) -> int:
    """Publish the App in the working folder; returns the exit status."""
    from layerscan.cli import main

    what = "Publish the App in this folder, called as compose-publish is."
    parser = argparse.ArgumentParser("layerscan-compose-publish", description=what)
    parser.add_argument("-d", "--digest-file", metavar="FILE", help="gets the App's digest")
    parser.add_argument("-l", "--layers-meta", metavar="FILE", help="what layers cost")
    parser.add_argument("target", metavar="TARGET", help="REGISTRY/REPOSITORY:TAG")
    parser.add_argument("archs", metavar="ARCH,…", nargs="?", help="only these architectures")
    options = parser.parse_args(argv)
    call = ["publish", os.getcwd(), "--target", options.target]
    call += ["--arch", options.archs] if options.archs else []
    call += ["--layers-meta", options.layers_meta] if options.layers_meta else []
    call += [] if options.layers_meta else ["--allow-missing-meta"]
    call += ["--digest-file", options.digest_file] if options.digest_file else []
    status = main(call)
    if not status and options.digest_file and os.path.isfile(options.digest_file):
        # Without the end of the line.
        os.truncate(options.digest_file, os.stat(options.digest_file).st_size - 1)
    return status


if __name__ == "__main__":
    sys.exit(publish_here())
