"""``layerscan check``: does an App fit on a device?"""

import argparse
from typing import TYPE_CHECKING

from layerscan.cli.device_options import add_root_arguments, device_here, roots
from layerscan.cli.model_options import (
    add_fs_argument,
    add_reading_arguments,
    add_store_argument,
    named_fs,
    reading,
    size_or_zero,
)
from layerscan.cli.options import add_format_argument, whole_number
from layerscan.cli.output import complain, is_for_people
from layerscan.cli.registry_options import add_registry_arguments, registry_options
from layerscan.cli.report_file import add_report_file_argument, check_report_file, report_to
from layerscan.cli.status import ExitStatus
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerscan.fit.contents import AppContents
    from layerscan.fit.deletions import Deletion
    from layerscan.fit.device import Device
    from layerscan.fit.policies import Policy
    from layerscan.fit.sources import FoundApp
    from layerscan.fit.verdict import Verdict
    from layerscan.registry import RegistryClient

HELP = "does an App fit on a device?"
DESCRIPTION = """Say whether an App, or an update of it, fits on a device: on this machine, or on
the one that a device file describes. The answer is that of the device's own
client, or with --policy exact what is true to the block and the inode.

Exit status: 0 it fits; 1 it does not; 2 it cannot be told, and why."""
EPILOG = """REF is a reference in a registry; a folder that 'layerscan publish --dry-run' wrote
for the App; or a folder with blobs/sha256, followed by @ and the digest of the
App manifest if it has several Apps.

examples:
  layerscan check --app registry.example/fleet/shop:1043
  layerscan check --app out/shop --device device.json --policy composectl
  layerscan check --layers-meta layers_meta.json --device device.json --arch arm64
  layerscan check --app out/shop --device device.json --predict --fs ext4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_argument_group("what is to fit").add_mutually_exclusive_group(required=True)
    add = what.add_argument
    add("--app", metavar="REF", nargs="+", action="extend", help="these Apps, all together")
    metadata = "the metadata of Apps, as it is published with them"
    add("--layers-meta", metavar="FILE", nargs="+", action="extend", help=metadata)
    arch = "for this architecture (default: the device's)"
    parser.add_argument("--arch", metavar="ARCH", help=arch)
    add_registry_arguments(parser)
    _add_policy_arguments(parser)
    _add_device_arguments(parser)
    add_format_argument(parser, "text", markdown=True)
    add_report_file_argument(parser, "-o", "--out-file")


def _add_policy_arguments(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("by which rules")
    rules.add_argument(
        "--policy",
        choices=["aktualizr-lite", "composectl", "aktualizr-lite-skopeo", "exact"],
        default="aktualizr-lite",
        help="those of a client, or exact (default: aktualizr-lite)",
    )
    rules.add_argument(
        "--watermark",
        metavar="PCT",
        type=whole_number("whole number of percent", least=0),
        help="percent of a disk that may be used (default: the policy's: 80, 95, 80 or 100)",
    )
    rules.add_argument(
        "--reserved-storage",
        metavar="SIZE",
        type=size_or_zero,
        help="set aside so much of a disk, in place of what the watermark does: 2GiB, 500MiB, …",
    )
    rules.add_argument(
        "--quick",
        action="store_true",
        help="with composectl: look at the lengths of blobs, not at their content, as its "
        "own --quick does",
    )
    rules.add_argument(
        "--unprivileged",
        action="store_true",
        help="the client may not use the blocks that a disk reserves for root",
    )
    rules.add_argument(
        "--engine-pulls",
        action="store_true",
        help="with exact: the engine pulls the images, the client fetches no blobs of them",
    )


def _add_device_arguments(parser: argparse.ArgumentParser) -> None:
    device = parser.add_argument_group("the device (default: this machine)")
    device.add_argument("--device", metavar="FILE", help="the one that this file describes")
    add_root_arguments(device)
    installed = "Apps, or files of their metadata, that are on it already"
    device.add_argument(
        "--installed", metavar="REF", nargs="+", action="extend", default=[], help=installed
    )
    prediction = parser.add_argument_group("prediction")
    prediction.add_argument(
        "--predict",
        choices=["missing", "always"],
        nargs="?",
        const="missing",
        help="predict what layers take on the device from the images: of Apps that have no "
        "layers metadata, or always (default: missing)",
    )
    add_fs_argument(prediction, "the one that it has, or ext4")
    add_store_argument(prediction)
    add_reading_arguments(prediction)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.cli.check_report import print_report
    from layerscan.fit import live
    from layerscan.fit.composectl import blobs_of
    from layerscan.fit.policies import Policy, UpdateConditions, ask
    from layerscan.registry import RegistryClient

    policy = Policy(options.policy)
    circumstances = UpdateConditions(
        options.watermark,
        options.reserved_storage,
        is_root=not options.unprivileged,
        engine_pulls=options.engine_pulls,
    )
    _check(options, policy)
    check_report_file(options.report_file)
    options.summary.begin("read")
    with RegistryClient(registry_options(options)) as client:
        device, architecture = _device(options, policy, client)
        apps = _apps(options, policy, device, architecture, client)
    if options.device is None and policy.hashes_blobs and not options.quick:
        blobs = (blob for app in apps for blob in blobs_of(app, architecture))
        device = live.with_hashed_blobs(device, roots(options)[0], blobs)

    options.summary.begin("answer")

    def ask_of(device: "Device") -> "Verdict":
        return ask(policy, apps, device, architecture=architecture, circumstances=circumstances)

    verdict = ask_of(device)
    deletion = None
    if options.device is None and not verdict.fits:
        deletion = _deletion(verdict, device, roots(options)[1], apps, ask_of)
    of_apps = (note for app in apps for note in app.notes)
    notes = (*_useless(options), *device.notes, *of_apps, *verdict.notes)
    warnings = tuple(dict.fromkeys(notes))
    complain("warning", *warnings)
    with report_to(options.report_file):
        print_report(
            verdict, options.format, device=device.source, warnings=warnings, deletion=deletion
        )
    return ExitStatus.DONE if verdict.fits else ExitStatus.DOES_NOT_FIT


def _deletion(
    verdict: "Verdict",
    device: "Device",
    root: str,
    apps: "list[AppContents]",
    ask: "Callable[[Device], Verdict]",
) -> "Deletion | None":
    """What would have to go for it to fit; None where that is not known, as a warning says."""
    import os

    from layerscan.errors import DocumentError, StoreError
    from layerscan.fit.deletions import what_to_delete

    if not os.path.isdir(root):
        return None
    try:
        return what_to_delete(verdict, device, root, apps, ask)
    except (StoreError, DocumentError) as error:
        complain("warning", f"cannot tell which images could be removed: {error}")
        return None


def _check(options: argparse.Namespace, policy: "Policy") -> None:
    from layerscan.layersmeta import is_architecture

    policy.watermarks.chosen(options.watermark)
    if options.arch is not None and not is_architecture(options.arch):
        raise LayerscanError(f"--arch {options.arch!r} is no architecture name: amd64, arm64, …")
    for given in ("store_root", "docker_root", "client_store_root"):
        if options.device is not None and getattr(options, given):
            option = given.replace("_", "-")
            raise LayerscanError(f"--device describes the disks: say it there, without --{option}")
    if options.quick and options.policy != "composectl":
        raise LayerscanError(f"--quick is for --policy composectl, not {options.policy}")
    if options.engine_pulls and options.policy != "exact":
        raise LayerscanError(f"--engine-pulls is for --policy exact, not {options.policy}")
    if options.predict and options.layers_meta:
        raise LayerscanError("--predict reads the images of Apps: give them with --app")


def _useless(options: argparse.Namespace) -> list[str]:
    """What is to be said of options that change nothing."""
    notes = []
    if options.reserved_storage is not None and options.watermark is not None:
        notes.append("--watermark does nothing: --reserved-storage is used in its place")
    given = [name for name in ("fs", "store") if getattr(options, name) is not None]
    if not options.predict:
        notes += [f"--{name} does nothing without --predict" for name in given]
    return notes


def _device(
    options: argparse.Namespace, policy: "Policy", client: "RegistryClient"
) -> "tuple[Device, str]":
    """The device with all that is installed on it, and the architecture to look at."""
    from layerscan.fit import device_file
    from layerscan.fit.installed import with_apps
    from layerscan.fit.sources import find_app, from_file, is_metadata

    files: tuple[str, ...] = ()
    if options.device is not None:
        device, files = device_file.load(options.device)
    else:
        device = device_here(options, is_exact=options.policy == "exact")
    architecture = options.arch or device.architecture
    if architecture is None:
        raise LayerscanError(f"{device.source}: does not say its architecture; give it with --arch")
    if device.architecture not in (None, architecture):
        note = f"{device.source}: is {device.architecture}; the answer is for {architecture}"
        device = device._replace(notes=(*device.notes, note))
    installed = [from_file(path) for path in files]
    installed += [
        from_file(name)
        if is_metadata(name)
        else _contents(find_app(name, client), policy, architecture)
        for name in options.installed
    ]
    return with_apps(device, installed, architecture), architecture


def _apps(
    options: argparse.Namespace,
    policy: "Policy",
    device: "Device",
    architecture: str,
    client: "RegistryClient",
) -> "list[AppContents]":
    from layerscan.cli.progress import PredictProgress
    from layerscan.fit.sources import find_app, from_file

    if options.layers_meta:
        return [from_file(path) for path in options.layers_meta]
    sources = [find_app(name, client) for name in options.app]
    variant = device.variant if architecture == device.architecture else ""
    apps = [_contents(source, policy, architecture, variant) for source in sources]
    if not options.predict:
        return apps
    from layerscan.fit.predicted import model_of, with_prediction

    model = model_of(device, policy, named_fs(options.fs), options.store)
    with PredictProgress(shown=is_for_people()) as progress:
        how = reading(options, progress)
        return [
            app
            if options.predict == "missing" and app.is_described(architecture)
            else with_prediction(app, source, architecture, model, how)
            for app, source in zip(apps, sources, strict=True)
        ]


def _contents(
    source: "FoundApp", policy: "Policy", architecture: str, variant: str = ""
) -> "AppContents":
    from layerscan.fit.contents import read_app

    matcher = policy.matcher(architecture, variant)
    return read_app(*source, architecture=architecture, depth=policy.depth, matcher=matcher)
