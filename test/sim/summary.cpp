/*
 * summary.cpp: see summary.h.
 */
#include "summary.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace dadbs::sim {

Summary& Summary::operator+=(const Summary& other) {
  for (uint64_t Summary::*count :
       {&Summary::events, &Summary::heights, &Summary::transactions, &Summary::crashes, &Summary::rejected, &Summary::cuts, &Summary::served_old,
        &Summary::left, &Summary::rolled_back, &Summary::fenced, &Summary::cloned, &Summary::accused, &Summary::convicted, &Summary::digests,
        &Summary::flipped, &Summary::diverged, &Summary::found, &Summary::views})
    this->*count += other.*count;
  furthest = std::max(furthest, other.furthest);
  longest_heal_us = std::max(longest_heal_us, other.longest_heal_us);
  return *this;
}

void Print(const Summary& s) {
  using Figure = unsigned long long;
  const std::pair<Figure, const char*> figures[] = {
      {s.events, "events"}, {s.heights, "blocks"}, {s.transactions, "transactions"}, {s.crashes, "crashes"}, {s.cuts, "journals cut"},
      {s.served_old, "old blocks served"}, {s.furthest, "blocks behind at most"}, {s.left, "servers left"}, {s.rejected, "bad messages rejected"},
      {s.views, "views"}, {s.rolled_back, "journals rolled back"}, {s.fenced, "fenced for it"}, {s.cloned, "clones"},
      {s.accused, "false accusations"}, {s.convicted, "pieces of evidence"}, {s.digests, "digests"}, {s.flipped, "rows flipped"},
      {s.diverged, "members diverged"}, {s.found, "found something"}};
  for (const auto& [figure, name] : figures) std::printf("%llu %s, ", figure, name);
  std::printf("healed within %.1f s\n", static_cast<double>(s.longest_heal_us) / 1e6);
}

}  // namespace dadbs::sim
