/* A bad disk for one process: LD_PRELOAD of this between the service and the C library.
 *
 * Environment:
 *   DISK_ROOT     the folder that it is about; what lies elsewhere is left alone
 *   DISK_RULES    what goes wrong, see below; the first rule that is due at a call counts
 *   DISK_SEED     what a power cut keeps
 *   DISK_SIDE     an empty folder on the same file system: needed for power cuts
 *   DISK_CONTROL  a folder: while it holds `armed`, rules with @ count; while it holds `full`, the disk is
 *                 full for what makes a file longer, with `e` as its content for every write and name, and
 *                 with `s` only in what it says of its free space
 *   DISK_BOOT_ID  a file that is read in place of the kernel's boot id: a power cut is a reboot
 *
 * A rule is action:kind:pattern:when; several are separated by spaces. Pattern: fnmatch on the path below
 * the root. Kind (fnmatch too): write length sync syncdir create rename unlink mkdir rmdir exit; only by
 * their whole names: read, and say, a line on standard error with the line in place of the path. When:
 * 5 = at the 5th call that fits, /5 = at every 5th, @ before it = counted only while armed. Action:
 *   kill-before kill-after   SIGKILL, before or after the call
 *   cut                      the power goes in the middle of the call; a sync has not happened
 *   eio enospc               the call fails and has done nothing
 *   short torn               half is written or read: as a success, or with EIO
 *   lie                      a sync that says it happened and did not
 */
#define _GNU_SOURCE
#include "rules.h"
#include <stddef.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

/* Whether the file is below the root; its path below it. */
static const char *ours(int fd, char *path, struct stat *found)
{
    load();
    if (model.root[0] == 0 || fstat(fd, found) != 0)
        return NULL;
    if (!(S_ISREG(found->st_mode) || S_ISDIR(found->st_mode)) || !path_of_fd(fd, path))
        return NULL;
    return below_root(path);
}

/* Writes. */

static long written(int fd, const void *bytes, size_t length, off_t at)
{
    if (at < 0)
        return syscall(SYS_write, fd, bytes, length);
    return syscall(SYS_pwrite64, fd, bytes, length, at);
}

/* A line on standard error. Without its end, if it is a very long one: rules are about its beginning. */
static ssize_t said(const char *line, size_t length)
{
    char words[1024];
    snprintf(words, sizeof words, "%.*s", (int)(length < sizeof words ? length : sizeof words), line);
    enum action action = begin("say", words, NULL);
    return end(action, written(STDERR_FILENO, line, length, -1));
}

/* `at` < 0: where the file stands. */
static ssize_t write_one(int fd, const void *bytes, size_t length, off_t at)
{
    char path[PATH_MAX];
    struct stat found;
    const char *below = ours(fd, path, &found);
    if (below == NULL && fd == STDERR_FILENO && model.root[0] != 0)
        return said(bytes, length);
    if (below == NULL)
        return written(fd, bytes, length, at);
    enum action action = begin("write", below, NULL);
    off_t start = at >= 0 ? at : lseek(fd, 0, SEEK_CUR);
    fstat(fd, &found);
    if (at < 0 && (fcntl(fd, F_GETFL) & O_APPEND))
        start = found.st_size;
    char full = fullness();
    off_t room = found.st_size > start ? found.st_size - start : 0;
    if (full == 'e' || (full == 'g' && room == 0 && length > 0))
        action = action == NOTHING ? ENOSPC_ : action;
    else if (full == 'g' && (off_t)length > room)
        length = (size_t)room;
    if (fails(action))
        return end(NOTHING, -1);
    if ((action == SHORT || action == TORN) && length > 1)
        length /= 2;
    struct node *node = node_of_fd(fd);
    if (node)
        keep_before(node, start, start + (off_t)length);
    long done = written(fd, bytes, length, at);
    if (node && done > 0)
        note_change(node, bytes, (size_t)done, start);
    if (action == TORN) {
        errno = EIO;
        done = -1;
    }
    return end(action, done);
}

