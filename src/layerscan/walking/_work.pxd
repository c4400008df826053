"""What each thread does: take folders, read their entries, count, push what it found.

Locks: ``Walk.lock`` guards the stack, the folders and the descriptors;
``Tree.lock`` guards a tree's counts. Neither is held during a system call on
the hot path, and a thread holds one at a time. See "How the walk works" in
docs/explanation/development.md.
"""

from libc.errno cimport EINTR, ENOENT, ENOMEM, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from layerscan.walking._apart cimport add_name, is_root
from layerscan.walking._faults cimport give_up, report
from layerscan.walking._folders cimport (
    Folder, Tree, Walk, device, end_tree, enter, is_child, is_cycle, leave, new_folder,
)
from layerscan.walking._inodes cimport Named, IN_CHILD, IN_TREE, inode_set_add
from layerscan.walking._linux cimport (
    AT_FDCWD, Stat, close, ls_dirent, ls_getdents, ls_load, ls_stat,
    pthread_cond_broadcast, pthread_cond_signal, pthread_cond_wait, pthread_mutex_lock,
    pthread_mutex_unlock,
)
from layerscan.walking._order cimport Entry, sort_by_inode
from layerscan.walking._rows cimport Row, rows_add
from layerscan.walking._tally cimport S_IFDIR, S_IFMT, Tally, add_inode, add_tally


cdef enum:
    BUFFER = 32 * 1024  # bytes of names that a thread reads at a time
    # The least and the most that one record of getdents64 takes: 19 bytes and
    # a name of 1 to 255 with its NUL, rounded up to 8.
    LEAST_RECORD = 24
    MOST_RECORD = 280
    MOST_ENTRIES = BUFFER // LEAST_RECORD


cdef struct LinkedInode:
    Row row
    uint32_t dev
    unsigned short mode
    bint in_child


cdef struct Scratch:
    # What one thread works with: no allocation is left for the loop over entries.
    size_t buffer_size
    size_t linked_count
    Tally whole, child
    size_t row_count
    Row rows[MOST_ENTRIES]
    Entry entries[MOST_ENTRIES]
    Entry spare[MOST_ENTRIES]
    LinkedInode linked[MOST_ENTRIES]
    char buffer[BUFFER]


cdef inline void fill_row(Row *row, const Stat *st, uint32_t depth) noexcept nogil:
    row.inode = st.stx_ino
    row.size = st.stx_size
    row.blocks = st.stx_blocks
    row.nlink = st.stx_nlink
    row.depth = depth
    # The type as readdir(3) numbers it: DT_REG, DT_DIR, ….
    row.kind = st.stx_mode >> 12


cdef inline int settle_linked(Scratch *s, Tree *tree) noexcept nogil:
    """Count each linked inode that is new in its tree. Returns 0, or -1 without memory."""
    cdef size_t i
    cdef LinkedInode *inode
    cdef uint32_t where
    cdef int new
    for i in range(s.linked_count):
        inode = &s.linked[i]
        where = IN_TREE | IN_CHILD if inode.in_child else IN_TREE
        new = inode_set_add(tree.linked, inode.row.inode, inode.dev, where)
        if new < 0:
            return -1
        if new & IN_TREE:
            add_inode(&s.whole, inode.mode, inode.row.blocks, inode.row.size)
            if tree.rows != NULL and rows_add(tree.rows, &inode.row, 1) != 0:
                return -1
        else:
            s.whole.duplicates += 1
        if new & IN_CHILD:
            add_inode(&s.child, inode.mode, inode.row.blocks, inode.row.size)
        elif inode.in_child:
            s.child.duplicates += 1
    return 0


cdef inline int keep_linked(Walk *w, Scratch *s, const Tree *tree) noexcept nogil:
    """Keep linked inodes of trees that count apart. Returns 0, or -1 without memory."""
    cdef size_t i
    cdef LinkedInode *inode
    cdef Named named
    cdef int starved = 0
    memset(&named, 0, sizeof(Named))
    pthread_mutex_lock(&w.apart.lock)
    for i in range(s.linked_count):
        inode = &s.linked[i]
        named.ino = inode.row.inode
        named.dev = inode.dev
        named.blocks = inode.row.blocks
        named.size = inode.row.size
        named.nlink = inode.row.nlink
        named.mode = inode.mode
        starved = add_name(w, tree, &named)
        if starved != 0:
            break
    pthread_mutex_unlock(&w.apart.lock)
    s.whole.duplicates += s.linked_count
    s.linked_count = 0
    return starved


