/*
 * clock.h: time that only measures. A server's clock (GetCurrentTimestamp) is for people: it may step, by hours, and whoever computes a deadline from it waits for hours
 * or not at all.
 */
#pragma once

#include <time.h>

extern "C" {
#include "postgres.h"
}

namespace dadbs::pg {

// Microseconds since some moment of this machine's, the same for all processes; never 0, never back.
inline int64 MonotonicUs() {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64>(t.tv_sec) * 1'000'000 + t.tv_nsec / 1000 + 1;
}

}  // namespace dadbs::pg
