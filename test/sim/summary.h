/*
 * summary.h: what has happened in a seed, or in many.
 */
#pragma once

#include <cstdint>

namespace dadbs::sim {

struct Summary {
  uint64_t events = 0, heights = 0, transactions = 0, crashes = 0, rejected = 0, cuts = 0, served_old = 0, left = 0;
  uint64_t furthest = 0;         // behind was a member that came back, in blocks
  uint64_t rolled_back = 0, fenced = 0, cloned = 0;
  uint64_t accused = 0, convicted = 0;  // false evidence submitted; evidence on the chain
  uint64_t digests = 0, flipped = 0, diverged = 0, found = 0;  // said; rows; members: that came to something else, that found it
  uint64_t views = 0;            // the highest that an honest member was in at the end
  int64_t longest_heal_us = 0;   // from healing to "all is ordered"
  Summary& operator+=(const Summary& other);  // of the furthest and the longest the maximum
};

void Print(const Summary& summary);  // a line

}  // namespace dadbs::sim
