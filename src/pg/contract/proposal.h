/*
 * proposal.h: what approval.cpp (positions), propose.cpp (sessions) and steps.cpp (the text of a proposal) share.
 * Postgres code: raises by ereport.
 */
#pragma once

#include "internal.h"

extern "C" {
#include "utils/array.h"
}

namespace dadbs::pg::ddl {
struct RelName;
}

namespace dadbs::pg::contract {

// ---- approval.cpp

struct Proposal {
  bool found;
  char *text, *role, *search_path;
  int32 needed;
  int64 expires;  // the last height of votes
  int16 origin;
};
struct Votes {
  int approved, rejected;
};

int64 NextProposal();
// `at`: null in a session.
void InsertProposal(int64 id, const char* text, const char* comment, const char* role, const char* search_path, uint64 lifetime,
                    const AtPosition* at);
// Raises unless the member may vote about it at that height.
void CheckOpen(int64 id, int16 member, uint64 height, bool rejects, Proposal* proposal, Votes* votes);

// ---- steps.cpp

struct Step {
  enum Kind { kDefinition, kTruncate, kContract, kLimit } kind;
  char* text;             // of the statement; CREATE TRIGGER for a call of protect_table()
  Deployment deployment;  // kContract: without role and search_path
  int64 limit;            // kLimit: of statements
};

// The statements of a proposal. Raises where one of them cannot be proposed; returns how many there are.
int ReadSteps(const char* text, Step** steps);
// What TRUNCATE means under the proposal's search_path, with what it cascades to; the author may. Returns how many.
int TablesToTruncate(const Proposal& proposal, const char* text, ddl::RelName*** names, bool* restart_identity);

// ---- deploy.cpp
// Raises what the analysis calls an error, tells its warnings.
void Analyze(const Deployment& deployment);

// ---- guard.cpp
// Whether a name stands in a text as a word.
bool NamesIt(const char* text, const char* name);

// ---- protection.cpp
List* ContractsNaming(const char* table);
List* Names(ArrayType* array);  // of a name[]: C strings; raises if one is null
char* ProtectionText(const char* table, List* contracts);

}  // namespace dadbs::pg::contract
