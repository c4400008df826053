# cython: subinterpreters_compatible=shared_gil
"""The directory walk and its block accounting, in C and without the GIL.

This file owns one walk over several trees from start to end, and its Python
face `walk_trees`. Its parts, from the ground up:

    _linux.pxd      system calls and threads
    _tally.pxd      what is counted, and how
    _inodes.pxd     the set of hard-linked inodes
    _order.pxd      entries in the order of their inodes
    _folders.pxd    folders and the descriptors they hold
    _apart.pxd      trees of which each inode counts in one
    _faults.pxd     errors with their paths
    _work.pxd       what each thread does

``walker`` is the Python face of it all.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport ENOMEM
from libc.stdint cimport UINT64_MAX, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from layerscan.walking._apart cimport apart_free, note_roots, settle_named
from layerscan.walking._faults cimport give_up
from layerscan.walking._folders cimport Fault, Folder, Tree, Walk, leave, settle, unpark
from layerscan.walking._inodes cimport inode_set_free
from layerscan.walking._linux cimport (
    close, ls_cond_init, ls_cond_wait_for, ls_cores, ls_descriptors_left, ls_load, ls_store,
    ls_thread_start, pthread_cond_broadcast, pthread_cond_destroy, pthread_join,
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock, pthread_t,
)
from layerscan.walking._rows cimport Row, Rows, rows_free
from layerscan.walking._work cimport BUFFER, Scratch, work


cdef enum:
    # Before there is a pool the calling thread reads so many bytes of names at
    # a time, and a walk that ends within so many entries starts no thread.
    FIRST_BUFFER = 8 * 1024
    ENTRIES_ALONE = 512
    # Queue depth, not cores, is what a cold walk needs.
    THREADS_PER_CORE = 16
    MOST_THREADS = 256
    # Descriptors left to the rest of the process, and the most that a walk
    # keeps when the limit is high: it gains nothing from more.
    DESCRIPTORS_SPARED = 16
    MOST_DESCRIPTORS = 4096
    # Milliseconds between two looks at signals and cancellation, and two calls of on_progress.
    PAUSE = 50
    INTERVAL = 100
    # In `Walk.cancelled`, beside the errno of a walk that gave up.
    CANCELLED = -1


cdef void work_with_scratch(Walk *w, size_t buffer_size, uint64_t most_entries) noexcept nogil:
    cdef Scratch *s = <Scratch *>malloc(sizeof(Scratch))
    if s == NULL:
        give_up(w, ENOMEM)
        return
    s.buffer_size = buffer_size
    s.linked_count = s.row_count = 0
    memset(&s.whole, 0, sizeof(Tally))
    memset(&s.child, 0, sizeof(Tally))
    work(w, s, most_entries)
    free(s)


cdef void *thread_main(void *argument) noexcept nogil:
    work_with_scratch(<Walk *>argument, BUFFER, UINT64_MAX)
    return NULL


cdef int prepare(Walk *w, size_t tree_count, bint cross_mounts) noexcept nogil:
    """Returns 0 or ENOMEM. `dispose` must follow in either case."""
    cdef size_t i
    memset(w, 0, sizeof(Walk))
    pthread_mutex_init(&w.lock, NULL)
    pthread_mutex_init(&w.apart.lock, NULL)
    ls_cond_init(&w.work)
    ls_cond_init(&w.ended)
    w.cross_mounts = cross_mounts
    w.trees = <Tree *>calloc(tree_count + 1, sizeof(Tree))
    if w.trees == NULL:
        return ENOMEM
    w.tree_count = tree_count
    for i in range(tree_count):
        pthread_mutex_init(&w.trees[i].lock, NULL)
        w.trees[i].linked = &w.trees[i].own_linked
    return 0


cdef void count_once(Walk *w) noexcept nogil:
    """Let trees be walked in order, none counting what one before it counted."""
    cdef size_t i
    w.in_order = True
    for i in range(w.tree_count):
        w.trees[i].linked = &w.linked


cdef void start(Walk *w, int threads) noexcept nogil:
    """Begin the walk; a small one is over when this returns.

    A pool is started only for what the calling thread does not finish within
    its first few hundred entries. Where not one thread can be had, the calling
    thread does it all.
    """
    cdef long left = ls_descriptors_left()
    cdef long most
    if threads <= 0:
        threads = min(ls_cores() * THREADS_PER_CORE, MOST_THREADS)
    if left < 0:
        left = MOST_DESCRIPTORS
    # A thread holds two descriptors at a time, and is closing a third.
    most = max((left - DESCRIPTORS_SPARED) // 5, 1)
    threads = min(threads, <int>min(most, MOST_THREADS))
    w.descriptors_allowed = min(max(left - DESCRIPTORS_SPARED - threads, 2), MOST_DESCRIPTORS)
    work_with_scratch(w, FIRST_BUFFER, ENTRIES_ALONE)
    if w.finished or ls_load(&w.cancelled):
        return
    w.threads = <pthread_t *>calloc(threads, sizeof(pthread_t))
    while w.threads != NULL and w.thread_count < threads:
        if ls_thread_start(&w.threads[w.thread_count], thread_main, w) != 0:
            break
        w.thread_count += 1
    if w.thread_count == 0:
        work_with_scratch(w, BUFFER, UINT64_MAX)


cdef bint wait_for(Walk *w, long milliseconds) noexcept nogil:
    """Whether the walk has ended, waiting for it at most so long."""
    cdef bint ended
    pthread_mutex_lock(&w.lock)
    if not w.finished and not ls_load(&w.cancelled):
        ls_cond_wait_for(&w.ended, &w.lock, milliseconds)
    ended = w.finished or ls_load(&w.cancelled)
    pthread_mutex_unlock(&w.lock)
    return ended


cdef void abandon(Walk *w) noexcept nogil:
    """Take down what a cancelled walk left on the stack."""
    cdef Folder *folder
    cdef Folder *parent
    cdef int closing
    while w.top != NULL:
        folder = w.top
        w.top = folder.next
        parent = folder.parent
        if folder.fd < 0 and parent != NULL:
            parent.waiting -= 1
            if parent.waiting == 0 and parent.users == 0 and parent.fd >= 0:
                unpark(w, parent)
                closing = settle(w, parent)
                if closing >= 0:
                    close(closing)
        closing = leave(w, folder)
        if closing >= 0:
            close(closing)


cdef void stop(Walk *w) noexcept nogil:
    """Cancel the walk unless it has finished; its threads are gone afterwards."""
    cdef int i
    pthread_mutex_lock(&w.lock)
    if not w.finished and not ls_load(&w.cancelled):
        ls_store(&w.cancelled, CANCELLED)
    pthread_cond_broadcast(&w.work)
    pthread_mutex_unlock(&w.lock)
    for i in range(w.thread_count):
        pthread_join(w.threads[i], NULL)
    w.thread_count = 0
    abandon(w)


cdef void dispose(Walk *w) noexcept nogil:
    cdef size_t i
    cdef Fault *fault
    inode_set_free(&w.linked)
    apart_free(&w.apart)
    pthread_mutex_destroy(&w.apart.lock)
    for i in range(w.tree_count):
        inode_set_free(&w.trees[i].own_linked)
        pthread_mutex_destroy(&w.trees[i].lock)
        while w.trees[i].faults != NULL:
            fault = w.trees[i].faults
            w.trees[i].faults = fault.next
            free(fault)
    free(w.trees)
    free(w.threads)
    pthread_cond_destroy(&w.ended)
    pthread_cond_destroy(&w.work)
    pthread_mutex_destroy(&w.lock)


cdef int walk_path(const char *path, int threads, Tally *tally) noexcept nogil:
    cdef Walk w
    cdef int error = prepare(&w, 1, False)
    if error == 0:
        w.trees[0].path = path
        start(&w, threads)
        while not wait_for(&w, 1000):
            pass
        stop(&w)
        error = ls_load(&w.cancelled) or w.trees[0].error
        tally[0] = w.trees[0].whole
    dispose(&w)
    return error


cdef tuple tally_facts(const Tally *tally):
    return (
        tally.blocks,
        (<object>tally.size_high << 64) | <object>tally.size,
        tally.files,
        tally.directories,
        tally.symlinks,
        tally.others,
        (<object>tally.holes_high << 64) | <object>tally.holes,
        tally.directory_size,
        tally.duplicates,
        tally.mounts,
        tally.vanished,
        tally.errors,
    )


cdef tuple tree_facts(const Tree *tree):
    cdef const Fault *fault = tree.faults
    cdef list faults = []
    while fault != NULL:
        faults.append((fault.path[:fault.length], fault.error, bool(fault.in_child)))
        fault = fault.next
    # In the order of paths: the order of threads must not show.
    faults.sort()
    return (
        tree.error,
        tally_facts(&tree.whole),
        tally_facts(&tree.child) if tree.has_child else None,
        faults,
        tree.shared_blocks,
    )


cdef tuple progress(Walk *w):
    cdef uint64_t entries
    cdef size_t trees_done
    with nogil:
        pthread_mutex_lock(&w.lock)
        entries = w.entries
        trees_done = w.trees_done
        pthread_mutex_unlock(&w.lock)
    return entries, trees_done


cdef int set_up(Walk *w, list paths, bint cross_mounts) except -1:
    """Prepare a walk of `paths`, which must outlive it. `dispose` must follow in any case."""
    cdef size_t i
    cdef bytes path
    if prepare(w, len(paths), cross_mounts) != 0:
        raise MemoryError
    for i in range(w.tree_count):
        path = paths[i]
        if b"\0" in path:
            raise ValueError("a path cannot contain a NUL byte")
        w.trees[i].path = PyBytes_AS_STRING(path)
    return 0


cdef int drive(Walk *w, int threads, on_progress, cancel) except -1:
    """Run the walk to its end, looking after signals, progress and `cancel` meanwhile."""
    cdef bint ended = False
    cdef int since = 0
    with nogil:
        start(w, threads)
        ended = wait_for(w, 0)
    while not ended:
        with nogil:
            ended = wait_for(w, PAUSE)
        PyErr_CheckSignals()
        if not ended and cancel is not None and cancel.is_set():
            raise InterruptedError("the walk was cancelled")
        since += PAUSE
        if on_progress is not None and since >= INTERVAL:
            since = 0
            on_progress(*progress(w))
    with nogil:
        stop(w)
    if ls_load(&w.cancelled) == ENOMEM:
        raise MemoryError
    if on_progress is not None:
        on_progress(*progress(w))
    return 0


cdef void tear_down(Walk *w):
    with nogil:
        stop(w)
        dispose(w)


def walk_trees(
    list paths, bytes child, bint in_order, bint all_inodes, bint apart, size_t borders,
    int threads, bint cross_mounts, on_progress, cancel,
):
    """Walk each of `paths` in one pool; see _walk.pyi."""
    cdef Walk w
    cdef size_t i
    cdef int error
    try:
        set_up(&w, paths, cross_mounts)
        if in_order:
            count_once(&w)
            w.all_inodes = all_inodes
        if apart:
            w.is_apart = True
            with nogil:
                error = note_roots(&w, borders)
            if error != 0:
                raise MemoryError
        if child is not None:
            for i in range(w.tree_count):
                w.trees[i].child_name = PyBytes_AS_STRING(child)
        drive(&w, threads, on_progress, cancel)
        if apart:
            settle_named(&w)
        return [tree_facts(&w.trees[i]) for i in range(w.tree_count)]
    finally:
        tear_down(&w)


cdef class RowBuffer:
    """Memory of `Row`s; gives itself as a buffer of bytes, without a copy."""

    cdef Rows rows

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(
            buffer, self, self.rows.items, self.rows.count * sizeof(Row), False, flags
        )

    def __dealloc__(self):
        rows_free(&self.rows)


def list_inodes(bytes path, int threads, bint cross_mounts, on_progress, cancel):
    """Walk `path` and keep a row for each inode; see _walk.pyi."""
    cdef Walk w
    cdef RowBuffer buffer = RowBuffer()
    try:
        set_up(&w, [path], cross_mounts)
        w.trees[0].rows = &buffer.rows
        drive(&w, threads, on_progress, cancel)
        return tree_facts(&w.trees[0]), buffer
    finally:
        tear_down(&w)
