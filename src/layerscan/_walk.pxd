"""The walk for other Cython modules: ``from layerscan._walk cimport Tally, walk_path``."""

from layerscan.walking._tally cimport Tally


# Walk the tree at `path` without the GIL: fills `tally`, returns 0 or the
# errno for which the root itself could not be read. threads=0 chooses. The
# rules are those of layerscan.walk.
cdef int walk_path(const char *path, int threads, Tally *tally) noexcept nogil
