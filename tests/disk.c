/* Preloaded into a process, it makes its disk slow or broken: see disks.py.
 *
 * The file named by DISK_SWITCH holds two numbers: milliseconds that each fsync and fdatasync takes longer, and the
 * errno that it then fails with (0: it does not). It is read every time; without it the disk is as it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int trouble(void) {
    const char *path = getenv("DISK_SWITCH");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    char text[64] = {0};
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    long milliseconds = 0;
    int error = 0;
    if (size <= 0 || sscanf(text, "%ld %d", &milliseconds, &error) != 2) return 0;
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
    return error;
}

static int sync_by(const char *name, int file) {
    int error = trouble();
    if (error) {
        errno = error;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return sync_by("fsync", file); }

int fdatasync(int file) { return sync_by("fdatasync", file); }
