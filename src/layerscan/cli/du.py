"""``layerscan du``: the walk as a command; prints what ``du -sk`` prints."""

import argparse
import os
import stat
import sys
from typing import TYPE_CHECKING

from layerscan.cli.options import add_format_argument, add_threads_argument
from layerscan.cli.output import complain, print_json
from layerscan.cli.status import ExitStatus
from layerscan.text import printable_path

if TYPE_CHECKING:
    from layerscan.walking.walker import Usage, WalkError

HELP = "what folders take of the disk: du -sk, faster"
DESCRIPTION = """Print what du -sk prints: for each PATH its disk usage in KiB.

An inode that several of the paths share counts for the first of them, and a
path that lies in one before it is left out, as du does it."""
EPILOG = """examples:
  layerscan du /var/lib/docker/overlay2
  layerscan du --apparent-size --bytes src docs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("paths", metavar="PATH", nargs="*", default=["."], help="(default: .)")
    add("-s", "--summarize", action="store_true", help="a total for each PATH; always the case")
    add("-k", action="store_true", help="count in KiB; always, but with --bytes")
    add("--apparent-size", action="store_true", help="add up lengths, not disk usage")
    add("-b", "--bytes", action="store_true", help="the same as --apparent-size, in bytes")
    add("-x", "--one-file-system", action="store_true", help="skip other file systems' mounts")
    add_format_argument(parser, "text")
    add_threads_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.walking.walker import walk_many

    options.summary.begin("walk")
    usages = walk_many(
        options.paths,
        threads=options.threads,
        one_file_system=options.one_file_system,
        count_once=len(options.paths) > 1,
    )
    options.summary.begin("report")
    found = list(zip(options.paths, usages, strict=True))
    errors = [error for usage in usages for error in usage.errors]
    if options.format == "json":
        print_json([_plain(path, usage) for path, usage in found])
    else:
        for path, usage in found:
            # No entry: it is missing, or was counted in a path before it.
            if usage.entries:
                line = b"%d\t%s\n" % (_figure(usage, options), _name(path))
                sys.stdout.buffer.write(line)
    for path, usage in found:
        if usage.vanished:
            complain("warning", f"{path}: {usage.vanished} entries vanished while it was read")
    complain("error", *map(_told, errors))
    untold = sum(usage.error_count for usage in usages) - len(errors)
    if untold:
        complain("error", f"{untold} more entries could not be read")
    return ExitStatus.PARTIAL if errors else ExitStatus.DONE


def _name(path: str) -> bytes:
    """The path byte by byte; on a terminal, so that no name gives it orders."""
    shown = printable_path(path) if sys.stdout.isatty() else path
    return os.fsencode(shown)


def _figure(usage: "Usage", options: argparse.Namespace) -> int:
    if not (options.apparent_size or options.bytes):
        return usage.usage // 1024
    # du adds the lengths of directories up too (until coreutils 9.1).
    length = usage.size + usage.directory_size
    return length if options.bytes else -(-length // 1024)


def _told(error: "WalkError") -> str:
    """The error as du words it."""
    try:
        is_folder = stat.S_ISDIR(os.lstat(error.path).st_mode)
    except OSError:
        is_folder = False
    return f"cannot {'read directory' if is_folder else 'access'} {error}"


def _plain(path: str, usage: "Usage") -> dict[str, object]:
    plain: dict[str, object] = {"path": path, "usage": usage.usage, "size": usage.size}
    plain |= {"apparent_size": usage.size + usage.directory_size, **usage._asdict()}
    plain["errors"] = [{"path": os.fsdecode(one.path), "errno": one.errno} for one in usage.errors]
    for name in ("holes", "directory_size", "child", "shared_blocks"):
        del plain[name]
    return plain
