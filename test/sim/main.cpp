/*
 * main.cpp: dadbs_sim, the deterministic simulator of the replica.
 *
 *   dadbs_sim --seeds FROM COUNT [--real-signatures] [--verbose] [--trace] [--mutation NAME]
 *   dadbs_sim --corpus FILE           the seeds in it, a line each
 *   dadbs_sim --mutations [COUNT]     each deliberate mistake must be found within COUNT (3000) seeds
 *   dadbs_sim --scenarios DIRECTORY [--check-mutations]     each file of it (scenario.h); with the mistakes that it names it must fail
 *   dadbs_sim --scenario FILE [--trace] [--mutation NAME]
 *   dadbs_sim --bench                 blocks per second of four replicas in one thread
 *
 * A failure prints its seed and the command that replays it.
 */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include "../../src/core/replica_mutation.h"
#include "bench.h"
#include "cluster.h"
#include "dadbs/core/check.h"
#include "scenario.h"

namespace {

using dadbs::core::Mutation;
using dadbs::sim::Options;

struct NamedMutation {
  Mutation mutation;
  const char* name;
  bool by_seeds = true;  // random runs find it; else scenarios do
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
    {Mutation::kCutCommitRefused, "cut-commit-refused"},
    {Mutation::kEvidenceSignatureUnchecked, "evidence-signature-unchecked"},
    {Mutation::kEvidenceViewIgnored, "evidence-view-ignored", false},
    {Mutation::kEvidenceNumbersIgnored, "evidence-numbers-ignored"},
    {Mutation::kEvidenceSameHashAccepted, "evidence-same-hash-accepted"},
    {Mutation::kEvidenceItemsBelieved, "evidence-items-believed"},
    {Mutation::kEvidenceParentBelieved, "evidence-parent-believed"},
    {Mutation::kEvidenceDropped, "evidence-dropped"},
    {Mutation::kDigestQuorumOffByOne, "digest-quorum-off-by-one"},
    {Mutation::kOwnDigestTwice, "own-digest-twice"},
    {Mutation::kOwnDigestUncounted, "own-digest-uncounted"},
    {Mutation::kUnsaidIgnored, "unsaid-ignored"},
    {Mutation::kReplacedDigestCounts, "replaced-digest-counts"},
    {Mutation::kDigestHeightUnbound, "digest-height-unbound"},
    {Mutation::kDigestSignatureUnchecked, "digest-signature-unchecked"},
    {Mutation::kAgreedUnequal, "agreed-unequal"},
    {Mutation::kDigestBeforeDurable, "digest-before-durable"},
    {Mutation::kFindingForgotten, "finding-forgotten"},
    {Mutation::kDivergedWrites, "diverged-writes"},
    {Mutation::kOrderWaitsForDigests, "order-waits-for-digests"},
    {Mutation::kRelayNothing, "relay-nothing", false},
    {Mutation::kTimersOnGaps, "timers-on-gaps", false},
    {Mutation::kParentTimeIgnored, "parent-time-ignored", false},
    {Mutation::kTimeUnchecked, "time-unchecked", false},
    {Mutation::kBoundTimeChecked, "bound-time-checked", false},
    {Mutation::kClaimsBelieved, "claims-believed", false},
    {Mutation::kLargeBatchUnacked, "large-batch-unacked", false},
    {Mutation::kOneClaimBelieved, "one-claim-believed", false},
    {Mutation::kJoinOnOneWord, "join-on-one-word", false},
    {Mutation::kPromisesCounted, "promises-counted", false},
    {Mutation::kClockWithoutQuorum, "clock-without-quorum", false},
    {Mutation::kNeverFenced, "never-fenced", false},
    {Mutation::kFirstPreparedWins, "first-prepared-wins", false},
    {Mutation::kOthersIgnored, "others-ignored", false},
    {Mutation::kViewHelpOmitted, "view-help-omitted", false},
    {Mutation::kPassedOverIgnored, "passed-over-ignored", false},
    {Mutation::kRoundNotResent, "round-not-resent", false},
    {Mutation::kNoSecondEntry, "no-second-entry", false},
    {Mutation::kEvidenceIncarnationIgnored, "evidence-incarnation-ignored", false},
    {Mutation::kPrimarysVoteUntold, "primarys-vote-untold", false},
    {Mutation::kDigestSaidOnce, "digest-said-once", false},
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

int RunSeeds(Options options, const std::vector<uint64_t>& seeds, const char* arguments) {
  uint64_t passed = 0, failed = 0;
  dadbs::sim::Summary total;
  const auto begin = std::chrono::steady_clock::now();
  for (const uint64_t seed : seeds) {
    options.seed = seed;
    dadbs::sim::Summary s;
    const std::string why = RunSeed(options, &s);
    why.empty() ? passed++ : failed++;
    const auto number = static_cast<unsigned long long>(seed);
    if (!why.empty()) std::printf("seed %llu: %s\n  replay: dadbs_sim --seeds %llu 1%s --trace\n", number, why.c_str(), number, arguments);
    total += s;
    if (!options.verbose) continue;
    std::printf("seed %llu: ", number);
    Print(s);
  }
  std::printf("%.1f s: ", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  Print(total);
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(passed), static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}

// A number at the beginning of each line; what stands behind # is for people.
std::vector<uint64_t> ReadCorpus(const std::string& path) {
  std::vector<uint64_t> seeds;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
  return seeds;
}

int RunMutations(uint64_t seeds) {
  int passed = 0, failed = 0;
  for (const NamedMutation& m : kMutations) {
    if (!m.by_seeds) continue;
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

const NamedMutation* FindMutation(const std::string& name) {
  const auto* found = std::find_if(std::begin(kMutations), std::end(kMutations), [&](const auto& m) { return name == m.name; });
  return found == std::end(kMutations) ? nullptr : found;
}

// Empty: it fails with each of the mistakes that it names.
std::string CheckFailsWith(const std::string& path) {
  std::string why;
  const dadbs::sim::Scenario scenario(path);
  for (const std::string& name : scenario.fails_with()) {
    const NamedMutation* m = FindMutation(name);
    if (!m) return "there is no mistake " + name;
    dadbs::core::active_mutation = m->mutation;
    if (dadbs::sim::RunScenario(path, false).empty()) why += "it passes with " + name + "; ";
  }
  dadbs::core::active_mutation = Mutation::kNone;
  return why;
}

int RunScenarios(const std::string& directory, bool check_mutations) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.path().extension() == ".scenario") paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  int passed = 0, failed = 0;
  for (const std::string& path : paths) {
    std::string why = dadbs::sim::RunScenario(path, false);
    if (why.empty() && check_mutations) why = CheckFailsWith(path);
    std::printf("%s - %s%s%s\n", why.empty() ? "ok" : "not ok", std::filesystem::path(path).stem().c_str(), why.empty() ? "" : ": ",
                why.c_str());
    why.empty() ? passed++ : failed++;
  }
  if (paths.empty()) std::printf("not ok - no scenarios in %s\n", directory.c_str()), failed++;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

int RunOneScenario(const std::string& path, bool trace) {
  const std::string why = dadbs::sim::RunScenario(path, trace);
  std::printf("%s - %s%s%s\n", why.empty() ? "ok" : "not ok", path.c_str(), why.empty() ? "" : ": ", why.c_str());
  return why.empty() ? 0 : 1;
}

int Usage() {
  std::fprintf(stderr,
               "usage: dadbs_sim --seeds FROM COUNT [--real-signatures] [--verbose] [--trace] [--mutation NAME]\n"
               "       dadbs_sim --corpus FILE\n"
               "       dadbs_sim --mutations [COUNT]\n"
               "       dadbs_sim --scenarios DIRECTORY [--check-mutations]\n"
               "       dadbs_sim --scenario FILE [--trace] [--mutation NAME]\n"
               "       dadbs_sim --bench\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::vector<uint64_t> seeds;
  uint64_t mutation_seeds = 0;
  std::string arguments, scenarios, scenario;
  bool check_mutations = false;
  for (int i = 1; i < argc; i++) {
    const std::string_view a = argv[i];
    if (a == "--seeds" && i + 2 < argc) {
      const uint64_t from = std::strtoull(argv[++i], nullptr, 10);
      seeds.resize(std::strtoull(argv[++i], nullptr, 10));
      std::iota(seeds.begin(), seeds.end(), from);
    } else if (a == "--corpus" && i + 1 < argc) {
      seeds = ReadCorpus(argv[++i]);
    } else if (a == "--mutations") {
      mutation_seeds = i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 3000;
    } else if (a == "--mutation" && i + 1 < argc) {
      const std::string_view name = argv[++i];
      if (!FindMutation(std::string(name))) return Usage();
      dadbs::core::active_mutation = FindMutation(std::string(name))->mutation;
      arguments += " --mutation " + std::string(name);
    } else if (a == "--real-signatures") {
      options.real_signatures = true;
      arguments += " --real-signatures";
    } else if (a == "--scenarios" && i + 1 < argc) {
      scenarios = argv[++i];
    } else if (a == "--scenario" && i + 1 < argc) {
      scenario = argv[++i];
    } else if (a == "--check-mutations") {
      check_mutations = true;
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
  if (!scenarios.empty()) return RunScenarios(scenarios, check_mutations);
  if (!scenario.empty()) return RunOneScenario(scenario, options.trace);
  if (mutation_seeds > 0) return RunMutations(mutation_seeds);
  if (seeds.empty()) return Usage();
  return RunSeeds(options, seeds, arguments.c_str());
}
