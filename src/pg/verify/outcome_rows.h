/*
 * outcome_rows.h: outcomes of one block in this member's history, where they are not the group's.
 */
#pragma once

#include <optional>

#include "dadbs/core/outcomes.h"

extern "C" {
#include "postgres.h"
#include "utils/palloc.h"
}

namespace dadbs::pg::verify {

struct Difference {
  struct Outcome {
    core::Verdict verdict = core::Verdict::kUnknown;  // there is no row
    core::Bytes keys;
  };
  core::Position position;
  Outcome here, there;
  core::Bytes effect;  // a change that only one of the two has; empty: verdicts or keys differ
  bool effect_is_here = false;
};

// "verdict", "keys", "effects"
const char* NameOf(const Difference& difference);
// The ordinal of the first change in the transaction that has a key which only one of the two has; of another verdict: the first one.
std::optional<int32> FindChange(const Difference& difference);

// The group's in the place of this member's; `context` is for what it takes meanwhile. Throws PgError (0A000) for what rows of the history cannot mend.
void WriteOutcomes(const core::BlockOutcomes& ours, const core::BlockOutcomes& theirs, MemoryContext context);
// All digests above `from` are gone, and the one of `height` is there.
void ReplaceDigests(core::Height from, core::Height height, const core::Digest& digest);

}  // namespace dadbs::pg::verify
