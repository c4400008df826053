"""Compose Apps: on disk, and as they are published.

``discovery`` finds the Apps on disk, ``compose`` reads their Compose file,
``environment`` the variables that it may use and ``interpolation`` puts these
in; ``images`` makes image references of the result. ``pinning`` writes the
Compose file as devices get it (``yamltree`` is the YAML), ``bundle`` the App's files (by
``archive``, heeding ``ignore``) and ``document`` the manifests; ``published``
reads these back. All of it is input that cannot be trusted: ``files`` bounds
what is read.
"""
