/* What goes wrong, and when: the rules of the environment, counted under one lock. The top of disk.c has
 * their form.
 */
#include "model.h"
#include <fnmatch.h>
#include <pthread.h>

enum action { NOTHING, KILL_BEFORE, KILL_AFTER, CUT, EIO_, ENOSPC_, SHORT, TORN, LIE };
static const char *const ACTIONS[] = {"nothing", "kill-before", "kill-after", "cut", "eio",
                                      "enospc",  "short",       "torn",       "lie"};

struct rule {
    enum action action;
    char kind[16], pattern[256];
    int is_armed_only, is_periodic;
    unsigned long when, count;
};

enum { RULES_MAX = 16, FAILED_MAX = 64 };
static struct {
    struct rule rules[RULES_MAX];
    size_t rules_count;
    unsigned long calls;
    char control[PATH_MAX];
    const char *boot_id;
    struct stat failed[FAILED_MAX]; /* files whose sync failed */
    size_t failed_count;
    uint64_t seed;
} disk;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t started = PTHREAD_ONCE_INIT;

static void read_rule(char *text)
{
    struct rule *rule = &disk.rules[disk.rules_count++];
    char *action = strsep(&text, ":"), *kind = strsep(&text, ":"), *pattern = strsep(&text, ":");
    if (disk.rules_count > RULES_MAX - 1 || text == NULL)
        die_of("this rule", action);
    snprintf(rule->kind, sizeof rule->kind, "%s", kind);
    snprintf(rule->pattern, sizeof rule->pattern, "%s", pattern);
    rule->is_armed_only = *text == '@' && text++;
    rule->is_periodic = *text == '/' && text++;
    rule->when = strtoul(text, NULL, 10);
    for (enum action at = KILL_BEFORE; at <= LIE; at++)
        if (strcmp(action, ACTIONS[at]) == 0)
            rule->action = at;
    if (rule->action == NOTHING || rule->when == 0)
        die_of("this rule", action);
}

static void start(void)
{
    const char *root = getenv("DISK_ROOT"), *seed = getenv("DISK_SEED");
    const char *rules = getenv("DISK_RULES"), *control = getenv("DISK_CONTROL");
    disk.boot_id = getenv("DISK_BOOT_ID");
    disk.seed = seed ? strtoull(seed, NULL, 10) : 0;
    if (root == NULL)
        return;
    start_model(root, getenv("DISK_SIDE"), disk.seed);
    if (control)
        snprintf(disk.control, sizeof disk.control, "%.4000s", control);
    char *texts = kept(strdup(rules ? rules : "")), *rest = texts;
    for (char *text; (text = strsep(&rest, " "));)
        if (*text)
            read_rule(text);
    free(texts);
}

/* NULL unless the path is below the root. */
static const char *below_root(const char *path)
{
    size_t length = strlen(model.root);
    if (length == 0 || strncmp(path, model.root, length) != 0)
        return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] == 0 ? "." : NULL;
}

/* The path that the file has now. */
static int path_of_fd(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    char *deleted = strstr(path, " (deleted)");
    if (deleted)
        *deleted = 0;
    return length > 0;
}

/* The absolute path; empty when it cannot be told. */
static void absolute(int dir, const char *path, char *full)
{
    char base[PATH_MAX] = "";
    if (*path != '/' && dir == AT_FDCWD && syscall(SYS_getcwd, base, sizeof base) < 0)
        base[0] = 0;
    if (*path != '/' && dir != AT_FDCWD)
        path_of_fd(dir, base);
    snprintf(full, PATH_MAX, "%.2000s%s%.2000s", base, *path == '/' ? "" : "/", path);
    for (size_t end = strlen(full); end > 1 && full[end - 1] == '/'; end--)
        full[end - 1] = 0;
}

static int control_holds(const char *name, char *content)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.4000s/%s", disk.control, name);
    int fd = disk.control[0] ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0) : -1;
    if (fd < 0)
        return 0;
    if (content)
        syscall(SYS_read, fd, content, 1);
    syscall(SYS_close, fd);
    return 1;
}

/* Such a call has no number, and fits only where a rule has its whole name. */
static int changes_nothing(const char *kind)
{
    return strcmp(kind, "say") == 0 || strcmp(kind, "read") == 0;
}

/* Whether some rule is about reads: there are many, and a look at each costs. */
static int reads_count(void)
{
    for (size_t at = 0; at < disk.rules_count; at++)
        if (strcmp(disk.rules[at].kind, "read") == 0)
            return 1;
    return 0;
}

static int fits(const struct rule *rule, const char *kind, const char *path, const char *other)
{
    if (changes_nothing(kind) ? strcmp(rule->kind, kind) != 0 : fnmatch(rule->kind, kind, 0) != 0)
        return 0;
    return fnmatch(rule->pattern, path, 0) == 0 || (other && fnmatch(rule->pattern, other, 0) == 0);
}

/* Takes the lock, counts the call, and says what goes wrong with it. Paths are below the root. */
static enum action begin(const char *kind, const char *path, const char *other)
{
    pthread_mutex_lock(&lock);
    disk.calls += !changes_nothing(kind);
    enum action action = NOTHING;
    for (size_t at = 0; at < disk.rules_count; at++) {
        struct rule *rule = &disk.rules[at];
        if (!fits(rule, kind, path, other) || (rule->is_armed_only && !control_holds("armed", NULL)))
            continue;
        rule->count++;
        int is_due = rule->is_periodic ? rule->count % rule->when == 0 : rule->count == rule->when;
        if (is_due && action == NOTHING)
            action = rule->action;
    }
    if (action != NOTHING)
        say("disk: call %lu, %s %s: %s (seed %llu)\n", disk.calls, kind, strcmp(kind, "say") == 0 ? "words" : path, ACTIONS[action],
            (unsigned long long)disk.seed);
    if (action == KILL_BEFORE)
        kill(getpid(), SIGKILL);
    return action;
}

static void cut(void)
{
    if (model.top == NULL)
        die_of("a power cut without a side folder", model.root);
    cut_power();
    kill(getpid(), SIGKILL);
}

static long end(enum action action, long result)
{
    int error = errno;
    if (action == KILL_AFTER)
        kill(getpid(), SIGKILL);
    if (action == CUT)
        cut();
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static int fails(enum action action)
{
    errno = action == ENOSPC_ ? ENOSPC : EIO;
    return action == EIO_ || action == ENOSPC_;
}

/* 'g': nothing may grow; 'e': nothing may be written at all; 0: there is space. */
static char fullness(void)
{
    char content = 'g';
    return control_holds("full", &content) ? (content == 'e' || content == 's' ? content : 'g') : 0;
}

static __attribute__((constructor)) void load(void) { pthread_once(&started, start); }

static __attribute__((destructor)) void unload(void)
{
    if (model.root[0] == 0)
        return;
    say("disk: %lu calls\n", disk.calls);
    end(begin("exit", ".", NULL), 0);
}