cdef inline void settle_counts(Walk *w, Scratch *s, Tree *tree) noexcept nogil:
    """Add a batch to its tree."""
    cdef int starved = 0
    if w.is_apart and s.linked_count:
        starved = keep_linked(w, s, tree)
    pthread_mutex_lock(&tree.lock)
    starved |= settle_linked(s, tree)
    if tree.rows != NULL and starved == 0:
        starved = rows_add(tree.rows, s.rows, s.row_count)
    add_tally(&tree.whole, &s.whole)
    add_tally(&tree.child, &s.child)
    pthread_mutex_unlock(&tree.lock)
    s.linked_count = s.row_count = 0
    memset(&s.whole, 0, sizeof(Tally))
    memset(&s.child, 0, sizeof(Tally))
    if starved != 0:
        give_up(w, ENOMEM)


cdef inline bint is_counted(Walk *w, Tree *tree, const Stat *st) noexcept nogil:
    """Whether a directory was counted in a tree before; marks it as counted."""
    cdef int new
    pthread_mutex_lock(&tree.lock)
    new = inode_set_add(tree.linked, st.stx_ino, device(st), IN_TREE)
    pthread_mutex_unlock(&tree.lock)
    if new < 0:
        give_up(w, ENOMEM)
    return new == 0


cdef inline void wake(Walk *w, size_t count) noexcept nogil:
    if count >= w.sleeping:
        if w.sleeping:
            pthread_cond_broadcast(&w.work)
        return
    while count > 0:
        pthread_cond_signal(&w.work)
        count -= 1


cdef inline Folder *measure_entry(
    Walk *w, Scratch *s, Folder *folder, const char *name
) noexcept nogil:
    """Count one entry. Returns a fresh folder if it is one to be walked."""
    cdef Tree *tree = folder.tree
    cdef Folder *found
    cdef LinkedInode *inode
    cdef Stat st
    cdef bint in_child = folder.in_child
    cdef int error = ls_stat(folder.fd, name, &st)
    if error != 0:
        report(w, folder, name, error)
        return NULL
    if w.is_apart and is_root(w, &st):
        return NULL
    if is_child(folder, name):
        in_child = tree.has_child = True
    if st.stx_mode & S_IFMT == S_IFDIR:
        if device(&st) != tree.dev and not w.cross_mounts:
            s.whole.mounts += 1
            s.child.mounts += in_child
            return NULL
        if is_cycle(folder, &st):
            s.whole.duplicates += 1
            s.child.duplicates += in_child
            return NULL
        if w.in_order and is_counted(w, tree, &st):
            return NULL
        found = new_folder(tree, folder, name, &st, in_child)
        if found == NULL:
            give_up(w, ENOMEM)
            return NULL
    else:
        found = NULL
        if st.stx_nlink > 1 or w.all_inodes:
            inode = &s.linked[s.linked_count]
            s.linked_count += 1
            fill_row(&inode.row, &st, folder.depth + 1)
            inode.dev = device(&st)
            inode.mode = st.stx_mode
            inode.in_child = in_child
            return NULL
    add_inode(&s.whole, st.stx_mode, st.stx_blocks, st.stx_size)
    if in_child:
        add_inode(&s.child, st.stx_mode, st.stx_blocks, st.stx_size)
    if tree.rows != NULL:
        fill_row(&s.rows[s.row_count], &st, folder.depth + 1)
        s.row_count += 1
    return found


cdef inline size_t read_records(Scratch *s, size_t length) noexcept nogil:
    """Fill the entries from the records that getdents64 wrote. Returns their number."""
    cdef size_t count = 0
    cdef size_t offset = 0
    cdef ls_dirent *record
    cdef const char *name
    while offset < length:
        record = <ls_dirent *>(s.buffer + offset)
        offset += record.reclen
        name = record.name
        if name[0] == c"." and (name[1] == 0 or (name[1] == c"." and name[2] == 0)):
            continue
        s.entries[count].ino = record.ino
        s.entries[count].name = name
        count += 1
    return count


cdef inline void measure_entries(Walk *w, Scratch *s, Folder *folder, size_t length) noexcept nogil:
    """Count the entries in the buffer; push the folders among them."""
    cdef size_t count = read_records(s, length)
    cdef Entry *entries = sort_by_inode(s.entries, s.spare, count)
    cdef Folder *first = NULL
    cdef Folder *last = NULL
    cdef Folder *found
    cdef size_t found_count = 0
    cdef size_t i
    for i in range(count):
        if ls_load(&w.cancelled):
            break
        found = measure_entry(w, s, folder, entries[i].name)
        if found != NULL:
            if last != NULL:
                last.next = found
            else:
                first = found
            last = found
            found_count += 1
    settle_counts(w, s, folder.tree)
    pthread_mutex_lock(&w.lock)
    w.entries += count
    if found_count > 0:
        folder.waiting += found_count
        folder.refs += found_count
        last.next = w.top
        w.top = first
        # This thread takes one of them itself.
        wake(w, found_count - 1)
    pthread_mutex_unlock(&w.lock)


