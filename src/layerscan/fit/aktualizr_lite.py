"""The rules of aktualizr-lite: it has composectl pull one App after another.

Each App is judged by composectl's rules, with the blobs of those before it in the store
and gone from the free space. What they will need to run is not taken off, since they are
installed when all have been pulled. At the first that does not fit, the client stops.
"""

from collections.abc import Sequence

from layerscan.fit import composectl
from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device
from layerscan.fit.verdict import Limit, Rule, Space, Verdict, Watermarks

NAME = "aktualizr-lite"
WATERMARKS = Watermarks(default=80, lowest=20, highest=95)


def check(apps: Sequence[AppContents], device: Device, architecture: str, limit: Limit) -> Verdict:
    """What the client would answer of Apps in the order in which it takes them; or of metadata.

    Raises LayerscanError where metadata alone cannot be used.
    """
    rules: dict[str, Rule] = {}
    notes: list[str] = []
    spaces: list[Space] = []
    all_lacking: dict[str, composectl.Lacking] = {}
    taken = 0
    for number, app in enumerate(apps):
        rules[app.name], lacking = composectl.lacking_of(app, device, architecture, notes)
        name = app.name if len(apps) > 1 else None
        spaces.append(composectl.space(lacking, device, limit, taken=taken, app=name))
        all_lacking |= lacking
        if not spaces[-1].fits:
            notes += (
                f"{later.name}: not looked at: the client stops at the first App that does not fit"
                for later in apps[number + 1 :]
            )
            break
        taken += sum(one.store for one in lacking.values())
        pulled = {digest: one.blob.size for digest, one in lacking.items()}
        device = device._replace(blobs={**device.blobs, **pulled})
    missing, others = composectl.missing_of(all_lacking)
    return Verdict(
        NAME, architecture, limit, rules, tuple(spaces), (), missing, others, tuple(notes)
    )
