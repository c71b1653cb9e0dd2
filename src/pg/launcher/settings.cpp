/*
 * settings.cpp: whether this server's settings let a member run. Asked when the extension is created, when a cluster
 * is created or joined, and by the launcher at each start, since settings may have changed since.
 */
#include "dadbs/pg/settings.h"

#include "dadbs/core/chain.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"

extern "C" {
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker_internals.h"
#include "replication/slot.h"
}

namespace dadbs::pg {
namespace {

constexpr int kWorkersNeeded = 5;  // launcher, capture, consensus, apply, blocks

std::string Trimmed(std::string_view text) {
  auto const cut = [](char c) { return c == ' ' || c == '\t' || c == '"'; };
  while (!text.empty() && cut(text.front())) text.remove_prefix(1);
  while (!text.empty() && cut(text.back())) text.remove_suffix(1);
  return std::string(text);
}

// The library's name in an entry such as "$libdir/dadbs" or "dadbs.so".
bool IsDadbs(std::string_view entry) {
  std::string name = Trimmed(entry);
  if (size_t const slash = name.rfind('/'); slash != std::string::npos) name.erase(0, slash + 1);
  return name == "dadbs" || name == "dadbs.so";
}

// The list with dadbs put first.
std::string PreloadLine(std::string_view list) {
  std::string others;
  for (size_t at = 0; at <= list.size();) {
    size_t const comma = std::min(list.find(',', at), list.size());
    std::string_view const entry = list.substr(at, comma - at);
    if (std::string const name = Trimmed(entry); !name.empty() && !IsDadbs(entry)) others += ", " + name;
    at = comma + 1;
  }
  return "shared_preload_libraries = 'dadbs" + others + "'";
}

}  // namespace

std::vector<SettingProblem> FindSettingProblems() {
  std::vector<SettingProblem> problems;
  std::string_view const preload = shared_preload_libraries_string == nullptr ? "" : shared_preload_libraries_string;
  if (shared == nullptr)
    problems.push_back({"dadbs is not in shared_preload_libraries", PreloadLine(preload)});
  else if (!IsDadbs(preload.substr(0, preload.find(','))))
    problems.push_back({"dadbs is not the first library in shared_preload_libraries", PreloadLine(preload)});
  if (wal_level < WAL_LEVEL_LOGICAL) problems.push_back({"wal_level is not logical", "wal_level = logical"});
  if (max_replication_slots < 1) problems.push_back({"max_replication_slots is 0", "max_replication_slots = 10"});
  if (max_worker_processes < kWorkersNeeded)
    problems.push_back(
        {"max_worker_processes is less than " + std::to_string(kWorkersNeeded), "max_worker_processes = 8"});
  if (!pgstat_track_counts) problems.push_back({"track_counts is off", "track_counts = on"});
  return problems;
}

std::string JoinProblems(const std::vector<SettingProblem>& problems, std::string* lines) {
  std::string what;
  for (const SettingProblem& p : problems) {
    what += (what.empty() ? "" : "; ") + p.what;
    *lines += (lines->empty() ? "" : "\n") + p.line;
  }
  return what;
}

void RequireSettings() {
  std::string lines;
  std::string const what = JoinProblems(FindSettingProblems(), &lines);
  if (what.empty()) return;
  throw PgError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "this server's settings do not allow dadbs to run",
                "What is missing: " + what + ".", "Put into postgresql.conf, and restart the server:\n" + lines);
}

}  // namespace dadbs::pg
