/* What a disk holds and what a power cut would leave of it.
 *
 * Everything since the last fsync of a file or directory is pending: writes at the grain of a sector,
 * changes of length, and names (create, mkdir, rename, unlink, rmdir). fsync of a file says nothing of
 * its name. At a cut an arbitrary seeded part of what is pending stays; the rest is undone. A sector is
 * old or new, never a mixture. What a failed fsync should have covered is never certain again.
 *
 * Every file below the root has a hard link in a side folder for as long as a cut may bring it back.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR_BYTES = 512 };

struct change { /* of a file */
    struct change *next;
    unsigned char *bytes; /* NULL: the length becomes `offset` */
    size_t length;
    off_t offset;
    int abandoned; /* an fsync that should have covered it failed */
};

struct name_change { /* of a directory, one atom */
    struct name_change *next;
    char *removes, *adds;
    struct node *node;
    int abandoned;
};

struct entry {
    struct entry *next;
    char *name;
    struct node *node;
};

struct node {
    struct node *next;
    dev_t device;
    ino_t inode; /* 0: a directory that is removed; its number may be another's by now */
    unsigned number;
    int is_dir, is_reached, fd;
    mode_t mode;
    off_t durable_length; /* while there are changes */
    unsigned char **sectors; /* durable content of the sectors that were touched */
    size_t sectors_count;
    struct change *changes;
    struct entry *durable;
    struct name_change *names;
};

static struct {
    char root[PATH_MAX], side[PATH_MAX]; /* no side folder: no power cuts */
    struct node *nodes, *top;
    unsigned numbers;
    uint64_t random;
} model;

static void say(const char *format, ...)
{
    char line[2 * PATH_MAX + 256];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    syscall(SYS_write, 2, line, (size_t)length);
}

static void die_of(const char *what, const char *path)
{
    say("disk: %s is not modelled (%s): extend tests/shim\n", what, path);
    abort();
}

static void *kept(void *memory)
{
    if (memory == NULL) {
        say("disk: out of memory\n");
        abort();
    }
    return memory;
}

static uint64_t random_below(uint64_t bound)
{
    uint64_t mixed = model.random += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return (mixed ^ (mixed >> 31)) % bound;
}

static int percent(int chance) { return (int)random_below(100) < chance; }

static struct node *node_of(const struct stat *found)
{
    for (struct node *node = model.nodes; node; node = node->next)
        if (node->inode == found->st_ino && node->device == found->st_dev)
            return node;
    return NULL;
}

static struct node *node_of_fd(int fd)
{
    struct stat found;
    return model.top && fstat(fd, &found) == 0 ? node_of(&found) : NULL;
}

static struct node *node_at(const char *path)
{
    struct stat found;
    return model.top && lstat(path, &found) == 0 ? node_of(&found) : NULL;
}

static void side_path(const struct node *node, char *path)
{
    snprintf(path, PATH_MAX, "%.4000s/%u", model.side, node->number);
}

static struct node *new_node(const char *path)
{
    struct stat found;
    if (lstat(path, &found) != 0 || !(S_ISDIR(found.st_mode) || S_ISREG(found.st_mode)))
        die_of("this kind of file", path);
    struct node *node = kept(calloc(1, sizeof *node));
    node->device = found.st_dev, node->inode = found.st_ino, node->mode = found.st_mode & 07777;
    node->is_dir = S_ISDIR(found.st_mode), node->fd = -1, node->number = model.numbers++;
    node->next = model.nodes, model.nodes = node;
    if (!node->is_dir) {
        char side[PATH_MAX];
        side_path(node, side);
        if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, side, 0) != 0)
            die_of("a side folder on another file system", side);
    }
    return node;
}

static void put_entry(struct node *dir, const char *name, struct node *node)
{
    struct entry **at = &dir->durable;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    if (*at && node)
        (*at)->node = node;
    else if (*at) {
        struct entry *gone = *at;
        *at = gone->next;
        free(gone->name);
        free(gone);
    } else if (node) {
        *at = kept(calloc(1, sizeof **at));
        (*at)->name = kept(strdup(name)), (*at)->node = node;
    }
}

/* What lies on the disk when the process starts is durable. */
static struct node *scan(const char *path)
{
    struct node *node = new_node(path);
    DIR *dir = node->is_dir ? opendir(path) : NULL;
    for (struct dirent *found; dir && (found = readdir(dir));) {
        char below[PATH_MAX];
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%.3800s/%s", path, found->d_name);
        put_entry(node, found->d_name, scan(below));
    }
    if (dir)
        closedir(dir);
    return node;
}

