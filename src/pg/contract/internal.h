/*
 * internal.h: what the files of src/pg/contract share. Postgres code in C++ clothes, as in src/pg/ddl: errors leave by
 * ereport, no object with a destructor is alive; the doors are contract.h's functions and the SQL-callable ones.
 *
 *   registry.cpp  deploying and dropping, in the session and at the position
 *   deploy.cpp    the SQL functions of that
 */
#pragma once

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include "nodes/pg_list.h"
}

namespace dadbs::pg::contract {

// A ContractChange in palloc'd C strings.
struct Deployment {
  bool drop;
  char *name, *language, *arguments, *returns, *body, *options, *role, *search_path;
};

// Makes or drops it in the current transaction. `at`: null inside a session's. Returns the version.
int Execute(const Deployment& deployment, const AtPosition* at);

// The function of a contract; invalid: there is none.
Oid FindContract(const char* name);
// dadbs.contract, the function of marker triggers.
Oid MarkerFunction();
// Tables with a trigger that runs the contract: OIDs.
List* TablesOf(const char* name);

}  // namespace dadbs::pg::contract
