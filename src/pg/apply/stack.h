/*
 * stack.h: how much stack an execution at a position may take. impasse.cpp says what for.
 */
#pragma once

#include "dadbs/pg/boundary.h"

namespace dadbs::pg {

// How much stack an execution may take; what exceeds it is raised as 54001.
enum class Stack {
  kUsual,    // whatever it is enough for is carried out, and nobody asked
  kAsked,    // what a member means by "can" in its vote
  kDecided,  // for what members have voted for
};
const char* StackLimit(Stack use);

// The limit, until the end of the scope.
class StackScope {
 public:
  explicit StackScope(Stack use);
  ~StackScope();
  StackScope(const StackScope&) = delete;
  StackScope& operator=(const StackScope&) = delete;

 private:
  Stack const use_, before_;
};
// Raises DA003 where the server's stack (ulimit -s) is too small for the largest of them.
void RequireStack();

// Whether the error says that the stack has ended.
bool IsStackFailure(const PgError& e);

}  // namespace dadbs::pg
