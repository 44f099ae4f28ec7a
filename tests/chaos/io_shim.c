/* Makes the n-th write, sync, truncation, rename or removal below a folder fail, tear, or be the last thing
 * that this process does; or the last thing before the power goes, with what was not synced lost.
 *
 * Preloaded (LD_PRELOAD) into a process, it lies between every library there and the system: SQLite, Arrow and
 * Python alike. It does nothing until chaos_arm() is called.
 *
 * What may be lost when the power goes: the content that was written to a file since its last fsync, and
 * renames and removals since the last fsync of their folder. Which part of it is lost is drawn from the seed,
 * oldest kept first, as a disk with a write cache does it. A file that was made and synced is taken to have
 * its name, as file systems do it today.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NOTHING, KILL, AFTER, TORN, POWER, EIO_ONCE, ENOSPC_ONCE };

/* One thing that the disk may not have yet, and how to take it back. */
struct pending {
    struct pending *next; /* older */
    enum { CONTENT, RENAMED, REMOVED } kind;
    dev_t device;
    ino_t inode;            /* of the file, or of the folder that has to be synced */
    off_t offset, size;     /* CONTENT: where it was written, and how long the file was before */
    size_t length;
    char *bytes;            /* what stood there */
    char from[PATH_MAX], to[PATH_MAX], kept[PATH_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char prefix[PATH_MAX], backups[PATH_MAX - 32], report[PATH_MAX];
static long target, span, count, n_failed, n_backups;
static enum action wanted;
static unsigned seed;
static struct pending *newest;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *), (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);

__attribute__((constructor)) static void find(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
}

void chaos_arm(const char *folder, const char *said_in, long at, int action, unsigned from_seed, long how_long) {
    snprintf(prefix, sizeof prefix, "%s/", folder);
    snprintf(backups, sizeof backups, "%s.backups", folder);
    snprintf(report, sizeof report, "%s", said_in);
    mkdir(backups, 0700);
    target = at, wanted = action, seed = from_seed, span = how_long, count = n_failed = 0;
}

long chaos_count(void) { return count; }

static int watched(const char *path) {
    size_t length = strlen(path);
    /* SQLite's shared memory is rebuilt from the log; nothing in it has to last. */
    return prefix[0] && !strncmp(path, prefix, strlen(prefix)) &&
           !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return watched(path) || (strlen(path) + 1 == strlen(prefix) && !strncmp(path, prefix, strlen(path)));
}

static void absolute(int folder, const char *path, char *whole) {
    char base[PATH_MAX] = "";
    if (path[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
        return;
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) base[0] = 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        base[length < 0 ? 0 : length] = 0;
    }
    if (snprintf(whole, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) whole[0] = 0;
}

static struct pending *add(int kind) {
    struct pending *each = calloc(1, sizeof *each);
    each->kind = kind, each->next = newest, newest = each;
    return each;
}

static void drop_synced(int fd) {
    struct stat state;
    if (fstat(fd, &state)) return;
    for (struct pending **at = &newest; *at;) {
        struct pending *each = *at;
        if (each->inode == state.st_ino && each->device == state.st_dev) {
            *at = each->next;
            if (each->kept[0]) real_unlink(each->kept);
            free(each->bytes), free(each);
        } else
            at = &each->next;
    }
}

static void remember_content(int fd, const char *path, off_t offset, size_t length) {
    struct stat state;
    if (fstat(fd, &state) || !S_ISREG(state.st_mode)) return;
    struct pending *each = add(CONTENT);
    each->device = state.st_dev, each->inode = state.st_ino, each->offset = offset, each->size = state.st_size;
    if (offset < state.st_size) {
        char link[64];
        each->length = length < (size_t)(state.st_size - offset) ? length : (size_t)(state.st_size - offset);
        each->bytes = malloc(each->length);
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int reader = open(link, O_RDONLY | O_CLOEXEC);
        if (pread(reader, each->bytes, each->length, offset) != (ssize_t)each->length) abort();
        close(reader);
    }
    snprintf(each->to, PATH_MAX, "%s", path);
}

static void remember_name(int kind, const char *from, const char *to) {
    struct stat folder, old;
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", kind == RENAMED ? to : from);
    char *slash = strrchr(parent, '/');
    if (!slash) return;
    *slash = 0;
    if (stat(parent, &folder)) return;
    struct pending *each = add(kind);
    each->device = folder.st_dev, each->inode = folder.st_ino;
    snprintf(each->from, PATH_MAX, "%s", from);
    if (kind == RENAMED) snprintf(each->to, PATH_MAX, "%s", to);
    const char *lost = kind == RENAMED ? to : from;
    if (!stat(lost, &old) && S_ISREG(old.st_mode)) {
        snprintf(each->kept, PATH_MAX, "%s/%ld", backups, n_backups++);
        if (link(lost, each->kept)) each->kept[0] = 0;
    }
}

static void make_parents(const char *path) {
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = 0;
        mkdir(part, 0777);
    }
}

static void take_back(struct pending *each) {
    if (each->kind == RENAMED) {
        make_parents(each->from);
        real_rename(each->to, each->from);
        if (each->kept[0] && link(each->kept, each->to)) abort();
    } else if (each->kind == REMOVED) {
        make_parents(each->from);
        if (each->kept[0]) link(each->kept, each->from);
    } else {
        struct stat state;
        int fd = open(each->to, O_WRONLY | O_CLOEXEC);
        /* The name may lead to another file by now, or to none. */
        if (fd >= 0 && !fstat(fd, &state) && state.st_ino == each->inode) {
            if (each->length && real_pwrite(fd, each->bytes, each->length, each->offset) < 0) abort();
            if (real_ftruncate(fd, each->size)) abort();
        }
        if (fd >= 0) close(fd);
    }
}

static void lose_power(void) {
    long n = 0;
    for (struct pending *each = newest; each; each = each->next) n++;
    /* All of it in half of the cases, else what came after a moment. */
    long lost = n == 0 ? 0 : rand_r(&seed) % 2 ? n : rand_r(&seed) % n + 1;
    for (struct pending *each = newest; each && lost; each = each->next, lost--) take_back(each);
}

/* Write down the first call that something happened to. */
static void say(const char *what, const char *path) {
    int fd = open(report, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return;
    dprintf(fd, "%ld %s %s\n", count, what, path);
    close(fd);
}

static void die(const char *what, const char *path) {
    say(what, path);
    raise(SIGKILL);
    pause();
}

/* Count a call; return an errno it has to fail with, 0 to go on. ``tears`` says that it can be done in part. */
static int arrive(const char *what, const char *path, int tears) {
    long now = ++count;
    if (!target || now < target) return 0;
    switch (wanted) {
    case KILL: die(what, path); break;
    case POWER: lose_power(); die(what, path); break;
    case TORN: if (!tears) die(what, path); break;
    case EIO_ONCE: case ENOSPC_ONCE:
        /* Syncs and renames need no room. */
        if (n_failed == span || (wanted == ENOSPC_ONCE && !tears)) return 0;
        n_failed++;
        say(what, path);
        return wanted == EIO_ONCE ? EIO : ENOSPC;
    default: break;
    }
    return 0;
}

static void leave(const char *what, const char *path) {
    if (target && count == target && wanted == AFTER) die(what, path);
}

static ssize_t put(const char *what, int fd, const void *bytes, size_t length, off_t offset, int at_place) {
    char path[PATH_MAX];
    if (!prefix[0] || !path_of(fd, path))
        return at_place ? real_pwrite(fd, bytes, length, offset) : real_write(fd, bytes, length);
    pthread_mutex_lock(&lock);
    int error = arrive(what, path, 1);
    if (error) {
        pthread_mutex_unlock(&lock);
        errno = error;
        return -1;
    }
    off_t start = at_place ? offset : (fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR));
    if (start >= 0) remember_content(fd, path, start, length);
    if (wanted == TORN && count == target) {
        size_t part = length > 1 ? 1 + rand_r(&seed) % (length - 1) : 0;
        if (at_place) real_pwrite(fd, bytes, part, offset); else real_write(fd, bytes, part);
        die(what, path);
    }
    ssize_t done = at_place ? real_pwrite(fd, bytes, length, offset) : real_write(fd, bytes, length);
    int failed = errno;
    leave(what, path);
    pthread_mutex_unlock(&lock);
    errno = failed;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return put("write", fd, bytes, length, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return put("pwrite", fd, bytes, length, offset, 1);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    return put("pwrite", fd, bytes, length, offset, 1);
}

static int to_disk(const char *what, int (*real)(int), int fd) {
    char path[PATH_MAX];
    if (!prefix[0] || !path_of(fd, path)) return real(fd);
    pthread_mutex_lock(&lock);
    int error = arrive(what, path, 0), done = -1;
    if (!error) {
        /* Power never really goes here, so the disk need not be waited for. */
        done = 0;
        drop_synced(fd);
        leave(what, path);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) { return to_disk("fsync", real_fsync, fd); }
int fdatasync(int fd) { return to_disk("fdatasync", real_fdatasync, fd); }

static int cut(int fd, off_t size) {
    char path[PATH_MAX];
    struct stat state;
    if (!prefix[0] || !path_of(fd, path) || fstat(fd, &state)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    int error = arrive("ftruncate", path, 0), done = -1;
    if (!error) {
        if (size < state.st_size) remember_content(fd, path, size, state.st_size - size);
        done = real_ftruncate(fd, size);
        leave("ftruncate", path);
    }
    pthread_mutex_unlock(&lock);
    if (error) errno = error;
    return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

int rename(const char *old, const char *new) {
    char from[PATH_MAX], to[PATH_MAX];
    absolute(AT_FDCWD, old, from), absolute(AT_FDCWD, new, to);
    if (!watched(to)) return real_rename(old, new);
    pthread_mutex_lock(&lock);
    int error = arrive("rename", to, 0), done = -1;
    if (!error) {
        remember_name(RENAMED, from, to);
        done = real_rename(old, new);
        leave("rename", to);
    }
    pthread_mutex_unlock(&lock);
    if (error) errno = error;
    return done;
}

static int remove_name(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    absolute(folder, name, path);
    if (!watched(path)) return real_unlinkat(folder, name, flags);
    pthread_mutex_lock(&lock);
    int error = arrive("unlink", path, 0), done = -1;
    if (!error) {
        if (!(flags & AT_REMOVEDIR)) remember_name(REMOVED, path, "");
        done = real_unlinkat(folder, name, flags);
        leave("unlink", path);
    }
    pthread_mutex_unlock(&lock);
    if (error) errno = error;
    return done;
}

int unlink(const char *name) { return remove_name(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return remove_name(folder, name, flags); }
