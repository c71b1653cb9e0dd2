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

namespace {

// An error that a function raised by itself, whatever SQLSTATE it claims: the innermost frame is a RAISE (lc_messages
// is C).
bool IsRaised(const PgError& e) {
  std::string_view const innermost = std::string_view(e.context).substr(0, e.context.find('\n'));
  return innermost.starts_with("PL/pgSQL function ") && innermost.ends_with(" at RAISE");
}

}  // namespace

bool IsOwnFailure(const PgError& e) {
  if (IsRaised(e)) return false;
  switch (ERRCODE_TO_CATEGORY(e.sqlstate())) {
    case ERRCODE_INSUFFICIENT_RESOURCES:
    case ERRCODE_OPERATOR_INTERVENTION:
    case ERRCODE_SYSTEM_ERROR:
    case ERRCODE_INTERNAL_ERROR:
    case ERRCODE_TRANSACTION_ROLLBACK:
    case ERRCODE_CONFIG_FILE_ERROR:
      return true;
    case ERRCODE_CONNECTION_EXCEPTION:  // but for what a receive function says of bytes that are no value of its type
      return e.sqlstate() != ERRCODE_PROTOCOL_VIOLATION;
    default:
      return e.sqlstate() == ERRCODE_LOCK_NOT_AVAILABLE || e.sqlstate() == ERRCODE_STATEMENT_TOO_COMPLEX;
  }
}

void RefuseByError(Work* work, const PgError& e) {
  bool const invalid = dynamic_cast<const InvalidWriteSet*>(&e) != nullptr;
  work->Refuse(invalid ? core::Verdict::kInvalid : core::Verdict::kRejected, e.sqlstate(), e.message(), e.detail(),
               e.hint());
}

}  // namespace dadbs::pg