static ssize_t write_many(int fd, const struct iovec *parts, int count, off_t at)
{
    char path[PATH_MAX];
    struct stat found;
    if (ours(fd, path, &found) == NULL)
        return at < 0 ? syscall(SYS_writev, fd, parts, count)
                      : syscall(SYS_pwritev, fd, parts, count, at, 0);
    size_t length = 0;
    for (int part = 0; part < count; part++)
        length += parts[part].iov_len;
    char *bytes = kept(malloc(length ? length : 1)), *to = bytes;
    for (int part = 0; part < count; part++) {
        memcpy(to, parts[part].iov_base, parts[part].iov_len);
        to += parts[part].iov_len;
    }
    ssize_t done = write_one(fd, bytes, length, at);
    free(bytes);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return write_one(fd, bytes, length, -1); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return write_one(fd, bytes, length, at); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return write_one(fd, bytes, length, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_many(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return write_many(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return write_many(fd, parts, count, at); }

/* Reads. */

static long got(int fd, void *bytes, size_t length, off_t at)
{
    if (at < 0)
        return syscall(SYS_read, fd, bytes, length);
    return syscall(SYS_pread64, fd, bytes, length, at);
}

/* `at` < 0: where the file stands. */
static ssize_t read_one(int fd, void *bytes, size_t length, off_t at)
{
    char path[PATH_MAX];
    struct stat found;
    load();
    const char *below = reads_count() ? ours(fd, path, &found) : NULL;
    if (below == NULL)
        return got(fd, bytes, length, at);
    enum action action = begin("read", below, NULL);
    if (fails(action) || action == TORN) {
        errno = EIO;
        return end(NOTHING, -1);
    }
    if (action == SHORT && length > 1)
        length /= 2;
    return end(action, got(fd, bytes, length, at));
}

ssize_t read(int fd, void *bytes, size_t length) { return read_one(fd, bytes, length, -1); }
ssize_t pread64(int fd, void *bytes, size_t length, off_t at) { return read_one(fd, bytes, length, at); }
ssize_t pread(int fd, void *bytes, size_t length, off_t at) { return read_one(fd, bytes, length, at); }

/* Lengths. */

static long resized(int fd, const struct stat *found, off_t length)
{
    struct node *node = node_of_fd(fd);
    if (node)
        keep_before(node, length < found->st_size ? length : found->st_size, found->st_size);
    long done = syscall(SYS_ftruncate, fd, length);
    if (node && done == 0)
        note_change(node, NULL, 0, length);
    return done;
}

int ftruncate64(int fd, off_t length)
{
    char path[PATH_MAX];
    struct stat found;
    const char *below = ours(fd, path, &found);
    if (below == NULL)
        return (int)syscall(SYS_ftruncate, fd, length);
    enum action action = begin("length", below, NULL);
    if (fails(action))
        return (int)end(NOTHING, -1);
    fstat(fd, &found);
    return (int)end(action, resized(fd, &found, length));
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fallocate64(int fd, int mode, off_t from, off_t length)
{
    char path[PATH_MAX];
    struct stat found;
    if (ours(fd, path, &found))
        die_of("fallocate", path);
    return (int)syscall(SYS_fallocate, fd, mode, from, length);
}
int fallocate(int fd, int mode, off_t from, off_t length) { return fallocate64(fd, mode, from, length); }

/* Syncs. sync_file_range is left alone: it makes nothing durable. */

static int has_failed_before(const struct stat *found)
{
    for (size_t at = 0; at < disk.failed_count; at++)
        if (disk.failed[at].st_ino == found->st_ino && disk.failed[at].st_dev == found->st_dev)
            return 1;
    return 0;
}

/* The name is gone, or new: the inode number may be another file's from now on. */
static void forget_failed(const struct stat *gone)
{
    size_t kept_count = 0;
    for (size_t at = 0; at < disk.failed_count; at++)
        if (disk.failed[at].st_ino != gone->st_ino || disk.failed[at].st_dev != gone->st_dev)
            disk.failed[kept_count++] = disk.failed[at];
    disk.failed_count = kept_count;
}

static int sync_one(int fd, long number)
{
    char path[PATH_MAX];
    struct stat found;
    const char *below = ours(fd, path, &found);
    if (below == NULL)
        return (int)syscall(number, fd);
    enum action action = begin(S_ISDIR(found.st_mode) ? "syncdir" : "sync", below, NULL);
    if (has_failed_before(&found))
        say("disk: sync again after a failed sync: %s\n", below);
    struct node *node = node_of_fd(fd);
    if (action == LIE || action == CUT)
        return (int)end(action, 0);
    if (fails(action)) {
        if (disk.failed_count < FAILED_MAX)
            disk.failed[disk.failed_count++] = found;
        if (node)
            abandon(node);
        fails(action);
        return (int)end(NOTHING, -1);
    }
    long done = syscall(number, fd);
    if (node && done == 0 && node->is_dir)
        sync_names(node);
    else if (node && done == 0)
        sync_content(node);
    return (int)end(action, done);
}

int fsync(int fd) { return sync_one(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_one(fd, SYS_fdatasync); }

/* Free space. */

int statvfs(const char *path, struct statvfs *into)
{
    char full[PATH_MAX];
    struct statfs found;
    if (syscall(SYS_statfs, path, &found) != 0)
        return -1;
    absolute(AT_FDCWD, path, full);
    memset(into, 0, sizeof *into);
    into->f_bsize = found.f_bsize;
    into->f_frsize = found.f_frsize ? found.f_frsize : found.f_bsize;
    into->f_blocks = found.f_blocks;
    load();
    int is_full = below_root(full) != NULL && fullness() != 0;
    into->f_bfree = is_full ? 0 : found.f_bfree;
    into->f_bavail = is_full ? 0 : found.f_bavail;
    return 0;
}

int statvfs64(const char *path, struct statvfs64 *into) { return statvfs(path, (struct statvfs *)into); }

/* Names. */

static int open_one(int dir, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    struct stat found;
    load();
    if (disk.boot_id && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = disk.boot_id;
    absolute(dir, path, full);
    const char *below = below_root(full);
    if (below == NULL || (flags & (O_CREAT | O_TRUNC)) == 0)
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE)
        die_of("O_TMPFILE", full);
    int is_there = lstat(full, &found) == 0;
    if (is_there && ((flags & O_EXCL) || !(flags & O_TRUNC)))
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    enum action action = begin(is_there ? "length" : "create", below, NULL);
    if (fullness() == 'e' && action == NOTHING)
        action = ENOSPC_;
    if (fails(action))
        return (int)end(NOTHING, -1);
    int fd = (int)syscall(SYS_openat, dir, path, flags & ~O_TRUNC, mode);
    if (fd >= 0 && !is_there && fstat(fd, &found) == 0)
        forget_failed(&found);
    if (fd >= 0 && !is_there && model.top)
        note_name(NULL, full, new_node(full));
    if (fd >= 0 && is_there)
        resized(fd, &found, 0);
    return (int)end(action, fd);
}

/* The mode is there only with O_CREAT; reading it always is what the C library does too. */
#define OPEN(NAME)                                          \
    int NAME(const char *path, int flags, ...)              \
    {                                                       \
        va_list values;                                     \
        va_start(values, flags);                            \
        mode_t mode = (mode_t)va_arg(values, int);          \
        va_end(values);                                     \
        return open_one(AT_FDCWD, path, flags, mode);       \
    }
#define OPENAT(NAME)                                        \
    int NAME(int dir, const char *path, int flags, ...)     \
    {                                                       \
        va_list values;                                     \
        va_start(values, flags);                            \
        mode_t mode = (mode_t)va_arg(values, int);          \
        va_end(values);                                     \
        return open_one(dir, path, flags, mode);            \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int creat(const char *path, mode_t mode) { return open_one(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    load();
    absolute(from_dir, from, old);
    absolute(to_dir, to, new);
    if (below_root(old) == NULL && below_root(new) == NULL)
        return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (flags || below_root(old) == NULL || below_root(new) == NULL)
        die_of("this rename", new);
    enum action action = begin("rename", below_root(old), below_root(new));
    if (fails(action))
        return (int)end(NOTHING, -1);
    struct stat moved, replaced;
    /* Of one file under two names nothing goes. */
    int is_replaced = lstat(new, &replaced) == 0 && lstat(old, &moved) == 0 && moved.st_ino != replaced.st_ino;
    struct node *node = node_at(old);
    long done = syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
    if (is_replaced && done == 0)
        forget_failed(&replaced);
    if (node && done == 0)
        note_name(old, new, node);
    return (int)end(action, done);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *path, int flags)
{
    char full[PATH_MAX];
    load();
    absolute(dir, path, full);
    const char *below = below_root(full);
    if (below == NULL)
        return (int)syscall(SYS_unlinkat, dir, path, flags);
    enum action action = begin(flags & AT_REMOVEDIR ? "rmdir" : "unlink", below, NULL);
    if (fails(action))
        return (int)end(NOTHING, -1);
    struct stat gone;
    int is_there = lstat(full, &gone) == 0;
    struct node *node = node_at(full);
    long done = syscall(SYS_unlinkat, dir, path, flags);
    if (is_there && done == 0)
        forget_failed(&gone);
    if (node && done == 0) {
        note_name(full, NULL, NULL);
        if (node->is_dir)
            node->inode = 0;
    }
    return (int)end(action, done);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode)
{
    char full[PATH_MAX];
    struct stat found;
    load();
    absolute(dir, path, full);
    const char *below = below_root(full);
    if (below == NULL || lstat(full, &found) == 0)
        return (int)syscall(SYS_mkdirat, dir, path, mode);
    enum action action = begin("mkdir", below, NULL);
    if (fullness() == 'e' && action == NOTHING)
        action = ENOSPC_;
    if (fails(action))
        return (int)end(NOTHING, -1);
    long done = syscall(SYS_mkdirat, dir, path, mode);
    if (done == 0 && model.top)
        note_name(NULL, full, new_node(full));
    return (int)end(action, done);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What the service does not do, and the model does not know. */

static void refuse_below(const char *what, int dir, const char *path)
{
    char full[PATH_MAX];
    load();
    absolute(dir, path, full);
    if (below_root(full))
        die_of(what, full);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    refuse_below("link", to_dir, to);
    return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int truncate64(const char *path, off_t length)
{
    refuse_below("truncate by name", AT_FDCWD, path);
    return (int)syscall(SYS_truncate, path, length);
}
int truncate(const char *path, off_t length) { return truncate64(path, length); }

ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t length, unsigned flags)
{
    char path[PATH_MAX];
    struct stat found;
    if (ours(to, path, &found))
        die_of("copy_file_range", path);
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    char path[PATH_MAX];
    struct stat found;
    int may_write = (flags & MAP_SHARED) && (protection & PROT_WRITE);
    if (may_write && fd >= 0 && ours(fd, path, &found))
        die_of("a shared mapping that is written", path);
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) { return mmap64(at, length, protection, flags, fd, offset); }
