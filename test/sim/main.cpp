/*
 * main.cpp: dadbs_sim, the deterministic simulator of the replica.
 *
 *   dadbs_sim --seeds FROM COUNT [--real-signatures] [--verbose] [--trace] [--mutation NAME]
 *   dadbs_sim --mutations [COUNT]     each deliberate mistake must be found within COUNT (1000) seeds
 *   dadbs_sim --bench                 blocks per second of four replicas in one thread
 *
 * A failure prints its seed and the command that replays it.
 */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../src/core/replica_mutation.h"
#include "bench.h"
#include "cluster.h"
#include "dadbs/core/check.h"

namespace {

using dadbs::core::Mutation;
using dadbs::sim::Options;

struct NamedMutation {
  Mutation mutation;
  const char* name;
};

constexpr NamedMutation kMutations[] = {
    {Mutation::kVoteBeforeJournal, "vote-before-journal"},
    {Mutation::kQuorumOffByOne, "quorum-off-by-one"},
    {Mutation::kProposalUnjournaled, "proposal-unjournaled"},
    {Mutation::kBatchUnheld, "batch-unheld"},
    {Mutation::kBatchUnjournaled, "batch-unjournaled"},
    {Mutation::kIncarnationUnchecked, "incarnation-unchecked"},
    {Mutation::kCertificateUnchecked, "certificate-unchecked"},
    {Mutation::kFetchedUnchecked, "fetched-unchecked"},
    {Mutation::kDeliverBeforeJournal, "deliver-before-journal"},
    {Mutation::kIncarnationReused, "incarnation-reused"},
    {Mutation::kVoteSignatureUnchecked, "vote-signature-unchecked"},
    {Mutation::kBodyUnchecked, "body-unchecked"},
    {Mutation::kPreparedForgotten, "prepared-forgotten"},
    {Mutation::kPreparedUnchecked, "prepared-unchecked"},
    {Mutation::kNewViewQuorumOffByOne, "new-view-quorum-off-by-one"},
    {Mutation::kViewChangeUnjournaled, "view-change-unjournaled"},
    {Mutation::kBindingIgnored, "binding-ignored"},
    {Mutation::kTimerDoublesForEver, "timer-doubles-for-ever"},
    {Mutation::kJoinThisViewOnly, "join-this-view-only"},
    {Mutation::kAmnesiaUnchecked, "amnesia-unchecked"},
    {Mutation::kLearnerInMemory, "learner-in-memory"},
};

// Empty: passed.
std::string RunSeed(const Options& options, dadbs::sim::Summary* summary) {
  try {
    dadbs::sim::Cluster cluster(options);
    *summary = cluster.Run();
    return "";
  } catch (const dadbs::sim::Failure& failure) {
    return failure.what();
  } catch (const dadbs::core::BrokenInvariant& broken) {
    return broken.what();
  }
}

int RunSeeds(Options options, uint64_t from, uint64_t count, const char* arguments) {
  uint64_t passed = 0, failed = 0;
  dadbs::sim::Summary total;
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = from; seed < from + count; seed++) {
    options.seed = seed;
    dadbs::sim::Summary s;
    const std::string why = RunSeed(options, &s);
    if (why.empty()) {
      passed++;
    } else {
      failed++;
      std::printf("seed %llu: %s\n  replay: dadbs_sim --seeds %llu 1%s --trace\n",
                  static_cast<unsigned long long>(seed), why.c_str(), static_cast<unsigned long long>(seed), arguments);
    }
    total.events += s.events;
    total.heights += s.heights;
    total.transactions += s.transactions;
    total.crashes += s.crashes;
    total.rejected += s.rejected;
    total.cuts += s.cuts;
    total.served_old += s.served_old;
    total.left += s.left;
    total.rolled_back += s.rolled_back;
    total.fenced += s.fenced;
    total.cloned += s.cloned;
    total.furthest = std::max(total.furthest, s.furthest);
    total.views += s.views;
    total.longest_heal_us = std::max(total.longest_heal_us, s.longest_heal_us);
    if (options.verbose)
      std::printf("seed %llu: %llu events, %llu blocks, %llu transactions, %llu crashes\n",
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(s.events),
                  static_cast<unsigned long long>(s.heights), static_cast<unsigned long long>(s.transactions),
                  static_cast<unsigned long long>(s.crashes));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf(
      "%.1f s: %llu events, %llu blocks, %llu transactions, %llu crashes, %llu journals cut, %llu old blocks served, "
      "up to %llu behind, %llu servers left, %llu bad messages rejected, %llu views, %llu journals rolled back, %llu fenced for it, %llu clones, healed within %.1f s\n",
      seconds, static_cast<unsigned long long>(total.events), static_cast<unsigned long long>(total.heights),
      static_cast<unsigned long long>(total.transactions), static_cast<unsigned long long>(total.crashes),
      static_cast<unsigned long long>(total.cuts), static_cast<unsigned long long>(total.served_old),
      static_cast<unsigned long long>(total.furthest), static_cast<unsigned long long>(total.left),
      static_cast<unsigned long long>(total.rejected), static_cast<unsigned long long>(total.views),
      static_cast<unsigned long long>(total.rolled_back), static_cast<unsigned long long>(total.fenced),
      static_cast<unsigned long long>(total.cloned),
      static_cast<double>(total.longest_heal_us) / 1e6);
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(passed),
              static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}

int RunMutations(uint64_t seeds) {
  int passed = 0, failed = 0;
  for (const NamedMutation& m : kMutations) {
    dadbs::core::active_mutation = m.mutation;
    std::string found;
    uint64_t seed = 0;
    while (found.empty() && seed < seeds) {
      Options options;
      options.seed = ++seed;
      dadbs::sim::Summary summary;
      found = RunSeed(options, &summary);
    }
    std::printf("%-26s %s", m.name, found.empty() ? "NOT FOUND\n" : "");
    if (!found.empty())
      std::printf("found at seed %llu: %.100s\n", static_cast<unsigned long long>(seed), found.c_str());
    found.empty() ? failed++ : passed++;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

int Usage() {
  std::fprintf(stderr,
               "usage: dadbs_sim --seeds FROM COUNT [--real-signatures] [--verbose] [--trace] [--mutation NAME]\n"
               "       dadbs_sim --mutations [COUNT]\n"
               "       dadbs_sim --bench\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  uint64_t from = 0, count = 0, mutation_seeds = 0;
  std::string arguments;
  for (int i = 1; i < argc; i++) {
    const std::string_view a = argv[i];
    if (a == "--seeds" && i + 2 < argc) {
      from = std::strtoull(argv[++i], nullptr, 10);
      count = std::strtoull(argv[++i], nullptr, 10);
    } else if (a == "--mutations") {
      mutation_seeds = i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 1000;
    } else if (a == "--mutation" && i + 1 < argc) {
      const std::string_view name = argv[++i];
      for (const NamedMutation& m : kMutations)
        if (name == m.name) dadbs::core::active_mutation = m.mutation;
      if (dadbs::core::active_mutation == Mutation::kNone) return Usage();
      arguments += " --mutation " + std::string(name);
    } else if (a == "--real-signatures") {
      options.real_signatures = true;
      arguments += " --real-signatures";
    } else if (a == "--bench") {
      dadbs::sim::RunBench(false);
      dadbs::sim::RunBench(true);
      return 0;
    } else if (a == "--verbose") {
      options.verbose = true;
    } else if (a == "--trace") {
      options.trace = true;
    } else {
      return Usage();
    }
  }
  if (mutation_seeds > 0) return RunMutations(mutation_seeds);
  if (count == 0) return Usage();
  return RunSeeds(options, from, count, arguments.c_str());
}
