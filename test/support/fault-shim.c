/*
 * Makes system calls on the files of a store fail: loaded into the server with LD_PRELOAD.
 *
 * NATSD_FAULTS names a directory; a fault is on while a file of its name is there:
 *   sync   fdatasync and fsync fail with EIO
 *   hang   fdatasync and fsync don't come back while it is on
 *   read   pread fails with EIO
 *   short  pwrite writes a part of what it is given
 *   full   pwrite fails with ENOSPC
 *   slow   pwrite begins after 50 ms
 * Only files whose path contains "/store/" are concerned.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_on(const char *fault) {
  const char *directory = getenv("NATSD_FAULTS");
  char path[4096];
  if (directory == NULL) return 0;
  snprintf(path, sizeof path, "%s/%s", directory, fault);
  return access(path, F_OK) == 0;
}

static int concerns(int fd) {
  char link[64], path[4096];
  int saved = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/store/") != NULL;
}

static int sync_call(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  while (concerns(fd) && is_on("hang")) usleep(1000);
  if (concerns(fd) && is_on("sync")) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

int fdatasync(int fd) { return sync_call("fdatasync", fd); }
int fsync(int fd) { return sync_call("fsync", fd); }

static ssize_t read_call(const char *name, int fd, void *bytes, size_t count, off64_t position) {
  ssize_t (*real)(int, void *, size_t, off64_t) =
      (ssize_t(*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, name);
  if (concerns(fd) && is_on("read")) {
    errno = EIO;
    return -1;
  }
  return real(fd, bytes, count, position);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t position) {
  return read_call("pread", fd, bytes, count, position);
}
ssize_t pread64(int fd, void *bytes, size_t count, off64_t position) {
  return read_call("pread64", fd, bytes, count, position);
}

static ssize_t write_call(const char *name, int fd, const void *bytes, size_t count, off64_t position) {
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, name);
  if (concerns(fd)) {
    if (is_on("full")) {
      errno = ENOSPC;
      return -1;
    }
    if (count > 1 && is_on("short")) count = count / 2;
    if (is_on("slow")) usleep(50000);
  }
  return real(fd, bytes, count, position);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t position) {
  return write_call("pwrite", fd, bytes, count, position);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t position) {
  return write_call("pwrite64", fd, bytes, count, position);
}
