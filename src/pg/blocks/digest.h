/*
 * digest.h: what this member has come to (core/state_digest.h), computed from its history beside the apply worker.
 */
#pragma once

#include <optional>

#include "dadbs/core/state_digest.h"
#include "dadbs/pg/ipc.h"
#include "difference.h"

namespace dadbs::pg {

class StateWatch {
 public:
  bool Step();      // a few blocks; whether there is more to do at once
  void StartAnew() { at_.reset(); }  // after a failed step: reads again what is there

 private:
  void Start();     // what an earlier process has left: the last digest, and whether this member is known to differ
  core::Height Target();
  void NoteFinding();

  std::optional<core::EffectsDigest> at_;
  core::Height seen_;            // applied, when it was last looked at
  TimestampTz seen_at_ = 0;      // since then
  bool finding_written_ = false;
  Naming naming_;                // which position differs first
};

}  // namespace dadbs::pg
