/*
 * quorum.h: the one place where f and q are computed.
 *   f = floor((n-1)/3), q = floor((n+f)/2)+1. Two quorums share at least f+1 members and n-f >= q.
 */
#pragma once

#include <cstddef>

namespace dadbs::core {

constexpr size_t FaultsTolerated(size_t n) { return n == 0 ? 0 : (n - 1) / 3; }
constexpr size_t QuorumSize(size_t n) { return (n + FaultsTolerated(n)) / 2 + 1; }

}  // namespace dadbs::core