/* Names. */

static struct node *dir_of(const char *path, const char **name)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.4000s", path);
    char *slash = strrchr(parent, '/');
    *slash = 0;
    *name = path + (slash - parent) + 1;
    return node_at(parent);
}

/* To be called before a name goes and after one came; either path may be NULL. */
static void note_name(const char *removes, const char *adds, struct node *node)
{
    const char *name = NULL;
    struct node *dir = dir_of(removes ? removes : adds, &name);
    struct name_change **end = &dir->names;
    while (*end)
        end = &(*end)->next;
    struct name_change *change = *end = kept(calloc(1, sizeof *change));
    change->node = node;
    change->removes = removes ? kept(strdup(name)) : NULL;
    if (adds && dir_of(adds, &name) != dir)
        die_of("a rename into another directory", adds);
    change->adds = adds ? kept(strdup(name)) : NULL;
}

static void apply_name(struct node *dir, const struct name_change *change)
{
    if (change->removes)
        put_entry(dir, change->removes, NULL);
    if (change->adds)
        put_entry(dir, change->adds, change->node);
}

static void reach(struct node *node)
{
    if (node->is_reached)
        return;
    node->is_reached = 1;
    for (struct entry *entry = node->durable; entry; entry = entry->next)
        reach(entry->node);
    for (struct name_change *change = node->names; change; change = change->next)
        if (change->node)
            reach(change->node);
}

static void forget_changes(struct node *node)
{
    for (struct change *next, *change = node->changes; change; change = next) {
        next = change->next;
        free(change->bytes);
        free(change);
    }
    for (size_t at = 0; at < node->sectors_count; at++)
        free(node->sectors[at]);
    free(node->sectors);
    node->changes = NULL, node->sectors = NULL, node->sectors_count = 0;
}

/* What no cut can bring back gives up its space. */
static void forget_unreachable(void)
{
    for (struct node *node = model.nodes; node; node = node->next)
        node->is_reached = 0;
    reach(model.top);
    for (struct node **at = &model.nodes; *at;) {
        struct node *node = *at;
        if (node->is_reached) {
            at = &node->next;
            continue;
        }
        char side[PATH_MAX];
        side_path(node, side);
        syscall(SYS_unlinkat, AT_FDCWD, side, 0);
        if (node->fd >= 0)
            syscall(SYS_close, node->fd);
        forget_changes(node);
        *at = node->next;
        free(node);
    }
}

static void sync_names(struct node *dir)
{
    for (struct name_change **at = &dir->names; *at;) {
        struct name_change *change = *at;
        if (change->abandoned) {
            at = &change->next;
            continue;
        }
        apply_name(dir, change);
        *at = change->next;
        free(change->removes);
        free(change->adds);
        free(change);
    }
    forget_unreachable();
}

/* Content. */

static int own_fd(struct node *node)
{
    char side[PATH_MAX];
    side_path(node, side);
    if (node->fd < 0)
        node->fd = (int)syscall(SYS_openat, AT_FDCWD, side, O_RDWR | O_CLOEXEC, 0);
    if (node->fd < 0)
        die_of("a file that its owner may not read and write", side);
    return node->fd;
}

static off_t length_of(struct node *node)
{
    struct stat found;
    return fstat(own_fd(node), &found) == 0 ? found.st_size : 0;
}

/* Before the first change of these bytes: keeps what is durable of their sectors. */
static void keep_before(struct node *node, off_t from, off_t to)
{
    if (node->changes == NULL)
        node->durable_length = length_of(node);
    size_t end = (size_t)((to + SECTOR_BYTES - 1) / SECTOR_BYTES);
    if (end > node->sectors_count) {
        node->sectors = kept(realloc(node->sectors, end * sizeof *node->sectors));
        memset(node->sectors + node->sectors_count, 0,
               (end - node->sectors_count) * sizeof *node->sectors);
        node->sectors_count = end;
    }
    for (size_t at = (size_t)(from / SECTOR_BYTES); at < end; at++)
        if (node->sectors[at] == NULL) {
            node->sectors[at] = kept(calloc(1, SECTOR_BYTES));
            syscall(SYS_pread64, own_fd(node), node->sectors[at], SECTOR_BYTES,
                    (off_t)at * SECTOR_BYTES);
        }
}

