/*
 * stack.cpp: see stack.h.
 */
#include "stack.h"

#include "dadbs/pg/errors.h"
#include "dadbs/pg/own_failure.h"

extern "C" {
#include "tcop/tcopprot.h"
#include "utils/guc.h"
}

namespace dadbs::pg {

static constexpr long kDecidedKb = 7400, kReserveKb = 512;  // PostgreSQL's STACK_DEPTH_SLOP
static Stack current = Stack::kUsual;

const char* StackLimit(Stack use) {
  switch (use) {
    case Stack::kAsked: return "6750kB";
    case Stack::kDecided: return "7400kB";  // kDecidedKb
    default: return "6MB";
  }
}

static Stack SetStack(Stack use) {
  Stack const before = current;
  if (use != before) SetConfigOption("max_stack_depth", StackLimit(use), PGC_SUSET, PGC_S_OVERRIDE);
  current = use;
  return before;
}

void RequireStack() {
  long const bytes = get_stack_depth_rlimit(), needed = (kDecidedKb + kReserveKb) * 1024L;
  if (bytes < needed)
    throw PgError(kErrHalted, "the stack that this server may use is too small: " + std::to_string(bytes / 1024) + " kB, " + std::to_string(needed / 1024) + " kB are needed",
                  "", "Start the server with a larger limit (ulimit -s 8192, or LimitSTACK of its service).");
}

StackScope::StackScope(Stack use) : use_(use), before_(Call([&] { return SetStack(use); })) {}

StackScope::~StackScope() {
  if (use_ != before_) Call([&] { (void)SetStack(before_); });
}

bool IsStackFailure(const PgError& e) {
  return IsOwnFailure(e) && (e.sqlstate() == ERRCODE_STATEMENT_TOO_COMPLEX || e.sqlstate() == ERRCODE_INVALID_REGULAR_EXPRESSION);
}

}  // namespace dadbs::pg
