"""What could not be read in a tree: counted, and told with its path.

A path is built only here, from the chain of folders above: it may be longer
than PATH_MAX, and its bytes need be no UTF-8.
"""

from libc.errno cimport ELOOP, ENOENT, ENOMEM, ENOTDIR, ESTALE
from libc.stdlib cimport malloc
from libc.string cimport memcpy, strlen

from layerscan.walking._folders cimport Fault, Folder, Tree, Walk, is_child
from layerscan.walking._linux cimport ls_store, pthread_mutex_lock, pthread_mutex_unlock


cdef enum:
    MOST_FAULTS = 100000  # a walk keeps the paths of so many errors; further ones are only counted


cdef inline void give_up(Walk *w, int error) noexcept nogil:
    """End the walk: what it has counted is of no use any more."""
    ls_store(&w.cancelled, error)


cdef inline bint has_vanished(int error) noexcept nogil:
    # ENOTDIR and ELOOP: a folder gave way to a file or a symlink.
    return error == ENOENT or error == ESTALE or error == ENOTDIR or error == ELOOP


cdef inline char *prepend(char *end, const char *name) noexcept nogil:
    """Write a slash and `name` so that they end before `end`."""
    cdef size_t length = strlen(name)
    end -= length
    memcpy(end, name, length)
    end -= 1
    end[0] = c"/"
    return end


cdef inline Fault *new_fault(const Folder *folder, const char *name) noexcept nogil:
    """A fault with the path of `folder`, or of its entry `name` unless that is NULL."""
    cdef const Folder *up = folder
    cdef size_t length = 0
    cdef size_t root_length
    cdef char *end
    cdef char *path
    cdef Fault *fault
    if name != NULL:
        length += strlen(name) + 1
    while up != NULL:
        length += strlen(up.name) + 1
        up = up.parent
    fault = <Fault *>malloc(sizeof(Fault) + length)
    if fault == NULL:
        return NULL
    end = path = <char *>(fault + 1) + length
    if name != NULL:
        path = prepend(path, name)
    up = folder
    while up.parent != NULL:
        path = prepend(path, up.name)
        up = up.parent
    root_length = strlen(up.name)
    if path != end and root_length > 0 and up.name[root_length - 1] == c"/":
        path += 1
    path -= root_length
    memcpy(path, up.name, root_length)
    fault.path = path
    fault.length = end - path
    return fault


cdef inline void report(Walk *w, const Folder *folder, const char *name, int error) noexcept nogil:
    """Count `folder`, or its entry `name`, as vanished or as an error to be told."""
    cdef Tree *tree = folder.tree
    cdef bint vanished = has_vanished(error)
    cdef bint in_child = folder.in_child or is_child(folder, name)
    cdef bint keep = False
    cdef Fault *fault
    if not vanished:
        pthread_mutex_lock(&w.lock)
        keep = w.faults < MOST_FAULTS
        w.faults += 1
        pthread_mutex_unlock(&w.lock)
    pthread_mutex_lock(&tree.lock)
    tree.whole.vanished += vanished
    tree.whole.errors += not vanished
    if in_child:
        tree.child.vanished += vanished
        tree.child.errors += not vanished
    if keep:
        fault = new_fault(folder, name)
        if fault == NULL:
            give_up(w, ENOMEM)
        else:
            fault.error = error
            fault.in_child = in_child
            fault.next = tree.faults
            tree.faults = fault
    pthread_mutex_unlock(&tree.lock)
