"""``layerscan publish``: Compose Apps and their layers' metadata → a registry."""

import argparse
import os
from typing import TYPE_CHECKING

from layerscan.cli.app_options import add_factory_arguments
from layerscan.cli.model_options import add_model_arguments, add_reading_arguments, model, reading
from layerscan.cli.options import add_format_argument, asked_architectures
from layerscan.cli.output import (
    check_out_file,
    complain,
    is_for_people,
    print_json,
    write_data,
    write_digests,
)
from layerscan.cli.registry_options import add_registry_arguments, registry_options
from layerscan.cli.status import ExitStatus
from layerscan.cli.tables import counted, human
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerscan.apps.discovery import App
    from layerscan.cli.options import Arguments
    from layerscan.layersmeta import LayersMeta
    from layerscan.publishing.preparation import PlannedApp, Settings
    from layerscan.publishing.publish import Failed, Published
    from layerscan.reference import Reference
    from layerscan.registry import RegistryClient

HELP = "put Compose Apps and what their layers cost into a registry"
DESCRIPTION = """Put Compose Apps into an OCI registry, each with its files, its images pinned by
digest, and a document that tells a device what each layer will cost it.

On stdout: the digest of the App's manifest; of several Apps a line for each,
its name, a tab, and the digest."""
EPILOG = """examples:
  layerscan publish apps/shop --target registry.example/fleet/shop:1043 \\
      --layers-meta layers_meta.json
  layerscan publish --apps-root apps --tag 1043 \\
      --target 'registry.example/{app}:1043' --layers-meta layers_meta.json
  layerscan publish apps/shop --target registry.example/fleet/shop:1043 \\
      --predict --fs ext4 --cache .layers
"""

_APP = "{app}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    apps = parser.add_argument_group("the Apps")
    add = apps.add_argument
    add("apps", metavar="APP_DIR", nargs="*", help="folder of an App, with its docker-compose.yml")
    add("-a", "--apps-root", metavar="DIR", help="all Apps in DIR")
    target = "where to: REGISTRY/REPOSITORY[:TAG], in which {app} stands for the App's name"
    add("--target", metavar="REF", required=True, help=f"{target} (default tag: latest)")
    _add_image_arguments(parser)
    _add_metadata_arguments(parser)
    prediction = parser.add_argument_group("with --predict")
    add_model_arguments(prediction)
    add_reading_arguments(prediction)
    _add_output_arguments(parser.add_argument_group("output"))
    add_registry_arguments(parser.add_argument_group("registries"))


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group("the images")
    add_factory_arguments(images)
    images.add_argument(
        "--pinned-image",
        metavar="NAME@DIGEST",
        action="append",
        default=[],
        help="the digest of an image that Compose files name without one; may be repeated",
    )
    arch = "publish for these architectures only (default: those that all images have)"
    images.add_argument("--arch", metavar="ARCH,…", help=arch)


def _add_metadata_arguments(parser: argparse.ArgumentParser) -> None:
    metadata = parser.add_argument_group("the metadata")
    given = metadata.add_mutually_exclusive_group()
    given.add_argument(
        "--layers-meta",
        metavar="FILE",
        help="what layers cost: the document of 'layerscan merge', 'scan --by-arch' or 'predict'",
    )
    given.add_argument(
        "--predict",
        action="store_true",
        help="predict it from the images in their registries, as 'layerscan predict' does",
    )
    allow = "publish an App without it where it lacks an architecture or a layer"
    metadata.add_argument("--allow-missing-meta", action="store_true", help=allow)
    metadata.add_argument(
        "--layers-manifests",
        choices=["auto", "always", "never"],
        default="auto",
        help="whether to publish layers manifests: where the registry takes them, always, or "
        "never (default: auto)",
    )


