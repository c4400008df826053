"""Sums over a layer's tree that models of file systems share."""

from layerscan.prediction.filesystems.columns import is_plain_acl
from layerscan.tar.tree import XattrNamespace
from tests.builders.model_case import folder_tree


def test_an_acl_that_says_no_more_than_the_mode() -> None:
    # A header of 4 bytes, and 8 for each entry: owner, group and others are three.
    access, default = XattrNamespace.ACL_ACCESS, XattrNamespace.ACL_DEFAULT
    kinds = [(access, 20), (access, 28), (access, 36), (default, 28), (XattrNamespace.USER, 28)]
    attributes = [(1, namespace, 0, length) for namespace, length in kinds]
    tree = folder_tree([1], attributes=attributes)
    assert is_plain_acl(tree).tolist() == [True, True, False, False, False]
