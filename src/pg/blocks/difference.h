/*
 * difference.h: a process that finds the first position at which this member has come to something else than the group.
 */
#pragma once

extern "C" {
#include "postgres.h"
#include "postmaster/bgworker.h"
}

namespace dadbs::pg {

// For a member that is known to differ: starts the process while the position is not known, one at a time, and less and less often.
class Naming {
 public:
  void Step();

 private:
  bool Runs() const;

  BackgroundWorkerHandle* handle_ = nullptr;  // in TopMemoryContext
  int64 tried_at_us_ = 0;                     // MonotonicUs
  int pause_ms_ = 0;
};

}  // namespace dadbs::pg