def _add_output_arguments(output: "Arguments") -> None:
    add_format_argument(output, "text", "what stdout gets: digests, or all that is known")
    add = output.add_argument
    add("--digest-file", metavar="FILE", help="write the digests there too, as text")
    add("--dry-run", action="store_true", help="only read from registries, and write to --out-dir")
    add("--out-dir", metavar="DIR", help="the folder for all documents of a dry run")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    import tempfile

    from layerscan.cli.progress import PublishProgress
    from layerscan.publishing.publish import Failed, Run, plan_apps, publish
    from layerscan.registry import RegistryClient

    _check(options)
    options.summary.begin("plan")
    targets = _targets(_apps(options), options.target)
    settings = _settings(options)
    registries = registry_options(options)
    workers = registries.connections
    with (
        RegistryClient(registries) as client,
        tempfile.TemporaryDirectory(prefix="layerscan-") as scratch,
    ):
        apps = [app for app, _ in targets]
        found = plan_apps(apps, settings, client, workers=workers)
        failed = {one.app: one for one in found if isinstance(one, Failed)}
        planned = {one.app.name: one for one in found if not isinstance(one, Failed)}
        options.summary.begin("predict")
        settings, unpredicted = _predicted(list(planned.values()), settings, client, options)
        failed |= unpredicted
        left = [(planned[app.name], to) for app, to in targets if app.name not in failed]
        dry_run = options.out_dir if options.dry_run else None
        the_run = Run(left, settings, options.layers_manifests, scratch, dry_run, workers)
        options.summary.begin("publish")
        with PublishProgress(shown=is_for_people()) as progress:
            published = publish(the_run, client, progress.update if progress.shown else None)
    outcomes = {one.app: one for one in [*published, *failed.values()]}
    options.summary.begin("report")
    unused = _unused(settings, planned.values()) if len(planned) == len(targets) else []
    return _tell([outcomes[app.name] for app, _ in targets], options, unused)


def _check(options: argparse.Namespace) -> None:
    if not options.apps and options.apps_root is None:
        raise LayerscanError("which Apps? give their folders, or --apps-root")
    if options.dry_run != (options.out_dir is not None):
        raise LayerscanError("--dry-run and --out-dir belong together: give both or none")
    if not (options.layers_meta is not None or options.predict or options.allow_missing_meta):
        raise LayerscanError(
            "--layers-meta is missing: what 'layerscan merge' wrote, or --predict, or "
            "--allow-missing-meta to publish without"
        )
    if options.digest_file is not None:
        check_out_file(options.digest_file)


def _apps(options: argparse.Namespace) -> "list[App]":
    from layerscan.apps.discovery import app_at, discover

    apps = [app_at(folder) for folder in options.apps]
    if options.apps_root is not None:
        apps += discover(options.apps_root)
    folders = {os.path.realpath(app.folder): app for app in apps}
    by_name: dict[str, App] = {}
    for app in folders.values():
        if by_name.setdefault(app.name, app) is not app:
            raise LayerscanError(
                f"two Apps are named {app.name}: {by_name[app.name].folder} and {app.folder}"
            )
    return [by_name[name] for name in sorted(by_name)]


def _targets(apps: "Sequence[App]", target: str) -> "list[tuple[App, Reference]]":
    """The Apps, each with where it goes."""
    from layerscan import reference

    if len(apps) > 1 and _APP not in target:
        raise LayerscanError(
            f"--target {target}: there are {len(apps)} Apps, so it must have {_APP}, which stands "
            "for the App's name"
        )
    targets = []
    for app in apps:
        found = reference.parse(target.replace(_APP, app.name))
        if found.digest is not None:
            raise LayerscanError(f"--target {target}: takes a tag; the digest is what comes of it")
        targets.append((app, found))
    return targets


def _settings(options: argparse.Namespace) -> "Settings":
    from layerscan.publishing.preparation import Settings
    from layerscan.registry.options import registry_host

    return Settings(
        metadata=None if options.layers_meta is None else _metadata(options.layers_meta),
        environment=os.environ,
        tag=_checked_tag(options.tag),
        factory_registry=registry_host(options.factory_registry),
        architectures=asked_architectures(options),
        pinned_images=_pinned_images(options.pinned_image),
        allow_missing_meta=options.allow_missing_meta,
    )


def _predicted(
    planned: "Sequence[PlannedApp]",
    settings: "Settings",
    client: "RegistryClient",
    options: argparse.Namespace,
) -> "tuple[Settings, dict[str, Failed]]":
    """The settings with metadata that is predicted, if it is to be; and Apps that have none."""
    if not options.predict:
        return settings, {}
    from layerscan.cli.progress import PredictProgress
    from layerscan.publishing.predicted import predict_apps
    from layerscan.publishing.publish import Failed

    target = model(options)
    with PredictProgress(shown=is_for_people()) as progress:
        prediction, failures = predict_apps(planned, client, target, reading(options, progress))
    complain("warning", *prediction.notes)
    settings = settings._replace(metadata=prediction.documents())
    if options.allow_missing_meta:
        told = (f"App {name}: cannot be predicted: {why}" for name, why in failures.items())
        complain("warning", *told)
        return settings, {}
    return settings, {name: Failed(name, reason) for name, reason in failures.items()}


