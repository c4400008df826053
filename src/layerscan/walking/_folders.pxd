"""Folders that are being walked, and the descriptors they hold.

A folder's descriptor stays open while someone reads it (``users``) or it has
sub-folders that nobody opened yet (``waiting``); with no users it is parked.
When the descriptors allowed are used up, the one parked longest is closed.

    fresh --open--> read by users --no users--> parked --sub-folders opened--> closed
                         ^                        | ^
                         '------- taken up -------' '-- evicted, opened again

`Walk.lock` guards all of it; the functions say which of them take it and which
expect it to be held.
"""

from libc.errno cimport EMFILE, ENFILE, ESTALE, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strcmp, strlen

from layerscan.walking._inodes cimport Apart, InodeSet
from layerscan.walking._linux cimport (
    AT_FDCWD, Stat, close, ls_open_directory, ls_stat, pthread_cond_signal, pthread_cond_t,
    pthread_mutex_lock,
    pthread_mutex_t, pthread_mutex_unlock, pthread_t, usleep,
)
from layerscan.walking._rows cimport Rows
from layerscan.walking._tally cimport Tally


cdef enum:
    # How many folders above a folder may be the folder itself: more than the longest
    # path that the kernel takes in one call has.
    CYCLE = 2048


cdef struct Fault:
    Fault *next
    int error
    bint in_child
    size_t length
    const char *path        # `length` bytes, in the memory behind this struct


cdef struct Tree:
    const char *path
    const char *child_name  # of the child to be counted apart, or NULL
    uint32_t dev
    pthread_mutex_t lock
    Tally whole, child
    bint has_child
    # What was counted already: the tree's own set, or that of all trees.
    InodeSet *linked
    InodeSet own_linked
    Rows *rows              # NULL: no table is asked for
    bint skipped            # its root was counted in a tree before
    # Of trees that count apart: the root's inode as it was before the walk, and blocks that
    # are counted here of inodes that have further names outside of this tree.
    uint64_t ino
    uint64_t shared_blocks
    Fault *faults
    int error  # the errno for which the root itself could not be read


cdef struct Folder:
    Folder *parent
    Folder *next            # on the stack, or on the way down in `reopen`
    Folder *older           # among the parked
    Folder *newer
    Tree *tree
    uint64_t ino
    uint32_t dev
    int fd                  # -1: not open
    size_t refs             # users, and folders below that still exist
    size_t waiting          # sub-folders that nobody opened yet
    unsigned int users      # who reads it, is about to, or has its descriptor in use
    uint32_t depth
    bint in_child
    const char *name


cdef struct Walk:
    Tree *trees
    size_t tree_count
    bint cross_mounts
    bint in_order  # one tree after the other, and what one counted counts in no later one
    # Every inode is looked for among those counted, not only what has several names.
    bint all_inodes
    InodeSet linked
    bint is_apart           # each inode counts in one tree, see _apart.pxd
    Apart apart
    pthread_mutex_t lock
    pthread_cond_t work     # there is something to take, or the walk has ended
    pthread_cond_t ended
    # All below is guarded by `lock`, but for `cancelled`.
    Folder *top
    size_t trees_begun, trees_done
    uint64_t entries
    unsigned int busy, sleeping
    bint finished
    int cancelled
    Folder *oldest          # of the parked
    Folder *newest
    long descriptors, descriptors_allowed
    size_t faults
    pthread_t *threads
    int thread_count


cdef inline uint32_t device(const Stat *st) noexcept nogil:
    # As the kernel packs it: 12 bits of major number, 20 of minor.
    return st.stx_dev_major << 20 | st.stx_dev_minor


cdef inline bint is_child(const Folder *folder, const char *name) noexcept nogil:
    """Whether the entry `name` of `folder` is the child that its tree counts apart."""
    cdef const Tree *tree = folder.tree
    return (
        folder.parent == NULL and name != NULL and tree.child_name != NULL
        and strcmp(name, tree.child_name) == 0
    )


