/*
 * work.cpp: see work.h.
 */
#include "work.h"

#include <algorithm>

#include "dadbs/pg/errors.h"
#include "dadbs/pg/row_apply.h"

namespace dadbs::pg {

core::KeyList Work::AllKeys() const {
  core::KeyList few = schema_keys;
  few.insert(few.end(), written_keys.begin(), written_keys.end());
  core::NormalizeKeys(&few);
  // Those of rows are in order already, and may be a million: merged, not sorted again.
  core::KeyList all(row_keys.size() + few.size());
  std::merge(row_keys.begin(), row_keys.end(), few.begin(), few.end(), all.begin());
  core::NormalizeKeys(&all);
  return all;
}

void Work::Refuse(core::Verdict v, int sqlstate, std::string message, std::string detail, std::string hint) {
  verdict = v;
  refusal = {Outcome::kRefused, sqlstate, std::move(message), std::move(detail), std::move(hint)};
}

void RefuseByError(Work* work, const PgError& e) {
  bool const invalid = dynamic_cast<const InvalidWriteSet*>(&e) != nullptr;
  work->Refuse(invalid ? core::Verdict::kInvalid : core::Verdict::kRejected, e.sqlstate(), e.message(), e.detail(),
               e.hint());
}

}  // namespace dadbs::pg
