"""``layerscan device``: this machine as a device file for ``check``."""

import argparse

from layerscan.cli.device_options import add_client_store_argument, add_root_arguments, roots
from layerscan.cli.output import check_out_file, complain, write_data

HELP = "this machine's disks and layers as a device file for 'check'"
DESCRIPTION = """Describe this machine for 'layerscan check --device': its disks, the blobs in the
client's store, and the layers that its engine has."""
EPILOG = """example:
  sudo layerscan device -o device.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_root_arguments(parser)
    add_client_store_argument(parser)
    parser.add_argument(
        "-o", "--out-file", metavar="FILE", default="-", help="where to write (default: stdout)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.fit import device_file, live

    check_out_file(options.out_file)
    device = live.this_device(
        *roots(options), client_store_root=options.client_store_root, is_exact=True
    )
    for note in device.notes:
        complain("warning", note)
    write_data(options.out_file, device_file.dumps(device))
    return 0