cdef inline Folder *new_folder(
    Tree *tree, Folder *parent, const char *name, const Stat *st, bint in_child
) noexcept nogil:
    """A fresh folder, to be handed to its first user. NULL when there is no memory."""
    cdef size_t length = strlen(name) + 1 if parent != NULL else 0
    cdef Folder *folder = <Folder *>malloc(sizeof(Folder) + length)
    if folder == NULL:
        return NULL
    memset(folder, 0, sizeof(Folder))
    folder.parent = parent
    folder.tree = tree
    folder.ino = st.stx_ino
    folder.dev = device(st)
    folder.fd = -1
    folder.refs = 1
    folder.users = 1
    folder.in_child = in_child
    folder.depth = parent.depth + 1 if parent != NULL else 0
    if parent == NULL:
        folder.name = tree.path
    else:
        memcpy(folder + 1, name, length)
        folder.name = <const char *>(folder + 1)
    return folder


cdef inline bint is_cycle(const Folder *parent, const Stat *st) noexcept nogil:
    """Whether the directory found in `parent` is `parent` or one above it.

    A mount puts a folder below itself, and so does what a FUSE server makes up.
    """
    cdef size_t looked_at = 0
    while parent != NULL and looked_at < CYCLE:
        if parent.ino == st.stx_ino and parent.dev == device(st):
            return True
        parent = parent.parent
        looked_at += 1
    return False


cdef inline void unpark(Walk *w, Folder *folder) noexcept nogil:
    if folder.older != NULL:
        folder.older.newer = folder.newer
    else:
        w.oldest = folder.newer
    if folder.newer != NULL:
        folder.newer.older = folder.older
    else:
        w.newest = folder.older
    folder.older = folder.newer = NULL


cdef inline void park(Walk *w, Folder *folder) noexcept nogil:
    folder.older = w.newest
    if w.newest != NULL:
        w.newest.newer = folder
    else:
        w.oldest = folder
    w.newest = folder


cdef inline bint evict(Walk *w) noexcept nogil:
    """Close the descriptor parked longest. False if none is parked."""
    cdef Folder *folder = w.oldest
    if folder == NULL:
        return False
    unpark(w, folder)
    close(folder.fd)
    folder.fd = -1
    w.descriptors -= 1
    return True


cdef inline int open_below(Walk *w, int parent, const char *name) noexcept nogil:
    """A descriptor, or minus the errno. Makes room where descriptors ran out.

    Others in this process, or on this machine, may have taken what the walk
    counted on: then it closes what it can and waits for up to a second.
    """
    cdef int fd = ls_open_directory(parent, name)
    cdef int patience = 1000
    cdef bint made_room
    while fd < 0 and (errno == EMFILE or errno == ENFILE) and patience > 0:
        pthread_mutex_lock(&w.lock)
        made_room = evict(w)
        pthread_mutex_unlock(&w.lock)
        if not made_room:
            patience -= 1
            usleep(1000)
        fd = ls_open_directory(parent, name)
    return fd if fd >= 0 else -errno


cdef inline bint is_folder(int fd, const Folder *folder) noexcept nogil:
    """Whether `fd` is open on the very directory that `folder` was made for."""
    cdef Stat st
    return ls_stat(fd, b".", &st) == 0 and st.stx_ino == folder.ino and device(&st) == folder.dev


cdef inline int open_down(Walk *w, int above, Folder *step, Folder *target) noexcept nogil:
    """Open from `above` down the chain of ``next`` from `step` to `target`.

    Returns the descriptor of `target`, or minus the errno. `above` stays open.
    """
    cdef int borrowed = above
    cdef int fd = -1
    cdef int error = 0
    while step != NULL:
        fd = ls_open_directory(above, step.name)
        while fd < 0 and (errno == EMFILE or errno == ENFILE) and evict(w):
            fd = ls_open_directory(above, step.name)
        error = errno
        if above != borrowed:
            close(above)
        if fd < 0:
            return -error
        above = fd
        step = step.next
    if not is_folder(fd, target):
        close(fd)
        return -ESTALE
    return fd


