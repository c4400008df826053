"""The way of the script that layerscan replaces: ``python -P replaced.py DATA_ROOT``.

Written here anew from what is known of it: for each image, for each of its
layers, one after the other, two ``du -sk`` of the layer's folder are forked,
and a layer that several images share is measured for each of them. Everything
beside du is as lean as it can be, so that it is no straw man: it imports
little, reads each file of the store once per image, and writes the same
document as ``layerscan scan -o -`` does.
"""

import hashlib
import json
import os
import subprocess
import sys


def _read(*parts: str) -> str:
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def _du(folder: str) -> int:
    return int(subprocess.check_output(["du", "-sk", folder]).split()[0]) * 1024


def _layers(root: str, image_id: str) -> dict[str, dict[str, int]]:
    """The layers of one image by the digest of the compressed layer."""
    image = os.path.join(root, "image", "overlay2")
    config = json.loads(_read(image, "imagedb", "content", image_id.replace(":", "/")))
    layers = {}
    chain = ""
    for diff_id in config["rootfs"]["diff_ids"]:
        together = f"{chain} {diff_id}".encode()
        chain = "sha256:" + hashlib.sha256(together).hexdigest() if chain else diff_id
        layer = os.path.join(image, "layerdb", chain.replace(":", "/"))
        folder = os.path.join(root, "overlay2", _read(layer, "cache-id"))
        usage = _du(folder)
        if _du(folder) != usage:
            sys.exit(f"{folder}: changes while it is measured")
        known = os.path.join(image, "distribution", "v2metadata-by-diffid")
        digest = json.loads(_read(known, diff_id.replace(":", "/")))[-1]["Digest"]
        tar_split = os.stat(os.path.join(layer, "tar-split.json.gz")).st_size
        layers[digest] = {"size": int(_read(layer, "size")), "usage": usage + tar_split}
    return layers


def main(root: str) -> None:
    named = json.loads(_read(root, "image", "overlay2", "repositories.json"))["Repositories"]
    layers: dict[str, dict[str, int]] = {}
    for image_id in {image_id: None for names in named.values() for image_id in names.values()}:
        layers.update(_layers(root, image_id))
    document = {"fs_block_size": os.statvfs(root).f_bsize, "layers": layers}
    print(json.dumps(document, indent=2, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1])