static void note_change(struct node *node, const void *bytes, size_t length, off_t offset)
{
    struct change **end = &node->changes;
    while (*end)
        end = &(*end)->next;
    struct change *change = *end = kept(calloc(1, sizeof *change));
    change->length = length, change->offset = offset;
    if (bytes)
        change->bytes = memcpy(kept(malloc(length ? length : 1)), bytes, length);
}

static off_t length_after(const struct change *change, off_t length)
{
    if (change->bytes == NULL)
        return change->offset;
    off_t end = change->offset + (off_t)change->length;
    return end > length ? end : length;
}

/* Takes a change over into what is durable, each sector with this chance. */
static void apply_change(struct node *node, const struct change *change, int chance)
{
    if (percent(chance))
        node->durable_length = length_after(change, node->durable_length);
    for (size_t done = 0; change->bytes && done < change->length;) {
        off_t at = change->offset + (off_t)done;
        size_t inside = (size_t)(at % SECTOR_BYTES), piece = SECTOR_BYTES - inside;
        if (piece > change->length - done)
            piece = change->length - done;
        if (percent(chance))
            memcpy(node->sectors[at / SECTOR_BYTES] + inside, change->bytes + done, piece);
        done += piece;
    }
}

static void sync_content(struct node *node)
{
    struct change *abandoned = NULL, **end = &abandoned;
    for (struct change *next, *change = node->changes; change; change = next) {
        next = change->next;
        change->next = NULL;
        if (change->abandoned) {
            *end = change, end = &change->next;
            continue;
        }
        apply_change(node, change, 100);
        free(change->bytes);
        free(change);
    }
    node->changes = abandoned;
    if (abandoned == NULL)
        forget_changes(node);
}

static void abandon(struct node *node)
{
    for (struct change *change = node->changes; change; change = change->next)
        change->abandoned = 1;
    for (struct name_change *change = node->names; change; change = change->next)
        change->abandoned = 1;
}

/* The cut. */

static void wipe(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *found; dir && (found = readdir(dir));) {
        char below[PATH_MAX];
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%.3800s/%s", path, found->d_name);
        if (syscall(SYS_unlinkat, AT_FDCWD, below, 0) != 0) {
            wipe(below);
            syscall(SYS_unlinkat, AT_FDCWD, below, AT_REMOVEDIR);
        }
    }
    if (dir)
        closedir(dir);
}

static void build(const struct node *dir, const char *path)
{
    for (struct entry *entry = dir->durable; entry; entry = entry->next) {
        char below[PATH_MAX], side[PATH_MAX];
        snprintf(below, sizeof below, "%.3800s/%s", path, entry->name);
        side_path(entry->node, side);
        if (entry->node->is_dir) {
            if (syscall(SYS_mkdirat, AT_FDCWD, below, entry->node->mode) != 0)
                die_of("a directory that cannot be made again", below);
            build(entry->node, below);
        } else if (syscall(SYS_linkat, AT_FDCWD, side, AT_FDCWD, below, 0) != 0)
            die_of("a file that cannot be named again", below);
    }
}

static void cut_file(struct node *node)
{
    static const int CHANCES[] = {0, 30, 70, 100};
    int chance = CHANCES[random_below(4)];
    if (node->changes == NULL)
        return;
    for (struct change *change = node->changes; change; change = change->next)
        apply_change(node, change, chance);
    for (size_t at = 0; at < node->sectors_count; at++)
        if (node->sectors[at])
            syscall(SYS_pwrite64, own_fd(node), node->sectors[at], SECTOR_BYTES,
                    (off_t)at * SECTOR_BYTES);
    syscall(SYS_ftruncate, own_fd(node), node->durable_length);
}

/* Leaves on the real disk what the power cut leaves. The process must not go on. */
static void cut_power(void)
{
    static const int CHANCES[] = {0, 50, 90, 100};
    int chance = CHANCES[random_below(4)];
    for (struct node *node = model.nodes; node; node = node->next) {
        for (struct name_change *change = node->names; change; change = change->next)
            if (percent(chance))
                apply_name(node, change);
        if (!node->is_dir)
            cut_file(node);
    }
    wipe(model.root);
    build(model.top, model.root);
}

static void start_model(const char *root, const char *side, uint64_t seed)
{
    model.random = seed;
    snprintf(model.root, sizeof model.root, "%s", root);
    /* A cut empties the root: never somebody else's folder. */
    if (strstr(root, "/profile-test-") == NULL)
        die_of("a root that no test has made", root);
    if (side == NULL)
        return;
    snprintf(model.side, sizeof model.side, "%s", side);
    model.top = scan(root);
}
