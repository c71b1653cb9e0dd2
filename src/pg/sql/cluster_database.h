/*
 * cluster_database.h: what create_cluster and join_cluster ask of, and record in, the database they are called in.
 * All need a transaction; errors are PgError.
 */
#pragma once

#include "dadbs/pg/member.h"

namespace dadbs::pg {

DatabaseFacts ReadDatabaseFacts(std::string* database_name);
// User schemas that hold objects of the user's, or exist although a new database would not have them. Objects of
// extensions do not count. `only`: look at these schemas; empty: at all.
std::vector<std::string> OccupiedSchemas(const std::vector<std::string>& only);
// "public, sales": the schemas whose tables are shared now.
std::string DescribeSharedSchemas(const std::vector<std::string>& schemas);
// Shared schemas, and what superusers made in them, now belong to dadbs_owner; ordinary owners become roles of the
// group.
void TakeOver(const std::vector<std::string>& schemas);
// A cluster of one takes its tables as they are: locks them against writers until the end of the transaction, gives
// each its replica identity, and records definitions as of height 0. Returns how many tables.
uint64 RecordBaseline(const std::vector<std::string>& schemas);

// ProcessUtility hook: while this server joins, nothing new may come into a database that was found empty.
void InitJoiningGuard();

}  // namespace dadbs::pg