cdef inline int reopen(Walk *w, Folder *folder) noexcept nogil:
    """Open an evicted folder again, down from its nearest open ancestor.

    Rare, so done with the lock held. Returns 0 or an errno.
    """
    cdef Folder *step = folder
    cdef Folder *anchor
    cdef int fd
    folder.next = NULL
    while step.parent != NULL and step.parent.fd < 0:
        step.parent.next = step
        step = step.parent
    anchor = step.parent
    if anchor == NULL:
        fd = open_down(w, AT_FDCWD, step, folder)
    elif anchor.users > 0:
        fd = open_down(w, anchor.fd, step, folder)
    else:
        # Out of the reach of `evict` meanwhile.
        unpark(w, anchor)
        fd = open_down(w, anchor.fd, step, folder)
        park(w, anchor)
    if fd < 0:
        return -fd
    folder.fd = fd
    w.descriptors += 1
    return 0


cdef inline int take_up(Walk *w, Folder *folder) noexcept nogil:
    """Become a user of a folder's descriptor. Returns 0 or an errno. Lock held."""
    cdef int error
    if folder.fd < 0:
        error = reopen(w, folder)
        if error != 0:
            return error
    elif folder.users == 0:
        unpark(w, folder)
    folder.users += 1
    folder.refs += 1
    return 0


cdef inline void hand_back(Walk *w, Folder *folder) noexcept nogil:
    """Give an evicted parent that is still needed its descriptor, through ``..``.

    This is what keeps a deep tree linear when descriptors are few.
    """
    cdef Folder *parent = folder.parent
    cdef int fd
    if parent == NULL or parent.fd >= 0 or parent.waiting == 0:
        return
    fd = ls_open_directory(folder.fd, b"..")
    if fd < 0:
        return
    if not is_folder(fd, parent):
        close(fd)
        return
    parent.fd = fd
    w.descriptors += 1
    park(w, parent)


cdef inline int settle(Walk *w, Folder *folder) noexcept nogil:
    """Park or close the descriptor of a folder without users. Lock held.

    Returns the descriptor that the caller shall close, lock released, or -1.
    """
    cdef int fd = folder.fd
    if fd < 0:
        return -1
    if folder.waiting > 0:
        park(w, folder)
        fd = -1
    else:
        hand_back(w, folder)
        folder.fd = -1
        w.descriptors -= 1
    while w.descriptors > w.descriptors_allowed and evict(w):
        pass
    return fd


cdef inline void end_tree(Walk *w) noexcept nogil:
    """One tree more is done. Lock held."""
    w.trees_done += 1
    if w.in_order and w.sleeping:
        # Whoever waits for the next tree to become due.
        pthread_cond_signal(&w.work)


cdef inline void drop(Walk *w, Folder *folder) noexcept nogil:
    """Give up one reference; frees what nobody refers to, upwards. Lock held."""
    cdef Folder *parent
    while folder != NULL:
        folder.refs -= 1
        if folder.refs > 0:
            return
        parent = folder.parent
        if parent == NULL:
            end_tree(w)
        free(folder)
        folder = parent


cdef inline int leave(Walk *w, Folder *folder) noexcept nogil:
    """Stop being a user. Lock held; returns what `settle` returns."""
    cdef int fd = -1
    folder.users -= 1
    if folder.users == 0:
        fd = settle(w, folder)
    drop(w, folder)
    return fd


cdef inline int enter(Walk *w, Folder *folder) noexcept nogil:
    """Open a fresh folder. Returns 0 or an errno."""
    cdef Folder *parent = folder.parent
    cdef int closing = -1
    cdef int error = 0
    cdef int fd
    if parent == NULL:
        fd = open_below(w, AT_FDCWD, folder.name)
    else:
        pthread_mutex_lock(&w.lock)
        error = take_up(w, parent)
        pthread_mutex_unlock(&w.lock)
        fd = -error if error else open_below(w, parent.fd, folder.name)
    pthread_mutex_lock(&w.lock)
    if fd >= 0:
        folder.fd = fd
        w.descriptors += 1
    if parent != NULL:
        parent.waiting -= 1
        if not error:
            closing = leave(w, parent)
    while w.descriptors > w.descriptors_allowed and evict(w):
        pass
    pthread_mutex_unlock(&w.lock)
    if closing >= 0:
        close(closing)
    return -fd if fd < 0 else 0
