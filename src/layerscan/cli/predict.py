"""``layerscan predict``: images that are not unpacked → layers metadata, or a report."""

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from layerscan.cli.app_options import add_app_arguments, images_of_apps, warn_of_tag
from layerscan.cli.model_options import add_model_arguments, add_reading_arguments, model, reading
from layerscan.cli.options import add_report_arguments, asked_architectures
from layerscan.cli.output import check_outputs, complain, is_for_people, write_metadata
from layerscan.cli.registry_options import add_registry_arguments, registry_options
from layerscan.cli.status import ExitStatus
from layerscan.cli.tables import counted
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerscan.prediction.images import Prediction

HELP = "what each layer of an image would cost, without unpacking it"
DESCRIPTION = """Say for every layer of images how much content it holds (size) and how much disk
it would take (usage) on a device, from where the images already are. Nothing is
unpacked; neither an engine nor root is needed.

Without -o: a report on stdout. With -o FILE: the layers metadata as JSON, of
one architecture or, if there are several, by architecture; whole or not at all."""
EPILOG = """SOURCE is one of
  docker://REF                 an image in a registry
  oci:DIR[:REF]                an OCI layout
  oci-archive:FILE[:REF]       the same in a tar file
  docker-archive:FILE[:REF]    what 'docker save' writes
  dir:DIR                      what 'skopeo copy' writes into a folder
  docker-daemon:REF            an image in a Docker engine that runs
  containers-storage:REF       an image in a store of Podman, Buildah or CRI-O

examples:
  layerscan predict docker://nginx:1.25 --arch arm64
  layerscan predict oci:build/web --fs btrfs --format json
  layerscan predict docker://registry.example/fleet/web:7 --arch amd64,arm64 \\
      --block-size 1024 -o layers_meta.json
  layerscan predict --apps-root apps --tag 1043 --cache .layers -o layers_meta.json
"""

_SOURCES = (
    "where an image is: docker://REF, oci:DIR, oci-archive:FILE, docker-archive:FILE, dir:DIR, "
    "docker-daemon:REF, containers-storage:REF"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    images = parser.add_argument_group("the images")
    images.add_argument("sources", metavar="SOURCE", nargs="*", help=_SOURCES)
    add_app_arguments(images)
    arch = "only images of these architectures (default: all that there are)"
    images.add_argument("--arch", metavar="ARCH,…", help=arch)
    add_model_arguments(parser.add_argument_group("the device"))
    output = parser.add_argument_group("output")
    add_report_arguments(output, "write a key for each architecture also if there is only one")
    add_reading_arguments(parser.add_argument_group("reading the layers"))
    add_registry_arguments(parser.add_argument_group("registries"))


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.cli.progress import PredictProgress
    from layerscan.prediction.images import gather_images, predict_images
    from layerscan.registry import RegistryClient
    from layerscan.sources import open_source

    check_outputs(options.out_file, options.format)
    warn_of_tag(options)
    wanted = asked_architectures(options)
    target = model(options)
    of_apps = (f"docker://{image.reference}" for image in images_of_apps(options))
    names = [*options.sources, *dict.fromkeys(of_apps)]
    if not names:
        raise LayerscanError("which images? give a SOURCE, or --apps-root with Apps in it")
    progress = PredictProgress(shown=is_for_people())
    how = reading(options, progress)
    options.summary.begin("read")
    with RegistryClient(registry_options(options)) as client, ExitStack() as opened, progress:
        sources = [opened.enter_context(open_source(name, lambda: client)) for name in names]
        result = predict_images(gather_images(sources, wanted), target, how)
    complain("warning", *result.notes)
    options.summary.begin("write")
    _write(result, wanted, options)
    return ExitStatus.DONE


def _write(
    result: "Prediction", wanted: "Collection[str] | None", options: argparse.Namespace
) -> None:
    if options.out_file is None or options.format is not None:
        from layerscan.cli.report import of_prediction
        from layerscan.cli.report_tables import print_report

        print_report(of_prediction(result), options.format)
    if options.out_file is not None:
        several = len(wanted or ()) > 1 or len(result.architectures) > 1
        length = write_metadata(options.out_file, result, by_arch=options.by_arch or several)
        options.summary.tell_written(_told(result), options.out_file, length)


def _told(result: "Prediction") -> str:
    """What was read, for the summary."""
    layers = {layer.chain_id: layer for one in result.images for layer in one.layers}
    numbers = {
        "images": len(result.images),
        "layers": len(layers),
        "files": sum(layer.files for layer in layers.values()),
    }
    return ", ".join(counted(number, things) for things, number in numbers.items())