cdef inline void hand_on(Walk *w, Folder *folder) noexcept nogil:
    """Let another thread read on in a folder."""
    pthread_mutex_lock(&w.lock)
    folder.users += 1
    folder.refs += 1
    folder.next = w.top
    w.top = folder
    wake(w, 1)
    pthread_mutex_unlock(&w.lock)


cdef inline void visit(Walk *w, Scratch *s, Folder *folder) noexcept nogil:
    """Read a folder, to its end or until another thread may read on."""
    cdef int error = enter(w, folder) if folder.fd < 0 else 0
    cdef bint handed_on = False
    cdef long length
    cdef int closing
    while error == 0 and not handed_on and not ls_load(&w.cancelled):
        length = ls_getdents(folder.fd, s.buffer, s.buffer_size)
        if length < 0:
            error = errno if errno != EINTR else 0
            continue
        if length == 0:
            break
        # The buffer is full: there is more, or at the least one call to learn it.
        handed_on = length > <long>s.buffer_size - MOST_RECORD
        if handed_on:
            hand_on(w, folder)
        measure_entries(w, s, folder, <size_t>length)
    if error != 0:
        report(w, folder, NULL, error)
    pthread_mutex_lock(&w.lock)
    closing = leave(w, folder)
    pthread_mutex_unlock(&w.lock)
    if closing >= 0:
        close(closing)


cdef inline Folder *begin_tree(Walk *w, Tree *tree) noexcept nogil:
    """Count a root. Returns a fresh folder if it is one."""
    cdef Folder *folder = NULL
    cdef Stat st
    cdef Row row
    tree.error = ls_stat(AT_FDCWD, tree.path, &st)
    if w.is_apart and tree.error == 0 and (st.stx_ino != tree.ino or device(&st) != tree.dev):
        # Another tree counts what is there now.
        tree.error = ENOENT
    if tree.error == 0:
        tree.dev = device(&st)
        tree.skipped |= w.in_order and is_counted(w, tree, &st)
    if tree.error == 0 and not tree.skipped:
        add_inode(&tree.whole, st.stx_mode, st.stx_blocks, st.stx_size)
        if w.is_apart and st.stx_mode & S_IFMT != S_IFDIR and st.stx_nlink > 1:
            tree.shared_blocks = st.stx_blocks
        if tree.rows != NULL:
            fill_row(&row, &st, 0)
            if rows_add(tree.rows, &row, 1) != 0:
                give_up(w, ENOMEM)
        if st.stx_mode & S_IFMT == S_IFDIR:
            folder = new_folder(tree, NULL, NULL, &st, False)
            if folder == NULL:
                give_up(w, ENOMEM)
    pthread_mutex_lock(&w.lock)
    w.entries += tree.error == 0
    if folder == NULL:
        end_tree(w)
    pthread_mutex_unlock(&w.lock)
    return folder


cdef inline void work(Walk *w, Scratch *s, uint64_t most_entries) noexcept nogil:
    """Take folders, else trees, until all is done or so many entries were counted."""
    cdef Folder *folder
    cdef Tree *tree
    pthread_mutex_lock(&w.lock)
    w.busy += 1
    while not w.finished and not ls_load(&w.cancelled) and w.entries < most_entries:
        folder = w.top
        tree = NULL
        if folder != NULL:
            w.top = folder.next
            folder.next = NULL
        elif w.trees_begun < w.tree_count and not (w.in_order and w.trees_done < w.trees_begun):
            tree = &w.trees[w.trees_begun]
            w.trees_begun += 1
        else:
            w.busy -= 1
            if w.busy == 0 and w.trees_begun == w.tree_count:
                # Nobody is left who could find more.
                w.finished = True
                pthread_cond_broadcast(&w.work)
                pthread_cond_signal(&w.ended)
            else:
                w.sleeping += 1
                pthread_cond_wait(&w.work, &w.lock)
                w.sleeping -= 1
            w.busy += 1
            continue
        pthread_mutex_unlock(&w.lock)
        if tree != NULL:
            folder = begin_tree(w, tree)
        if folder != NULL:
            visit(w, s, folder)
        pthread_mutex_lock(&w.lock)
    w.busy -= 1
    pthread_mutex_unlock(&w.lock)
