/*
 * main.cpp: dadbs_growth, how deciding grows with the number of members.
 *
 *   dadbs_growth [--members 4,10,25] [--megabytes 1,5] [--latency 50,200] [--primary-writes 1] [--writers N] [--gigabits X] [--sync-us N] [--rounds N]
 *
 * --primary-writes 0: all members but the primary write. Prints what was measured of this machine to stderr, and a line of CSV for each setting: the median of the rounds.
 */
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "dadbs/core/quorum.h"
#include "world.h"

namespace {

using dadbs::growth::Round;
using dadbs::growth::Load;
using dadbs::growth::Setting;

std::vector<double> Numbers(const char* text) {
  std::vector<double> numbers;
  for (const char* at = text; *at != '\0';) {
    char* end = nullptr;
    numbers.push_back(std::strtod(at, &end));
    if (end == at) return {};
    at = *end == ',' ? end + 1 : end;
  }
  return numbers;
}

template <class Of>
double Median(const std::vector<Round>& rounds, Of of) {
  std::vector<double> values;
  for (const Round& r : rounds) values.push_back(static_cast<double>(of(r)));
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Batch, proposal, PREPARE, COMMIT: what no implementation of this protocol gets below.
double LightMs(const Load& load) { return static_cast<double>(4 * load.latency_us) / 1000; }

void Report(const Setting& s, const Load& load, const std::vector<Round>& rounds) {
  const auto per_block = [&](auto of) {
    return Median(rounds, [&](const Round& r) { return static_cast<double>(of(r)) / static_cast<double>(std::max<uint64_t>(1, r.blocks)); });
  };
  const double n = static_cast<double>(s.members);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%zu,%zu,%zu,%.1f,%.0f,%.1f,%.1f,%.1f,%.0f,%.0f,%.0f,%.0f,%.2f,%.2f,%.1f,%.2f,%.0f,%ld\n", s.members,
              dadbs::core::QuorumSize(s.members), s.writers == 0 ? s.members : s.writers, static_cast<double>(load.bytes) / 1e6, static_cast<double>(load.latency_us) / 1000,
              LightMs(load), Median(rounds, [](const Round& r) { return r.median_us; }) / 1000,
              Median(rounds, [](const Round& r) { return r.last_us; }) / 1000, Median(rounds, [](const Round& r) { return r.blocks; }),
              per_block([](const Round& r) { return r.messages; }), per_block([](const Round& r) { return r.bytes; }),
              per_block([&](const Round& r) { return static_cast<double>(r.bytes) / n; }),
              per_block([](const Round& r) { return r.busy_us; }) / 1000, per_block([](const Round& r) { return r.busiest_us; }) / 1000,
              per_block([&](const Round& r) { return static_cast<double>(r.work.verifications) / n; }),
              per_block([](const Round& r) { return r.host_us; }) / 1000, Median(rounds, [](const Round& r) { return r.view; }),
              usage.ru_maxrss / 1024);
  std::fflush(stdout);
}

int Usage() {
  std::fprintf(stderr,
               "usage: dadbs_growth [--members 4,10,25] [--megabytes 1,5] [--latency 50,200] [--primary-writes 1] [--writers N] [--gigabits X] [--sync-us N] "
               "[--rounds N]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<double> members{4, 10, 25, 50, 100, 200, 500}, megabytes{1, 5}, latencies{50, 200};
  Setting setting;
  Load load;
  bool others = false;
  for (int i = 1; i < argc; i += 2) {
    const std::vector<double> values = i + 1 < argc ? Numbers(argv[i + 1]) : std::vector<double>{};
    if (values.empty() || *std::min_element(values.begin(), values.end()) < 0) return Usage();
    const std::string_view a = argv[i];
    if (a == "--members") members = values;
    else if (a == "--megabytes") megabytes = values;
    else if (a == "--latency") latencies = values;
    else if (a == "--primary-writes") others = values[0] == 0;
    else if (a == "--writers") setting.writers = static_cast<size_t>(values[0]);
    else if (a == "--gigabits") setting.bits_per_us = values[0] * 1000;
    else if (a == "--sync-us") setting.sync_us = static_cast<int64_t>(values[0]);
    else if (a == "--rounds") load.rounds = std::max(1, static_cast<int>(values[0]));
    else return Usage();
  }
  try {
    const dadbs::growth::Costs costs = dadbs::growth::MeasureCosts();
    std::fprintf(stderr, "%s\n", costs.Text().c_str());
    std::printf("members,quorum,writers,megabytes,latency_ms,light_ms,median_ms,last_ms,blocks,messages_per_block,bytes_per_block,"
                "bytes_per_member_and_block,cpu_ms,cpu_max_ms,verifications,own_ms,view,memory_mb\n");
    for (const double n : members) {
      setting.members = static_cast<size_t>(n);
      if (others) setting.writers = std::max<size_t>(1, setting.members - 1);
      dadbs::growth::World world(setting, costs);
      world.Start();
      for (const double latency : latencies)
        for (const double size : megabytes) {
          load.latency_us = static_cast<int64_t>(latency * 1000);
          load.bytes = static_cast<uint64_t>(size * 1e6);
          Report(setting, load, world.Measure(load));
        }
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
  return 0;
}
