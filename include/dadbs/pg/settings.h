/*
 * settings.h: what dadbs needs of postgresql.conf.
 */
#pragma once

#include <string>
#include <vector>

namespace dadbs::pg {

struct SettingProblem {
  std::string what;  // "wal_level is not logical"
  std::string line;  // for postgresql.conf
};

std::vector<SettingProblem> FindSettingProblems();
// "a; b", and the lines, one below the other.
std::string JoinProblems(const std::vector<SettingProblem>& problems, std::string* lines);
void RequireSettings();  // throws PgError that names each missing line

}  // namespace dadbs::pg
