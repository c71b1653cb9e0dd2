/*
 * faults.cpp: see faults.h. Where there is no room for one more kind, it is counted as something else, of nobody.
 */
#include "faults.h"

#include <algorithm>

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace dadbs::pg {

void CountFault(core::NodeId who, std::string_view what) {
  std::string_view const kind = what.substr(0, std::min(what.find(':'), kFaultKindBytes - 1));
  TimestampTz const now = GetCurrentTimestamp();
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  uint32 const count = shared->fault_count;
  FaultCount* fault = std::find_if(shared->faults, shared->faults + count,
                                   [&](const FaultCount& f) { return f.node == who.value && kind == f.kind; });
  if (fault == shared->faults + count) {
    bool const has_room = count < kFaultsMax - 1;
    fault = &shared->faults[has_room ? count : kFaultsMax - 1];
    if (has_room || fault->count == 0) {
      shared->fault_count++;
      std::string_view const name = has_room ? kind : "something else";
      *fault = {has_room ? who.value : core::kNobody.value, {}, 0, now, now};
      memcpy(fault->kind, name.data(), name.size());
    }
  }
  fault->count++;
  fault->last_at = now;
  LWLockRelease(shared->lock);
}

}  // namespace dadbs::pg