def _metadata(path: str) -> "dict[str, LayersMeta]":
    from layerscan import layersmeta
    from layerscan.errors import DocumentError

    try:
        return layersmeta.load_by_arch(path)
    except DocumentError as error:
        try:
            layersmeta.load(path)
        except DocumentError:
            raise error from None
        raise LayerscanError(
            f"{path}: is the document of one architecture; make it one of all with 'layerscan "
            f"merge ARCH={path}'"
        ) from None


def _checked_tag(tag: str | None) -> str | None:
    from layerscan.reference import Reference

    # Of no repository: it says whether the tag is one.
    return None if tag is None else Reference("registry.example", "x", tag, None).tag


def _pinned_images(texts: "Sequence[str]") -> "dict[Reference, str]":
    from layerscan import reference
    from layerscan.reference import Reference

    pinned: dict[Reference, str] = {}
    for text in texts:
        found = reference.parse(text, default_tag=False)
        if found.digest is None:
            raise LayerscanError(f"--pinned-image {text}: expected NAME@sha256:…")
        name = Reference(found.registry, found.path, found.tag, None)
        if pinned.setdefault(name, found.digest) != found.digest:
            raise LayerscanError(f"--pinned-image {text}: {name.familiar} has another digest above")
    return pinned


def _unused(settings: "Settings", planned: "Iterable[PlannedApp]") -> list[str]:
    """The pinned images that no App names."""
    from layerscan.apps.images import retagged

    used = {
        retagged(image, settings.tag, settings.factory_registry, default_tag=False)
        for one in planned
        for image in one.services.values()
    }
    return sorted(name.familiar for name in settings.pinned_images if name not in used)


def _tell(
    outcomes: "Sequence[Published | Failed]", options: argparse.Namespace, unused: "Sequence[str]"
) -> int:
    from layerscan.publishing.publish import Failed, Published

    published = [outcome for outcome in outcomes if isinstance(outcome, Published)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    without = "no service has that image without a digest"
    complain("warning", *(f"--pinned-image {name}: {without}" for name in unused))
    for one in published:
        complain("warning", *(f"App {one.app}: {warning}" for warning in one.warnings))
    complain("error", *(f"App {one.app}: {one.reason}" for one in failed))
    complain("note", *(_summary(one, options) for one in published))
    several = len(outcomes) > 1
    lines = "".join(f"{one.app}\t" * several + f"{one.digest}\n" for one in published)
    if options.format == "json":
        print_json([_plain(outcome) for outcome in outcomes])
    else:
        write_data("-", lines.encode())
    if published and options.digest_file is not None:
        write_digests(options.digest_file, lines.encode())
    if published:
        sent = f"uploaded {human(sum(one.sent for one in published))}"
        where = f"wrote {options.out_dir}" if options.dry_run else sent
        options.summary.tell(counted(len(outcomes), "Apps"), where)
    if not failed:
        return ExitStatus.DONE
    return ExitStatus.PARTIAL if published else ExitStatus.BAD_INPUT


def _summary(one: "Published", options: argparse.Namespace) -> str:
    target = f"{one.target.repository}:{one.target.tag}"
    what = [", ".join(one.architectures)]
    what.append("with layers metadata" if one.has_metadata else "without layers metadata")
    if options.dry_run:
        folder = os.path.join(options.out_dir, one.app)
        return f"App {one.app} is in {folder}, not in {target}: {'; '.join(what)}"
    what.append(f"{human(one.sent)} uploaded" if one.sent else "nothing had to be uploaded")
    return f"App {one.app} is in {target}: {'; '.join(what)}"


def _plain(one: "Published | Failed") -> dict[str, object]:
    from layerscan.publishing.publish import Failed

    if isinstance(one, Failed):
        return {"app": one.app, "error": one.reason}
    return {
        "app": one.app,
        "target": f"{one.target.repository}:{one.target.tag}",
        "digest": one.digest,
        "size": one.size,
        "architectures": list(one.architectures),
        "layers_meta": one.has_metadata,
        "layers_manifests": one.has_layers_manifests,
        "uploaded": one.sent,
        "warnings": list(one.warnings),
    }
