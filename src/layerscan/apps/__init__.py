"""Compose Apps on disk: finding them, and the images that they name.

``discovery`` finds the Apps, ``compose`` reads their Compose file,
``environment`` the variables that it may use and ``interpolation`` puts these
in; ``images`` makes image references of the result. All of it is input that
cannot be trusted: ``files`` bounds what is read.
"""
