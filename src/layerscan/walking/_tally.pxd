"""What is counted of a tree, and the rules of counting: accounting in ``docs``."""

from libc.stdint cimport uint64_t


cdef extern from "<sys/stat.h>" nogil:
    unsigned short S_IFMT
    unsigned short S_IFDIR
    unsigned short S_IFREG
    unsigned short S_IFLNK


cdef struct Tally:
    uint64_t blocks  # sum of st_blocks, in units of 512 bytes (stat(2))
    # Sum of st_size in bytes of everything that is no directory: its low 64
    # bits, and what overflowed them (sparse files can).
    uint64_t size, size_high
    uint64_t holes, holes_high  # bytes of regular files that no block stands for, likewise
    # Sum of st_size in bytes of directories: what they need for their names,
    # in units that are the file system's own affair.
    uint64_t directory_size
    uint64_t files, directories, symlinks, others  # inodes by kind, each counted once
    uint64_t duplicates  # further names of inodes counted already
    uint64_t mounts  # directories on which another file system is mounted: not entered, not counted
    uint64_t vanished  # entries that were gone when the walk came to them
    uint64_t errors  # entries that could not be read


cdef inline void add_inode(
    Tally *tally, unsigned short mode, uint64_t blocks, uint64_t size
) noexcept nogil:
    """Count one inode: blocks of everything, bytes of what is no directory."""
    cdef unsigned short kind = mode & S_IFMT
    tally.blocks += blocks
    if kind == S_IFDIR:
        tally.directories += 1
        tally.directory_size += size
        return
    tally.size += size
    tally.size_high += tally.size < size
    if kind == S_IFREG:
        tally.files += 1
        if size > blocks * 512:
            tally.holes += size - blocks * 512
            tally.holes_high += tally.holes < size - blocks * 512
    elif kind == S_IFLNK:
        tally.symlinks += 1
    else:
        tally.others += 1


cdef inline void add_tally(Tally *total, const Tally *part) noexcept nogil:
    total.blocks += part.blocks
    total.size += part.size
    total.size_high += part.size_high + (total.size < part.size)
    total.holes += part.holes
    total.holes_high += part.holes_high + (total.holes < part.holes)
    total.directory_size += part.directory_size
    total.files += part.files
    total.directories += part.directories
    total.symlinks += part.symlinks
    total.others += part.others
    total.duplicates += part.duplicates
    total.mounts += part.mounts
    total.vanished += part.vanished
    total.errors += part.errors
