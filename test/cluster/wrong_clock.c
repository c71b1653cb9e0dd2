/*
 * wrong_clock.c: preloaded into a server, tells it a time that a file says: three int64 of this machine's, offset in microseconds, drift in
 * millionths, and since when it drifts. The file is mapped, so a change holds for all processes at once. Time that only measures
 * (CLOCK_MONOTONIC) is left alone, as a wrong clock leaves it.
 *
 * libfaketime would do, were it not for processes that Postgres forks in a signal handler while it waits: those keep the true time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct Clock {
  int64_t offset_us, drift_ppm, since_us;
};
static volatile const struct Clock *wrong;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void Begin(void) {
  const char *path = getenv("WRONG_CLOCK");
  int const fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  if (fd < 0) return;
  void *const map = mmap(NULL, sizeof(struct Clock), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) wrong = map;
}

static int64_t Now(clockid_t id) {
  struct timespec t;
  real_clock_gettime(id, &t);
  int64_t const us = t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
  return wrong == NULL ? us : us + wrong->offset_us + (us - wrong->since_us) * wrong->drift_ppm / 1000000;
}

int clock_gettime(clockid_t id, struct timespec *t) {
  if (real_clock_gettime == NULL) Begin();
  if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) return real_clock_gettime(id, t);
  int64_t const us = Now(id);
  t->tv_sec = us / 1000000;
  t->tv_nsec = us % 1000000 * 1000;
  return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  (void)zone;
  if (real_clock_gettime == NULL) Begin();
  int64_t const us = Now(CLOCK_REALTIME);
  t->tv_sec = us / 1000000;
  t->tv_usec = us % 1000000;
  return 0;
}

time_t time(time_t *t) {
  if (real_clock_gettime == NULL) Begin();
  time_t const now = Now(CLOCK_REALTIME) / 1000000;
  if (t != NULL) *t = now;
  return now;
}
