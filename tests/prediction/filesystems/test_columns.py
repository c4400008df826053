"""Sums over a layer's tree that models of file systems share."""

from layerscan.prediction.filesystems.columns import values_with_short_acls
from layerscan.tar.tree import XattrNamespace
from tests.builders.model_case import folder_tree


def test_entries_of_acls_without_an_id() -> None:
    # A header of 4 bytes, and 8 for each entry: owner, group, mask and others have no id.
    access, default = XattrNamespace.ACL_ACCESS, XattrNamespace.ACL_DEFAULT
    kinds = [(access, 36), (access, 44), (default, 28), (default, 52), (XattrNamespace.USER, 28)]
    attributes = [(1, namespace, 0, length) for namespace, length in kinds]
    tree = folder_tree([1], attributes=attributes)
    assert values_with_short_acls(tree).tolist() == [20, 28, 16, 36, 28]
