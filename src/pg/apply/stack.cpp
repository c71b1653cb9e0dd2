/*
 * stack.cpp: see stack.h.
 */
#include "stack.h"

#include "dadbs/pg/own_failure.h"

extern "C" {
#include "utils/guc.h"
}

namespace dadbs::pg {

static Stack current = Stack::kUsual;

const char* StackLimit(Stack use) {
  switch (use) {
    case Stack::kAsked: return "6750kB";
    case Stack::kDecided: return "7400kB";
    default: return "6MB";
  }
}

Stack SetStack(Stack use) {
  Stack const before = current;
  if (use != before) SetConfigOption("max_stack_depth", StackLimit(use), PGC_SUSET, PGC_S_OVERRIDE);
  current = use;
  return before;
}

StackScope::StackScope(Stack use) : use_(use), before_(Call([&] { return SetStack(use); })) {}

StackScope::~StackScope() {
  if (use_ != before_) Call([&] { (void)SetStack(before_); });
}

bool IsStackFailure(const PgError& e) {
  return IsOwnFailure(e) && (e.sqlstate() == ERRCODE_STATEMENT_TOO_COMPLEX || e.sqlstate() == ERRCODE_INVALID_REGULAR_EXPRESSION);
}

}  // namespace dadbs::pg
