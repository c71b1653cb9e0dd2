/*
 * check.h: broken invariants.
 *
 * On in release builds. A check that fails throws: the process that owns the state stops what it does (the consensus
 * worker stops voting, a backend errs), and nothing is sent or written on top of a state that cannot be. What a peer or
 * a client sends must never reach one: that is bad input, which has its own answers.
 */
#pragma once

#include <stdexcept>

namespace dadbs::core {

class BrokenInvariant : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void FailCheck(const char* condition, const char* file, int line);

}  // namespace dadbs::core

#define DADBS_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::dadbs::core::FailCheck(#condition, __FILE__, __LINE__))
