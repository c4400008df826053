"""``layerscan device``: this machine as a device file for ``check``."""

import argparse

from layerscan.cli.device_options import add_root_arguments, device_here
from layerscan.cli.options import add_out_file_argument
from layerscan.cli.output import check_out_file, complain, write_data
from layerscan.cli.tables import counted

HELP = "this machine's disks and layers as a device file for 'check'"
DESCRIPTION = """Describe this machine for 'layerscan check --device': its disks, the blobs in
the client's store, and the layers that its engine has."""
EPILOG = """example:
  sudo layerscan device -o device.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_root_arguments(parser)
    add_out_file_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.fit import device_file

    check_out_file(options.out_file)
    options.summary.begin("read")
    device = device_here(options, is_exact=True)
    complain("warning", *device.notes)
    data = device_file.dumps(device)
    options.summary.begin("write")
    write_data(options.out_file, data)
    layers = 0 if device.engine is None else len(device.engine.chain_ids)
    found = (device.volumes, "disks"), (device.blobs, "blobs")
    read = ", ".join(counted(len(things), noun) for things, noun in found)
    read += f" and {counted(layers, 'layers')} of this machine"
    options.summary.tell_written(read, options.out_file, len(data))
    return 0
